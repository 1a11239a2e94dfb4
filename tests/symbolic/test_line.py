"""Means over one variable with thresholds anywhere: second moments, slopes, curvatures and moments to order 8."""

import mpmath as mp
import pytest
from sympy import Abs, Expr, Heaviside, Max, Min, Rational, S, Symbol, cos, erf, exp, expand, sin, sqrt

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.atoms import Bvn
from symbolic.closing import close, formula
from symbolic.functions import X, elementary
from symbolic.gaussian import Mean, PairMean, q
from symbolic.landmarks import kinks, slope
from symbolic.line import line_mean
from symbolic.terms import Open
from tests.symbolic.quadrature_oracle import mean

r = Rational
BENT: dict[str, Expr] = {
    "elu": ACT["elu"].formula,
    "selu": ACT["selu"].formula,
    "hard_tanh": ACT["hard_tanh"].formula,
    "hard_sigmoid": Max(0, Min(1, X / 6 + r(1, 2))),
    "hard_swish": X * Max(0, Min(6, X + 3)) / 6,
    "relu6": Min(Max(X, 0), 6),
    "shifted relu": Max(X - 1, 0),
    "tent": Max(0, 1 - Abs(X)),
    "window of exp": exp(X / 2) * Heaviside(X + 1) * Heaviside(2 - X),
    "clipped erf": Min(Max(X, -1), 2) * erf(X),
    "shifted gelu": (X - 1) * (1 + erf((X - 1) / sqrt(2))) / 2,
}
# two erf over an interval; the square of the delta of a jump
OPEN = {("clipped erf", "square"), ("clipped erf", "slope"), ("window of exp", "slope")}
SPLINES = [name for name in BENT if not BENT[name].has(erf)]


def value(expr: Expr, variance: Expr) -> float:
    return float(elementary(expr).subs(q, variance).evalf(25, maxn=200))


@pytest.mark.parametrize("name", BENT)
@pytest.mark.parametrize("what", ["mean", "square", "slope"])
def test_a_mean_agrees_with_quadrature(name: str, what: str) -> None:
    """E phi, E phi^2 and E phi'^2 at three variances."""
    f = BENT[name]
    body = {"mean": f, "square": f**2, "slope": slope(f) ** 2}[what]
    if (name, what) in OPEN:
        with pytest.raises(Open):
            line_mean(body, q)
        return
    closed = line_mean(body, q)
    for variance in (r(1, 4), r(2), r(9)):
        assert value(closed, variance) == pytest.approx(mean(body, float(variance)), rel=2e-12, abs=1e-13)


@pytest.mark.parametrize("name", SPLINES)
@pytest.mark.parametrize("power", [3, 4, 8])
def test_higher_moments_agree_with_quadrature(name: str, power: int) -> None:
    """Moments to order 8 of everything without erf."""
    body = BENT[name] ** power
    assert value(line_mean(body, q), r(3, 4)) == pytest.approx(mean(body, 0.75), rel=2e-12, abs=1e-13)


@pytest.mark.parametrize("name", ["relu", "elu", "gelu", "erf", "hard_tanh", "leaky_relu"])
def test_curvature_is_the_slope_of_the_length_map(name: str) -> None:
    """E phi'^2 + E phi phi'' = d/dq E phi^2 (the heat equation): deltas at kinks included."""
    f = ACT[name].formula
    left = line_mean(slope(f) ** 2, q) + line_mean(f * slope(slope(f)), q)
    right = elementary(line_mean(f**2, q)).diff(q)
    for variance in (r(1, 3), r(5, 2)):
        assert value(left, variance) == pytest.approx(value(right, variance), rel=1e-13, abs=1e-15)


def test_a_shifted_mean_is_that_of_the_shifted_function() -> None:
    """E f(m + s w): thresholds, erf and exp move with m."""
    m, shift = Symbol("m", real=True), r(3, 7)
    for f in BENT.values():
        moved = line_mean(f, q, m).subs(m, shift)
        assert value(moved, r(2)) == pytest.approx(mean(f.subs(X, X + shift), 2.0), rel=2e-12, abs=1e-13)


def test_the_bivariate_normal_is_an_atom_only_where_it_has_to_be() -> None:
    """An erf cut at a threshold needs it; at 0 an arcsine does. Numbers then come from the integral, not from it."""
    needs, does_not = line_mean(Heaviside(X - 1) * erf(X), q), line_mean(Heaviside(X) * X * erf(X), q)
    assert needs.has(Bvn) and not does_not.has(Bvn)
    assert formula(Mean(Heaviside(X - 1) * erf(X), q)).has(Bvn)
    assert close(Mean(Heaviside(X - 1) * erf(X), q)).has(Mean)


@pytest.mark.parametrize("body", [erf(X) ** 4, X**2 * erf(X) ** 4, Max(X, -1) * erf(X) ** 2, Max(X, 1) * sin(X)])
def test_what_has_no_such_formula_stays_open(body: Expr) -> None:
    """E erf^4 is a four-orthant probability, sin on a half-line an erf of a complex number."""
    with pytest.raises(Open):
        line_mean(body, q)


def test_numbers_of_tails_come_from_the_integral() -> None:
    """E elu^2 in closed form is a sum of terms of size 1, of which a variance of 1e-10 leaves nothing."""
    square = Mean(ACT["elu"].formula ** 2, q)
    assert not formula(square).has(Mean) and close(square) == square
    naive = float(elementary(formula(square)).subs(q, 1e-10).evalf(16, maxn=16, strict=False))
    assert abs(naive - 1e-10) > 1e-18


def test_odd_products_of_erf_close_however_many() -> None:
    """E erf^3 = 0 and E u erf^3 by parts, against quadrature."""
    assert line_mean(erf(X) ** 3, q) == 0
    assert value(line_mean(X * erf(X) ** 3, q), r(2)) == pytest.approx(mean(X * erf(X) ** 3, 2.0), rel=1e-13)


def test_chirps_have_real_formulas() -> None:
    """E cos(u^2), E u sin(u^2 + u), against mpmath, where quadrature has to follow the oscillation."""
    for body in (cos(X**2), X * sin(X**2 + X)):
        found = formula(Mean(body, q)).subs(q, r(3, 2)).evalf(20)
        f = lambda z, body=body: body.subs(X, sqrt(r(3, 2)) * z)  # noqa: E731
        points = [mp.mpf(i) / 2 for i in range(-22, 23)]
        direct = mp.quad(lambda z, f=f: mp.mpf(f(z).evalf(25)) * mp.npdf(z), points, maxdegree=4)
        assert abs(mp.mpf(found) - direct) < mp.mpf(10) ** -14


def test_pieces_tell_where_a_formula_bends() -> None:
    """The mean of a spline is the sum over its pieces, so losing one is seen."""
    f = BENT["hard_swish"]
    assert len(kinks(f)) == 2
    whole, part = line_mean(f, q), line_mean(f * Heaviside(X + 3), q)
    assert expand(whole - part) == 0 and abs(value(line_mean(f * Heaviside(X - 1), q) - whole, r(2))) > 0.04


def test_a_pair_of_equal_arguments_is_a_mean() -> None:
    """E f(u) g(u) closes as a mean over one variable."""
    assert PairMean(Max(X - 1, 0), X, q, q, q) == Mean(X * Max(X - 1, 0), q)
    assert not formula(PairMean(Max(X - 1, 0), X, q, q, q)).has(Mean)
    assert S.Zero == line_mean(S.Zero, q)
