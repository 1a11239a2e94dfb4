"""Pair means of which one side is smoothed by its formula: h(m, s) = E g(m + s w), and one dimension is left.

E f(u) g(v) = E f(√p z) h(√q c z, √q s) over the panels of solvers/panels.py, z in the window and the ring around it.
Error: max(sum over panels of |12 nodes - 10 nodes|, ring of |f h|) + roundings of h, each an ulp of the size of its
terms, + 2e-15 √(E f² E g²); inf above 1e-8 of that scale.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from solvers.gaussmath import correlation
from solvers.panels import (
    DENSITY,
    GUARD,
    MOST_PANELS,
    W10,
    W12,
    X10,
    X12,
    Function,
    Landmarks,
    Pair,
    Triple,
    Vector,
    grid_of,
    linked,
    next_edge,
    passed_on,
    reach_of,
    report,
    speed,
)
from solvers.quadrature import BOTH_CALM, Sides, Turn, diagonal, outer_landmarks

Smoothed: TypeAlias = Callable[[float, float], tuple[float, float]]  # (m, s) -> E g(m + s w), the size of its terms

TERMS = 16  # roundings in a closed h, each at most an ulp of the size of its terms


@passed_on
def _smoothed(
    f: Function, f_marks: Vector, g: Function, g_marks: Vector, h: Smoothed, turn: Turn, sides: Sides
) -> Triple:
    value, gap, scale = diagonal(f, f_marks, g, g_marks, turn, sides)
    p, q, c, s = turn
    if s > 0.0 and p > 0.0 and q > 0.0 and gap < math.inf:
        roots = (math.sqrt(p), math.sqrt(q), c, s)
        value, gap = _along(f, h, outer_landmarks(f_marks, g_marks, roots), roots, sides)
    return report(value, gap, scale)


@linked
def _along(f: Function, h: Smoothed, outer: Landmarks, turn: Turn, sides: Sides) -> Pair:
    """E f(√p z) h(√q c z, √q s) over the window and the ring, and its gap."""
    root_p, root_q, c, s = turn
    reach = reach_of(root_p, sides[:3], root_q, sides[3:])
    turns = speed(root_p, sides[:3], reach) + speed(root_q * c, sides[3:], reach)
    _, longest = grid_of(reach, turns)
    both = gap = ring = lost = 0.0
    if reach / longest > MOST_PANELS:
        return math.nan, math.inf
    x = -reach - GUARD
    while x < reach + GUARD:
        end = -reach if x < -reach else (reach if x < reach else reach + GUARD)
        y = next_edge(x, end, outer, longest)
        half, middle = 0.5 * (y - x), 0.5 * (x + y)
        change = part = size = 0.0
        for nodes, weights in ((X10, W10), (X12, W12)):
            part, terms, size, unit = 0.0, 0.0, 0.0, DENSITY * half
            for i in range(nodes.size):
                z = middle + half * nodes[i]
                weight = unit * weights[i] * math.exp(-0.5 * z * z)
                value, total = h(root_q * c * z, root_q * s)
                left = f(root_p * z)
                part += weight * (left * value)
                size += weight * abs(left * value)
                terms += weight * abs(left * total)
            change = part - change
        gap, both, lost = gap + abs(change), both + part, lost + terms
        if not -reach <= x < reach:
            ring += size
        x = y
    return both, max(gap, ring) + TERMS * 1.2e-16 * lost


@passed_on
def bounded_smoothed_mean(
    f: Function, f_marks: Vector, g: Function, g_marks: Vector, h: Smoothed, p: float, q: float, k: float,
    sides: Sides = BOTH_CALM,
) -> Pair:  # fmt: skip
    """E f(u) g(v) for covariance k, and its error, where h(m, s) = E g(m + s w) is known."""
    c, s = correlation(p, q, k)
    value, error, _ = _smoothed(f, f_marks, g, g_marks, h, (p, q, c, s), sides)
    return value, error


@passed_on
def checked_smoothed_mean(
    f: Function, f_marks: Vector, g: Function, g_marks: Vector, h: Smoothed, p: float, q: float, k: float,
    sides: Sides = BOTH_CALM,
) -> float:  # fmt: skip
    """The same where h(m, s) = E g(m + s w) is known."""
    value, error = bounded_smoothed_mean(f, f_marks, g, g_marks, h, p, q, k, sides)
    return value if error < math.inf else math.nan
