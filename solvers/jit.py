"""How everything here is compiled: one set of options, chosen by measurement.

error_model="numpy" lets loops with a division vectorise; contract and nsz allow fused multiply-add, while the
remaining fast-math flags would hide NaN from isnan (nnan, ninf) or destroy compensated sums (reassoc); nogil
lets plain threads share the work.
"""

from collections.abc import Callable
from typing import Any

from numba import njit, types
from numba.extending import intrinsic

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


@intrinsic
def wide(context: Any) -> Any:
    """Said in a compiled function: its loops may use the widest registers of the processor. LLVM's 256 bits guard the
    clock of processors of 2017; a kernel's loop of 512 takes 0.7 of the time. No bit of a result depends on it."""

    def mark(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        # llvmlite adds the attributes that it knows; LLVM takes any text.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), mark
