"""Sums over windows of an array, along several axes moved together.

y[.., i, .., j, ..] = sum_d x[.., stride i + d - low, .., stride j + d - low, ..], d = 0 .. size - 1, for as many axes
of equal length as are named: one is a pooling, two are a convolution of a covariance along its diagonals. What lies
outside counts as zero, or is found around the circle.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def windowed(x: Array, axes: Sequence[int], *, size: int, stride: int, low: int, out: int, circular: bool) -> Array:
    """The sums over `out` windows; the axes named have one length, and all of them become `out`.

    >>> windowed(np.arange(4.0), [0], size=3, stride=1, low=1, out=4, circular=False)
    array([1., 3., 6., 5.])
    """
    if circular:
        x = _around(x, axes, low, (out - 1) * stride + size)
        low = 0
    n = x.shape[axes[0]]
    shape, moved = list(x.shape), set(axes)
    for axis in axes:
        shape[axis] = out
    total = np.zeros(shape)
    for d in range(size):
        # The outputs whose tap d lies inside.
        first = max(0, -((d - low) // stride))
        last = min(out - 1, (n - 1 - d + low) // stride)
        if first > last:
            continue
        start = stride * first + d - low
        read, write = slice(start, start + stride * (last - first) + 1, stride), slice(first, last + 1)
        into = total[tuple(write if axis in moved else slice(None) for axis in range(x.ndim))]
        into += x[tuple(read if axis in moved else slice(None) for axis in range(x.ndim))]
    return total


def _around(x: Array, axes: Sequence[int], low: int, length: int) -> Array:
    """x at the positions -low .. length - low - 1 of a circle."""
    for axis in axes:
        x = np.take(x, np.arange(-low, length - low) % x.shape[axis], axis=axis)
    return x
