"""Words that SymPy lacks: the variable of an activation, logistic functions, and two orthant moments.

sigmoid(x) = 1/(1 + exp(-x)), softplus(x) = log(1 + exp(x)); for centred Gaussians with variances p, q and covariance
k Orthant(p, q, k) = P(u > 0, v > 0) = 1/4 + asin(k/sqrt(pq))/(2 pi), Ramp(p, q, k) = E[max(u, 0) max(v, 0)] =
(sqrt(pq - k^2) + k (pi - acos(k/sqrt(pq))))/(2 pi)   (Cho and Saul 2009, n = 0, 1). They stay whole until they are
shown, because their elementary forms lose every digit near correlation -1.
"""

from typing import Any

from sympy import Expr, Function, Rational, S, Symbol, acos, asin, exp, log, oo, pi, sqrt

X = Symbol("x", real=True)


class Whole(Function):
    """A function kept whole for the sake of digits; `elementary` is its definition."""

    def elementary(self) -> Expr:
        raise NotImplementedError(type(self).__name__)

    def _eval_evalf(self, prec: int) -> Any:
        return self.elementary()._eval_evalf(prec)

    def _eval_is_extended_real(self) -> bool:
        return True


class sigmoid(Whole):
    """1/(1 + exp(-x)).

    >>> from sympy import diff
    >>> diff(sigmoid(X), X)
    (1 - sigmoid(x))*sigmoid(x)
    """

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        return {S.Zero: S.Half, oo: S.One, -oo: S.Zero}.get(x)

    def fdiff(self, argindex: int = 1) -> Expr:
        return self * (1 - self)

    def elementary(self) -> Expr:
        return 1 / (1 + exp(-self.args[0]))


class softplus(Whole):
    """log(1 + exp(x)), whose derivative is sigmoid(x)."""

    @classmethod
    def eval(cls, x: Expr) -> Expr | None:
        return {S.Zero: log(2), -oo: S.Zero, oo: oo}.get(x)

    def fdiff(self, argindex: int = 1) -> Expr:
        return sigmoid(self.args[0])

    def elementary(self) -> Expr:
        return log(1 + exp(self.args[0]))


class Orthant(Whole):
    """P(u > 0, v > 0); its derivative in k is the density at the origin, 1/(2 pi sqrt(pq - k^2))."""

    @classmethod
    def eval(cls, p: Expr, q: Expr, k: Expr) -> Expr | None:
        return S.Half if p == q == k else None

    def fdiff(self, argindex: int = 1) -> Expr:
        p, q, k = self.args
        density = 1 / (2 * pi * sqrt(p * q - k**2))
        return (-k / (2 * p) * density, -k / (2 * q) * density, density)[argindex - 1]

    def elementary(self) -> Expr:
        p, q, k = self.args
        return Rational(1, 4) + asin(k / sqrt(p * q)) / (2 * pi)


class Ramp(Whole):
    """E[max(u, 0) max(v, 0)]; its derivative in k is Orthant(p, q, k) (Price)."""

    @classmethod
    def eval(cls, p: Expr, q: Expr, k: Expr) -> Expr | None:
        return p / 2 if p == q == k else None

    def fdiff(self, argindex: int = 1) -> Expr:
        p, q, k = self.args
        if argindex == 3:
            return Orthant(p, q, k)
        return sqrt(p * q - k**2) / (4 * pi * (p, q)[argindex - 1])

    def elementary(self) -> Expr:
        p, q, k = self.args
        return (sqrt(p * q - k**2) + k * (pi - acos(k / sqrt(p * q)))) / (2 * pi)


def elementary(expr: Expr) -> Expr:
    """Spell every whole function out, innermost first.

    >>> from sympy.abc import a
    >>> elementary(a * sigmoid(a))
    a/(1 + exp(-a))
    """
    return expr.replace(lambda e: isinstance(e, Whole), lambda e: e.elementary())
