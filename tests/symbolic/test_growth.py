"""Bounds that hold, growth read off the formula, and what is refused because its mean or its value does not exist."""

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import (
    Abs,
    Expr,
    Float,
    Heaviside,
    I,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    acos,
    asin,
    atan,
    cos,
    cosh,
    diff,
    erf,
    erfc,
    exp,
    lambdify,
    log,
    oo,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.functions import X, elementary, sigmoid, softplus
from symbolic.growth import Divergent, NotReal, growth, majorant, refuse_complex, refuse_divergent, wave
from symbolic.landmarks import pieces
from symbolic.ranges import value_range

r = Rational
BOUNDED: list[Expr] = [
    X, 3 - 2 * X + X**3, tanh(X) - 1, X * sigmoid(r(1702, 1000) * X), softplus(3 * X - 1), X * tanh(softplus(X)),
    exp(2 * X - X**2 / 3), exp(-X), exp(X + sin(X)), exp(-exp(X)), exp(X**3 - X**4), exp(-sqrt(1 + X**2)),
    exp(sqrt(1 + X**2)), 1 / cosh(X), 1 / (1 + X**2), X / (1 + Abs(X)), X / sqrt(1 + X**2), exp(X**2) / (1 + exp(X**2)),
    sinh(X) / cosh(X), sinh(X) * X, log(1 + X**2), log(cosh(X)), log(sigmoid(X)), log(1 + exp(X**2)), X * erfc(X),
    exp(X**2) * erfc(Abs(X)), exp(X**2 / 9), sin(X) ** 2 * X, cos(X**2), atan(X) ** 3, asin(tanh(X)),
    acos(tanh(X) / 2), sqrt(Abs(X)), (1 + X**2) ** r(2, 3), (1 + X**2) ** r(5, 3), 2**X, (1 + X**2) ** tanh(X),
    (2 + sin(X)) ** -3, Max(X, 0) + Abs(X - 1), Max(-1, Min(1, X)), sign(X) * X**2, Heaviside(X - 2) * exp(X),
    Piecewise((exp(2 * X), X < -1), (X**2, X < 3), (exp(-X), True)), Max(sin(X), 0), Abs(sin(X)), sigmoid(-X) * exp(X),
    exp(X) / (1 + exp(X)) ** 2, (1 + exp(-X)) ** r(1, 2), Float(0.5) * X ** Float(2.0), X * exp(-exp(-X)),
]  # fmt: skip
NAMED = [a.formula for a in ACT.values()]
SLOPES = [diff(ACT[name].formula, X) for name in ("gelu", "silu", "mish", "tanh", "elu", "selu", "hard_tanh", "snake")]


def last_piece(body: Expr, side: int) -> tuple[float, Expr]:
    """Where the last piece on a side starts, as a distance, and its formula."""
    try:
        low, high, smooth = pieces(body)[-1 if side > 0 else 0]
    except ValueError:
        return 0.0, body
    return max(0.0, float(low if side > 0 else -high)), smooth


def check_bound(body: Expr, side: int, places: list[float]) -> None:
    """The majorant is at least |body| at these distances beyond the last kink, to 50 digits."""
    bounds, (first, smooth) = majorant(body, side), last_piece(body, side)
    assert bounds is not None
    with mpmath.workdps(60):
        f = lambdify(X, elementary(smooth), "mpmath")
        terms = [[mpmath.mpf(c.evalf(60)) for c in (b.coefficient, b.linear, b.square)] + [b.power] for b in bounds]
        for x in (mpmath.mpf(first + place) for place in places):
            bound = sum(c * x**n * mpmath.exp(b * x + a * x * x) for c, b, a, n in terms)
            assert abs(f(side * x)) <= bound * (1 + mpmath.mpf(10) ** -50)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("body", [*BOUNDED, *NAMED, *SLOPES], ids=str)
def test_a_majorant_bounds_the_formula(body: Expr, side: int) -> None:
    """From the last kink to far out."""
    check_bound(body, side, [0.01 * n + 0.0125 * n * n for n in range(60)])


LEAF = st.sampled_from([X, r(1, 2) * X, tanh(X), exp(-X), exp(X / 2), sin(X), sigmoid(X), X**2, exp(-(X**2)), erf(X)])
GROWN = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda t: t[0] + t[1] / 3),
        st.tuples(inner, inner).map(lambda t: t[0] * t[1]),
        inner.map(tanh), inner.map(softplus), inner.map(lambda e: e**2), inner.map(lambda e: sqrt(1 + e**2)),
        inner.map(lambda e: 1 / (1 + e**2)), inner.map(lambda e: log(2 + sin(e))), inner.map(sigmoid),
    ),
    max_leaves=4,
)  # fmt: skip


