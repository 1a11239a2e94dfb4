"""Circular convolutional networks with real weights: h'_i(a) = sum_{j,b} w_ij(b) x_j(a + b) + bias_i at positions a.

w_ij(b) ~ N(0, weight_var v_b/channels) for the taps b of a kernel v, bias_i ~ N(0, bias_var), one for all positions;
x is what the layers before the convolution make of h. The first pre-activations are Gaussian fields of a given
covariance, independent from channel to channel.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meanfield.finite.networks import Array, Draw, forward, number, whole
from meanfield.finite.roots import gram_root
from symbolic.networks import Dense, Layer

Taps = list[tuple[tuple[int, ...], float]]


def taps(kernel: Any) -> Taps:
    """The shifts b and the weights v_b > 0 of a kernel, an array with b = 0 in the middle of each of its axes.

    Raises TypeError or ValueError unless it is finite, nonnegative, of odd sizes, and sums to 1.
    """
    v = finite(kernel, "kernel")
    if v.ndim == 0 or any(size % 2 == 0 for size in v.shape):
        raise ValueError(
            f"a kernel has an odd number of taps on each axis, so that one is in the middle, but the shape is "
            f"{v.shape}: add zeros"
        )
    if (v < 0).any():
        raise ValueError(f"the weights of a kernel are shares of a variance, at least 0, but one is {v.min():.6g}")
    if abs(v.sum() - 1) > 1e-12:
        raise ValueError(
            f"the weights of a kernel sum to 1, not to {v.sum():.15g}: divide by the sum, scale weight_var"
        )
    middle = np.array(v.shape) // 2
    return [(tuple(int(b) for b in at - middle), float(v[tuple(at)])) for at in np.argwhere(v > 0)]


def finite(values: Any, name: str) -> Array:
    """A finite array of float64; TypeError or ValueError, with the position, else."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers, not {type(values).__name__}") from None
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, but {name}{list(where)} is {array[where]}")
    return array


def shifted(x: Array, shift: Sequence[int], axes: Sequence[int]) -> Array:
    """x at the positions a + b in place of a, around the circle, along the axes given."""
    return np.roll(x, [-b for b in shift], tuple(axes))


def convolve(dense: Dense, kernel: Taps, x: Array, rng: np.random.Generator) -> Array:
    """x (networks, ..., *positions, channels) through one freshly drawn convolution for each network."""
    weight_var, bias_var = number(dense, "weight_var"), number(dense, "bias_var")
    networks, *middle, channels = x.shape
    axes = range(-1 - len(kernel[0][0]), -1)
    patches = [np.sqrt(weight_var * v / channels) * shifted(x, b, axes) for b, v in kernel]
    rows = np.concatenate(patches, axis=-1).reshape(networks, -1, len(kernel) * channels)
    weights = rng.standard_normal((networks, len(kernel) * channels, channels))
    biases = np.sqrt(bias_var) * rng.standard_normal((networks, 1, channels))
    return (rows @ weights + biases).reshape(networks, *middle, channels)


def position_covariances(
    before: Sequence[Layer],
    dense: Dense,
    kernel: Any,
    start: Array,
    *,
    channels: int,
    depth: int,
    rng: np.random.Generator,
    networks: int = 1,
    inputs: int = 1,
) -> Array:
    """Empirical covariances h(a) . h(a')/channels in front of layers 1 .. depth and behind the last.

    `before` are the layers between two convolutions, `start` the covariance of the first pre-activations, of shape
    (*positions, *positions) or (points, *positions, points, *positions); each network is shown `inputs` independent
    fields and averages over them. Shape (networks, depth + 1, *start.shape).
    """
    shifts, draw = taps(kernel), Draw(whole("channels", channels), rng)
    shape = start.shape[: start.ndim // 2]
    size = int(np.prod(shape))
    factor = gram_root(start.reshape(size, size))
    h = factor @ rng.standard_normal((whole("networks", networks), whole("inputs", inputs), size, channels))
    found = [_covariance(h)]
    for _ in range(whole("depth", depth)):
        x = h.reshape(networks, inputs, *shape, channels)
        for layer in before:
            x, _ = forward(layer, x, draw)
        h = convolve(dense, shifts, x, rng).reshape(networks, inputs, size, channels)
        found.append(_covariance(h))
    return np.stack(found, axis=1).reshape(networks, depth + 1, *start.shape)


def _covariance(h: Array) -> Array:
    """(networks, inputs, size, channels) -> (networks, size, size)."""
    return np.asarray((h @ h.swapaxes(-1, -2)).mean(axis=1) / h.shape[-1])
