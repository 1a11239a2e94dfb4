"""One block at every pair of signals whose variances are known: its formula where there is one.

A block whose means are integrals is summed from the Hermite coefficients of its signals, or where that does not serve
interpolated over whole octaves of variances and all angles, so that few interpolants serve all images and layers;
where there are few entries its integrals are evaluated instead.
"""

from functools import lru_cache
from math import ceil, floor, log2, pi
from threading import RLock

from meanfield import series
from meanfield.build import Array, Block
from meanfield.interpolants import interpolant
from solvers import chebyshev
from symbolic.networks import Layer

_ONE_AT_A_TIME = RLock()


def apply(block: Block, limit: str, p: Array, q: Array, state: Array, *, triangle: bool, direct: bool) -> None:
    """The state (components, n1, n2) behind the layers whose variances are the rows of p and q, in place."""
    if direct:
        block.gram(limit, p, q, state, (0, len(state[0])), triangle=triangle)
        return
    with _ONE_AT_A_TIME:  # a series is derived by SymPy, which is no thread's own, and is summed on all cores
        for left, right in zip(p, q, strict=True):
            if not series.step(block, limit, left, right, state, symmetric=triangle):
                _interpolate(block, limit, left, right, state, triangle)


def _interpolate(block: Block, limit: str, p: Array, q: Array, state: Array, triangle: bool) -> None:
    low, high = float(min(p.min(), q.min())), float(max(p.max(), q.max()))
    if low <= 0:
        raise ValueError(
            f"a position of some image is zero, which '{block.layer}' cannot take: use bias_var > 0 before it"
        )
    found = _interpolant(block.layer, limit, floor(log2(low)), ceil(log2(high)))
    chebyshev.apply(found, p, q, state, (0, len(p)), triangle=triangle)


@lru_cache(maxsize=64)
def _interpolant(layer: Layer, limit: str, low: int, high: int) -> chebyshev.Interpolant:
    """The block's pair map for variances from 2^low to 2^high and all angles."""
    return interpolant(Block(layer), limit, (2.0**low, 2.0**high), (0.0, pi))