@given(GROWN, st.sampled_from([1, -1]), st.floats(0, 8))
def test_a_majorant_bounds_whatever_is_composed(body: Expr, side: int, x: float) -> None:
    """Sums, products, powers, roots and functions of functions."""
    check_bound(body, side, [x])


@given(GROWN, st.floats(-3, 3), st.floats(0, 4), st.floats(0, 1))
def test_a_range_holds_every_value(body: Expr, low: float, width: float, part: float) -> None:
    """Interval arithmetic never loses a point."""
    ends = r(low), r(low) + r(width)
    with mpmath.workdps(40):
        value = lambdify(X, elementary(body), "mpmath")(mpmath.mpf((ends[0] + (ends[1] - ends[0]) * r(part)).evalf(60)))
        lower, upper = (mpmath.mpf(e.evalf(40)) if e.is_finite else e for e in value_range(body, *ends))
        assert lower - 1e-30 <= value <= upper + 1e-30 * (1 + abs(value))


@pytest.mark.parametrize(("body", "rate"), [
    (X**5, 0), (tanh(X), 0), (exp(X), 1), (exp(-3 * X), 3), (exp(2 * X - X**2), 0), (X * exp(X / 2) + exp(-X), 1),
    (sinh(3 * X), 3), (sigmoid(-X) * exp(X), 0), (exp(X**2 / 100), oo), (exp(X**3), oo), (2 ** (2 * X), 2 * log(2)),
])  # fmt: skip
def test_growth_is_the_largest_exponential_rate(body: Expr, rate: Expr) -> None:
    """Zero for powers and decay, inf where the square of x stands in the exponent."""
    assert growth(body) == pytest.approx(float(rate), rel=1e-15)


@pytest.mark.parametrize(("body", "frequency"), [
    (X, (0, 0)), (sin(3 * X), (3, 0)), (X * cos(2 * X - 1), (2, 0)), (sin(X**2), (0, 2)), (sin(X) ** 2, (2, 0)),
    (sin(2 * X) * cos(3 * X), (5, 0)), (sin(2 * X) + cos(3 * X), (3, 0)), (sin(X + tanh(X)), (2, 0)),
    (tanh(sin(4 * X)), (4, 0)), (sin(Abs(X)), (1, 0)), (Max(X, 0) * sin(X / 2), (r(1, 2), 0)),
    (sin(X**3), (oo, oo)), (sin(exp(X)), (oo, oo)), (Max(sin(5 * X), 0), (5, 0)),
    (Piecewise((sin(exp(X)), X < 0), (0, True)), (1, 0)),
])  # fmt: skip
def test_wave_bounds_the_frequency(body: Expr, frequency: tuple[Expr, Expr]) -> None:
    """Frequencies of factors add, those of summands do not."""
    assert wave(body) == tuple(map(float, frequency))


