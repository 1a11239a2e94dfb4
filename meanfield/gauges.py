"""What is known of an activation for bounds: the norms of f, f' and u f' at any variance, and the jumps of f.

f' is taken apart into a formula and deltas s delta(x - x_j), the jumps s of f. Norms are tabulated in the logarithm of
the variance, cell by cell, once for each formula (solvers/drift.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from sympy import DiracDelta, Expr, oo

from meanfield.build import Array
from meanfield.expectation import Expectation, curve
from solvers import drift
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.landmarks import slope, spikes
from symbolic.ranges import value_range
from symbolic.signals import NoRule


@dataclass(frozen=True)
class Gauge:
    """A function f: its smooth slope, its jumps (size, place), and a bound on |f| if one of them is away from 0."""

    body: Expr
    slope: Expr
    jumps: tuple[tuple[float, float], ...]
    ceiling: float

    @property
    def jump(self) -> float:
        return sum(size for size, _ in self.jumps)

    def side(self, variance: Array, error: Array) -> drift.Side:
        """What `drift.pairs` reads of points with these variances, known to within these errors."""
        f, steep, turn = (_norms(body, variance) for body in (self.body, self.slope, X * self.slope))
        if not (np.isfinite(f).all() and np.isfinite(steep).all() and np.isfinite(turn).all()):
            raise NoRule(
                f"no bound is known for '{self.body}': the mean square of it, of its slope or of x times its slope is "
                f"infinite, or could not be integrated, at variances up to {variance.max():.3g}"
            )
        shift = np.zeros(len(variance))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for size, place in self.jumps:
                density = np.exp(-(place**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
                shift += np.where(variance > 0, abs(place) * size * density, 0.0) if place else 0.0
        return drift.side(variance, error, f, steep, turn, shift)


@lru_cache(maxsize=256)
def gauge(body: Expr) -> Gauge:
    """NoRule for a function with deltas, for jumps that cannot be found, and for one that is unbounded and jumps away
    from 0."""
    if body.has(DiracDelta):
        raise NoRule(f"no bound is known for '{body}': a delta has no mean square")
    try:
        smooth, deltas = spikes(slope(body))
    except ValueError as error:
        raise NoRule(f"no bound is known for '{body}': {error}") from None
    jumps = tuple((abs(float(weight.subs(X, at))), float(at)) for weight, at in deltas)
    ceiling = 0.0
    if any(size and place for size, place in jumps):
        low, high = value_range(body, -oo, oo)
        ceiling = max(abs(float(low)), abs(float(high)))
        if not np.isfinite(ceiling):
            raise NoRule(f"no bound is known for '{body}': it jumps away from 0, and no bound on its size was found")
    return Gauge(body, smooth, jumps, ceiling)


def mean(body: Expr, variance: Array) -> tuple[Array, Array]:
    """E f(u) at these variances, and bounds on how far the computed values are off."""
    return Expectation(Mean(body, q), (q,)).values([variance], error=True)


def pair_mean_errors(body: Expr, columns: list[Array]) -> Array:
    """Bounds on how far E f(u) f(v), integrated at columns of p, q and k, is off."""
    return Expectation(PairMean(body, body, p, q, k), (p, q, k)).integral_errors(columns)


def _norms(body: Expr, variance: Array) -> Array:
    if not body.has(X):
        return np.full((len(variance), drift.GRID.size), abs(float(body)))
    return drift.norms(_cells(body), float(curve(body).values(np.zeros(1))[0]), variance)


@lru_cache(maxsize=256)
def _cells(body: Expr) -> Callable[[int], Array]:
    return lru_cache(maxsize=1024)(lambda number: drift.cell(curve(body), number))
