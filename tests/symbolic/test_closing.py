"""Closed means: every textbook dual, every closed pair against quadrature, and what must stay open."""

from functools import cache

import pytest
from sympy import (
    Abs,
    Expr,
    Heaviside,
    I,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    acos,
    asin,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    pi,
    sign,
    sin,
    sinh,
    sqrt,
    tanh,
)  # fmt: skip

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.closing import close
from symbolic.functions import X, elementary
from symbolic.gaussian import Mean, PairMean, k, p, q
from tests.symbolic.quadrature_oracle import mean, pair_mean

a, b, r = Symbol("a", positive=True), Symbol("b", real=True), Rational
ROOT, RHO = sqrt(p * q), k / sqrt(p * q)
SIN = sqrt(1 - RHO**2)
RAMP = ROOT * (SIN + (pi - acos(RHO)) * RHO) / (2 * pi)
GELU = X * (1 + erf(X / sqrt(2))) / 2
S = (1 + p) * (1 + q)
GELU_DUAL = (
    k / 4
    + k / (2 * pi) * asin(k / sqrt(S))
    + (p * q + k**2 * (1 / (1 + p) + 1 / (1 + q) - 1)) / (2 * pi * sqrt(S - k**2))
)
LEAK = (1 - a) ** 2 * RAMP + a * k

# name: activation, its dual as the literature writes it, its value at (1.3, .7, .4) where one is printed
DUALS: dict[str, tuple[Expr, Expr, float | None]] = {
    "relu": (Max(X, 0), RAMP, 0.265378091518942),
    "leaky 1/5": (Max(X, X / 5), LEAK.subs(a, r(1, 5)), 0.249841978572123),
    "leaky a": (a * X + (1 - a) * Max(X, 0), LEAK, None),
    "leaky pieces": (Piecewise((X, X > 0), (a * X, True)), LEAK, None),
    "leaky pieces below": (Piecewise((a * X, X < 0), (X, True)), LEAK, None),
    "abs": (Abs(X), 2 * ROOT / pi * (SIN + RHO * asin(RHO)), None),
    "sign": (sign(X), 2 / pi * asin(RHO), None),
    "step": (Heaviside(X), (pi - acos(RHO)) / (2 * pi), 0.318864669158736),
    "erf": (erf(X), 2 / pi * asin(2 * k / sqrt((1 + 2 * p) * (1 + 2 * q))), 0.175479656091822),
    "erf(a x)": (
        erf(a * X),
        2 / pi * asin(2 * a**2 * k / sqrt((1 + 2 * a**2 * p) * (1 + 2 * a**2 * q))),
        None,
    ),
    "erfc": (erfc(X), 1 + 2 / pi * asin(2 * k / sqrt((1 + 2 * p) * (1 + 2 * q))), None),
    "phi": (ACT["phi"].formula, r(1, 4) + asin(k / sqrt(S)) / (2 * pi), 0.282418965800856),
    "sin": (sin(X), exp(-(p + q) / 2) * sinh(k), 0.15110733607621),
    "cos": (cos(X), exp(-(p + q) / 2) * cosh(k), 0.397704300017816),
    "sin(x+t)": (sin(X + b), exp(-(p + q) / 2) * (exp(k) - exp(-k) * cos(2 * b)) / 2, None),
    "exp(s x)": (exp(b * X), exp(b**2 * (p + q) / 2 + b**2 * k), None),
    "gaussian": (exp(-(X**2)), 1 / sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * k**2), None),
    "odd gaussian": (X * exp(-(X**2) / 2), k / ((1 + p) * (1 + q) - k**2) ** r(3, 2), None),
    "x": (X, k, None),
    "x^2": (X**2, p * q + 2 * k**2, None),
    "x^3": (X**3, 9 * p * q * k + 6 * k**3, None),
    "x^4": (X**4, 9 * p**2 * q**2 + 72 * p * q * k**2 + 24 * k**4, None),
    "gelu": (GELU, GELU_DUAL, 0.188060676734996),
    "relu^2": (
        Max(X, 0) ** 2,
        p * q * (3 * SIN * RHO + (pi - acos(RHO)) * (1 + 2 * RHO**2)) / (2 * pi),
        None,
    ),
    "snake": (
        X + sin(X) ** 2,
        k + (1 - exp(-2 * p) - exp(-2 * q) + exp(-2 * (p + q)) * cosh(4 * k)) / 4,
        None,
    ),
}
POINTS = [
    {p: r(13, 10), q: r(7, 10), k: r(2, 5)},
    {p: r(2), q: r(1, 3), k: -r(3, 5)},
    {p: r(1, 50), q: r(9), k: r(1, 7)},
    {p: r(5), q: r(5), k: r(49, 10)},
]
NUMBERS = {a: r(3, 8), b: r(5, 7)}
# the (f, g) of a mean, none of them symbolic, for the comparison with quadrature
SPECIMENS: dict[str, Expr] = {n: f.subs(NUMBERS) for n, (f, *_) in DUALS.items() if n != "leaky pieces below"} | {
    "relu^3": Max(X, 0) ** 3,
    "down": Min(X, 0),
    "one": r(1),
    "x relu": X * Max(X, 0),
    "step gaussian": Heaviside(-X) * exp(-(X**2) / 3),
    "ramp gaussian": Max(-2 * X, 0) * exp(-(X**2)),
    "x^2 erf": X**2 * erf(2 * X),
    "sine packet": X * sin(2 * X) * exp(-(X**2) / 4),
    "sinh": sinh(X / 2),
    "chirp": sin(X**2),
    "shifted chirp": X * cos(X**2 / 2 + X),
}


