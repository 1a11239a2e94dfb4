"""The words SymPy lacks: values, derivatives, limits."""

import pytest
from sympy import Expr, Rational, Symbol, exp, log, oo, pi

from symbolic.atoms import Orthant, Ramp
from symbolic.functions import Whole, X, elementary, sigmoid, softplus
from symbolic.gaussian import k, p, q

POINT = {p: Rational(13, 10), q: Rational(7, 10), k: Rational(-2, 5), X: Rational(3, 7)}
WHOLE = [sigmoid(X), softplus(X), Orthant(p, q, k), Ramp(p, q, k)]


@pytest.mark.parametrize("whole", WHOLE, ids=str)
def test_a_derivative_is_that_of_the_definition(whole: Expr) -> None:
    """In every argument, to 25 digits; second derivatives too."""
    for s in whole.args:
        for order in (1, 2):
            error = elementary(whole.diff(s, order)) - elementary(whole).diff(s, order)
            assert abs(error.subs(POINT).evalf(30)) < Rational(1, 10**25)


@pytest.mark.parametrize("whole", WHOLE, ids=str)
def test_a_number_comes_out_at_any_precision(whole: Expr) -> None:
    """evalf goes through the definition."""
    assert abs(whole.subs(POINT).evalf(40) - elementary(whole).subs(POINT).evalf(40)) < Rational(1, 10**38)


@pytest.mark.parametrize("whole", WHOLE, ids=str)
def test_a_word_stays_whole_and_real(whole: Expr) -> None:
    """Nothing is spelled out before it is shown."""
    assert isinstance(whole, Whole) and whole.is_extended_real
    assert not elementary(whole).has(Whole)


@pytest.mark.parametrize(("found", "value"), [
    (sigmoid(0), Rational(1, 2)), (sigmoid(oo), 1), (sigmoid(-oo), 0), (softplus(0), log(2)), (softplus(-oo), 0),
    (softplus(oo), oo),
    (Orthant(q, q, q), Rational(1, 2)), (Ramp(q, q, q), q / 2),
    (Orthant(p, q, k).subs({p: 2, q: 2, k: 2}), Rational(1, 2)),
])  # fmt: skip
def test_exact_values(found: Expr, value: Expr) -> None:
    """Ends of the axis, the origin, and equal variables."""
    assert found == value


@pytest.mark.parametrize(("point", "orthant", "ramp"), [
    ((1, 1, 0), Rational(1, 4), 1 / (2 * pi)), ((1, 1, -1), 0, 0), ((4, 1, 2), Rational(1, 2), 1), ((4, 1, -2), 0, 0),
    ((1, 1, Rational(1, 2)), Rational(1, 3), None),
])  # fmt: skip
def test_orthants_at_special_angles(point: tuple[Expr, ...], orthant: Expr, ramp: Expr | None) -> None:
    """P(u > 0, v > 0) is the angle over 2 pi; the ramp at right angles is 1/(2 pi)."""
    assert elementary(Orthant(*point)).simplify() == orthant
    assert ramp is None or (elementary(Ramp(*point)) - ramp).simplify() == 0


def test_price_links_the_two_moments() -> None:
    """d Ramp/dk = Orthant, d Orthant/dk = the density at the origin."""
    assert Ramp(p, q, k).diff(k) == Orthant(p, q, k)
    assert (Orthant(p, q, k).diff(k).subs({p: 1, q: 1, k: 0}) - 1 / (2 * pi)) == 0


def test_spelling_out_reaches_nested_words() -> None:
    """Innermost first."""
    a = Symbol("a")
    assert elementary(softplus(sigmoid(a))) == log(1 + exp(1 / (1 + exp(-a))))
    assert elementary(a**2) == a**2
