"""Kernels of small Fourier neural operators by brute force: sums over all four positions and all modes, no FFT and no
averages along translations, ReLU in closed form; shared with no code of the library.

A network is a list of tuples: ("spectral", K, w, b), ("complex", ...) for free weights in the plane of k and -k,
("point", w, b), ("relu",), ("block", K, w, point, b, skip), ("mean",), ("flat",).
"""

from itertools import product

import numpy as np


def shares(kind, kept, shape):
    """s_k of each k of the grid by counting the drawn matrices that meet in mode k of a real function."""
    found = {}
    for k in product(*(range(n) for n in shape)):
        signed = [j if 2 * j <= n else j - n for j, n in zip(k, shape, strict=True)]
        inside = all(abs(j) < kept for j in signed)
        alone = 2 * signed[-1] in (0, shape[-1])
        found[k] = inside * (0.5 if kind == "complex" and alone else 1.0)
    return found


def filtered(kind, kept, shape):
    """Q with Sigma'_ab = sum_cd Q_abcd C_cd."""
    at, n = np.array(list(product(*(range(m) for m in shape)))), np.prod(shape)
    total = np.zeros((n,) * 4)
    for k, s in shares(kind, kept, shape).items():
        phase = 2 * np.pi * at @ (np.array(k) / shape)
        wave = phase[:, None] - phase
        total += s / n**2 * np.cos(wave[:, :, None, None] - wave)
    return total


def relu(k):
    """E phi phi and E phi' phi' of all pairs of signals, (functions, positions, functions, positions)."""
    flat = k.reshape(k.shape[0] * k.shape[1], -1)
    scale = np.sqrt(np.outer(flat.diagonal(), flat.diagonal()))
    angle = np.arccos(np.clip(flat / scale, -1, 1))
    np.fill_diagonal(angle, 0)
    mean = scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    return mean.reshape(k.shape), ((np.pi - angle) / (2 * np.pi)).reshape(k.shape)


def weighted(kind, kept, w, b, k, t, shape):
    if kind == "point":
        k, t = w * k + b, w * t
    else:
        q = w * filtered(kind, kept, shape)
        k, t = (np.einsum("abcd,icjd->iajb", q, m) for m in (k, t))
        k = k + b
    return k, k + t


def kernels(spec, x):
    """NNGP and NTK, (n, positions, n, positions) or (n, n)."""
    shape = x.shape[1:-1]
    rows = x.reshape(len(x), -1, x.shape[-1])
    k = np.einsum("iac,jbc->iajb", rows, rows) / x.shape[-1]
    return through(spec, k, np.zeros_like(k), shape)


def through(spec, k, t, shape):
    for name, *numbers in spec:
        if name == "relu":
            k, slope = relu(k)
            t = slope * t
        elif name == "block":
            kept, w, point, b, skip = numbers
            inner = through([("relu",)], k, t, shape)
            paths = [weighted("spectral", kept, w, b, *inner, shape), weighted("point", None, point, 0, *inner, shape)]
            k, t = (skip**2 * old + sum(new) for old, new in zip((k, t), zip(*paths, strict=True), strict=True))
        elif name == "mean":
            k, t = k.mean(axis=(1, 3)), t.mean(axis=(1, 3))
        elif name == "flat":
            k, t = np.einsum("iaja->ij", k) / k.shape[1], np.einsum("iaja->ij", t) / k.shape[1]
        else:
            kept, w, b = (None, *numbers) if name == "point" else numbers
            k, t = weighted(name, kept, w, b, k, t, shape)
    return k, t
