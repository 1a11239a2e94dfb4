"""Where the law of a free product lives, and its distribution function.

An edge of the support is a critical value of z(zeta), zeta > 0 real and outside the support of d; a candidate counts if
the density vanishes on one side of it alone. On a band the density of log lambda is smooth in t, where
log x = log high - t^2 on (0, high), and log x = log low + (log high - log low) sin(t)^2 on (low, high): there it is
integrated by Gauss-Legendre panels, doubled until mass and mean are met.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre
from scipy.optimize import brentq

from solvers.free import Product, Unresolved

Array = npt.NDArray[np.float64]

SEARCH = 4000  # places at which a gap between values of d is searched for critical points
NEAR = 1e-5  # how far from an edge, in log x, it is decided which side is empty
NOTHING = 1e-14  # density of log lambda that is left out at the lower end
NODES, PANELS, MOST = 16, 8, 128
MET = 1e-9
NOISE = 1e-11  # relative size below which a derivative has no sign


@dataclass(frozen=True)
class Band:
    """An interval of the support: the panels of t, and on each the Legendre series of the mass from its left end."""

    low: float
    high: float
    edges: Array
    series: Array
    before: Array  # mass of the band left of each panel, ascending in t
    mass: float
    mean: float
    unresolved: int

    def parameter(self, x: Array) -> Array:
        """t of x inside the band."""
        if self.low == 0:
            with np.errstate(divide="ignore"):
                return np.sqrt(np.maximum(0.0, math.log(self.high) - np.log(np.maximum(x, 0.0))))
        share = (np.log(np.clip(x, self.low, self.high)) - math.log(self.low)) / math.log(self.high / self.low)
        return np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0)))

    def below(self, x: Array) -> Array:
        """The mass of the band in (0, x]."""
        t = np.minimum(self.parameter(x), self.edges[-1])
        i = np.clip(np.searchsorted(self.edges, t, side="right") - 1, 0, len(self.edges) - 2)
        left, right = self.edges[i], self.edges[i + 1]
        local = (2 * t - left - right) / (right - left)
        passed = self.before[i] + np.array([legendre.legval(y, c) for y, c in zip(local, self.series[i], strict=True)])
        return self.mass - passed if self.low == 0 else passed


def edges(product: Product) -> list[float]:
    """The edges of the continuous part, ascending, without 0."""
    if product.discrete:
        return []
    law, s, depth = product.factor, product.weight_var, product.depth
    if law.discrete:
        stops = [0.0, *law.nodes.real.tolist(), math.inf]
        found = [z for low, high in pairwise(stops) for z in _critical(product, low, high)]
        # Where an atom has just lost its mass, w grows without bound instead.
        found += [z for z in ((s * d) ** depth for d in stops[1:-1]) if z not in product.atoms]
        return sorted(z for z in found if _is_edge(product, z))
    if depth == 1 and not product.gaussian:
        return [s * law.high]
    return [z for z in _critical(product, law.high, math.inf) if _is_edge(product, z)]


def bands(product: Product) -> list[Band]:
    """The intervals of the continuous part, each with its distribution function."""
    ends = edges(product)
    ends = [0.0, *ends] if len(ends) % 2 else ends
    return [_band(product, low, high) for low, high in zip(ends[::2], ends[1::2], strict=True)]


def _critical(product: Product, low: float, high: float) -> list[float]:
    """Critical values z > 0 of the gap low < zeta < high."""
    start, stop = (math.log(low) if low else -60.0), (math.log(high) if high < math.inf else math.log(low) + 60.0)
    if low == 0:
        start = stop - 60.0
    if not stop > start:
        return []
    share = np.concatenate([np.logspace(-13, math.log10(0.5), SEARCH // 2), 1 - np.logspace(-0.302, -13, SEARCH // 2)])
    u = start + (stop - start) * share
    slopes, _ = product.outside(u)
    out = []
    clear = np.minimum(abs(slopes[:-1]), abs(slopes[1:])) > NOISE
    for i in np.flatnonzero((slopes[:-1] * slopes[1:] < 0) & clear):
        at = brentq(lambda x: product.outside(np.array([x]))[0][0], u[i], u[i + 1], xtol=1e-15, rtol=1e-15)
        _, (log_z,) = product.outside(np.array([at]))
        if abs(math.remainder(log_z.imag, 2 * math.pi)) < 1e-6:
            out.append(math.exp(log_z.real))
    return out


def _is_edge(product: Product, z: float) -> bool:
    (left, right), reason = product.log_density(math.log(z) + np.array([-NEAR, NEAR]))
    return bool((reason == Unresolved.NO).all() and (left > 1e-7) != (right > 1e-7))


def _band(product: Product, low: float, high: float) -> Band:
    end = math.pi / 2 if low > 0 else _last(product, math.log(high))
    panels, found = PANELS, _integrated(product, low, high, end, PANELS)
    while panels < MOST:
        panels *= 2
        last, found = found, _integrated(product, low, high, end, panels)
        if abs(found.mass - last.mass) <= MET and abs(found.mean - last.mean) <= MET * last.mean:
            break
    return found


def _last(product: Product, top: float) -> float:
    """t from which on nothing is left: the first, then a closer one, at which the density is below 1e-14."""
    t = 1e-4 * 1.25 ** np.arange(80)
    t = t[t * t < 500 * (product.depth + 1)][::-1]
    value, _ = product.log_density(top - t * t)
    there = np.flatnonzero(value > NOTHING)
    return float(t[max(0, there[0] - 1)]) if there.size else float(t[-1])


def _integrated(product: Product, low: float, high: float, end: float, panels: int) -> Band:
    x, w = legendre.leggauss(NODES)
    cuts = np.linspace(0.0, end, panels + 1)
    half = 0.5 * np.diff(cuts)[:, None]
    t = (cuts[:-1, None] + half) + half * x
    if low == 0:
        log_x, stretch = math.log(high) - t * t, 2 * t
    else:
        width = math.log(high / low)
        log_x, stretch = math.log(low) + width * np.sin(t) ** 2, width * np.sin(2 * t)
    order = np.argsort(log_x.ravel())
    value, reason = np.empty(t.size), np.empty(t.size, dtype=np.int64)
    value[order], reason[order] = product.log_density(log_x.ravel()[order])
    f = np.where(np.isnan(value), 0.0, value).reshape(t.shape) * stretch * half
    # f = sum_k c_k P_k on each panel, exactly as far as the nodes integrate.
    k = np.arange(NODES)
    coefficients = (k + 0.5) * (f * w @ legendre.legvander(x, NODES - 1))
    series = np.array([legendre.legint(c, lbnd=-1) for c in coefficients])
    masses = f @ w
    before = np.concatenate([[0.0], np.cumsum(masses)[:-1]])
    mean = float((f * np.exp(log_x) @ w).sum())
    return Band(low, high, cuts, series, before, float(masses.sum()), mean, int((reason != 0).sum()))
