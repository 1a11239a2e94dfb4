"""Certified digits: every ball holds the value that a second method gives, and none holds a wrong one."""

import json
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import (
    Abs,
    DiracDelta,
    Expr,
    Float,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    acos,
    asin,
    atan,
    atan2,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    lambdify,
    log,
    pi,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

import meanfield as mf
from meanfield.ball_means import Scaled, mean
from meanfield.ball_series import coefficients
from meanfield.balls import compiled, constant
from meanfield.rigorous import (
    Ball,
    NotCertified,
    certified_edge,
    enclose_dual,
    enclose_mean,
    enclose_pair,
    isolated,
    newton,
)
from symbolic.activations import ACTIVATIONS as ACT
from symbolic.atoms import Bvn
from symbolic.closing import formula
from symbolic.functions import X, elementary, sigmoid, softplus
from symbolic.gaussian import PairMean, k, p, q

flint = pytest.importorskip("flint")
r = Rational
HARD_TANH = Max(-1, Min(1, X))


def inside(ball: Any, value: Any, slack: float = 1e-55) -> bool:
    """Whether a real ball reaches a number known to `slack`."""
    with mpmath.workdps(60):
        value = mpmath.mpf(str(value.evalf(65))) if isinstance(value, Expr) else value
        mid, rad = (mpmath.mpf(x.str(70, radius=False)) for x in (ball.mid(), ball.rad()))
        return bool(abs(mid - value) <= rad + slack * (1 + abs(value)))


# --- balls


@pytest.mark.parametrize(("value", "digits", "shown"), [
    ("0.81332232687287101326 +/- 1e-20", 15, "0.813322326872871(1)"), ("0.5", 50, "0.5"), ("0", 9, "0"),
    ("-1234.5678 +/- 0.02", 15, "-1234.57(3)"), ("0.25 +/- 1", 5, "0(2)"), ("1e-30 +/- 1e-40", 5, "1.0000(1)E-30"),
    ("3.25e40 +/- 1e30", 4, "3.250(1)E+40"), ("0 +/- 3e-20", 15, "0(4)E-20"),
])  # fmt: skip
def test_a_ball_is_printed_with_its_last_digit_in_doubt(value: str, digits: int, shown: str) -> None:
    with flint.ctx.workprec(100):
        assert str(Ball.of(flint.arb(value), digits)) == shown


@given(st.floats(-1e6, 1e6), st.floats(0, 10), st.integers(1, 30))
def test_a_printed_ball_holds_the_whole_arb(mid: float, rad: float, digits: int) -> None:
    """Rounding to decimals never loses a point."""
    ball = Ball.of(flint.arb(mid, rad), digits)
    for x in (Fraction(mid) - Fraction(rad), Fraction(mid), Fraction(mid) + Fraction(rad)):
        assert ball.contains(x)


def test_a_ball_holds_numbers_of_every_kind() -> None:
    """Taken exactly: the float 0.1 is not a tenth."""
    tenth = Ball("0.1", "0", 17)
    for x in ("0.1", Fraction(1, 10), r(1, 10)):
        assert tenth.contains(x)
    for x in (0.1, np.float64(0.1), Float(0.1), mpmath.mpf(0.1)):
        assert not tenth.contains(x) and Ball("0.1", "1e-16", 17).contains(x)
    assert not tenth.contains(0) and tenth.overlaps(Ball("0.2", "0.1", 1)) and not tenth.overlaps(Ball("0.3", "0.1", 1))
    assert float(tenth) == 0.1 and json.loads(json.dumps(tenth.to_dict())) == {
        "mid": "0.1",
        "radius": "0",
        "digits": 17,
    }


# --- formulas at balls

SMOOTH: list[Expr] = [
    tanh(X), X * sigmoid(2 * X), softplus(X), erf(X) * erfc(X / 2), exp(-(X**2)) * sin(3 * X), cos(X) / (2 + sin(X)),
    atan(X) ** 3, asin(tanh(X)), acos(X / 9), log(1 + X**2), sqrt(1 + X**2), (1 + X**2) ** r(-2, 3), 2**X,
    sinh(X) / cosh(X), X * tanh(softplus(X)), tan(X / 9), (1 + X**2) ** sqrt(2), Float(0.1) * X + pi,
]  # fmt: skip
KINKED = [
    Max(X, 0), HARD_TANH, Abs(X - 1), sign(X) * X**2, Heaviside(X - 1) * X, sqrt(Abs(X)),
    Piecewise((X, X > 0), (exp(X) - 1, True)), Piecewise((1, (X > 1) | (X < -1)), (X**2, X <= 0), (-X, True)),
]  # fmt: skip


def mp_function(body: Expr) -> Callable[[Any], Any]:
    body = elementary(body).replace(Heaviside, lambda x, *_: Piecewise((1, x > 0), (0, True)))
    return lambdify(X, body, "mpmath")


@pytest.mark.parametrize("body", [*SMOOTH, *KINKED], ids=str)
def test_a_formula_at_a_ball_holds_its_values_inside(body: Expr) -> None:
    """At points, and at wide balls for every point of theirs."""
    f, evaluate = mp_function(body), compiled(body)
    with flint.ctx.workprec(200), mpmath.workdps(60):
        for mid in (-2.75, -0.5, 0.125, 1.5, 3.25):
            assert inside(evaluate(flint.arb(mid), False), f(mpmath.mpf(mid)))
            wide = evaluate(flint.arb(mid, 0.75), False)
            assert not wide.is_finite() or all(inside(wide, f(mpmath.mpf(mid) + d)) for d in (-0.75, -0.3, 0.1, 0.75))


@pytest.mark.parametrize("body", SMOOTH, ids=str)
def test_a_smooth_formula_at_a_complex_ball_holds_its_values(body: Expr) -> None:
    f, evaluate = mp_function(body), compiled(body)
    with flint.ctx.workprec(200), mpmath.workdps(60):
        for z in (mpmath.mpc(0.5, 0.25), mpmath.mpc(-1.5, -0.5)):
            found, value = evaluate(flint.acb(float(z.real), float(z.imag)), True), f(z)
            assert inside(found.real, value.real) and inside(found.imag, value.imag)


@pytest.mark.parametrize(("body", "point"), [
    (sqrt(X), -1), (log(X), -1), (X ** r(1, 3), -2), (asin(X), 2), (acos(X), -2), (atan(X), 2j),
    (log(1 + exp(X)), 3.5j), (1 / X, 0), (tanh(X), 1.5j),
])  # fmt: skip
def test_no_number_where_a_formula_is_not_holomorphic(body: Expr, point: complex) -> None:
    """On a ball across a cut or a pole, where an integral would be wrong."""
    z = complex(point)
    around = flint.acb(flint.arb(z.real, 0.1), flint.arb(z.imag, 0.5))
    assert not compiled(body)(around, True).is_finite()
    assert compiled(body)(flint.acb(0.5, 0.25), True).is_finite()


@pytest.mark.parametrize("number", [
    sqrt(2) * pi / 3, asin(1), Max(pi, 3), atan2(1, -2), exp(1), 2 ** sqrt(2), sigmoid(r(1, 7)), softplus(-3),
    Bvn(r(1, 3), -1, r(1, 2)), Float("0.1", 40), r(1, 3) ** r(2, 3), sign(-pi), Abs(1 - pi),
], ids=str)  # fmt: skip
def test_a_constant_is_enclosed(number: Expr) -> None:
    with flint.ctx.workprec(200):
        found = constant(number)
        assert inside(found, number, 1e-50) and found.rad() < 1e-50


# --- one variable

MEANS: list[tuple[Expr, Expr]] = [
    (Max(X, 0) ** 2, q / 2), (erf(X) ** 2, 2 / pi * asin(2 * q / (1 + 2 * q))), (sin(X) ** 2, (1 - exp(-2 * q)) / 2),
    (exp(X), exp(q / 2)), (exp(-(X**2)), 1 / sqrt(1 + 2 * q)), (Abs(X), sqrt(2 * q / pi)), (Heaviside(X), r(1, 2)),
    (X**4, 3 * q**2), (HARD_TANH.diff(X) ** 2, erf(1 / sqrt(2 * q))), (X * erf(X), 2 * q / sqrt(pi * (1 + 2 * q))),
    (Piecewise((X**2, X > 1), (0, True)), q * erfc(1 / sqrt(2 * q)) / 2 + sqrt(q / (2 * pi)) * exp(-1 / (2 * q))),
    (cosh(X), exp(q / 2)), (sigmoid(X), r(1, 2)),
]  # fmt: skip


@pytest.mark.parametrize("variance", ["1e-6", "0.7", "1000"])
@pytest.mark.parametrize(("body", "value"), MEANS, ids=lambda x: str(x))
def test_a_mean_with_a_formula_is_enclosed(body: Expr, value: Expr, variance: str) -> None:
    """To 40 digits from tiny to huge variances, kinks at irrational places of the window included."""
    found = enclose_mean(body, variance, 40)
    exact = value.subs(q, r(variance)).evalf(70)
    assert found.contains(exact)
    if exact > Float("1e-40"):  # below, it counts as 0
        assert Fraction(found.radius) <= Fraction(3, 10**39) * abs(Fraction(found.mid))
        assert not found.contains(exact * (1 + Float("1e-38", 60)))


@pytest.mark.parametrize("body", [tanh(X) ** 2, (X * tanh(softplus(X))) ** 2, sqrt(Abs(X)), atan(X) ** 2], ids=str)
def test_a_mean_without_a_formula_is_enclosed(body: Expr) -> None:
    """Against mpmath's quadrature at 60 digits."""
    f = mp_function(body)
    with mpmath.workdps(60):
        value = mpmath.quad(lambda z: (f(z) + f(-z)) * mpmath.npdf(z), [0, 1, 2, 4, 8, 17])
        found = enclose_mean(body, 1, 45)
        assert abs(mpmath.mpf(found.mid) - value) <= mpmath.mpf(found.radius) + mpmath.mpf(10) ** -55


def test_a_variance_may_be_a_ball() -> None:
    """The mean of a ball holds those of its points."""
    around = flint.arb("0.7 +/- 0.01")
    found = mean((Scaled(tanh(X), around), Scaled(tanh(X), around)), flint.arb("1e-12"))
    for variance in ("0.69", "0.7", "0.71"):
        assert found.contains(flint.arb(enclose_mean(tanh(X) ** 2, variance, 20).mid))


def test_a_moment_of_order_two_is_the_derivative_in_the_variance() -> None:
    """E (z^2 - 1) h = 2 q d/dq E h, here for h = erf(x)^2 and for a kinked h."""
    for body, value in ((erf(X) ** 2, MEANS[1][1]), (HARD_TANH.diff(X) ** 2, erf(1 / sqrt(2 * q)))):
        with flint.ctx.workprec(160):
            found = mean((Scaled(body, r(7, 10)),), flint.arb("1e-35"), order=2)
            assert inside(found, (2 * q * value.diff(q)).subs(q, r(7, 10)))
            assert found.rad() < 1e-30


# --- two variables

CLOSED = ["relu", "leaky_relu", "abs", "step", "sign", "erf", "phi", "gelu", "sin", "cos", "exp", "gaussian", "linear"]


@pytest.mark.parametrize("name", CLOSED)
def test_two_certificates_of_one_dual_overlap(name: str) -> None:
    """The formula in balls and the Hermite series know nothing of each other."""
    f = ACT[name].formula
    numbers = ("1.3", "0.7", "0.4")
    expr = formula(PairMean(f, f, p, q, k))
    closed, series = enclose_dual(expr, f, f, *numbers, digits=20), enclose_pair(f, f, *numbers, digits=20)
    assert closed.overlaps(series)
    for ball in (closed, series):
        assert Fraction(ball.radius) <= Fraction(3, 10**19) * abs(Fraction(ball.mid))
        shifted = Fraction(ball.mid) * (1 + Fraction(1, 10**18))
        assert not closed.contains(shifted) and not series.contains(shifted)


def trapezoid(f: Callable[[Any], Any], g: Callable[[Any], Any], rho: Any, step: Any, reach: int) -> Any:
    """E f(u) g(v) for unit variances on a grid; its error falls exponentially in 1/step for functions holomorphic in a
    strip."""
    rest, nodes = mpmath.sqrt(1 - rho**2), [step * i for i in range(-int(reach / step), int(reach / step) + 1)]
    weights = [step * mpmath.npdf(z) for z in nodes]
    pairs = list(zip(nodes, weights, strict=True))
    return mpmath.fsum(a * f(z) * mpmath.fsum(b * g(rho * z + rest * w) for w, b in pairs) for z, a in pairs)


def test_the_tanh_dual_to_fifty_digits() -> None:
    """At correlation 1/2, against a two-dimensional sum to 24 digits; the other digits are a record."""
    found = enclose_pair(tanh(X), tanh(X), 1, 1, r(1, 2), 50)
    assert str(found) == "0.18632441320344808610678288997240866245763904979007(1)"
    with mpmath.workdps(30):
        value = trapezoid(mpmath.tanh, mpmath.tanh, mpmath.mpf(1) / 2, mpmath.mpf("0.17"), 11)
        assert abs(mpmath.mpf(found.mid) - value) < mpmath.mpf(10) ** -24


@pytest.mark.parametrize(("f", "g"), [
    (ACT["elu"].formula, ACT["elu"].formula), (ACT["tanh"].formula, ACT["relu"].formula),
    (HARD_TANH, ACT["selu"].formula), (sqrt(Abs(X)), tanh(X) ** 2), (exp(X**2 / 10), ACT["mish"].formula),
], ids=str)  # fmt: skip
def test_a_pair_is_that_of_its_swap_and_of_its_reflection(f: Expr, g: Expr) -> None:
    """E f(u) g(v) = E g(v) f(u) = E f(u) g(-(-v)), and another split of the same sum agrees."""
    one = enclose_pair(f, g, "1.3", "0.7", "0.4", 15)
    assert one.overlaps(enclose_pair(g, f, "0.7", "1.3", "0.4", 12))
    assert one.overlaps(enclose_pair(f, g.subs(X, -X), "1.3", "0.7", "-0.4", 14))
    assert Fraction(one.radius) < Fraction(3, 10**14) * abs(Fraction(one.mid))


@pytest.mark.parametrize(("variance", "rho"), [("1e-6", "0.5"), ("1000", "0.5"), ("1000", "-0.9"), ("1e-6", "0")])
@pytest.mark.parametrize("name", ["erf", "gelu", "relu"])
def test_extreme_variances(name: str, variance: str, rho: str) -> None:
    f, k_value = ACT[name].formula, str(r(variance) * r(rho))
    exact = formula(PairMean(f, f, p, q, k)).subs({p: r(variance), q: r(variance), k: r(k_value)}).evalf(50)
    found = enclose_pair(f, f, variance, variance, Fraction(k_value), 15)
    assert found.contains(exact) and Fraction(found.radius) < Fraction(1, 10**8) * Fraction(variance)


@pytest.mark.parametrize("name", ["relu", "tanh", "elu", "gelu", "step"])
def test_at_correlation_one_the_pair_is_one_mean(name: str) -> None:
    """And at -1 that of the reflection, also for unequal variances: f(u) g(-2 u)."""
    f = ACT[name].formula
    assert enclose_pair(f, f, 2, 2, 2, 20).overlaps(enclose_mean(f**2, 2, 20))
    assert enclose_pair(f, f, 2, 2, -2, 20).overlaps(enclose_mean(f * f.subs(X, -X), 2, 20))
    assert enclose_pair(f, f, "0.5", 2, -1, 20).overlaps(enclose_mean(f * f.subs(X, -2 * X), "0.5", 20))


@pytest.mark.parametrize("rho", ["0.99999999", "-0.99999999"])
@pytest.mark.parametrize("name", ["relu", "gelu", "erf"])
def test_near_correlation_one_the_ball_is_wider_and_still_holds_the_value(name: str, rho: str) -> None:
    f = ACT[name].formula
    exact = formula(PairMean(f, f, p, q, k)).subs({p: 1, q: 1, k: r(rho)}).evalf(50)
    assert enclose_pair(f, f, 1, 1, rho, 12).contains(exact)


@pytest.mark.parametrize("name", ["relu", "gelu", "erf", "tanh"])
def test_a_dual_is_enclosed_by_its_formula_or_its_series_or_one_integral(name: str) -> None:
    """A formula keeps all digits near correlation 1 and gives way to one integral at it."""
    f = ACT[name].formula
    expr = formula(PairMean(f, f, p, q, k))
    near, at = (enclose_dual(expr, name, f, 1, 1, rho, 30) for rho in (r("0.99999999"), 1))
    assert abs(Fraction(near.mid) - Fraction(at.mid)) < Fraction(1, 10**7)
    assert at.overlaps(enclose_mean(f**2, 1, 30))
    if name != "tanh":
        assert near.overlaps(enclose_pair(f, f, 1, 1, r("0.99999999"), 12))
        assert Fraction(near.radius) < Fraction(1, 10**28)


def test_a_variable_without_variance_is_its_value_at_zero() -> None:
    """The step is 1/2 there."""
    assert enclose_pair(ACT["step"].formula, cosh(X), 0, 2, 0, 20).overlaps(enclose_mean(cosh(X) / 2, 2, 20))
    assert enclose_pair(exp(X), 1 + X, 0, 0, 0, 20) == Ball("1", "0", 20)


def test_hermite_coefficients_of_a_kinked_and_of_a_smooth_function() -> None:
    """ReLU: 1/sqrt(2 pi), 1/2, 1/(2 sqrt(pi)), 0, ...; sin: (-1)^m exp(-1/2)/sqrt((2 m + 1)!)."""
    with flint.ctx.workprec(120):
        relu = coefficients(Scaled(Max(X, 0), r(1)), 4, flint.arb("1e-30"))
        waves = coefficients(Scaled(sin(X), r(1)), 3, flint.arb("1e-30"))
        wanted = [1 / sqrt(2 * pi), r(1, 2), 1 / (2 * sqrt(pi)), 0, -1 / sqrt(48 * pi)]
        wanted_waves = [0, exp(-r(1, 2)), 0, -exp(-r(1, 2)) / sqrt(6)]
        for found, exact in zip([*relu, *waves], [*wanted, *wanted_waves], strict=True):
            assert found.overlaps(constant(exact + 0 * pi)) and found.rad() < 1e-28


@pytest.mark.parametrize("name", ["tanh", "silu", "elu", "erf", "gelu"])
def test_what_the_library_computes_lies_in_its_enclosure(name: str) -> None:
    """Up to the rounding of float64."""
    for numbers in ((1.3, 0.7, 0.4), (0.01, 2.0, -0.1), (25.0, 25.0, 12.5)):
        ball = enclose_pair(ACT[name].formula, ACT[name].formula, *numbers, digits=15)
        assert float(mf.dual(name)(*numbers)) == pytest.approx(float(ball), rel=2e-13, abs=1e-16)


# --- the edge of chaos

EDGES = [  # activation, sigma_b^2, q*, sigma_w^2, chi_q: computed with 34 digits by mpmath, printed to about 16
    ("tanh", "0.05", 0.5700478816407641, 1.760954639606739, 0.518186484068),
    ("tanh", "1", 3.036396394623703, 3.44321091226544, 0.186370964717),
    ("erf", "0.05", 0.5171768379805644, 1.37583900734668, 0.491556611722),
    ("sin", "0.25", 1.01977479122869, 1.76977479122869, 0.230225208771),
    ("arctan", "0.09", 0.9417775849171669, 1.959418297040686, 0.515177042959),
    ("gelu", "0.01", 0.183483193107065, 2.98279936904327, 1.09793217017),
    ("silu", "0.09", 1.39959478455672, 2.48258291815968, 1.09399794107),
    ("mish", "0.09", 1.58775800205631, 2.01954562729166, 1.00159680163),
    ("elu", "0.09", 2.03453846476551, 1.59544142841417, 0.863051779578),
    ("selu", "0.09", 1.22196719445771, 0.967648906773499, 0.724845408214),
]


@pytest.mark.parametrize(("name", "bias_var", "length", "weight_var", "chi_q"), EDGES, ids=lambda x: str(x))
def test_a_critical_point_is_certified(
    name: str, bias_var: str, length: float, weight_var: float, chi_q: float
) -> None:
    """From a start with three digits, to 30; the record of another method lies at it, to what it was printed."""
    edge = certified_edge(name, bias_var, near=round(length, 3), digits=30)
    assert float(edge.q) == pytest.approx(length, rel=1e-14)
    assert float(edge.weight_var) == pytest.approx(weight_var, rel=1e-14)
    assert float(edge.chi_q) == pytest.approx(chi_q, abs=1e-11)
    for ball in (edge.q, edge.weight_var, edge.chi_q):
        assert Fraction(ball.radius) <= Fraction(2, 10**28)


def test_a_certified_point_solves_its_equations_to_fifty_digits() -> None:
    """erf: weight_var = pi/4 sqrt(1 + 4q), bias_var = q - sqrt(1 + 4q)/2 asin(2q/(1 + 2q)), at the ball's middle."""
    edge = certified_edge("erf", "0.05", near=0.517, digits=50)
    at = r(edge.q.mid)
    root = sqrt(1 + 4 * at)
    assert abs(at - root / 2 * asin(2 * at / (1 + 2 * at)) - r(1, 20)).evalf(60) < 1e-48
    assert abs((pi / 4 * root).evalf(60) - r(edge.weight_var.mid)) < 1e-48
    assert str(edge.weight_var) == "1.3758390073466804429607647339736045649225355394778(1)"
    assert "exactly one critical point" in str(edge) and json.loads(json.dumps(edge.to_dict()))["bias_var"] == "1/20"


def test_the_figure_of_the_literature_is_excluded() -> None:
    """tanh at sigma_b^2 = 0.05 is quoted as 1.7603; and a neighbour in the 14th digit is no solution either."""
    edge = certified_edge("tanh", "0.05", near=0.57, digits=15)
    assert edge.weight_var.contains("1.760954639606739132")
    assert not edge.weight_var.contains("1.7603") and not edge.weight_var.contains("1.7609546396068")


def test_newton_certifies_a_root_and_refuses_a_ball_without_one() -> None:
    """x^2 - 2 around 1.41 and around 1.5; a double root never."""
    with flint.ctx.workprec(100):
        found = newton(lambda x: x * x - 2, lambda x: 2 * x, flint.arb("1.41 +/- 0.1"))
        assert found is not None and found.contains(flint.arb(2).sqrt()) and found.rad() < 0.1
        assert newton(lambda x: x * x - 2, lambda x: 2 * x, flint.arb("1.5 +/- 0.01")) is None
        assert newton(lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1), flint.arb("1 +/- 0.1")) is None
        with pytest.raises(NotCertified, match="no isolated root"):
            isolated(lambda x: x * x + 1, lambda x: 2 * x, 1.0)


