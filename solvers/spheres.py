"""Means over the sphere of radius sqrt(B) in the plane sum_i h_i = 0 of B dimensions, of one coordinate and of two.

h_1 = sqrt(B-1) sin a with density ~ cos^{B-3} a, |a| < pi/2; h_2 = -h_1/(B-1) + sqrt(B(B-2)/(B-1)) cos a sin b with
density ~ cos^{B-4} b. Gauss-Legendre panels in angles are split where a coordinate meets a mark or ceases to reach it,
and x = y^2 (3 - 2 y) in each makes the square roots at its ends analytic. The error is estimated
by the change from half as many panels.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Function: TypeAlias = Callable[[Array], Array]
Sums: TypeAlias = tuple[Array, Array]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
REACH = 12.5  # standard deviations
PANELS = (6, 12, 24, 48, 96)
GOOD = 1e-13


def one(f: Function, batch: int, marks: Sequence[float] = ()) -> tuple[Array, float]:
    """Means of the rows of f(h_1), (rows, points), and an estimate of the error."""

    def rule(panels: int) -> Array:
        a, weights = _rule(_outer_cuts(batch, marks), _reach(batch - 3), panels, batch - 3)
        return f(np.sqrt(batch - 1) * np.sin(a)) @ weights

    return _refined(rule)


def two(f: Function, batch: int, marks: Sequence[float] = ()) -> tuple[Array, float]:
    """Means of the rows of f(h_1) f(h_2), row by row, and an estimate of the error."""

    def rule(panels: int) -> Array:
        a, weights = _rule(_outer_cuts(batch, marks), _reach(batch - 3), panels, batch - 3)
        first = np.sqrt(batch - 1) * np.sin(a)
        shift, spread = -first / (batch - 1), np.sqrt(batch * (batch - 2) / (batch - 1)) * np.cos(a)
        total = np.zeros(1)
        for x, m, r, w in zip(first, shift, spread, weights, strict=True):
            places = (np.asarray(marks) - m) / r
            cuts = np.arcsin(places[np.abs(places) < 1])
            b, inner = _rule(cuts, _reach(batch - 4), panels, batch - 4)
            total = total + w * f(np.array([x]))[:, 0] * (f(m + r * np.sin(b)) @ inner)
        return total

    return _refined(rule)


def _refined(rule: Callable[[int], Array]) -> tuple[Array, float]:
    value, change = rule(PANELS[0]), np.inf
    for panels in PANELS[1:]:
        finer = rule(panels)
        value, change = finer, float(np.max(np.abs(finer - value)))
        if change <= GOOD * (1 + float(np.max(np.abs(value)))):
            break
    return value, change


def _reach(power: int) -> float:
    """cos^power is nothing beyond."""
    return float(min(np.pi / 2, REACH / np.sqrt(power))) if power > 0 else np.pi / 2


def _outer_cuts(batch: int, marks: Sequence[float]) -> Array:
    """Angles at which h_1 meets a mark, or at which h_2 ceases to: there its angle to a vector at the mark is that
    between two coordinates, or its complement."""
    places = np.asarray(marks, dtype=np.float64) / np.sqrt(batch - 1)
    to_mark = np.arccos(places[np.abs(places) < 1])
    apart = np.arccos(-1 / (batch - 1))
    angles = np.concatenate([to_mark, apart - to_mark, apart + to_mark])
    return np.pi / 2 - np.where(angles > np.pi, 2 * np.pi - angles, np.abs(angles))


def _rule(cuts: Array, reach: float, panels: int, power: int) -> Sums:
    """Nodes and weights, of sum 1, for the density cos^power on (-reach, reach)."""
    inside = cuts[np.abs(cuts) < reach]
    edges = np.unique(np.concatenate([np.linspace(-reach, reach, panels + 1), inside]))
    y = (NODES + 1) / 2
    x, slope = y * y * (3 - 2 * y), 3 * y * (1 - y) * WEIGHTS
    width = np.diff(edges)[:, None]
    nodes = (edges[:-1, None] + width * x).ravel()
    weights = (width * slope).ravel() * np.cos(nodes) ** power
    return nodes, weights / weights.sum()
