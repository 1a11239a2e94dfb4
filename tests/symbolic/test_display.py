"""Formulas come out in the form a paper would print, equal to what was derived."""

import pytest
from sympy import Abs, Expr, Max, Rational, Symbol, count_ops, erf, exp, sin, sqrt

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.closing import close, formula
from symbolic.display import printed
from symbolic.functions import X, elementary
from symbolic.gaussian import Mean, PairMean, k, p, q

a = Symbol("a", positive=True)
POINTS = [{p: Rational(13, 10), q: Rational(7, 10), k: s * Rational(2, 5), a: Rational(5, 8)} for s in (1, -1)]
SHOWN: dict[str, tuple[Expr, str]] = {
    "relu": (Max(X, 0), "(k*(pi - acos(k/(sqrt(p)*sqrt(q)))) + sqrt(-k**2 + p*q))/(2*pi)"),
    "relu^2": (
        Max(X, 0) ** 2,
        "(3*k*sqrt(-k**2 + p*q) + (pi - acos(k/(sqrt(p)*sqrt(q))))*(2*k**2 + p*q))/(2*pi)",
    ),
    "step": (ACT["step"].formula, "(pi - acos(k/(sqrt(p)*sqrt(q))))/(2*pi)"),
    "abs": (Abs(X), "2*(k*asin(k/(sqrt(p)*sqrt(q))) + sqrt(-k**2 + p*q))/pi"),
    "erf": (erf(a * X), "2*asin(2*a**2*k/(sqrt(2*a**2*p + 1)*sqrt(2*a**2*q + 1)))/pi"),
    "x^8": (
        X**8,
        "315*(128*k**8 + 1792*k**6*p*q + 3360*k**4*p**2*q**2 + 1120*k**2*p**3*q**3 + 35*p**4*q**4)",
    ),
    "gelu": (
        ACT["gelu"].formula,
        "(2*k*asin(k/(sqrt(p + 1)*sqrt(q + 1)))/pi + k"
        " + 2*(-k**2*(p*q - 1)/((p + 1)*(q + 1)) + p*q)/(pi*sqrt(-k**2 + (p + 1)*(q + 1))))/4",
    ),
    "odd gaussian": (X * exp(-(X**2) / 2), "k/(-k**2 + (p + 1)*(q + 1))**(3/2)"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_form_of_a_paper(name: str) -> None:
    """Radicals once, determinants as products minus k^2, angles as arc cosines where orthants are."""
    f, text = SHOWN[name]
    assert str(formula(PairMean(f, f, p, q, k))) == text


@pytest.mark.parametrize("f", [f for f, _ in SHOWN.values()] + [X**3 * erf(X), Max(X, 0) ** 4, X + sin(X) ** 2 / a])
def test_what_is_shown_equals_what_was_derived(f: Expr) -> None:
    """To 25 digits, at both signs of k; and it is no longer than the derivation's own form."""
    derived = close(PairMean(f, f, p, q, k))
    shown = printed(derived)
    for point in POINTS:
        assert abs((shown - elementary(derived)).subs(point).evalf(30, maxn=300)) < Rational(1, 10**25)
    assert count_ops(shown) <= count_ops(elementary(derived))


def test_one_variable_formulas_are_collected() -> None:
    """The moments of hard tanh by powers, that of GELU over its radicals."""
    assert str(formula(Mean(ACT["hard_tanh"].formula ** 4, q))) == (
        "-sqrt(2)*sqrt(q)*(3*q + 1)*exp(-1/(2*q))/sqrt(pi) + (3*q**2 - 1)*erf(sqrt(2)/(2*sqrt(q))) + 1"
    )
    assert formula(Mean(ACT["gelu"].formula ** 3, q)).has(1 / sqrt(3 * q + 1))