@pytest.mark.parametrize(("name", "near", "why"), [
    ("relu", 1.0, "no isolated root"), ("step", 0.5, "jumps"), ("tanh", 0.0, "a critical length is positive"),
])  # fmt: skip
def test_no_proof_where_there_is_no_isolated_point(name: str, near: float, why: str) -> None:
    with pytest.raises(NotCertified, match=why):
        certified_edge(name, 0, near=near, digits=15)


def test_the_public_face_gives_enclosures() -> None:
    """mf.dual(...).enclose and mf.edge_of_chaos(..., digits=); a block is no activation."""
    assert str(mf.dual("gelu").enclose("1.3", "0.7", "0.4", 15)) == "0.188060676734996(1)"
    assert mf.dual("gelu").derivative.enclose("1.3", "0.7", "0.4", 15).contains("0.324817221804322342")
    assert mf.mean("tanh(x)**2").enclose(1, 15).contains("0.39429449039784117")
    edge = mf.edge_of_chaos("tanh", bias_var="0.05", digits=20)
    assert edge.certified and edge.weight_var == pytest.approx(float(edge.certified.weight_var), rel=1e-14)
    assert "1.7609546396067391316(1)" in str(edge) and json.dumps(edge.to_dict())
    with pytest.raises(NotCertified, match="not of the block"):
        mf.edge_of_chaos(mf.tanh >> mf.Dense(), bias_var=0.05, digits=20)


