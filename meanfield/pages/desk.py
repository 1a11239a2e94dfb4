"""One activation, ready to answer for phi >> Dense(w, b) at any w and b without compiling again.

V(q) = w E phi^2 + b and its slopes come from three means over one length; the map of correlations at a common length
from a formula where there is one, else from Hermite coefficients a_n of phi(sqrt(q) z): E phi phi = sum a_n^2 c^n.
What the first coefficients leave of E phi^2, of each parity, is put on the next power: exact at c = 0, 1 and -1. Where
that rest is no rounding the fixed point is asked of integrals, and curves are drawn from the sum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import RLock
from typing import Any

import numpy as np

from meanfield.build import Array, Block
from meanfield.diagram import length_moments
from meanfield.expectation import curve
from meanfield.phase import Phase, solved
from solvers import hermite
from symbolic.activations import activation
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Dense, Layer, Pointwise

FEW, MANY = 128, 512  # coefficients: enough for smooth activations, and the most that are summed
ROUNDING = 1e-14  # of E phi^2: a rest below it is none


@dataclass(frozen=True)
class Squares:
    """Rows of a_n^2, the last two of them rests, and whether those are rounding."""

    rows: Array
    resolved: bool


@dataclass(frozen=True)
class Desk:
    """What is kept of an activation between two moves of a knob; `lock` is held while something is worked out."""

    phi: Pointwise

    @cached_property
    def lock(self) -> Any:
        return RLock()

    @cached_property
    def _moments(self) -> Any:
        return length_moments(self.phi)

    @cached_property
    def closed(self) -> bool:
        """Is the map of correlations a formula?"""
        return Block(self.phi >> Dense(1.0, 1.0)).closed("correlation")

    def block(self, weight_var: float, bias_var: float) -> Layer:
        return self.phi >> Dense(weight_var, bias_var)

    def phase(self, weight_var: float, bias_var: float) -> Phase:
        """The same as mf.phase."""
        return solved(
            lambda question, states: self._answer(question, states, weight_var, bias_var),
            self.block(weight_var, bias_var),
        )

    def lengths(self, q: float, weight_var: float, bias_var: float) -> tuple[float, float]:
        """V(q), and the factor of mean squared gradients w E phi'^2."""
        square, _, gradient = self._moments(np.array([q]))[0]
        return float(weight_var * square + bias_var), float(weight_var * gradient)

    def covariances(self, lengths: Array, weight_var: float, bias_var: float) -> Callable[[int, Any], Array]:
        """k' as a function of i and c, of pairs of length lengths[i] and correlations c, to what a picture shows."""
        places, at = np.unique(lengths, return_inverse=True)
        rows = np.empty((0, 0)) if self.closed else self.squares(places).rows
        if rows.size and np.isfinite(rows).all():
            n = np.arange(rows.shape[1])
            return lambda i, c: weight_var * (np.power.outer(c, n) @ rows[at[i]]) + bias_var

        def integrated(i: int, c: Any) -> Array:
            c = np.atleast_1d(c)
            return self._integrated(np.full_like(c, lengths[i]), c, weight_var, bias_var)[:, 0]

        return integrated

    def squares(self, q: Array) -> Squares:
        """The squares of Hermite coefficients at lengths; NaN where phi grows too fast for a series."""
        for n in (FEW, MANY):
            found = hermite.spectrum(curve(self.phi.formula), q, n)
            squares = found.coefficients**2
            rest = np.maximum(found.energy - squares.reshape(len(q), -1, 2).sum(axis=1), 0.0)
            if bool((rest.sum(axis=1) <= ROUNDING * found.energy.sum(axis=1)).all()):
                return Squares(np.hstack([squares, rest]), True)
        return Squares(np.hstack([squares, rest]), False)

    def _answer(self, question: str, states: Any, weight_var: float, bias_var: float) -> Array:
        """Like a Block of phi >> Dense(weight_var, bias_var), about pairs of one length."""
        if question == "correlation":
            q, _, k = states
            return self._correlation(float(q), float(k / q), weight_var, bias_var)
        (q,) = states
        square, grown, gradient = self._moments(np.array([q]))[0]
        if question == "length":
            return np.array([[weight_var * square + bias_var, weight_var * grown / q]])
        return np.array([[weight_var * gradient]])

    def _correlation(self, q: float, c: float, weight_var: float, bias_var: float) -> Array:
        """k' and dk'/dk."""
        if self.closed:
            return self._integrated(np.array([q]), np.array([c]), weight_var, bias_var)
        found = _squares(self, q)
        row, n = found.rows[0], np.arange(found.rows.shape[1])
        if not (np.isfinite(row).all() and (found.resolved or c in (0.0, 1.0))):
            return self._integrated(np.array([q]), np.array([c]), weight_var, bias_var)
        value = weight_var * float(row @ c**n) + bias_var
        if c == 1.0:  # where the sum of n a_n^2 converges last
            return np.array([[value, self.lengths(q, weight_var, bias_var)[1]]])
        return np.array([[value, weight_var * float((n * row)[1:] @ c ** n[:-1]) / q]])

    def _integrated(self, q: Array, c: Array, weight_var: float, bias_var: float) -> Array:
        return Block(self.block(weight_var, bias_var))("correlation", np.stack([q, q, q * c], axis=1))


@lru_cache(maxsize=64)
def _squares(desk: Desk, q: float) -> Squares:
    return desk.squares(np.array([q]))


@lru_cache(maxsize=32)
def desk(text: str) -> Desk:
    """The desk of an activation given as text, a name or a formula in x; ParseError with the column else."""
    return Desk(activation(text))


def free_block(phi: Pointwise) -> Layer:
    """phi >> Dense with its variances left free."""
    return phi >> Dense(WEIGHT_VAR, BIAS_VAR)