@cache
def dual(f: Expr, g: Expr) -> Expr:
    return elementary(close(PairMean(f, g, p, q, k)))


def is_open(expr: Expr) -> bool:
    return expr.has(Mean, PairMean)


def value(expr: Expr, point: dict[Symbol, Expr]) -> float:
    return float(expr.subs({**NUMBERS, **point}).evalf(25))


@pytest.mark.parametrize("name", DUALS)
def test_the_textbook_dual_is_derived(name: str) -> None:
    """The derived dual and the literature's agree to 25 digits at rational points."""
    f, textbook, _ = DUALS[name]
    for point in POINTS:
        values = {**NUMBERS, **point}
        assert abs((dual(f, f) - textbook).subs(values).evalf(30, maxn=200)) < r(1, 10**25)


@pytest.mark.parametrize("name", [n for n, row in DUALS.items() if row[2] is not None])
def test_the_dual_has_its_printed_value(name: str) -> None:
    """Fifteen printed digits at (1.3, .7, .4), computed elsewhere by quadrature."""
    f, _, printed = DUALS[name]
    assert value(dual(f, f), POINTS[0]) == pytest.approx(printed, abs=6e-16, rel=2e-15)


@pytest.mark.parametrize("name", SPECIMENS)
def test_the_dual_agrees_with_quadrature(name: str) -> None:
    """A closed dual is the integral it claims to be, at positive and negative correlation."""
    f = SPECIMENS[name]
    for point in POINTS[:2]:
        numbers = [float(x) for x in point.values()]
        assert value(dual(f, f), point) == pytest.approx(pair_mean(f, f, *numbers), rel=1e-12, abs=1e-13)


MIXED = [
    ("relu", "erf"), ("erf", "relu"), ("relu", "step"), ("step", "erf"), ("abs", "sign"), ("gelu", "relu"),
    ("sin", "x^3"),
    ("gaussian", "x^2"), ("erf", "odd gaussian"), ("cos", "exp(s x)"), ("erf(a x)", "erf"), ("step gaussian", "x relu"),
    ("x^2 erf", "ramp gaussian"), ("sine packet", "sin(x+t)"), ("one", "relu"), ("relu^2", "gelu"), ("down", "relu^3"),
    ("x", "phi"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), MIXED)
