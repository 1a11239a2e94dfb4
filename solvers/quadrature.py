"""Gaussian means E f(u) and E f(u) g(v) with an absolute error estimate, compiled.

u = √p z, v = √q (c z + s w), s = √(pq - k²)/√(pq), z, w independent N(0, 1), over the panels of solvers/panels.py.
Value: the disc r < 9.5 plus the ring 9.5 < r < 13, both wider for growing functions.
Error: max(sum over panels of |12 nodes - 10 nodes|, ring of |f g|) + 2e-15 scale; inf above 1e-8 scale, where
neither gap bounds anything. scale is E|f| in one dimension and √(E f² E g²) ≥ |E f g| in two.
"""

import math
from typing import TypeAlias

import numpy as np

from solvers.gaussmath import correlation
from solvers.jit import jit
from solvers.panels import (
    DENSITY,
    FINEST,
    GUARD,
    MOST_PANELS,
    REFUSED,
    ROUNDING,
    W10,
    W12,
    X10,
    X12,
    Function,
    Grid,
    Landmarks,
    Pair,
    Rates,
    Rule,
    Triple,
    Vector,
    grid_of,
    line,
    linked,
    next_edge,
    one,
    passed_on,
    place,
    reach_of,
    report,
    sound,
    speed,
)

Turn: TypeAlias = tuple[float, float, float, float]  # √p, √q, c, s; in `_pair` p, q, c, s
Sides: TypeAlias = tuple[float, float, float, float, float, float]  # the rates of f, then those of g

ANGLES = 64  # the ring is a guard: a coarse sum over angles will do
CALM: Rates = (0.0, 0.0, 0.0)
BOTH_CALM: Sides = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@passed_on
def _mean(f: Function, marks: Vector, q: float, rates: Rates) -> Triple:
    if not (sound(marks, q, q) and q >= 0.0):
        return math.nan, math.inf, math.nan
    if q == 0.0:
        value = f(0.0)
        return (value, 0.0, abs(value)) if math.isfinite(value) else (math.nan, math.inf, math.nan)
    root = math.sqrt(q)
    reach = reach_of(root, rates, 0.0, CALM)
    landmarks = np.empty((3, marks.size + 1))
    place(landmarks, 0, marks, root, 0.0)
    value, gap, size, _, _, _ = line(f, one, root, 0.0, landmarks, grid_of(reach, speed(root, rates, reach)))
    return report(value, gap, size)


@linked
def _inner(g: Function, at: Pair, reach: float, landmarks: Landmarks, longest: float, rule: Rule) -> float:
    """E g(shift + slope w) over |w| < reach, for `at` = (shift, slope)."""
    nodes, weights = rule
    shift, slope = at
    total = 0.0
    x = -reach
    while x < reach:
        y = next_edge(x, reach, landmarks, longest)
        half, middle = 0.5 * (y - x), 0.5 * (x + y)
        part = 0.0
        for i in range(nodes.size):
            w = middle + half * nodes[i]
            part += weights[i] * math.exp(-0.5 * w * w) * g(shift + slope * w)
        total += half * part
        x = y
    return DENSITY * total


@linked
def _strip(
    f: Function, g: Function, turn: Turn, ends: Pair, zeros: Vector, landmarks: Landmarks, grid: Grid, rule: Rule
) -> float:
    """The part of E f g with z between the ends, (z, w) in the disc; `zeros` are the marks of g over √q."""
    root_p, root_q, c, s = turn
    disc, longest = grid
    nodes, weights = rule
    half, middle = 0.5 * (ends[1] - ends[0]), 0.5 * (ends[0] + ends[1])
    total = 0.0
    for i in range(nodes.size):
        z = middle + half * nodes[i]
        y = f(root_p * z)
        # Half of a rectified f is 0; a NaN of g is not lost here, the scale still sees it.
        if y != 0.0:
            for j in range(zeros.size):
                landmarks[0, j] = (zeros[j] - c * z) / s
            reach = math.sqrt((disc - z) * (disc + z))
            y *= _inner(g, (root_q * c * z, root_q * s), reach, landmarks, longest, rule)
        total += weights[i] * math.exp(-0.5 * z * z) * y
    return DENSITY * half * total


@linked
def _ring(f: Function, g: Function, turn: Turn, disc: float) -> Pair:
    """The parts of E f g and E|f g| in the ring around the disc, in polar coordinates."""
    root_p, root_q, c, s = turn
    half, middle = 0.5 * GUARD, disc + 0.5 * GUARD
    both = size = 0.0
    for k in range(ANGLES):
        angle = 2.0 * math.pi * (k + 0.5) / ANGLES
        along, across = math.cos(angle), math.sin(angle)
        for i in range(X12.size):
            r = middle + half * X12[i]
            y = f(root_p * r * along) * g(root_q * r * (c * along + s * across))
            weight = W12[i] * r * math.exp(-0.5 * r * r)
            both, size = both + weight * y, size + weight * abs(y)
    return both * half / ANGLES, size * half / ANGLES


@jit
def outer_landmarks(f_marks: Vector, g_marks: Vector, turn: Turn) -> Landmarks:
    """The landmarks seen from z, where g is averaged over s/|c| around its own."""
    root_p, root_q, c, s = turn
    landmarks = np.empty((3, f_marks.size + g_marks.size + 2))
    middle = place(landmarks, 0, f_marks, root_p, 0.0)
    place(landmarks, middle, g_marks, root_q * c, s / abs(c))
    return landmarks


