"""Dual activations through the compiled path, against numbers of independent two-dimensional quadrature."""

import math

import numpy as np
import pytest
import sympy as sp

import meanfield as mf
from symbolic.gaussian import k, p, q

POINT = (1.3, 0.7, 0.4)
VALUES = {
    "relu": ".265378091518942",
    "step": ".318864669158736",
    "erf": ".175479656091822",
    "phi": ".282418965800856",
    "sin": ".15110733607621",
    "cos": ".397704300017816",
    "gelu": ".188060676734996",
    "Max(x, x/5)": ".249841978572123",
    "x**2": "1.23",  # p q + 2 k^2
    "x**3": "3.66",  # 9 p q k + 6 k^3
    "x": ".4",
}
FORMULAS = {
    "exp": lambda p, q, k: math.exp((p + q) / 2 + k),
    "gaussian": lambda p, q, k: 1 / math.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * k * k),
    "x*exp(-x**2/2)": lambda p, q, k: k / ((1 + p) * (1 + q) - k * k) ** 1.5,
    "abs": lambda p, q, k: 2 / math.pi * (math.sqrt(p * q - k * k) + k * math.asin(k / math.sqrt(p * q))),
    "sign": lambda p, q, k: 2 / math.pi * math.asin(k / math.sqrt(p * q)),
}


@pytest.mark.parametrize("name", VALUES)
def test_value(printed, name):
    found = mf.dual(name)
    assert found(*POINT) == printed(VALUES[name])
    assert found.closed


@pytest.mark.parametrize("at", [POINT, (1, 1, 0.999), (0.2, 3, -0.5)], ids=str)
@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name, at):
    assert mf.dual(name)(*at) == pytest.approx(FORMULAS[name](*at), rel=1e-12)


def test_an_open_mean_is_integrated():
    found = mf.dual("tanh")
    assert not found.closed
    assert found(1, 1, 0.5) == pytest.approx(0.18632441320344808611, rel=1e-13)


@pytest.mark.parametrize(("name", "value"), [("gelu", ".324817221804322"), ("erf", None), ("relu", ".318864669158736")])
def test_the_derivative_dual(printed, name, value):
    found = mf.dual(name).derivative(*POINT)
    h = 1e-5
    slope = (mf.dual(name)(1.3, 0.7, 0.4 + h) - mf.dual(name)(1.3, 0.7, 0.4 - h)) / (2 * h)
    assert found == pytest.approx(slope, rel=1e-8)
    if value:
        assert found == printed(value)


def test_two_activations():
    mixed = mf.dual("relu", "linear")
    assert mixed(*POINT) == pytest.approx(0.2, rel=1e-14)
    assert mf.dual("linear", "relu")(0.7, 1.3, 0.4) == mixed(*POINT)


def test_arguments_broadcast():
    found = mf.dual("erf")([[1.0], [2.0]], [1.0, 1.5, 2.0], 0.3)
    assert found.shape == (2, 3)
    assert found[1, 2] == mf.dual("erf")(2, 2, 0.3)


def test_scalars_give_a_scalar():
    assert isinstance(mf.dual("erf")(1, 1, 0.3), float)


@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "abs", "step"])
def test_the_end_points_are_finite(name):
    found = mf.dual(name)(2.0, 2.0, np.array([-2.0, 0.0, 2.0]))
    assert np.isfinite(found).all()
    assert abs(found[0]) <= found[2]


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ((1, 1, 1.1), r"k\^2 <= p q, not \(1, 1, 1.1\)"),
        ((-1, 1, 0), r"two variances"),
        ((1, math.nan, 0), r"q must be finite, not nan"),
        ((math.inf, 1, 0), r"p must be finite, not inf"),
        (([1, 1], 1, [0.5, -1.2]), r"not \(1, 1, -1.2\)"),
    ],
)
def test_what_is_no_covariance_is_refused(at, message):
    with pytest.raises(ValueError, match=message):
        mf.dual("relu")(*at)


