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


@pytest.mark.slow
def test_an_integral_that_does_not_converge_is_not_returned():
    with pytest.raises(mf.NotConverged, match="could not be integrated"):
        mf.dual("tanh(x)*exp(x**2)")(1, 1, 0.5)


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
