"""Local maps of phi_hat(z) = gamma (phi(alpha z + beta) + delta) at length 1, and the parameters that give them.

With z ~ N(0, 1), a0 = E phi, a1 = E alpha phi', g = phi - a0 - a1 z, h = alpha phi' - a1, t = a0 + delta, gamma^-2 = N
= a1^2 + E g^2 + t^2, nothing cancels in C'(1) - 1 = (E h^2 - E g^2 - t^2)/N and Q'(1) - 1 = (a1 E h z^2 + E g h z + t
E h z - E g^2 - t^2)/N. dks has t = 0, tat t^2 = E h^2 - E g^2 (>= 0 by Poincare's inequality) with a sign s. As alpha
-> 0, Q'(1) = 1 becomes phi' phi''' + r phi''^2 = 0 at beta, r = 1/2 or s/sqrt(2), and alpha = |phi'/phi''| times the
square root of 2 (C'(1) - 1) or C''(1); from there each solution is followed upwards. Derived here.
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import ceil, exp, inf, log, sqrt
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, root
from sympy import DiracDelta, Expr

from meanfield.build import Array
from meanfield.finite.formulas import compiled
from solvers.panels import DENSITY, W12, X12
from symbolic.growth import growth
from symbolic.landmarks import kinks, slope

REACH, PANEL = 12.0, 0.5  # the window of z, and the longest panel: a tenth of the distance of tanh's pole, or less
DEEP = 1e-3  # a target so small that the limit alpha -> 0 is a good start
GRID = np.linspace(-6.0, 6.0, 1202)
STARTS = [(log(alpha), beta) for alpha, beta in product((1.0, 0.3, 0.1), (0.0, 0.3, -0.3, 1.0, -1.0))]


@dataclass(frozen=True)
class LocalMaps:
    """Q(1), Q'(1), C(0), C'(1), C''(1) of one layer; inf for a mean that a kink or a jump makes infinite."""

    q: float
    q_slope: float
    c_zero: float
    c_slope: float
    c_curvature: float

    def __str__(self) -> str:
        names = ("Q(1)", "Q'(1)", "C(0)", "C'(1)", "C''(1)")
        return ", ".join(f"{name} = {value:.12g}" for name, value in zip(names, astuple(self), strict=True))


class Parameters(NamedTuple):
    """alpha, beta, delta, gamma."""

    input_scale: float
    input_shift: float
    output_shift: float
    output_scale: float

    @property
    def steepness(self) -> float:
        return self.input_scale * self.output_scale


@dataclass(frozen=True)
class Body:
    """phi with its derivatives, and a rule for means of z that knows its kinks."""

    formula: Expr

    def __call__(self, order: int, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(compiled(_derivative(self.formula, order))(x), dtype=np.float64), x.shape)

    def smooth(self, order: int) -> bool:
        """Is this derivative a function?"""
        return not _derivative(self.formula, order).has(DiracDelta)

    @cached_property
    def bent(self) -> list[float]:
        return [float(x) for x in kinks(self.formula)]

    @cached_property
    def growth(self) -> float:
        """b with |phi(x)| <= exp(b |x|), or 0 where there is none, which a finer rule will notice."""
        return rate if (rate := growth(self.formula)) < inf else 0.0

    def rule(self, alpha: float, beta: float, finer: int = 1) -> tuple[Array, Array]:
        """Nodes z and weights, on panels between the kinks of phi(alpha z + beta)."""
        reach = REACH + 2 * alpha * self.growth
        count = finer * ceil(2 * reach * max(1.0, alpha / 2) / PANEL)
        at = [x for kink in self.bent if abs(x := (kink - beta) / alpha) < reach]
        edges = np.unique(np.concatenate([np.linspace(-reach, reach, count + 1), at]))
        middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        z = (middle[:, None] + half[:, None] * X12).ravel()
        return z, DENSITY * (half[:, None] * W12).ravel() * np.exp(-z * z / 2)

    def maps(self, at: Parameters) -> LocalMaps:
        """The local maps from their definitions, on panels half as long as those that parameters are solved on."""
        alpha, beta, delta, gamma = at
        z, w = self.rule(alpha, beta, finer=2)
        x = alpha * z + beta
        hat, first = gamma * (self(0, x) + delta), gamma * alpha * self(1, x)
        second = float(w @ (gamma * alpha**2 * self(2, x)) ** 2) if self.smooth(2) else inf
        return LocalMaps(
            float(w @ hat**2), float(w @ (hat * first * z)), float(w @ hat) ** 2, float(w @ first**2), second
        )


@lru_cache(maxsize=256)
def _derivative(formula: Expr, order: int) -> Expr:
    return slope(_derivative(formula, order - 1)) if order else formula


@dataclass(frozen=True)
class Wanted:
    """Two equations for log alpha and beta: Q'(1) = 1 and C'(1) = 1 + target (dks, sign 0) or C''(1) = target (tat, of
    sign +-1)."""

    body: Body
    target: float
    sign: int

    def _moments(self, unknown: Array) -> tuple[Parameters, Array]:
        """The parameters at log alpha and beta, and how far from 1, 0 in units of the target the two maps are."""
        alpha, beta = exp(min(max(-30.0, unknown[0]), 3.0)), float(np.nan_to_num(unknown[1]))
        z, w = self.body.rule(alpha, beta)
        f, df = self.body(0, alpha * z + beta), alpha * self.body(1, alpha * z + beta)
        a0, a1 = float(w @ f), float(w @ df)
        g, h = f - a0 - a1 * z, df - a1
        g2, h2 = float(w @ g**2), float(w @ h**2)
        t = self.sign * sqrt(max(h2 - g2, 0.0))
        norm = a1**2 + g2 + t**2
        excess = h2 - g2
        if self.sign:
            excess = float(w @ (alpha**2 * self.body(2, alpha * z + beta)) ** 2)
        rise = a1 * float(w @ (h * z**2)) + float(w @ (g * h * z)) + t * float(w @ (h * z)) - g2 - t**2
        with np.errstate(all="ignore"):
            gaps = np.array([excess, rise]) / (np.float64(norm) * self.target) - (1.0, 0.0)
            return Parameters(alpha, beta, t - a0, float(1 / np.sqrt(np.float64(norm)))), gaps

    def near(self, start: Array) -> Array | None:
        """The solution that Powell's method finds from a start."""
        with np.errstate(all="ignore"):
            found = root(lambda x: self._moments(x)[1], start, method="hybr", options={"xtol": 1e-14})
        gap = np.abs(self._moments(found.x)[1]).max() * min(self.target, 1.0)
        return np.asarray(found.x) if gap < 2e-13 else None

    def solutions(self) -> Iterator[Parameters]:
        for start in self._starts():
            found = self._followed(np.array(start)) if self.body.smooth(3) else self.near(np.array(start))
            if found is not None:
                yield self._moments(found)[0]

    def _starts(self) -> Iterator[tuple[float, float]]:
        """(log alpha, beta) where the first target is met in the limit of small alpha."""
        if not self.body.smooth(3):
            yield from STARTS
            return
        ratio = self.sign / sqrt(2) if self.sign else 0.5

        def limit(x: Array) -> Array:
            return self.body(1, x) * self.body(3, x) + ratio * self.body(2, x) ** 2

        values = limit(GRID)
        for i in np.flatnonzero(values[:-1] * values[1:] < 0):
            beta = brentq(lambda x: float(limit(np.array([x]))[0]), GRID[i], GRID[i + 1], xtol=1e-14)
            size = abs(float(self.body(1, np.array([beta]))[0] / self.body(2, np.array([beta]))[0]))
            first = min(self.target, DEEP) * (1 if self.sign else 2)
            yield log(sqrt(first) * size), beta

    def _followed(self, x: Array) -> Array | None:
        """The solution for this target, followed from that for a small one."""
        rungs = 1 + ceil(max(0.0, log(self.target / DEEP, 4.0)))
        ladder = np.geomspace(min(self.target, DEEP), self.target, rungs)
        for target, before in zip(ladder, [ladder[0], *ladder[:-1]], strict=True):
            found = Wanted(self.body, float(target), self.sign).near(x + np.array([log(target / before) / 2, 0.0]))
            if found is None:
                return None
            x = found
        return x


def candidates(body: Body, method: str, target: float) -> list[Parameters]:
    """All parameters found, the least steep first, then the least shifted, of mirror images the positive one."""
    signs = (0,) if method == "dks" else (1, -1)
    found = [at for sign in signs for at in Wanted(body, target, sign).solutions() if np.isfinite(at).all()]
    distinct = {(round(at.steepness, 8), round(at.input_shift, 6)): at for at in found}
    return [distinct[key] for key in sorted(distinct, key=lambda key: (key[0], abs(key[1]), -key[1]))]