# --- refusals


@pytest.mark.parametrize(("body", "why"), [
    (exp(X**2 / 2), "infinite"), (Max(sin(X), 0), "kinks .* cannot be listed"), (DiracDelta(X), "delta"),
    (Symbol("a") * X, "not understood"), (sin(X) / X, "singular"), (exp(exp(X)), "not understood"),
])  # fmt: skip
def test_a_mean_that_cannot_be_enclosed_is_refused(body: Expr, why: str) -> None:
    with pytest.raises(NotCertified, match=why):
        enclose_mean(body, 1, 15)


@pytest.mark.parametrize(("arguments", "why"), [
    ((1, 1, 2), r"k\^2 <= p q"), ((-1, 1, 0), "p is a variance"), (("one", 1, 0), "p must be a finite number"),
    ((1, float("nan"), 0), "q must be a finite number"), ((1, 1, pi / 9), "k must be a finite number"),
    ((1, 1, 0, 0), "digits must lie between"),
])  # fmt: skip
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        enclose_pair(X, X, *arguments)


def test_a_missing_flint_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(ImportError, match=r'pip install "meanfield-calculator\[rigorous\]"'):
        enclose_mean(X**6, 1, 15)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "gelu", "mish", "hard_tanh"])
def test_many_digits(name: str) -> None:
    """A hundred digits hold what fifty and twenty do."""
    f = ACT[name].formula
    balls = [enclose_pair(f, f, "1.3", "0.7", "0.4", digits) for digits in (20, 50, 100)]
    assert all(a.overlaps(b) for a in balls for b in balls) and Fraction(balls[2].radius) < Fraction(1, 10**98)
