"""Depth scales and phases from slopes: a deviation that shrinks by chi per layer lives xi = -1/log chi layers.

chi < 1: xi > 0 layers;  chi = 1: for ever (inf);  chi > 1: xi < 0, the e-folding depth of growth;  chi = 0: none (0).
"""

from math import inf, isnan, log, nan

CRITICAL = 1e-9


def depth_scale(chi: float) -> float:
    """xi = -1/log(chi); NaN for a negative or undefined slope."""
    if isnan(chi) or chi < 0:
        return nan
    if chi == 0 or chi == inf:
        return 0.0
    return inf if chi == 1 else -1 / log(chi)


def phase(chi_1: float) -> str:
    """ordered, critical or chaotic by the slope of the correlation map at correlation 1, critical within 1e-9."""
    if isnan(chi_1):
        raise ValueError("the slope chi_1 is undefined, so there is no phase: does the activation jump?")
    return "critical" if abs(chi_1 - 1) <= CRITICAL else "ordered" if chi_1 < 1 else "chaotic"
