"""The law of a quadratic form Q = A G A^T of random attention weights as a few places and masses (Gauss rules).

Scores are p = sqrt(v) F z, F F^T = G. Softmax does not see what all scores share, so that only the rank of the centred
factor counts: up to a few dimensions the trapezoidal rule converges geometrically (the softmax is analytic while the
imaginary parts of its scores differ by less than pi); beyond, and for scores with kinks, scrambled Sobol points. All
masses are then gathered by Lanczos' method into rules of at most 48 places, exact for polynomials of degree 95.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import gamma as gamma_function

from solvers import forms
from solvers.forms import Array
from solvers.normal_points import normal_points
from solvers.softmax_moments import MOST_VARIANCE, REACH, participation_moments, step

PLACES = 48
FINE, COARSE = 42.0, 36.0  # -log of what the lattices leave out
MOST_POINTS = 1 << 23
SCRAMBLES, LOG_POINTS = 16, 16
EVEN = 1e-14  # relative differences of a Gram matrix that are rounding


@dataclass(frozen=True, eq=False)
class Rule:
    """A law of Q: places q >= 0 and positive masses, of sum 1."""

    places: Array
    masses: Array


@dataclass(frozen=True, eq=False)
class Form:
    """Q = A G A^T, A = zeta(p) over the keys, p ~ N(0, variance G), G positive semidefinite (keys, keys)."""

    gram: Array
    variance: float
    kind: str

    @cached_property
    def factor(self) -> Array:
        """Of the scores, as far as zeta sees them, (keys, rank)."""
        gram = self.variance * self.gram
        if self.kind == "softmax":
            rest = gram - gram.mean(axis=0)
            gram = rest - rest.mean(axis=1)[:, None]
        return gram_factor(gram, scale=self.variance * float(np.abs(self.gram).max()))

    @property
    def constant(self) -> bool:
        return self.factor.shape[1] == 0

    @property
    def even(self) -> bool:
        """Is G = a I + b 1 1^T, so that moments are integrals over one variable?"""
        a, b = self._parts
        if self.variance * a > MOST_VARIANCE:
            return False
        difference = self.gram - a * np.eye(len(self.gram)) - b
        return self.kind == "softmax" and bool(np.abs(difference).max() <= EVEN * np.abs(self.gram).max())

    @property
    def exact(self) -> bool:
        """Are moments known without a rule?"""
        return self.constant or self.even or self.kind == "identity"

    @property
    def how(self) -> str:
        """How moments are found, in words."""
        if self.constant:
            return "constant"
        if self.exact:
            return "integrals over one variable" if self.even else "traces"
        return f"lattice in {self.factor.shape[1]} dimensions" if self._lattice else self._scrambled

    @property
    def _scrambled(self) -> str:
        return f"{SCRAMBLES} scrambles of {1 << LOG_POINTS} Sobol points in {self.factor.shape[1]} dimensions"

    @property
    def _parts(self) -> tuple[float, float]:
        size = len(self.gram)
        b = (self.gram.sum() - np.trace(self.gram)) / (size * (size - 1)) if size > 1 else 0.0
        return float(np.trace(self.gram) / size - b), float(b)

    def moments(self, most: int) -> tuple[Array, Array]:
        """E Q^k for k = 1 .. most, with errors."""
        if self.constant:
            value = self._at_rest
            powers = value ** np.arange(1.0, most + 1)
            return powers, 4e-16 * powers * np.arange(1, most + 1)
        if self.even:
            return self._even_moments(most)
        if self.kind == "identity":
            return self._traces(most)
        k = np.arange(1, most + 1)
        return self.mean(lambda rule: np.asarray((rule.places[:, None] ** k * rule.masses[:, None]).sum(axis=0)))

    def mean(self, of: Callable[[Rule], Any]) -> tuple[Any, Any]:
        """of(rule) and its error: against a coarser lattice, or three standard errors of the scrambles."""
        found = np.stack([np.asarray(of(rule)) for rule in self.rules])
        if self._lattice:
            return found[0], np.abs(found[0] - found[1]) + 1e-14 * np.abs(found[0])
        return found.mean(axis=0), 3 * found.std(axis=0, ddof=1) / math.sqrt(len(found))

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The law on two lattices, the finer first, or for each scramble."""
        if self.constant:
            return (Rule(np.array([self._at_rest]), np.ones(1)),) * 2
        if self._lattice:
            return tuple(self._rule(self._fill_lattice, target) for target in (FINE, COARSE))
        return tuple(self._rule(self._fill_points, seed) for seed in range(SCRAMBLES))

    @cached_property
    def _lattice(self) -> bool:
        if self.constant:
            return True
        size = self.factor.shape[1]
        ball = math.pi ** (size / 2) / gamma_function(size / 2 + 1) * REACH**size
        return self.kind != "relu" and ball / np.prod(self._steps(FINE)) <= MOST_POINTS

    @property
    def _at_rest(self) -> float:
        """Q of equal scores, if softmax, of none else."""
        return float(self.gram.mean()) if self.kind == "softmax" else 0.0

    @property
    def _unit(self) -> float:
        """A typical Q, around which the bins are finest."""
        return float(self.gram.max()) if self.kind == "softmax" else float(self.variance * (self.gram**2).sum())

    def _steps(self, target: float) -> Array:
        if self.kind == "identity":
            return np.full(self.factor.shape[1], step(math.inf, target))
        return np.array([step(math.pi / s, target) for s in np.ptp(self.factor, axis=0)])

    def _fill_lattice(self, bins: Array, target: float) -> None:
        kind = forms.KINDS[self.kind]
        forms.lattice_bins(self.factor, self.gram, kind, self._steps(target), REACH, self._unit, bins)

    def _fill_points(self, bins: Array, seed: int) -> None:
        points = normal_points(self.factor.shape[1], LOG_POINTS, seed)
        forms.point_bins(self.factor, self.gram, forms.KINDS[self.kind], points, self._unit, bins)

    def _rule(self, fill: Callable[[Array, Any], None], which: Any) -> Rule:
        bins = np.zeros((4096 if self._lattice else 512, 4))  # points know no finer ones
        fill(bins, which)
        return gathered(*forms.two_masses(bins, self._unit))

    def _even_moments(self, most: int) -> tuple[Array, Array]:
        """Q = b + a sum A^2, and the scores share sqrt(b) z_0, which softmax does not see."""
        a, b = self._parts
        pure, errors = participation_moments(len(self.gram), self.variance * a, most)
        powers = a ** np.arange(1.0, most + 1)
        inner = np.concatenate([[1.0], pure * powers])
        found = [math.fsum(math.comb(k, j) * b ** (k - j) * inner[j] for j in range(k + 1)) for k in range(1, most + 1)]
        wide = np.concatenate([[0.0], errors * powers]) + 4e-16 * inner
        bound = [sum(math.comb(k, j) * abs(b) ** (k - j) * wide[j] for j in range(k + 1)) for k in range(1, most + 1)]
        return np.array(found), np.array(bound)

    def _traces(self, most: int) -> tuple[Array, Array]:
        """p G p^T has the cumulants 2^(n-1) (n-1)! tr (variance G^2)^n."""
        values = self.variance * np.linalg.eigvalsh(self.gram) ** 2
        cumulants = [2.0 ** (n - 1) * math.factorial(n - 1) * (values**n).sum() for n in range(1, most + 1)]
        found = [1.0]
        for n in range(1, most + 1):
            found.append(sum(math.comb(n - 1, j - 1) * cumulants[j - 1] * found[n - j] for j in range(1, n + 1)))
        return np.array(found[1:]), 1e-14 * np.array(found[1:])


