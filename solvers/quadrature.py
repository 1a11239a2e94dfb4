"""Gaussian means E f(u) and E f(u) g(v) with an absolute error estimate, compiled.

u = √p z, v = √q (c z + s w), s = √((1-c)(1+c)), z, w independent N(0, 1). Gauss-Legendre panels of 12 nodes,
with edges on 0 and on the landmarks of f and g (kinks, jumps, transitions of width ~1), no longer than their
distance from a landmark. Value: the disc r < 9.5 plus the ring 9.5 < r < 13.
Error: max(sum over panels of |12 nodes - 8 nodes|, ring of |f g|) + 4e-16 scale; inf above 1e-8 scale, where
neither gap bounds anything. scale is E|f| in one dimension and √(E f² E g²) ≥ |E f g| in two.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from solvers.jit import OPTIONS, inlined, jit

Vector: TypeAlias = npt.NDArray[np.float64]
Function: TypeAlias = Callable[[float], float]
Rule: TypeAlias = tuple[Vector, Vector]
# Three rows: positions, the shortest panel worth having there, the width over which they are averaged.
Landmarks: TypeAlias = npt.NDArray[np.float64]
Pair: TypeAlias = tuple[float, float]
Turn: TypeAlias = tuple[float, float, float, float]  # √p, √q, c, s; in `_pair` p, q, c, s
Triple: TypeAlias = tuple[float, float, float]  # value, error (or gap), scale
Means: TypeAlias = tuple[float, float, float, float]

DISC, RING = 9.5, 13.0
COARSE = 1.55  # longest panel on which 8 nodes still follow exp(-z²/2) to 1e-11
FINEST = 1e-14  # below the rounding of any position in the window; keeps the march finite
ANGLES = 64  # the ring is a guard: a coarse sum over angles will do
ROUNDING, REFUSED = 4e-16, 1e-8
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


def _rule(nodes: list[float], weights: list[float]) -> Rule:
    """A symmetric rule on [-1, 1] from its positive half."""
    return np.array([-x for x in nodes[::-1]] + nodes), np.array(weights[::-1] + weights)


# Rounded from 40 digits: numpy's leggauss weights are off by up to 8e-15.
X8, W8 = _rule(
    [0.1834346424956498, 0.525532409916329, 0.7966664774136267, 0.9602898564975363],
    [0.362683783378362, 0.31370664587788727, 0.22238103445337448, 0.10122853629037626],
)
N12 = [0.1252334085114689, 0.3678314989981802, 0.5873179542866175, 0.7699026741943047]
V12 = [0.24914704581340277, 0.2334925365383548, 0.20316742672306592, 0.16007832854334622]
X12, W12 = _rule([*N12, 0.9041172563704749, 0.9815606342467192], [*V12, 0.10693932599531843, 0.04717533638651183])


# Numba keeps nothing on disk that hands a function on by its address: whatever takes a function is compiled into its
# caller, the thin wrappers before they are optimised themselves, which saves a quarter of the compile time.
linked = inlined
passed_on = njit(inline="always", **OPTIONS)


@jit
def _one(x: float) -> float:
    return 1.0


@jit
def _next_edge(x: float, end: float, landmarks: Landmarks) -> float:
    """The far edge of the panel that starts at x."""
    step, edge = COARSE, end
    for j in range(landmarks.shape[1]):
        at, fine, blur = landmarks[0, j], landmarks[1, j], landmarks[2, j]
        far, left, right = at - x, at - DISC * blur, at + DISC * blur
        # Geometric towards the landmark from either side, even where it is blurred.
        step = min(step, max(fine, 0.5 * far if far > 0.0 else -far))
        if x < left:
            edge = min(edge, left)
        elif x < right:
            edge, step = min(edge, right), min(step, COARSE * blur)
    if edge - x <= step:
        return edge
    # Two even panels rather than a full one and a sliver.
    return min(x + step, 0.5 * (x + edge))


@jit
def _place(landmarks: Landmarks, first: int, marks: Vector, root: float, blur: float) -> int:
    """Write 0 and the marks (x = root z) as landmarks from index `first` on; return the next free index."""
    for j in range(marks.size + 1):
        # root = 0 is a constant function, which has no landmarks but 0.
        landmarks[0, first + j] = marks[j - 1] / root if j > 0 and root != 0.0 else 0.0
        landmarks[1, first + j] = max(FINEST, 0.5 / abs(root), COARSE * blur)
        landmarks[2, first + j] = blur
    return first + marks.size + 1


@linked
def _panel(f: Function, g: Function, a: float, b: float, ends: Pair, rule: Rule) -> Means:
    """The part of E f(az) g(bz), E|f(az) g(bz)|, E f(az)², E g(bz)² with z between the ends."""
    nodes, weights = rule
    half, middle = 0.5 * (ends[1] - ends[0]), 0.5 * (ends[0] + ends[1])
    both = size = square_f = square_g = 0.0
    for i in range(nodes.size):
        z = middle + half * nodes[i]
        weight = weights[i] * math.exp(-0.5 * z * z)
        y, x = f(a * z), g(b * z)
        both += weight * (y * x)
        size += weight * abs(y * x)
        square_f += weight * (y * y)
        square_g += weight * (x * x)
    unit = DENSITY * half
    return both * unit, size * unit, square_f * unit, square_g * unit


@linked
def _line(f: Function, g: Function, a: float, b: float, landmarks: Landmarks) -> tuple[float, ...]:
    """E f(az) g(bz), its gap (not yet an error), E|f g|, E f², E g², and the larger share of the ring in a square."""
    both = gap = ring = size = square_f = square_g = ring_f = ring_g = 0.0
    x = -RING
    while x < RING:
        end = -DISC if x < -DISC else (DISC if x < DISC else RING)
        y = _next_edge(x, end, landmarks)
        change = fg = fg_size = ff = gg = 0.0
        for rule in ((X8, W8), (X12, W12)):
            fg, fg_size, ff, gg = _panel(f, g, a, b, (x, y), rule)
            change = fg - change
        gap += abs(change)
        if not -DISC <= x < DISC:
            ring, ring_f, ring_g = ring + fg_size, ring_f + ff, ring_g + gg
        both, size, square_f, square_g = both + fg, size + fg_size, square_f + ff, square_g + gg
        x = y
    share = max(ring_f / square_f if square_f > 0.0 else 0.0, ring_g / square_g if square_g > 0.0 else 0.0)
    return both, max(gap, ring), size, square_f, square_g, share


@jit
def _report(value: float, gap: float, scale: float) -> Triple:
    """Value, error, scale; what is not finite becomes NaN, what is not resolved gets an infinite error."""
    error = gap + ROUNDING * scale
    if not math.isfinite(value + scale):
        return math.nan, math.inf, scale
    # Written so that a NaN gap or scale also lands here.
    return value, (error if error <= REFUSED * scale else math.inf), scale


@jit
def _sound(marks: Vector, x: float, y: float) -> bool:
    """Finite throughout: NaN - NaN and inf - inf are not 0."""
    total = (x - x) + (y - y)
    for mark in marks:
        total += mark - mark
    return total == 0.0


@passed_on
def _mean(f: Function, marks: Vector, q: float) -> Triple:
    if not (_sound(marks, q, q) and q >= 0.0):
        return math.nan, math.inf, math.nan
    if q == 0.0:
        value = f(0.0)
        return (value, 0.0, abs(value)) if math.isfinite(value) else (math.nan, math.inf, math.nan)
    landmarks = np.empty((3, marks.size + 1))
    _place(landmarks, 0, marks, math.sqrt(q), 0.0)
    value, gap, size, _, _, _ = _line(f, _one, math.sqrt(q), 0.0, landmarks)
    return _report(value, gap, size)


@linked
def _inner(g: Function, shift: float, slope: float, reach: float, landmarks: Landmarks, rule: Rule) -> float:
    """E g(shift + slope w) over |w| < reach."""
    nodes, weights = rule
    total = 0.0
    x = -reach
    while x < reach:
        y = _next_edge(x, reach, landmarks)
        half, middle = 0.5 * (y - x), 0.5 * (x + y)
        part = 0.0
        for i in range(nodes.size):
            w = middle + half * nodes[i]
            part += weights[i] * math.exp(-0.5 * w * w) * g(shift + slope * w)
        total += half * part
        x = y
    return DENSITY * total


@linked
def _strip(f: Function, g: Function, turn: Turn, ends: Pair, zeros: Vector, landmarks: Landmarks, rule: Rule) -> float:
    """The part of E f g with z between the ends, (z, w) in the disc; `zeros` are the marks of g over √q."""
    root_p, root_q, c, s = turn
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
            reach = math.sqrt((DISC - z) * (DISC + z))
            y *= _inner(g, root_q * c * z, root_q * s, reach, landmarks, rule)
        total += weights[i] * math.exp(-0.5 * z * z) * y
    return DENSITY * half * total


@linked
def _ring(f: Function, g: Function, turn: Turn) -> Pair:
    """The parts of E f g and E|f g| with 9.5 < r < 13, in polar coordinates."""
    root_p, root_q, c, s = turn
    half, middle = 0.5 * (RING - DISC), 0.5 * (RING + DISC)
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


@linked
def _plane(f: Function, f_marks: Vector, g: Function, g_marks: Vector, turn: Turn) -> Pair:
    """E f g and its gap for 0 < s: outer panels in z, inner ones in w."""
    root_p, root_q, c, s = turn
    inner, outer = np.empty((3, g_marks.size + 1)), np.empty((3, f_marks.size + g_marks.size + 2))
    _place(inner, 0, g_marks, root_q, 0.0)
    zeros = inner[0, :].copy()
    inner[1, :] = max(FINEST, 0.5 / (root_q * s))
    # Seen from z, g is averaged over s/|c| around its landmarks.
    middle = _place(outer, 0, f_marks, root_p, 0.0)
    _place(outer, middle, g_marks, root_q * c, s / abs(c))
    both, size = _ring(f, g, turn)
    gap = 0.0
    x = -DISC
    while x < DISC:
        y = _next_edge(x, DISC, outer)
        change = part = 0.0
        for rule in ((X8, W8), (X12, W12)):
            part = _strip(f, g, turn, (x, y), zeros, inner, rule)
            change = part - change
        gap += abs(change)
        both += part
        x = y
    return both, max(gap, size)


@passed_on
def _pair(f: Function, f_marks: Vector, g: Function, g_marks: Vector, turn: Turn) -> Triple:
    p, q, c, s = turn
    inside = p >= 0.0 and q >= 0.0 and abs(c) <= 1.0 and 0.0 <= s <= 1.0 + ROUNDING
    if not (inside and _sound(f_marks, p, q) and _sound(g_marks, c, s)):
        return math.nan, math.inf, math.nan
    a, b = math.sqrt(p), math.copysign(math.sqrt(q), c)
    landmarks = np.empty((3, f_marks.size + g_marks.size + 2))
    _place(landmarks, _place(landmarks, 0, f_marks, a, 0.0), g_marks, b, 0.0)
    # c = ±1 is a mean over one line, and so is a pair with a constant; else the line only gives the scale.
    value, gap, _, square_f, square_g, share = _line(f, g, a, b, landmarks)
    if s > 0.0 and p > 0.0 and q > 0.0:
        value, gap = _plane(f, f_marks, g, g_marks, (a, abs(b), c, s))
    # A square that lives in the ring may diverge, and as a scale it would excuse any gap.
    gap = gap if share <= REFUSED else math.inf
    return _report(value, gap, math.sqrt(square_f) * math.sqrt(square_g))


@passed_on
def mean(f: Function, marks: Vector, q: float) -> Pair:
    """E f(√q z) and its error; `marks` are the sorted landmarks of f."""
    value, error, _ = _mean(f, marks, q)
    return value, error


@passed_on
def pair_mean(
    f: Function, f_marks: Vector, g: Function, g_marks: Vector, p: float, q: float, c: float, s: float
) -> Pair:
    """E f(u) g(v) and its error; s = √((1-c)(1+c)) is passed since c alone loses its digits near ±1."""
    value, error, _ = _pair(f, f_marks, g, g_marks, (p, q, c, s))
    return value, error


@passed_on
def checked_mean(f: Function, marks: Vector, q: float) -> float:
    """E f(√q z), or NaN where the error exceeds 1e-8 of E|f|."""
    value, error, scale = _mean(f, marks, q)
    return value if error <= REFUSED * scale else math.nan


@passed_on
def checked_pair_mean(
    f: Function, f_marks: Vector, g: Function, g_marks: Vector, p: float, q: float, k: float
) -> float:
    """E f(u) g(v) for covariance k, or NaN where the error exceeds 1e-8 of √(E f² E g²)."""
    # √p √p need not round to p, and one ulp there would turn k = p = q into c = 1 - 1e-16, s = 1e-8.
    d = p if p == q else math.sqrt(p) * math.sqrt(q)
    # A constant has no correlation; 0 k carries NaN and inf through the clamp.
    c = (k / d if d != 0.0 else 0.0) + 0.0 * k
    # A chain of comparisons lets NaN through; min and max would not.
    c = -1.0 if c < -1.0 else (1.0 if c > 1.0 else c)
    s = math.sqrt((d - k) / d * ((d + k) / d)) if abs(k) < d else 0.0
    value, error, scale = _pair(f, f_marks, g, g_marks, (p, q, c, s))
    return value if error <= REFUSED * scale else math.nan