@pytest.mark.parametrize(("body", "below"), [
    (exp(X**2), "1/4"), (exp(X**2 / 1000), "250"), (Float(0.5) * exp(Float(0.5) * X**2), "1/2"), (cosh(X**2), "1/4"),
    (sin(X) * exp(X**2 / 3), "3/4"), (Max(1, exp(X**2)), "1/4"), (exp(Max(0, X) ** 2), "1/4"),
    (exp(X**2) * erfc(X), "1/4"), (exp(X * softplus(X)), "1/4"), (2 ** (X**2), "1/(4*log(2))"),
    (exp(3 * X**2) * (1 - tanh(X**2)), "1/4"), (Piecewise((exp(2 * X**2), X < 0), (X, True)), "1/8"),
])  # fmt: skip
def test_a_growing_gaussian_factor_is_refused_with_its_variance(body: Expr, below: str) -> None:
    """E exp(2 a u^2) is finite for q < 1/(4a), also where part of the factor cancels."""
    with pytest.raises(Divergent) as refused:
        refuse_divergent(body)
    assert f"finite only for variances below {below}:" in str(refused.value)


@pytest.mark.parametrize("body", [
    exp(X**3), exp(exp(X)), exp(exp(exp(X))), sinh(X**3), X * exp(exp(-X)), exp(X**4 - X**3), exp(X**2 * softplus(X)),
])  # fmt: skip
def test_faster_growth_is_refused_at_every_variance(body: Expr) -> None:
    with pytest.raises(Divergent, match=r"grows faster .* diverges at every variance"):
        refuse_divergent(body)


@pytest.mark.parametrize(("body", "place"), [
    (1 / X, "0"), (1 / (X**2 - 1), "-1"), (tan(X), "pi/2"), (1 / sqrt(Abs(X)), "0"), (cos(X) / X, "0"),
    (X / (X - 3) ** 2, "3"),
])  # fmt: skip
def test_a_pole_is_refused_with_its_place(body: Expr, place: str) -> None:
    with pytest.raises(Divergent, match=rf"pole at x = {place} "):
        refuse_divergent(body)


@pytest.mark.parametrize("body", [
    *NAMED, exp(X**2) / (1 + exp(X**2)), exp(X**2) * exp(-2 * X**2), exp(X**2) * (1 - tanh(X**2)),
    exp(X**2) * erfc(Abs(X)), exp(X * log(1 + X**2)), (1 + X**2) ** X, exp(X**3 - X**4), exp(-exp(X)), 2**X, exp(9 * X),
    sinh(X**2) / cosh(X**2), sin(X) / X, tanh(X) / X, (exp(X) - 1) / X, Abs(X) ** r(-1, 3), log(X**2), tan(tanh(X)),
])  # fmt: skip
def test_what_only_looks_divergent_passes(body: Expr) -> None:
    """Cancelled growth, growth slower than any Gaussian, removable and integrable singularities."""
    refuse_divergent(body)


@pytest.mark.parametrize(("body", "place"), [
    (sqrt(X), "-1"), (X ** Float(0.5), "-1"), (X ** r(1, 3), "-1"), (log(X), "-1"), (sqrt(X**2 - 1), "0"),
    (asin(X), "-2"), (X**X, "-1"), (tanh(sqrt(X - 2)), "1"), (sqrt(sin(X)), "-20"), (log(1 + X), "-2"),
])  # fmt: skip
def test_a_complex_formula_is_refused_with_the_place(body: Expr, place: str) -> None:
    with pytest.raises(NotReal, match=rf"is complex at x = {place}: put"):
        refuse_complex(body)


def test_the_imaginary_unit_is_refused() -> None:
    with pytest.raises(NotReal, match="imaginary unit"):
        refuse_complex(I * X)


@pytest.mark.parametrize("body", [
    *NAMED, sqrt(Abs(X)), log(1 + X**2), log(X**2), sqrt(1 + sin(X)), asin(tanh(X)), sqrt(X**2 - 2 * X + 3),
    Piecewise((sqrt(X), X > 0), (0, True)), sqrt(Max(X, 0)), (1 + X**2) ** X, log(2 + sin(X)), sqrt(X**2 - 2 * X + 1),
])  # fmt: skip
def test_a_real_formula_passes(body: Expr) -> None:
    """Also where only the branch in use is real."""
    refuse_complex(body)


def test_a_free_parameter_has_no_majorant() -> None:
    assert majorant(exp(Symbol("a") * X), 1) is None
