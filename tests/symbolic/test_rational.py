"""Means of rational functions with imaginary poles against mpmath's quadrature, and what is none of them."""

import mpmath
import pytest
from sympy import Expr, Rational, S, exp, lambdify

from symbolic.closing import formula
from symbolic.functions import X
from symbolic.gaussian import Mean, q
from symbolic.rational import is_rational, rational_mean
from symbolic.terms import Open

BODIES = [1 / (X**2 + 1), X**2 / (X**2 + 3) ** 3 + X**4, (X / (1 + X**2)) ** 2, 1 / (2 + 3 * X**2) ** 4, X / (1 + X**2)]


@pytest.mark.parametrize("variance", [Rational(1, 50), S.One, Rational(30)])
@pytest.mark.parametrize("body", BODIES, ids=str)
def test_a_rational_mean_is_its_integral(body: Expr, variance: Expr) -> None:
    f = lambdify(X, body, "mpmath")
    with mpmath.workdps(40):
        root = mpmath.sqrt(mpmath.mpf(variance.p) / variance.q)
        wanted = mpmath.quad(lambda z: f(root * z) * mpmath.npdf(z), [-20, -3, -1, 0, 1, 3, 20])
        found = mpmath.mpf(rational_mean(body, variance).evalf(40, maxn=400))
        assert abs(found - wanted) < mpmath.mpf(10) ** -28
        assert found == 0 or abs(found - 2 * wanted) > mpmath.mpf(10) ** -12


def test_arctan_is_critical_at_exactly_two() -> None:
    """E 1/(1 + u^2)^2 = 1/2 at variance 1."""
    assert formula(Mean(1 / (1 + X**2) ** 2, q)).subs(q, 1).simplify() == Rational(1, 2)


def test_other_poles_stay_open() -> None:
    assert not is_rational(X**3 + 1) and not is_rational(exp(X) / (1 + X**2))
    for body in (1 / (X**2 + X + 1), 1 / (X**4 + 1), 1 / ((X**2 + 1) * (X**2 + 2 * X + 2))):
        with pytest.raises(Open):
            rational_mean(body, S.One)