def test_a_value_beyond_all_doubles_is_not_returned():
    with pytest.raises(mf.NotConverged, match=r"at \(p, q, k\) = \(800, 800, 1\)"):
        mf.dual("exp")(800, 800, 1)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("exp(x**2)", "finite only for variances below 1/4"),
        ("tanh(x)*exp(x**2)", "finite only for variances below 1/4"),
        ("x*exp(x**2/8)", "finite only for variances below 2"),
        ("exp(x**3)", "diverges at every variance"),
        ("1/x", "pole at x = 0"),
    ],
)
def test_what_is_not_square_integrable_is_refused(formula, message):
    for ask in (mf.dual, mf.mean, mf.edge_of_chaos):
        with pytest.raises(mf.Divergent, match=message):
            ask(formula)


def test_what_is_just_square_integrable_is_not_refused():
    assert mf.dual("exp(x**2)*exp(-2*x**2)").closed and mf.dual("exp(x**2)/(1 + exp(x**2))")(1, 1, 0.5) > 0.4


@pytest.mark.parametrize("formula", ["sqrt(x)", "log(x)", "sqrt(x**2 - 1)"])
def test_what_is_complex_is_refused(formula):
    with pytest.raises(mf.NotReal, match="must be real for every real x"):
        mf.dual(formula)


def test_a_discontinuous_activation_has_no_second_derivative_dual():
    first = mf.dual("step").derivative
    assert str(first) == "1/(2*pi*sqrt(-k**2 + p*q))"
    with pytest.raises(ValueError, match="a discontinuous activation has no second derivative dual"):
        _ = first.derivative
    assert mf.dual("relu").derivative.derivative(1, 1, 0) == pytest.approx(0.5 / math.pi, rel=1e-15)
    with pytest.raises(mf.NotConverged):
        first(1, 1, 1)


TIERS = {"gelu": "closed form", "elu": "one-dimensional quadrature", "tanh": "two-dimensional quadrature"}


@pytest.mark.parametrize("name", TIERS)
def test_each_tier_bounds_its_error(name):
    """Against the same mean with a twist: E phi(u) psi(v) by two laws that must agree."""
    found = mf.dual(name)
    assert found.tier == TIERS[name]
    value, bound = found([1.3, 1.0, 1.0], [0.7, 1.0, 1.0], [0.4, 1.0, -1.0], error=True)
    assert (bound <= 2e-14).all() and (bound > 0).all()
    swapped, also = found(0.7, 1.3, 0.4, error=True)
    assert abs(swapped - value[0]) <= bound[0] + also
    square, width = mf.mean(mf.activation(name).formula ** 2)(1.0, error=True)
    assert abs(square - value[1]) <= bound[1] + width


def test_many_pairs_are_summed_and_equal_the_integral():
    """Hermite-Mehler for most, the integral for the rest, every bound kept; kinks near correlation 1 included."""
    rng = np.random.default_rng(3)
    p, q = 10.0 ** rng.uniform(-1, 1, (2, 6000))
    k = np.sqrt(p * q) * np.concatenate([rng.uniform(-1, 1, 5980), 1 - 10.0 ** rng.uniform(-12, -2, 20)])
    for name in ("tanh", "elu"):
        value, bound = mf.dual(name)(p, q, k, error=True)
        some = np.r_[0:150, 5980:6000]
        direct, also = mf.dual(name)(p[some], q[some], k[some], error=True)
        assert (np.abs(value[some] - direct) <= bound[some] + also).all()
        assert np.abs(value[some] - direct).max() < 1e-13 * 10


def test_a_variance_of_zero_leaves_a_mean():
    """Also where the formula is 0/0."""
    for name in ("relu", "Max(x, 0)**2", "tanh", "elu", "cos"):
        first, second = mf.activation(name), mf.mean(name)
        wanted = float(first.formula.subs(mf.activation("x").formula, 0)) * second(2.0)
        assert mf.dual(name)(0, 2, 0) == pytest.approx(wanted, abs=1e-15)


