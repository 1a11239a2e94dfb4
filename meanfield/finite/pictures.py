"""Finite convolutional networks with real weights on pictures (points, *positions, channels), and their gradients.

Conv draws W_d = sqrt(weight_var/(channels area)) w_d, b = sqrt(bias_var) beta with w, beta standard normal, one filter
for all positions, `width` channels out; its gradient is scattered back to the positions that were read.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from meanfield.finite.networks import Array, Draw, Passage, Passed, forward, number
from symbolic.pictures import AvgPool, Conv, Flatten, GlobalAvgPool, Shape, Window, windows

Index = npt.NDArray[np.intp]


@forward.register
def _(layer: Conv, x: Array, draw: Draw) -> Passed:
    shape, channels = x.shape[1:-1], x.shape[-1]
    over = windows(layer, shape)
    read, out = _read(over, shape), tuple(window.out for window in over)
    weight_var, bias_var = number(layer, "weight_var"), number(layer, "bias_var")
    fan_in = channels * read.shape[1]
    patches = _gathered(x, read).reshape(len(x), len(read), fan_in)
    scale = np.sqrt(weight_var / fan_in)
    w, beta = draw.rng.standard_normal((draw.width, fan_in)), draw.rng.standard_normal(draw.width)
    passage = Passage(patches, weight_var, fan_in, bias_var)
    if draw.tape is not None:
        draw.tape.passages.append(passage)

    def pullback(g: Array) -> Array:
        passage.gradient = g
        return _scattered((scale * g) @ w, read, shape, channels)

    y = (scale * patches) @ w.T + np.sqrt(bias_var) * beta
    return y.reshape(len(x), *out, draw.width), pullback


@forward.register
def _(layer: AvgPool, x: Array, draw: Draw) -> Passed:
    shape, channels = x.shape[1:-1], x.shape[-1]
    over = windows(layer, shape)
    read, out = _read(over, shape), tuple(window.out for window in over)
    area = read.shape[1]

    def pullback(g: Array) -> Array:
        return _scattered(np.tile(g / area, area), read, shape, channels)

    return _gathered(x, read).sum(axis=2).reshape(len(x), *out, channels) / area, pullback


@forward.register
def _(layer: GlobalAvgPool, x: Array, draw: Draw) -> Passed:
    shape, channels = x.shape[1:-1], x.shape[-1]

    def pullback(g: Array) -> Array:
        spread = g.reshape(*g.shape[:-1], *(1 for _ in shape), channels) / prod(shape)
        return np.broadcast_to(spread, (*g.shape[:-1], *shape, channels))

    return x.mean(axis=tuple(range(1, 1 + len(shape)))), pullback


@forward.register
def _(layer: Flatten, x: Array, draw: Draw) -> Passed:
    return x.reshape(len(x), -1), lambda g: g.reshape(*g.shape[:-1], *x.shape[1:])


def _read(over: Sequence[Window], shape: Shape) -> Index:
    """The positions (outputs, taps) that each output reads, counted row by row; one past the last where outside."""
    found: Index = np.zeros((1, 1), dtype=np.intp)
    outside = np.zeros((1, 1), dtype=bool)
    for window, n in zip(over, shape, strict=True):
        at = window.stride * np.arange(window.out)[:, None] + np.arange(window.size) - window.low
        beyond = np.zeros_like(at, dtype=bool) if window.circular else (at < 0) | (at >= n)
        ends = (len(found) * window.out, found.shape[1] * window.size)
        found = (found[:, None, :, None] * n + (at % n)[None, :, None, :]).reshape(ends)
        outside = (outside[:, None, :, None] | beyond[None, :, None, :]).reshape(ends)
    return np.where(outside, prod(shape), found)


def _gathered(x: Array, read: Index) -> Array:
    """(points, *positions, channels) -> (points, outputs, taps, channels), zeros outside."""
    flat = x.reshape(len(x), -1, x.shape[-1])
    return np.concatenate([flat, np.zeros((len(x), 1, x.shape[-1]))], axis=1)[:, read]


def _scattered(g: Array, read: Index, shape: Shape, channels: int) -> Array:
    """The way back: g (..., *outputs, taps * channels) added up at the positions that were read."""
    leading = g.shape[: g.ndim - len(shape) - 1]
    taps = g.reshape(*leading, *read.shape, channels)
    total = np.zeros((*leading, prod(shape) + 1, channels))
    for tap in range(read.shape[1]):
        # A tap reads each position inside at most once; what falls outside is thrown away.
        total[..., read[:, tap], :] += taps[..., tap, :]
    return total[..., :-1, :].reshape(*leading, *shape, channels)
