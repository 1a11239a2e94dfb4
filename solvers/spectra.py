"""Depth scales and phases from slopes: a deviation that shrinks by chi per layer lives xi = -1/log|chi| layers.

|chi| < 1: xi > 0 layers;  1: for ever (inf);  > 1: xi < 0, the e-folding depth of growth;  0: none (0).
A negative slope (cos) flips the deviation's sign at each layer and changes nothing else.
"""

from math import inf, isnan, log, nan

CRITICAL = 1e-9
ROUNDING = 4 * 2.0**-52  # a slope of 1 as float64 has it after a few operations


def depth_scale(chi: float) -> float:
    """xi = -1/log|chi|; NaN for an undefined slope."""
    if isnan(chi):
        return nan
    if chi == 0 or abs(chi) == inf:
        return 0.0
    return inf if abs(abs(chi) - 1) <= ROUNDING else -1 / log(abs(chi))


def phase(chi_1: float) -> str:
    """ordered, critical or chaotic by the slope of the correlation map at correlation 1, critical within 1e-9."""
    if isnan(chi_1):
        raise ValueError("the slope chi_1 is undefined, so there is no phase: does the activation jump?")
    return "critical" if abs(chi_1 - 1) <= CRITICAL else "ordered" if chi_1 < 1 else "chaotic"