@linked
def _plane(f: Function, f_marks: Vector, g: Function, g_marks: Vector, turn: Turn, sides: Sides) -> Pair:
    """E f g and its gap for 0 < s: outer panels in z, inner ones in w."""
    root_p, root_q, c, s = turn
    rates_f, rates_g = sides[:3], sides[3:]
    inner = np.empty((3, g_marks.size + 1))
    place(inner, 0, g_marks, root_q, 0.0)
    zeros = inner[0, :].copy()
    inner[1, :] = max(FINEST, 0.5 / (root_q * s))
    outer = outer_landmarks(f_marks, g_marks, turn)
    disc = reach_of(root_p, rates_f, root_q, rates_g)
    across = grid_of(disc, speed(root_q * s, rates_g, disc / s))
    _, longest = grid_of(disc, speed(root_p, rates_f, disc) + speed(root_q * c, rates_g, disc / max(abs(c), 1e-300)))
    if disc / longest * (disc / across[1]) > MOST_PANELS:
        return math.nan, math.inf
    both, size = _ring(f, g, turn, disc)
    gap = 0.0
    x = -disc
    while x < disc:
        y = next_edge(x, disc, outer, longest)
        change = part = 0.0
        for rule in ((X10, W10), (X12, W12)):
            part = _strip(f, g, turn, (x, y), zeros, inner, across, rule)
            change = part - change
        gap += abs(change)
        both += part
        x = y
    return both, max(gap, size)


@passed_on
def _pair(f: Function, f_marks: Vector, g: Function, g_marks: Vector, turn: Turn, sides: Sides) -> Triple:
    value, gap, scale = diagonal(f, f_marks, g, g_marks, turn, sides)
    p, q, c, s = turn
    if s > 0.0 and p > 0.0 and q > 0.0 and gap < math.inf:
        value, gap = _plane(f, f_marks, g, g_marks, (math.sqrt(p), math.sqrt(q), c, s), sides)
    return report(value, gap, scale)


@passed_on
def diagonal(f: Function, f_marks: Vector, g: Function, g_marks: Vector, turn: Turn, sides: Sides) -> Triple:
    """E f(√p z) g(±√q z), its gap and √(E f² E g²): c = ±1 is a mean over one line, and so is a pair with a
    constant; else the line only gives the scale. The gap is inf where a square lives in the ring, for it may diverge,
    and as a scale it would excuse any gap."""
    p, q, c, s = turn
    inside = p >= 0.0 and q >= 0.0 and abs(c) <= 1.0 and 0.0 <= s <= 1.0 + ROUNDING
    if not (inside and sound(f_marks, p, q) and sound(g_marks, c, s)):
        return math.nan, math.inf, math.nan
    rates_f, rates_g = sides[:3], sides[3:]
    a, b = math.sqrt(p), math.copysign(math.sqrt(q), c)
    landmarks = np.empty((3, f_marks.size + g_marks.size + 2))
    place(landmarks, place(landmarks, 0, f_marks, a, 0.0), g_marks, b, 0.0)
    # Squares are integrated too, so each side counts twice.
    reach = max(reach_of(a, rates_f, b, rates_g), reach_of(a, rates_f, a, rates_f), reach_of(b, rates_g, b, rates_g))
    grid = grid_of(reach, 2.0 * max(speed(a, rates_f, reach), speed(b, rates_g, reach)))
    value, gap, _, square_f, square_g, share = line(f, g, a, b, landmarks, grid)
    return value, gap if share <= REFUSED else math.inf, math.sqrt(square_f) * math.sqrt(square_g)


@passed_on
def mean(f: Function, marks: Vector, q: float, rates: Rates = CALM) -> Pair:
    """E f(√q z) and its error; `marks` are the sorted landmarks of f."""
    value, error, _ = _mean(f, marks, q, rates)
    return value, error


@passed_on
def pair_mean(
    f: Function, f_marks: Vector, g: Function, g_marks: Vector, p: float, q: float, c: float, s: float,
    sides: Sides = BOTH_CALM,
) -> Pair:  # fmt: skip
    """E f(u) g(v) and its error; s = √((1-c)(1+c)) is passed since c alone loses its digits near ±1."""
    value, error, _ = _pair(f, f_marks, g, g_marks, (p, q, c, s), sides)
    return value, error


@passed_on
def bounded_pair_mean(
    f: Function, f_marks: Vector, g: Function, g_marks: Vector, p: float, q: float, k: float, sides: Sides = BOTH_CALM
) -> Pair:
    """E f(u) g(v) for covariance k, and its error."""
    c, s = correlation(p, q, k)
    value, error, _ = _pair(f, f_marks, g, g_marks, (p, q, c, s), sides)
    return value, error


@passed_on
def checked_mean(f: Function, marks: Vector, q: float, rates: Rates = CALM) -> float:
    """E f(√q z), or NaN where the error exceeds 1e-8 of E|f|."""
    value, error = mean(f, marks, q, rates)
    return value if error < math.inf else math.nan


@passed_on
def checked_pair_mean(
    f: Function, f_marks: Vector, g: Function, g_marks: Vector, p: float, q: float, k: float, sides: Sides = BOTH_CALM
) -> float:
    """E f(u) g(v) for covariance k, or NaN where the error exceeds 1e-8 of √(E f² E g²)."""
    value, error = bounded_pair_mean(f, f_marks, g, g_marks, p, q, k, sides)
    return value if error < math.inf else math.nan
