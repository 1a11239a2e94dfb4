"""Gauss-Legendre panels on the line, graded towards landmarks, for Gaussian means in one dimension.

Panels of 12 nodes, with 10 beside them to tell the error, edges on 0 and on the landmarks (kinks, jumps, transitions of
width ~1 in x = root z), no longer than their distance from a landmark or than a function oscillates. A function that
grows as exp(b |x|) moves the mass to |z| = b root: the window |z| < 9.5 widens by that, the ring around it, 3.5 wide,
shows what it misses.
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
Triple: TypeAlias = tuple[float, float, float]  # value, error (or gap), scale
Grid: TypeAlias = tuple[float, float]  # half the window, the longest panel
Rates: TypeAlias = tuple[float, float, float]  # b and w0, w1: |f| <= exp(b |x|), its phase turns by w0 + w1 |x|
Means: TypeAlias = tuple[float, float, float, float]

DISC, RING = 9.5, 13.0
GUARD = RING - DISC
COARSE = 1.55  # longest panel on which 10 nodes still follow exp(-z²/2) to 1e-14
FINEST = 1e-14  # below the rounding of any position in the window; keeps the march finite
PER_WAVE = 4.0  # longest panel in radians of oscillation
MOST_PANELS = 1e5
ROUNDING, REFUSED = 2e-15, 1e-8  # of the scale; the first covers sums of 1e5 terms, which are off by 9e-16 at worst
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


def _rule(nodes: list[float], weights: list[float]) -> Rule:
    """A symmetric rule on [-1, 1] from its positive half."""
    return np.array([-x for x in nodes[::-1]] + nodes), np.array(weights[::-1] + weights)


# Rounded from 40 digits: numpy's leggauss weights are off by up to 8e-15.
X10, W10 = _rule(
    [0.14887433898163122, 0.4333953941292472, 0.6794095682990244, 0.8650633666889845, 0.9739065285171717],
    [0.29552422471475287, 0.26926671930999635, 0.21908636251598204, 0.1494513491505806, 0.06667134430868814],
)
N12 = [0.1252334085114689, 0.3678314989981802, 0.5873179542866175, 0.7699026741943047]
V12 = [0.24914704581340277, 0.2334925365383548, 0.20316742672306592, 0.16007832854334622]
X12, W12 = _rule([*N12, 0.9041172563704749, 0.9815606342467192], [*V12, 0.10693932599531843, 0.04717533638651183])


# Numba keeps nothing on disk that hands a function on by its address: whatever takes a function is compiled into its
# caller, the thin wrappers before they are optimised themselves, which saves a quarter of the compile time.
linked = inlined
passed_on = njit(inline="always", **OPTIONS)


@jit
def one(x: float) -> float:
    return 1.0


@jit
def reach_of(a: float, f: Rates, b: float, g: Rates) -> float:
    """Half the window of f(a z) g(b z)."""
    return DISC + abs(a) * f[0] + abs(b) * g[0]


@jit
def speed(a: float, f: Rates, reach: float) -> float:
    """How fast f(a z) turns and grows at most within the window, per unit of z."""
    return abs(a) * (f[0] + f[1] + f[2] * abs(a) * reach)


@jit
def grid_of(reach: float, fastest: float) -> Grid:
    return reach, min(COARSE, PER_WAVE / max(fastest, 1e-300))


@jit
def next_edge(x: float, end: float, landmarks: Landmarks, longest: float) -> float:
    """The far edge of the panel that starts at x."""
    step, edge = longest, end
    for j in range(landmarks.shape[1]):
        at, fine, blur = landmarks[0, j], landmarks[1, j], landmarks[2, j]
        far, left, right = at - x, at - DISC * blur, at + DISC * blur
        # Geometric towards the landmark from either side, even where it is blurred.
        step = min(step, max(fine, 0.5 * far if far > 0.0 else -far))
        if x < left:
            edge = min(edge, left)
        elif x < right:
            edge, step = min(edge, right), min(step, longest * blur)
    if edge - x <= step:
        return edge
    # Two even panels rather than a full one and a sliver.
    return min(x + step, 0.5 * (x + edge))


@jit
def place(landmarks: Landmarks, first: int, marks: Vector, root: float, blur: float) -> int:
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
def line(f: Function, g: Function, a: float, b: float, landmarks: Landmarks, grid: Grid) -> tuple[float, ...]:
    """E f(az) g(bz), its gap (not yet an error), E|f g|, E f², E g², and the larger share of the ring in a square."""
    both = gap = ring = size = square_f = square_g = ring_f = ring_g = 0.0
    reach, longest = grid
    x = -reach - GUARD
    if reach / longest > MOST_PANELS:
        return math.nan, math.inf, math.nan, math.nan, math.nan, 1.0
    while x < reach + GUARD:
        end = -reach if x < -reach else (reach if x < reach else reach + GUARD)
        y = next_edge(x, end, landmarks, longest)
        change = fg = fg_size = ff = gg = 0.0
        for rule in ((X10, W10), (X12, W12)):
            fg, fg_size, ff, gg = _panel(f, g, a, b, (x, y), rule)
            change = fg - change
        gap += abs(change)
        if not -reach <= x < reach:
            ring, ring_f, ring_g = ring + fg_size, ring_f + ff, ring_g + gg
        both, size, square_f, square_g = both + fg, size + fg_size, square_f + ff, square_g + gg
        x = y
    share = max(ring_f / square_f if square_f > 0.0 else 0.0, ring_g / square_g if square_g > 0.0 else 0.0)
    return both, max(gap, ring), size, square_f, square_g, share


@jit
def report(value: float, gap: float, scale: float) -> Triple:
    """Value, error, scale; what is not finite becomes NaN, what is not resolved gets an infinite error."""
    error = gap + ROUNDING * scale
    if not math.isfinite(value + scale):
        return math.nan, math.inf, scale
    # Written so that a NaN gap or scale also lands here.
    return value, (error if error <= REFUSED * scale else math.inf), scale


@jit
def sound(marks: Vector, x: float, y: float) -> bool:
    """Finite throughout: NaN - NaN and inf - inf are not 0."""
    total = (x - x) + (y - y)
    for mark in marks:
        total += mark - mark
    return total == 0.0