def test_two_different_functions_agree_with_quadrature(one: str, other: str) -> None:
    """E f(u) g(v) for f != g closes too, and p and q are not confused."""
    f, g = SPECIMENS[one], SPECIMENS[other]
    assert not is_open(dual(f, g))
    for point in POINTS[:2]:
        numbers = [float(x) for x in point.values()]
        assert value(dual(f, g), point) == pytest.approx(pair_mean(f, g, *numbers), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", SPECIMENS)
@pytest.mark.parametrize("power", [1, 2])
def test_the_mean_over_one_variable_agrees_with_quadrature(name: str, power: int) -> None:
    """E f(u) and E f(u)^2."""
    body = SPECIMENS[name] ** power
    closed = elementary(close(Mean(body, q)))
    assert not is_open(closed)
    for variance in (r(1, 3), r(2)):
        assert value(closed, {q: variance}) == pytest.approx(mean(body, float(variance)), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("name", ["erf dual with k for 2k", "relu dual with the angle's complement"])
def test_a_wrong_formula_fails_the_same_check(name: str) -> None:
    """The oracle has power: a constant that is off is seen."""
    f, wrong = {
        "erf dual with k for 2k": (erf(X), dual(erf(X), erf(X)).subs(k, k / 2)),
        "relu dual with the angle's complement": (Max(X, 0), ROOT * (SIN + acos(RHO) * RHO) / (2 * pi)),
    }[name]
    assert value(wrong, POINTS[0]) != pytest.approx(pair_mean(f, f, 1.3, 0.7, 0.4), rel=1e-2)


@pytest.mark.parametrize("name", [n for n in DUALS if n not in {"step", "sign"}])
def test_the_dual_of_the_derivative_is_the_derivative_of_the_dual(name: str) -> None:
    """Price: closing E f'(u) f'(v) directly gives d/dk of the closed E f(u) f(v)."""
    f = DUALS[name][0]
    for point in POINTS[:3]:
        error = (dual(f.diff(X), f.diff(X)) - dual(f, f).diff(k)).subs({**NUMBERS, **point}).evalf(30, maxn=200)
        assert abs(error) < r(1, 10**25)


def test_the_derivative_dual_of_gelu_has_its_printed_value() -> None:
    """E gelu'(u) gelu'(v) at (1.3, .7, .4)."""
    assert value(dual(GELU.diff(X), GELU.diff(X)), POINTS[0]) == pytest.approx(0.324817221804322, rel=3e-15)


@pytest.mark.parametrize(("f", "atoms"), [(Heaviside(X), 1), (sign(X), 4)])
def test_the_derivative_dual_of_a_jump_is_a_density(f: Expr, atoms: int) -> None:
    """E delta(u) delta(v) = 1/(2 pi sqrt(pq - k^2))."""
    assert (dual(f.diff(X), f.diff(X)) - atoms / (2 * pi * sqrt(p * q - k**2))).simplify() == 0


@pytest.mark.parametrize("name", SPECIMENS)
def test_nothing_complex_is_left(name: str) -> None:
    """Sines pass through complex exponentials and come back."""
    f = SPECIMENS[name]
    assert not dual(f, f).has(I) and not close(Mean(f**2, q)).has(I)


@pytest.mark.parametrize(
    "f",
    [
        tanh(X), ACT["sigmoid"].formula, ACT["elu"].formula, ACT["selu"].formula, ACT["hard_tanh"].formula,
        ACT["silu"].formula,
        ACT["mish"].formula, ACT["softplus"].formula, ACT["arctan"].formula, Max(X, 1), Abs(X - 1), erf(X + 1),
        erf(X) ** 3,
        exp(-Abs(X)), Max(X, 0) * sin(X), Heaviside(X - 2), 1 / (1 + X**2), X ** r(4, 3), exp(X**3), sqrt(Abs(X)),
        Max(-1, Min(1, X)), Heaviside(X) * erf(X), Piecewise((X, X > 1), (0, True)),
        Piecewise((0, X < 0), (1, X < 1), (X, True)),
    ],
)  # fmt: skip
def test_what_has_no_formula_here_stays_open(f: Expr) -> None:
    """An open mean is returned as it was; nothing is closed by mistake."""
    mean = PairMean(f, f, p, q, k)
    assert close(mean) == mean


@pytest.mark.parametrize("f", [sign(b * X), Abs(b * X), Max(b * X, 0), Heaviside(b * X), Max(X, a * X), Max(X, b * X)])
def test_a_kink_of_unknown_direction_stays_open(f: Expr) -> None:
    """Abs(b x) is no ramp until the sign of b is known, and Max(x, a x) depends on a < 1."""
    assert is_open(close(PairMean(f, f, p, q, k))) and is_open(close(Mean(f, q)))


@pytest.mark.parametrize("f", [exp(X**2), exp(X**2 / 4 - X), exp(b * X**2)])
def test_a_growing_gaussian_factor_stays_open(f: Expr) -> None:
    """E exp(x^2) diverges from q = 1/2 on, where a formula for pairs turns finite again."""
    assert is_open(close(PairMean(f, f, p, q, k))) and is_open(close(Mean(f, q)))


def test_a_growing_factor_that_is_outweighed_closes() -> None:
    """Only the sum of the exponents of one variable counts."""
    assert close(Mean(exp(X**2 / 4) * exp(-(X**2)), q)) == 1 / sqrt(1 + 3 * q / 2)


def test_a_kink_of_known_direction_closes() -> None:
    """relu(a x) = a relu(x) for a > 0."""
    f = Max(a * X, 0)
    assert (dual(f, f) - a**2 * dual(Max(X, 0), Max(X, 0))).simplify() == 0


@pytest.mark.parametrize(
    ("name", "square", "slope"),
    [("erf", 0.46455905439754, 0.56941003473374), ("sin", 0.43233235838169, 0.56766764161831),
        ("gelu", 0.42522148257030, 0.45585086564929)],
)  # fmt: skip
def test_moments_at_unit_variance(name: str, square: float, slope: float) -> None:
    """E phi^2 and E phi'^2 at q = 1, printed to 14 digits elsewhere."""
    f = ACT[name].formula
    found = [value(elementary(close(Mean(body, 1))), {}) for body in (f**2, f.diff(X) ** 2)]
    assert found == pytest.approx([square, slope], abs=6e-15)


def test_the_mean_of_gelu() -> None:
    """E gelu(u) = q/sqrt(2 pi (1 + q))."""
    assert (close(Mean(GELU, q)) - q / sqrt(2 * pi * (1 + q))).simplify() == 0


def test_means_close_inside_an_expression_and_inside_each_other() -> None:
    """The variance of one mean may be another mean; open ones stay where they are."""
    inner = Mean(erf(X) ** 2, q)
    found = close(1 + 2 * Mean(X**2, inner) * Mean(tanh(X), Mean(X**4, q)))
    assert found == 1 + 2 * close(inner) * Mean(tanh(X), 3 * q**2)


def test_equal_inputs_give_the_mean_over_one_variable() -> None:
    """The dual at k = p = q is E f(u)^2."""
    for f in (Max(X, 0), erf(X), GELU, sin(X), Max(X, 0) ** 2):
        error = dual(f, f).subs({p: r(7, 5), q: r(7, 5), k: r(7, 5)}) - elementary(close(Mean(f**2, r(7, 5))))
        assert abs(error.evalf(30)) < r(1, 10**25)


def test_opposite_inputs_stay_finite() -> None:
    """At k = -sqrt(pq) ReLU outputs never meet: the dual is zero, not NaN."""
    assert value(dual(Max(X, 0), Max(X, 0)), {p: r(2), q: r(2), k: -r(2)}) == pytest.approx(0, abs=1e-20)