def gram_factor(gram: Array, *, scale: float | None = None) -> Array:
    """F with F F^T = gram, a column for each eigenvalue that is not rounding beside `scale` (default: the largest)."""
    values, vectors = np.linalg.eigh(gram)
    top = float(np.abs(values).max(initial=0.0)) if scale is None else scale
    kept = values > EVEN * len(gram) * top
    return np.ascontiguousarray(vectors[:, kept] * np.sqrt(values[kept]))


def gathered(places: Array, masses: Array, most: int = PLACES) -> Rule:
    """The Gauss rule of a law of many places, by Lanczos' method with full reorthogonalisation."""
    total = masses.sum()
    middle, half = (places.max() + places.min()) / 2, (places.max() - places.min()) / 2
    if half <= EVEN * abs(middle):
        return Rule(np.array([middle]), np.ones(1))
    x, basis = (places - middle) / half, [np.sqrt(masses / total)]
    diagonal, beside = [float(basis[0] @ (x * basis[0]))], []
    while len(diagonal) < min(most, len(x)):
        rest = x * basis[-1]
        for _ in range(2):
            known = np.array(basis)
            rest = rest - known.T @ (known @ rest)
        size = float(np.linalg.norm(rest))
        if size < 1e-13:
            break
        beside.append(size)
        basis.append(rest / size)
        diagonal.append(float(basis[-1] @ (x * basis[-1])))
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
    return Rule(np.maximum(middle + half * values, 0.0), vectors[0] ** 2)
