"""Power laws at criticality against iterated maps that do not know them, and exact critical points."""

from math import acos, pi, sqrt

import mpmath
import numpy as np
import pytest
from sympy import Expr, Rational, exp, simplify
from sympy import pi as PI
from sympy import sqrt as root

from symbolic.activations import ACTIVATIONS as act
from symbolic.activations import activation
from symbolic.critical import NoEdge, edge_of_chaos
from symbolic.criticality import DEPTH, criticality, half_stable
from symbolic.gaussian import q
from symbolic.limits import derive
from symbolic.networks import WEIGHT_VAR, Dense, Dropout, LayerNorm

GELU_TANH = "x*(1+tanh(sqrt(2/pi)*(x+0.044715*x**3)))/2"


def at(expr: Expr, **values: float) -> float:
    return float(expr.subs({s: values[s.name] for s in expr.free_symbols}).evalf())


def far(depth: int, e: float, step) -> float:
    for _ in range(depth):
        e = step(e)
    return e


def test_relu_correlations_fall_as_the_square_of_depth() -> None:
    def step(e: float) -> float:
        c = 1 - e
        return 1 - (sqrt(1 - c * c) + (pi - acos(c)) * c) / pi

    law = criticality(act["relu"] >> Dense())
    assert law.universality == "scale invariant" and law.one_minus_c == 9 * PI**2 / (2 * DEPTH**2)
    assert far(20000, 0.5, step) == pytest.approx(at(law.one_minus_c, l=20000), rel=5e-3)
    twin = criticality(act["abs"] >> Dense()).one_minus_c
    assert abs(far(20000, 0.5, step) / at(twin, l=20000) - 1) > 0.5


def test_erf_correlations_fall_as_one_over_depth() -> None:
    """C(c) = (2 weight_var/pi asin(2 c q/(1 + 2 q)) + bias_var)/q on the curve, at q = 1."""
    law, curve = criticality(act["erf"] >> Dense()), edge_of_chaos(act["erf"] >> Dense())
    weight_var, bias_var = at(curve.weight_var, q=1), at(curve.bias_var, q=1)

    def step(e: float) -> float:
        return 1 - (2 * weight_var / pi * float(np.arcsin(2 * (1 - e) / 3)) + bias_var)

    assert simplify(law.one_minus_c - (4 * q + 1) / (2 * DEPTH * q**2)) == 0
    assert far(20000, 0.5, step) == pytest.approx(at(law.one_minus_c, l=20000, q=1), rel=2e-3)
    assert abs(far(20000, 0.5, step) / at(law.one_minus_c, l=20000, q=2) - 1) > 0.3


@pytest.mark.parametrize(
    ("name", "length", "power"), [("tanh", 1 / (2 * DEPTH), -1), ("sin", 1 / DEPTH, -1), ("elu", 2 * PI / DEPTH**2, -2)]
)
def test_lengths_shrink_by_a_power_of_depth(name: str, length: Expr, power: int) -> None:
    law = criticality(activation(name if name in act else f"{name}(x)") >> Dense())
    assert (law.universality, law.q, law.gradient) == ("K* = 0", length, power)
    f = {"tanh": np.tanh, "sin": np.sin, "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))}[name]
    slope = {"tanh": lambda x: 1 - np.tanh(x) ** 2, "sin": np.cos, "elu": lambda x: np.exp(np.minimum(x, 0))}[name]
    z, w = (np.polynomial.legendre.leggauss(400)[i] for i in (0, 1))
    z, w = np.concatenate([6 * z - 6, 6 * z + 6]), np.tile(6 * w, 2)
    w = w * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    lengths, gradient = [1.0], [1.0]
    for _ in range(8000):
        x = np.sqrt(lengths[-1]) * z
        gradient.append(gradient[-1] * float(w @ slope(x) ** 2))
        lengths.append(float(w @ f(x) ** 2))
    assert lengths[-1] == pytest.approx(at(law.q, l=8000), rel=2e-2)
    assert abs(lengths[-1] / at(law.q, l=8000) / 2 - 1) > 0.1
    assert np.log(gradient[8000] / gradient[4000]) / np.log(2) == pytest.approx(power, rel=2e-2)


def test_gelu_is_half_stable_at_an_exact_length() -> None:
    """(3 + sqrt(17))/2, where chi_q - chi_1 ~ q^2 - 3 q - 2 vanishes."""
    law = criticality(act["gelu"] >> Dense())
    assert law.universality == "half-stable" and law.q == (3 + root(17)) / 2
    assert float(law.weight_var) == pytest.approx(1.98305825743754713, abs=1e-15)
    assert float(law.bias_var) == pytest.approx(0.172922390756067352, abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formula", "length", "weight_var", "bias_var"),
    [
        ("silu", "14.3201736180257988", "1.98800467826949201", "0.555143170721530396"),
        ("mish", "1.67016913247807775", "2.01352406971953029", "0.0945217873706652995"),
        (GELU_TANH, "3.55677284471511141", "1.98288823982109221", "0.172895198263815833"),
    ],
)  # fmt: skip
def test_half_stable_lengths_without_formulas_have_all_their_digits(formula, length, weight_var, bias_var) -> None:
    law = criticality(activation(formula) >> Dense())
    for found, wanted in ((law.q, length), (law.weight_var, weight_var), (law.bias_var, bias_var)):
        assert abs(mpmath.mpf(found.evalf(20)) - mpmath.mpf(wanted)) < 1e-15 * mpmath.mpf(wanted)


def test_edges_in_closed_form() -> None:
    arctan = edge_of_chaos(activation("atan(x)") >> Dense())
    assert arctan.weight_var.subs(q, 1).simplify() == 2
    sin = edge_of_chaos(activation("sin(x)") >> Dense())
    assert simplify(sin.weight_var - 2 / (1 + exp(-2 * q))) == 0
    leaky = criticality(activation("Max(x, x/3)") >> Dense())
    assert leaky.weight_var == Rational(9, 5)


def test_depth_scales_in_closed_form() -> None:
    xi_q, xi_c = derive(act["erf"] >> Dense()).depth_scales()
    chi_1 = 4 * WEIGHT_VAR / (PI * root(1 + 4 * q))
    assert simplify(exp(-1 / xi_c) - chi_1) == 0 and simplify(exp(-1 / xi_q) - chi_1 / (1 + 2 * q)) == 0


def test_classes_that_have_none_say_so() -> None:
    assert criticality(act["linear"] >> Dense()).one_minus_c is None
    assert "correlations stay" in str(criticality(act["linear"] >> Dense()))
    assert criticality(act["hard_tanh"] >> Dense()).universality == "none"
    assert half_stable(edge_of_chaos(act["erf"] >> Dense())) == ()
    normed = criticality(LayerNorm() >> act["erf"] >> Dense())
    assert normed.universality == "none" and normed.one_minus_c is not None
    with pytest.raises(NoEdge):
        criticality(act["tanh"] >> Dropout(Rational(9, 10)) >> Dense())
