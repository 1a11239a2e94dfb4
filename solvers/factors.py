"""Laws of d = D^2 as nodes and weights: E f(d) = sum_j w_j f(d_j) for f analytic above a path through the d_j.

d takes finitely many values, or d = d(t), t ~ N(0, 1), with d even, decreasing in t > 0 and analytic: then t runs along
a polygon on the side where Im d <= 0, so that 1/(zeta - d) may be integrated, and continued, for zeta in the upper half
plane up to the real axis. The polygon keeps |Im log d| near 1/2 or less. Any other d is integrated along the real axis.
Ours; that the path crosses no pole of d is checked by E d^k, k = 1 .. 4, along it and along the real axis.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Function = Callable[[Any], Any]

REACH = 10.0  # deviations of t that are integrated
FIRST, SHORTEST, LONGEST = 2.0**-24, 1e-3, 0.5  # the panels grow from 0, where d(t) may bend arbitrarily close to zeta
TINY = 1e-30  # d below it is 0
NODES, WATCH = 16, 12  # per panel


@dataclass(frozen=True)
class Factor:
    """The law of d, by two rules of which the second watches the first. `low` and `high` bound the values d > 0."""

    nodes: Complex
    weights: Complex
    watch_nodes: Complex
    watch_weights: Complex
    zero: float  # P(d = 0)
    low: float
    high: float
    discrete: bool

    def moment(self, k: int) -> float:
        """E d^k."""
        return float((self.weights * self.nodes**k).sum().real)


def discrete(values: Any, probabilities: Any) -> Factor:
    """The law of finitely many values; what the probabilities lack to 1 is that of d = 0."""
    d, p = np.asarray(values, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    d, p = d[(d > 0) & (p > 0)], p[(d > 0) & (p > 0)]
    if not d.size or not np.isfinite(d).all() or p.sum() > 1 + 1e-12:
        raise ValueError("a law of D^2 needs a finite value above 0, and probabilities whose sum is at most 1")
    order = np.argsort(d)
    nodes, weights = d[order].astype(np.complex128), p[order].astype(np.complex128)
    zero = max(0.0, 1.0 - float(p.sum()))
    return Factor(nodes, weights, nodes, weights, zero if zero > 1e-15 else 0.0, float(d.min()), float(d.max()), True)


def smooth(d: Function, log_slope: Function | None) -> Factor:
    """The law of d(t), t ~ N(0, 1); `log_slope` is (log d)', or None where d is not to be continued off the axis."""
    log_slope = log_slope if _falls(d) else None
    real = _mirrored(_edges(d, log_slope).astype(np.complex128))
    path = real if log_slope is None else _path(d, log_slope, real)
    edges = path if _same(d, path, real) else real
    nodes, weights = _rule(d, edges, NODES)
    watch, watch_weights = _rule(d, edges, WATCH)
    seen = d(np.concatenate([real, _points(real, NODES)[0].ravel()])).real
    return Factor(nodes, weights, watch, watch_weights, 0.0, float(seen.min()), float(seen.max()), False)


def _falls(d: Function) -> bool:
    """Is d even and decreasing in t > 0?"""
    t = np.linspace(0.0, REACH, 1001) + 0j
    values = d(t).real
    even = np.allclose(values, d(-t).real, rtol=1e-12, atol=TINY)
    return bool(even and (np.diff(values) <= TINY).all() and values[0] > values[-1])


def _edges(d: Function, log_slope: Function | None) -> Array:
    """Panels of t > 0 on which log d falls by less than 1 where its slope is known, else short ones."""
    edges, t = [0.0], FIRST
    while t < REACH:
        edges.append(t)
        if log_slope is None:
            t += min(t, LONGEST / 4)
            continue
        with np.errstate(all="ignore"):
            slope = abs(log_slope(t)) if abs(d(t)) > TINY else 0.0
        t += min(t, LONGEST, max(0.75 / max(slope, 1.0), SHORTEST))
    return np.array([*edges, REACH])


def _mirrored(right: Complex) -> Complex:
    return np.concatenate([-right[:0:-1], right])


def _path(d: Function, log_slope: Function, real: Complex) -> Complex:
    """The vertices from left to right, lifted off the axis where d > 0 falls."""
    edges = real[len(real) // 2 :].real
    with np.errstate(all="ignore"):
        lift = np.minimum(0.4 * edges[1:], 0.5 / np.abs(log_slope(edges[1:])))
        lift = np.where(d(edges[1:] + 0j).real > TINY, lift, 0.0)
    return _mirrored(np.concatenate([[0.0], edges[1:] + 1j * lift]))


def _points(edges: Complex, n: int) -> tuple[Complex, Complex]:
    """Gauss-Legendre points on each segment, and their weights under the density of N(0, 1)."""
    x, w = np.polynomial.legendre.leggauss(n)
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    t = middle + half * x
    return t, half * w * np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi)


def _rule(d: Function, edges: Complex, n: int) -> tuple[Complex, Complex]:
    """Nodes d_j and weights whose sum is 1, without those that add nothing."""
    t, weights = _points(edges, n)
    kept = np.abs(weights) > 1e-18
    nodes, weights = np.asarray(d(t[kept]), dtype=np.complex128), weights[kept]
    return np.ascontiguousarray(nodes), weights / weights.sum()


def _same(d: Function, path: Complex, real: Complex) -> bool:
    """Does d have the same moments along both?"""
    (a, v), (b, w) = _rule(d, path, NODES), _rule(d, real, NODES)
    first, second = np.array([[(v * a**k).sum(), (w * b**k).sum()] for k in range(1, 5)]).T
    return bool(np.allclose(first, second, rtol=1e-9, atol=0))
