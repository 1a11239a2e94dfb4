"""Dual activations: E phi(u) psi(v) for centred Gaussians with variances p, q and covariance k; means E f(u).

Closed where Price's theorem and Gaussian moments close it, else integrated with an error bound; the derivative dual
E phi'(u) psi'(v) = d/dk E phi(u) psi(v) comes the same way. Hermite coefficients a_k(q) = E phi(sqrt(q) z) he_k(z) give
E phi(u) phi(v) = sum a_k(p) a_k(q) rho^k (Mehler). Daniely et al. 2016 (arXiv 1602.05897) name the dual; ours are
derived here, not read there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import DiracDelta, Expr, latex

from meanfield.build import Array
from meanfield.callable_dual import CallableDual
from meanfield.expectation import Expectation, check_law, columns_of, curve
from solvers import hermite
from solvers.iterate import NotConverged
from symbolic.activations import activation
from symbolic.closing import formula
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.landmarks import slope
from symbolic.networks import Layer, Pointwise

if TYPE_CHECKING:
    from meanfield.rigorous import Ball


class _Formula:
    """What a dual and a mean share: a formula to show and numbers with bounds."""

    @cached_property
    def _expectation(self) -> Expectation:
        raise NotImplementedError

    @property
    def raw(self) -> Expr:
        """The mean itself, not closed."""
        return self._expectation.mean

    @cached_property
    def expr(self) -> Expr:
        """The formula where there is one, else the mean itself, which `.evalf()` integrates at numbers."""
        return formula(self.raw)

    @property
    def closed(self) -> bool:
        """Is there a formula?"""
        return not self.expr.has(Mean, PairMean)

    @property
    def tier(self) -> str:
        """How numbers are computed: closed form, one-dimensional quadrature or two-dimensional quadrature."""
        return self._expectation.tier

    def latex(self) -> str:
        return str(latex(self.expr))

    def python(self) -> str:
        """The source of a standalone function of NumPy arrays."""
        from symbolic.standalone import source

        return source(self.raw)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        return str(self.expr)

    def _evaluate(self, columns: list[Array], shape: tuple[int, ...], error: bool) -> Any:
        value, bound = self._expectation.values(columns, error=error)
        return (value.reshape(shape)[()], bound.reshape(shape)[()]) if error else value.reshape(shape)[()]


@dataclass(frozen=True)
class Dual(_Formula):
    """E phi(u) psi(v): `.expr` is SymPy in symbols named p, q, k; calling it gives numbers."""

    phi: Pointwise
    psi: Pointwise

    @cached_property
    def _expectation(self) -> Expectation:
        return Expectation(PairMean(self.phi.formula, self.psi.formula, p, q, k), (p, q, k))

    @property
    def derivative(self) -> "Dual":
        """E phi'(u) psi'(v), the derivative in k.

        Raises ValueError for the derivative of a delta: a discontinuous activation has no second derivative dual.
        """
        return Dual(_slope(self.phi), _slope(self.psi))

    def __call__(self, p: Any, q: Any, k: Any, *, error: bool = False) -> Any:
        """The value at numbers or arrays that broadcast; with error=True also a bound on its absolute error.

        Raises ValueError unless p, q >= 0 and k^2 <= p q; NotConverged without a value.
        """
        return self._evaluate(*columns_of(check_law, p=p, q=q, k=k), error)

    def enclose(self, p: Any, q: Any, k: Any, digits: int = 50) -> "Ball":
        """A ball that provably contains the exact value, of one point; numbers are taken exactly, a str as it reads.

        Raises NotCertified (a ValueError) where none is found; ImportError without the extra `rigorous`.
        """
        from meanfield.rigorous import enclose_dual

        return enclose_dual(self.expr, self.phi, self.psi, p, q, k, digits)


@dataclass(frozen=True)
class GaussianMean(_Formula):
    """E f(u), u ~ N(0, q): `.expr` is SymPy in the symbol q; calling it gives numbers."""

    function: Pointwise

    @cached_property
    def _expectation(self) -> Expectation:
        return Expectation(Mean(self.function.formula, q), (q,))

    def __call__(self, q: Any, *, error: bool = False) -> Any:
        """The value at numbers or arrays; with error=True also a bound on its absolute error.

        Raises ValueError unless q >= 0; NotConverged without a value.
        """
        return self._evaluate(*columns_of(_check_variance, q=q), error)

    def enclose(self, q: Any, digits: int = 50) -> "Ball":
        """A ball that provably contains the exact value, of one variance (as Dual.enclose)."""
        from meanfield.rigorous import enclose_mean

        return enclose_mean(self.function.formula, q, digits)


def dual(phi: Any, psi: Any = None, *, kinks: Sequence[float] = (), growth: float = 0.0, wave: float = 0.0) -> Any:
    """The dual of an activation (name, formula in x, SymPy expression, layer), or of a pair of them.

    Of a function (compiled by numba, or plain Python that it can compile) only numbers are known, as a CallableDual;
    its kinks and jumps, the rate b = growth of exp(b |x|) and the frequency of its oscillations, `wave`, must be
    declared. psi left out is phi itself.
    Raises Divergent (a ValueError) where E phi(u)^2 is infinite, with the variance from which it is, NotReal (a
    ValueError) where a formula is complex, ParseError (a ValueError) where it is none.

    >>> print(dual("relu"))
    (k*(pi - acos(k/(sqrt(p)*sqrt(q)))) + sqrt(-k**2 + p*q))/(2*pi)
    """
    if callable(phi) and not isinstance(phi, Expr | Layer):
        return CallableDual(phi, phi if psi is None else psi, tuple(kinks), growth, wave)
    if kinks or growth or wave:
        raise ValueError("kinks, growth and wave are declared of functions; of a formula they are found in it")
    first = activation(phi)
    return Dual(first, first if psi is None else activation(psi))


def mean(expr: Any) -> GaussianMean:
    """E f(u) for u ~ N(0, q) of a formula in x (name, text, SymPy expression, layer).

    >>> print(mean("erf(x)**2"))
    2*asin(2*q/(2*q + 1))/pi
    """
    return GaussianMean(activation(expr))


def hermite_coefficients(phi: Any, q: float, n: int, *, error: bool = False) -> Any:
    """a_0 .. a_{n-1} with phi(sqrt(q) z) = sum_k a_k He_k(z)/sqrt(k!): sum a_k^2 = E phi(u)^2, u ~ N(0, q).

    With error=True also a bound on the Euclidean norm of their errors. Raises ValueError unless q >= 0 and n >= 1;
    NotConverged where the integrals do not.
    """
    (column,), _ = columns_of(_check_variance, q=float(q))
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n is how many coefficients are wanted, at least 1, not {n!r}")
    function = activation(phi)
    found, bound = hermite.coefficients(curve(function.formula), column, n)
    if not np.isfinite(found).all():
        raise NotConverged(f"the Hermite coefficients of {function} at q = {float(q):g} could not be integrated")
    return (found[0], float(bound[0])) if error else found[0]


def _slope(phi: Pointwise) -> Pointwise:
    if phi.formula.has(DiracDelta):
        raise ValueError(
            f"{phi} holds a delta, so it has no derivative with a mean: a discontinuous activation has no second "
            "derivative dual, one with a kink no third"
        )
    return Pointwise(f"{phi.name}'", slope(phi.formula))


def _check_variance(q: Array) -> None:
    if (q < 0).any():
        raise ValueError(f"q must be a variance, at least 0, not {q[q < 0].ravel()[0]:.6g}")
