"""Kernels of small convolutional networks by the plain recursion: one mpmath number for every pair of pixels of every
pair of images, shared with no code of the library. A network is a list of tuples such as ("conv", 3, 1, "SAME", w, b).
"""

from itertools import product

from mpmath import acos, fdot, mpf, pi, sqrt, workdps


def windows(n, size, stride, padding):
    """For each output the positions read on one axis, None where there is a zero."""
    out = -(-n // stride)
    total = 0 if padding == "VALID" else max((out - 1) * stride + size - n, 0)
    low = total // 2
    line = [(i - low) % n if padding == "CIRCULAR" or 0 <= i - low < n else None for i in range(n + total)]
    return [line[first : first + size] for first in range(0, len(line) - size + 1, stride)]


def over_axes(shape, sizes, strides, padding):
    """Output position -> list of input positions, None where outside."""
    sizes, strides = (v if isinstance(v, tuple) else (v,) * len(shape) for v in (sizes, strides))
    axes = [windows(n, f, s, padding) for n, f, s in zip(shape, sizes, strides, strict=True)]
    return {
        tuple(at): [
            None if None in tap else tap for tap in product(*(axis[i] for axis, i in zip(axes, at, strict=True)))
        ]
        for at in product(*(range(len(axis)) for axis in axes))
    }


class Field:
    """k and t between all pixels of all images; `shape` of the positions, () when flat."""

    def __init__(self, images, shape, k, t):
        self.images, self.shape, self.k, self.t = images, shape, k, t

    def pixels(self):
        return product(range(self.images), product(*map(range, self.shape)))

    def map(self, f):
        k, t = {}, {}
        for u, v in product(self.pixels(), repeat=2):
            k[u, v], t[u, v] = f(u, v)
        return Field(self.images, self.shape, k, t)


def start(x):
    shape = x.shape[1:-1]
    pixels = list(product(range(len(x)), product(*map(range, shape))))
    value = {(a, at): [mpf(float(c)) for c in x[(a, *at)]] for a, at in pixels}
    k = {(u, v): fdot(value[u], value[v]) / x.shape[-1] for u, v in product(pixels, repeat=2)}
    return Field(len(x), shape, k, dict.fromkeys(k, mpf(0)))


def gathered(field, reads, pairs):
    """Means over window pairs: `pairs` of the taps of two windows to the taps that are multiplied."""
    k, t = {}, {}
    for (a, i), (b, j) in product(product(range(field.images), reads), repeat=2):
        taps = list(pairs(reads[i], reads[j]))
        met = [((a, u), (b, v)) for u, v in taps if u is not None and v is not None]
        k[(a, i), (b, j)], t[(a, i), (b, j)] = (
            sum((m[e] for e in met), mpf(0)) / len(taps) for m in (field.k, field.t)
        )
    return k, t


def conv(field, sizes, strides, padding, w, b):
    reads = over_axes(field.shape, sizes, strides, padding)
    k, t = gathered(field, reads, lambda left, right: zip(left, right, strict=True))
    k = {e: w * value + b for e, value in k.items()}
    shape = tuple(1 + max(at[axis] for at in reads) for axis in range(len(field.shape)))
    return Field(field.images, shape, k, {e: k[e] + w * t[e] for e in k})


def pool(field, sizes, strides=None, padding="VALID"):
    reads = over_axes(field.shape, sizes, strides or sizes, padding)
    shape = tuple(1 + max(at[axis] for at in reads) for axis in range(len(field.shape)))
    return Field(field.images, shape, *gathered(field, reads, product))


def gap(field):
    everything = {(): list(product(*map(range, field.shape)))}
    return Field(field.images, (), *gathered(field, everything, product))


def flat(field):
    everything = {(): list(product(*map(range, field.shape)))}
    return Field(field.images, (), *gathered(field, everything, lambda a, b: zip(a, b, strict=True)))


def dense(field, w, b):
    k = {e: w * value + b for e, value in field.k.items()}
    return Field(field.images, field.shape, k, {e: k[e] + w * field.t[e] for e in k})


def relu(field):
    def pair(u, v):
        p, q, k = field.k[u, u], field.k[v, v], field.k[u, v]
        if u == v:
            return p / 2, field.t[u, v] / 2
        c = min(max(k / sqrt(p * q), mpf(-1)), mpf(1))
        angle = acos(c)
        value = sqrt(p * q) * (sqrt(1 - c * c) + (pi - angle) * c) / (2 * pi)
        return value, (pi - angle) / (2 * pi) * field.t[u, v]

    return field.map(pair)


def norm(field):
    def pair(u, v):
        size = sqrt(field.k[u, u] * field.k[v, v])
        return field.k[u, v] / size, field.t[u, v] / size

    return field.map(pair)


def dropout(field, keep):
    return field.map(lambda u, v: tuple(m[u, v] / (mpf(keep) if u == v else 1) for m in (field.k, field.t)))


def residual(field, factor, branch):
    other = through(field, branch)
    return field.map(
        lambda u, v: tuple(m[u, v] + mpf(factor) ** 2 * o[u, v] for m, o in ((field.k, other.k), (field.t, other.t)))
    )


LAYERS = {f.__name__: f for f in (conv, pool, gap, flat, dense, relu, norm, dropout, residual)}


def through(field, network):
    for name, *numbers in network:
        field = LAYERS[name](field, *numbers)
    return field


def kernels(network, x):
    """NNGP and NTK as nested lists' worth of floats: {(a, i, b, j): value}."""
    with workdps(30):
        field = through(start(x), network)
        return [{(*u, *v): float(value) for (u, v), value in m.items()} for m in (field.k, field.t)]
