"""How many taps of a convolution meet the image, on average over the places of its output.

On each axis output o reads the inputs o s - p + d j, j < k, a transposed one those i with i s + d j = o + p; what lies
outside [0, n) is zero. Axes multiply. Transposed, one output has k/s taps on average and at most ceil(k g/s), g the
greatest common divisor of s and d.
"""

from collections.abc import Sequence
from math import ceil, gcd, prod
from typing import Any


def fan_in(module: Any) -> int:
    """The weights that one output of a convolution may read."""
    if not module.transposed:
        return module.in_channels // module.groups * prod(module.kernel_size)
    return module.in_channels // module.groups * prod(_most(module, axis) for axis in range(len(module.kernel_size)))


def _most(module: Any, axis: int) -> int:
    """The taps that one output of a transposed convolution may have on an axis."""
    k, s, d = (getattr(module, name)[axis] for name in ("kernel_size", "stride", "dilation"))
    return ceil(k * gcd(s, d) / s)


def convolution_reach(module: Any, grid: Sequence[int] | None, output: Sequence[int] | None) -> float:
    """The mean share of those weights whose inputs lie inside a grid; without one, far from its edges."""
    if module.padding_mode != "zeros":
        return 1.0
    axes = range(len(module.kernel_size))
    if grid is None or output is None:
        return prod(_inside(module, axis) for axis in axes)
    sizes = output[len(output) - len(axes) :]
    return prod(_share(module, axis, grid[axis], sizes[axis]) for axis in axes)


def _inside(module: Any, axis: int) -> float:
    if not module.transposed:
        return 1.0
    return module.kernel_size[axis] / module.stride[axis] / _most(module, axis)


def _share(module: Any, axis: int, n: int, outputs: int) -> float:
    k, s, d = (getattr(module, name)[axis] for name in ("kernel_size", "stride", "dilation"))
    start = _padding(module, axis, k, d)
    if module.transposed:
        reads = [divmod(o + start - d * j, s) for o in range(outputs) for j in range(k)]
        return sum(rest == 0 and 0 <= i < n for i, rest in reads) / (outputs * _most(module, axis))
    return sum(0 <= o * s - start + d * j < n for o in range(outputs) for j in range(k)) / (outputs * k)


def _padding(module: Any, axis: int, k: int, d: int) -> int:
    """Zeros before the first entry; of an odd number in all, 'same' puts one more behind."""
    if module.padding == "valid":
        return 0
    return d * (k - 1) // 2 if module.padding == "same" else module.padding[axis]
