"""Dual activations: E phi(u) psi(v) for centred Gaussians with variances p, q and covariance k.

Closed where Price's theorem and Gaussian moments close it, else integrated with an error estimate; the derivative
dual E phi'(u) psi'(v) = d/dk E phi(u) psi(v) comes the same way. Daniely et al. 2016 (arXiv 1602.05897) name the
dual; ours are derived.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from sympy import Expr, latex

from meanfield.build import Array, compiled
from solvers.iterate import NotConverged
from symbolic.activations import activation
from symbolic.closing import formula
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.networks import Pointwise


@dataclass(frozen=True)
class Dual:
    """E phi(u) psi(v): `.expr` is SymPy in symbols named p, q, k; calling it gives numbers."""

    phi: Pointwise
    psi: Pointwise

    @property
    def raw(self) -> Expr:
        return PairMean(self.phi.formula, self.psi.formula, p, q, k)

    @cached_property
    def expr(self) -> Expr:
        """The formula where there is one, else the mean itself, which `.evalf()` integrates at numbers."""
        return formula(self.raw)

    @property
    def closed(self) -> bool:
        return not self.expr.has(Mean, PairMean)

    @property
    def derivative(self) -> "Dual":
        """E phi'(u) psi'(v), the derivative in k."""
        return Dual(_slope(self.phi), _slope(self.psi))

    def __call__(self, p: Any, q: Any, k: Any) -> Any:
        """The value at numbers or arrays that broadcast; ValueError unless p, q >= 0 and k^2 <= p q; NotConverged
        without a value."""
        variances = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (p, q, k)))
        _check(*variances)
        rows = np.stack([v.ravel() for v in variances], axis=1)
        out = np.empty((len(rows), 1))
        _compiled(self.raw).dual_rows(np.ascontiguousarray(rows), out)
        if not np.isfinite(out).all():
            at = ", ".join(f"{v:.6g}" for v in rows[int((~np.isfinite(out[:, 0])).argmax())])
            raise NotConverged(
                f"E[{self}] at (p, q, k) = ({at}) is no finite number, or could not be integrated to 1e-8: "
                "it grows too fast or oscillates"
            )
        return out[:, 0].reshape(variances[0].shape)[()]

    def latex(self) -> str:
        return str(latex(self.expr))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        return str(self.expr)


def dual(phi: Any, psi: Any = None) -> Dual:
    """The dual of an activation (name, formula in x, SymPy expression, layer), or of a pair of them.

    >>> print(dual("relu"))
    (k*(pi - acos(k/(sqrt(p)*sqrt(q)))) + sqrt(-k**2 + p*q))/(2*pi)
    """
    first = activation(phi)
    return Dual(first, first if psi is None else activation(psi))


def _slope(phi: Pointwise) -> Pointwise:
    return Pointwise(f"{phi.name}'", phi.formula.diff(X))


@lru_cache(maxsize=256)
def _compiled(raw: Expr) -> Any:
    return compiled({"dual": ([p, q, k], [raw])}, str(raw))


def _check(p: Array, q: Array, k: Array) -> None:
    for name, values in (("p", p), ("q", q), ("k", k)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, not {values[~np.isfinite(values)].ravel()[0]}")
    bad = (p < 0) | (q < 0) | (k * k > p * q * (1 + 1e-12))
    if bad.any():
        at = ", ".join(f"{v.ravel()[int(bad.ravel().argmax())]:.6g}" for v in (p, q, k))
        raise ValueError(f"(p, q, k) must be two variances and a covariance with k^2 <= p q, not ({at})")
