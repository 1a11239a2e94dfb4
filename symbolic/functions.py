"""Words that SymPy lacks: the variable of an activation, and functions kept whole until they are shown.

sigmoid(x) = 1/(1 + exp(-x)), softplus(x) = log(1 + exp(x)).
"""

from typing import Any

from sympy import Expr, Function, S, Symbol, exp, factorial, log, oo

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


def elementary(expr: Expr) -> Expr:
    """Spell every whole function out, innermost first.

    >>> from sympy.abc import a
    >>> elementary(a * sigmoid(a))
    a/(1 + exp(-a))
    """
    return expr.replace(lambda e: isinstance(e, Whole), lambda e: e.elementary())


def taylor(expr: Expr, x: Symbol, n: int) -> list[Expr]:
    """The first n coefficients of the power series at x = 0.

    >>> taylor(1/(1 - X), X, 3)
    [1, 1, 1]
    """
    out = []
    for j in range(n):
        out.append(expr.subs(x, 0) / factorial(j))
        expr = expr.diff(x)
    return out
