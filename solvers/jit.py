"""How everything here is compiled: one set of options, chosen by measurement.

error_model="numpy" lets loops with a division vectorise; contract and nsz allow fused multiply-add, while the
remaining fast-math flags would hide NaN from isnan (nnan, ninf) or destroy compensated sums (reassoc); nogil
lets plain threads share the work.
"""

from collections.abc import Callable
from typing import Any

from numba import njit

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without a disk cache: for pieces that a cached caller links into itself."""
    return njit(**OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile into every caller, so that a loop around the call becomes a loop of vectors."""
    return njit(forceinline=True, **OPTIONS)(function)


def cached(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile and keep on disk: for entry points whose module is a file of its own."""
    return njit(cache=True, **OPTIONS)(function)