def test_means_close_with_thresholds_anywhere():
    found = mf.mean("Min(Max(x, 0), 6)")
    assert found.closed and "erf" in str(found)
    assert found(2.0) == pytest.approx(0.5641895835477563 - 1e-5, abs=1e-5)
    assert mf.mean("gelu")(1.0) == pytest.approx(0.28209479177388, rel=1e-13)
    with pytest.raises(ValueError, match="q must be a variance"):
        found(-1.0)


def test_hermite_coefficients_sum_to_the_second_moment():
    """GELU's, printed; Parseval; refusals."""
    printed = [0.282094791774, 0.5, 0.299206710301, 0, -0.071977947807, 0, 0.027596761960, 0]
    found, error = mf.hermite_coefficients("gelu", 1.0, 8, error=True)
    assert found == pytest.approx(printed, abs=1e-12) and error < 1e-14
    for name in ("tanh", "elu", "sin"):
        many = mf.hermite_coefficients(name, 0.7, 200)
        square = mf.mean(mf.activation(name).formula ** 2)(0.7)
        assert (many**2).sum() == pytest.approx(square, rel=1e-7) and (many**2).sum() <= square * (1 + 1e-14)
        assert abs((many[:5] ** 2).sum() - square) > 1e-9
    for variance, n in ((-1.0, 3), (math.nan, 3), (1.0, 0), (1.0, 2.5)):
        with pytest.raises(ValueError, match=r"q must be|n is how many"):
            mf.hermite_coefficients("tanh", variance, n)


def test_floats_in_a_formula_are_taken_exactly():
    """A proof to 25 digits leaves no room for numbers that are known to 16."""
    x = sp.Symbol("x", real=True)
    found = mf.dual(1.1 * sp.erf(0.3 * x) + 0.25)
    assert found.closed and not found.expr.has(sp.Float)
    assert found(1, 1, 0.5) == pytest.approx(mf.dual("1.1*erf(0.3*x) + 0.25")(1, 1, 0.5), rel=1e-14)


def test_functions_without_a_formula_are_integrated():
    """Compiled or plain; kinks declared, or the bound says that they were not."""
    formula = mf.dual("Max(x, 0)*x")(1.3, 0.7, 0.4)
    declared = mf.dual(lambda x: x * x if x > 0 else 0.0, kinks=[0.0])
    value, bound = declared(1.3, 0.7, 0.4, error=True)
    assert abs(value - formula) <= bound < 1e-13 and not declared.closed
    hidden = mf.dual(lambda x: 1.0 if x > 0.3 else 0.0)
    with pytest.raises(mf.NotConverged, match="could not be integrated"):
        hidden(1.3, 0.7, 0.4)
    with pytest.raises(TypeError, match="maps a float to a float"):
        mf.dual(lambda x: "no")(1, 1, 0)
    with pytest.raises(ValueError, match="of a formula they are found in it"):
        mf.dual("relu", kinks=[0.0])


def test_a_parameter_without_a_value_has_no_numbers():
    x, a = sp.Symbol("x", real=True), sp.Symbol("a", positive=True)
    found = mf.dual(sp.erf(a * x) + 0 * x)
    assert found.closed and a in found.expr.free_symbols
    with pytest.raises(ValueError, match="has no value before a has one"):
        found(1, 1, 0.5)


def test_the_expression_is_sympy_in_p_q_k():
    assert sp.simplify(mf.dual("erf").expr - 2 * sp.asin(2 * k / sp.sqrt((1 + 2 * p) * (1 + 2 * q))) / sp.pi) == 0


def test_latex():
    assert r"\operatorname{asin}" in mf.dual("erf").latex()
    assert mf.dual("erf")._repr_latex_().startswith(r"$\displaystyle")


def test_text():
    assert str(mf.dual("linear")) == "k"


def test_an_unknown_activation_is_refused():
    with pytest.raises(mf.ParseError, match="did you mean tanh"):
        mf.dual("tahn")
