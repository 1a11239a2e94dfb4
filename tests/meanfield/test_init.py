"""Initialization scales: each criterion against its closed or tabulated value."""

import json
import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.build import Block

BLOCK = mf.relu >> mf.Dense()
TANH_SLOPE, TANH_SQUARE = 2.15330264890279, 1 / 0.39429449039784


@pytest.mark.parametrize(
    ("name", "criterion", "weight_var"),
    [
        ("relu", "he", 2),
        ("relu", "second_moment", 2),
        ("relu", "gradient", 2),
        ("relu", "edge_of_chaos", 2),
        ("tanh", "second_moment", TANH_SQUARE),
        ("tanh", "gradient", TANH_SLOPE),
        ("tanh", "edge_of_chaos", 1),
        ("erf", "second_moment", 1 / 0.46455905439754),
        ("erf", "gradient", 1.756203682760182),
        ("erf", "edge_of_chaos", math.pi / 4),
        ("gelu", "second_moment", 1 / 0.42522148257030),
        ("gelu", "gradient", 2.193699903532395),
        ("linear", "he", 1),
    ],
)
def test_weight_variance(name, criterion, weight_var):
    found = mf.init_scale(name, criterion=criterion)
    assert found.weight_var == pytest.approx(weight_var, rel=2e-13)
    assert found.gain == pytest.approx(math.sqrt(weight_var), rel=2e-13)
    assert found.bias_var == 0


def test_the_edge_of_chaos_with_bias():
    found = mf.init_scale("erf", bias_var=0.09)
    assert (found.weight_var, found.q) == (
        pytest.approx(1.521947851663128, rel=1e-13),
        pytest.approx(0.6887712694650041, rel=1e-13),
    )


def test_what_he_keeps_and_what_gradient_keeps():
    he, gradient = (mf.init_scale("gelu", criterion=c) for c in ("he", "gradient"))
    assert he.chi_1 == pytest.approx(0.45585086564929 / 0.42522148257030, rel=1e-12)
    assert gradient.chi_1 == pytest.approx(1, rel=1e-13)


def test_scales_agree_with_the_slopes_of_their_block():
    found = mf.init_scale("erf", bias_var=0.09)
    assert mf.phase(mf.erf >> mf.Dense(found.weight_var, found.bias_var)).chi_q == pytest.approx(found.chi_q, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("relu",), {"criterion": "xavier"}, ValueError, "unknown criterion 'xavier'; known are edge_of_chaos"),
        (("relu",), {"criterion": "he", "bias_var": 0.1}, ValueError, "leave bias_var out, not 0.1"),
        ((mf.Identity() + BLOCK,), {"criterion": "he"}, mf.NoEdge, "no weight_var > 0 keeps the length"),
        ((mf.relu >> mf.Dense(1, 0),), {"criterion": "gradient"}, mf.NoEdge, "weight_var of .* is not free"),
        ((BLOCK >> BLOCK,), {"criterion": "isometry", "depth": 3}, TypeError, "is a block: use 'edge_of_chaos'"),
        (("tanh",), {"criterion": "half_stable"}, mf.NoEdge, "chi_q is at nearest 0.98.*lengths are stable"),
        (("softplus",), {"criterion": "half_stable"}, mf.NoEdge, "no edge of chaos at lengths from 0.01"),
        (("gelu",), {"criterion": "half_stable", "bias_var": 0.1}, ValueError, "finds its own bias_var"),
        (("relu",), {"criterion": "isometry", "depth": 50}, mf.NoEdge, "at best 50, not 0.25"),
        (("gelu",), {"criterion": "isometry", "depth": 50}, mf.NoEdge, "where lengths are stable"),
        (("tanh",), {"criterion": "isometry"}, ValueError, "give depth"),
        (("elu",), {"criterion": "self_normalizing"}, ValueError, r"\(phi\(x\) - 0.160520572\)/0.786879002"),
        (("linear",), {"criterion": "self_normalizing"}, ValueError, "does not return to it"),
        (("softplus",), {}, mf.NoEdge, "largest chi_1 that it reaches is 0.992021, a depth scale of 125 layers"),
        (("softplus",), {"depth_scale": 1000}, mf.NoEdge, "no point with chi_1 = 0.999.*a depth scale of 125 layers"),
        (("tanh",), {"depth_scale": -3}, ValueError, "finite number of layers above 0"),
        (("tanh",), {"depth_scale": 3, "criterion": "he"}, ValueError, "for criterion 'edge_of_chaos' alone"),
        (("tanh",), {"width": 3}, ValueError, "give depth as well"),
        (("tanh",), {"depth": 0}, ValueError, "depth must be"),
        (("tanh",), {"depth": 3, "q0": -1}, ValueError, "q0 is the length of the input"),
        (("relu",), {"bias_var": 0.1}, mf.NoEdge, "relu is critical only at bias_var = 0"),
        (("rely",), {}, mf.ParseError, "did you mean relu"),
        ((3,), {}, TypeError, "an activation is a name"),
    ],
    ids=lambda x: x.get("criterion", "") + str(len(x)) if isinstance(x, dict) else "",
)
def test_refusals(arguments, options, error, message):
    with pytest.raises(error, match=message):
        mf.init_scale(*arguments, **options)


def test_the_result_says_what_it_was_derived_from():
    found = mf.init_scale("relu", criterion="he")
    assert str(found).startswith("relu (he): weights N(0, 2/fan_in), biases N(0, 0), gain 1.41421356237")
    assert json.loads(json.dumps(found.to_dict()))["criterion"] == "he"


HALF_STABLE = {
    "gelu": (3.56155281280883027, 1.98305825743754713, 0.172922390756067352, -2.872528375e-4, 9.33354056e-3),
    "silu": (14.3201736180257988, 1.98800467826949201, 0.555143170721530396, 5.699584379e-6, 1.733027244e-3),
    "mish": (1.67016913247807775, 2.01352406971953029, 0.0945217873706652995, 1.578794135e-2, 3.457740292e-2),
}


@pytest.mark.parametrize("name", HALF_STABLE)
def test_half_stable_points(name):
    q, weight_var, bias_var, d_chi_q, d_chi_1 = HALF_STABLE[name]
    found = mf.init_scale(name, criterion="half_stable")
    assert found.q == pytest.approx(q, rel=1e-11) and found.chi_1 == 1
    assert found.weight_var == pytest.approx(weight_var, rel=1e-12)
    assert found.bias_var == pytest.approx(bias_var, rel=1e-11)
    assert found.chi_q == pytest.approx(1, abs=1e-13)
    block, h = Block(mf.activation(name) >> mf.Dense(found.weight_var, found.bias_var)), 1e-4 * q
    chi_q = (block("length", [q + h])[0, 1] - block("length", [q - h])[0, 1]) / (2 * h)
    chi_1 = (block("slope_at_one", [q + h])[0, 0] - block("slope_at_one", [q - h])[0, 0]) / (2 * h)
    assert chi_q == pytest.approx(d_chi_q, rel=2e-5) and chi_1 == pytest.approx(d_chi_1, rel=2e-5)


@pytest.mark.parametrize("name", ["tanh", "erf", "hard_tanh", "sin"])
def test_isometry_keeps_the_spread_of_singular_values(name):
    found = mf.init_scale(name, criterion="isometry", depth=50)
    law = mf.singular_values(name, depth=50, ensemble="orthogonal", bias_var=found.bias_var)
    assert found.ensemble == "orthogonal" and "orthogonal" in str(found)
    assert law.variance == pytest.approx(0.25, rel=1e-8) and law.weight_var == pytest.approx(found.weight_var)
    assert mf.singular_values(name, depth=100, ensemble="orthogonal", bias_var=found.bias_var).variance > 0.49


def test_selu_normalizes_itself():
    found = mf.init_scale("selu", criterion="self_normalizing", depth=30)
    assert (found.weight_var, found.bias_var, found.q) == (1, 0, 1)
    assert found.chi_1 == pytest.approx(1.0715749924558, rel=1e-12)
    assert found.chi_q == pytest.approx(0.78264788319681, rel=1e-12)
    assert found.outlook.forward == pytest.approx(1, abs=1e-9)
    assert found.outlook.gradient == pytest.approx(found.chi_1**30, rel=1e-8)
    shifted = mf.init_scale("(Max(x, 0) + exp(Min(x, 0)) - 1 - 0.160520572)/0.786879002", criterion="self_normalizing")
    assert shifted.chi_q < 1


@pytest.mark.parametrize(("name", "bias_var"), [("tanh", 0.05), ("erf", 0.0), ("softplus", 0.3)])
def test_a_depth_scale_is_met(name, bias_var):
    found = mf.init_scale(name, depth_scale=20, bias_var=bias_var)
    at = mf.phase(mf.activation(name) >> mf.Dense(found.weight_var, found.bias_var), q0=max(found.q, 1e-3))
    assert at.chi_1 == pytest.approx(math.exp(-1 / 20), rel=1e-9) and at.phase == "ordered"
    assert mf.phase(mf.activation(name) >> mf.Dense(found.weight_var * 0.98, bias_var)).chi_1 < at.chi_1 - 1e-3


def test_blocks_keep_lengths_and_gradients_too():
    residual = 0.6 * mf.Identity() + 0.8 * BLOCK
    for criterion in ("he", "gradient"):
        assert mf.init_scale(residual, criterion=criterion).weight_var == pytest.approx(2, rel=1e-13)
    assert mf.init_scale(BLOCK, criterion="he").weight_var == pytest.approx(2, rel=1e-13)
    normed = mf.init_scale(mf.LayerNorm() >> mf.tanh >> mf.Dense(), bias_var=0.05)
    assert mf.phase(mf.LayerNorm() >> mf.tanh >> mf.Dense(normed.weight_var, 0.05)).chi_1 == pytest.approx(1, rel=1e-9)
    with pytest.raises(mf.NoEdge, match="no critical point at bias_var = 0"):
        mf.init_scale(mf.LayerNorm() >> mf.tanh >> mf.Dense())


def test_the_outlook_is_what_maps_and_networks_do():
    """Lengths and correlations against a real network of width 4000, gradients against its products of slopes."""
    found = mf.init_scale("tanh", bias_var=0.05, depth=5, width=4000).outlook
    scale, n, rng = mf.init_scale("tanh", bias_var=0.05), 4000, np.random.default_rng(0)
    x = rng.standard_normal((2, n))
    x[1] = 0.5 * x[0] + math.sqrt(0.75) * x[1]
    gradient = 1.0
    for _ in range(5):
        gradient *= scale.weight_var * np.mean((1 - np.tanh(x[0]) ** 2) ** 2)
        w = rng.standard_normal((n, n), dtype=np.float32) * math.sqrt(scale.weight_var / n)
        x = np.tanh(x) @ w.T + math.sqrt(scale.bias_var) * rng.standard_normal(n)
    assert np.mean(x[0] ** 2) == pytest.approx(found.forward, rel=0.1)
    assert np.mean(x[0] * x[1]) / np.mean(x**2) == pytest.approx(found.correlation, abs=0.03)
    assert gradient == pytest.approx(found.gradient, rel=0.1)
    assert (found.scale, found.width) == (5 / 4000, 4000)
    assert found.fluctuation == mf.finite_width("tanh", depth=5, width=4000, bias_var=0.05).relative[-1]
    off = mf.init_scale("tanh", criterion="he", depth=5).outlook
    assert abs(off.gradient / found.gradient - 1) > 0.3 and off.fluctuation is None


def test_the_outlook_from_another_length_and_of_endless_growth():
    assert mf.init_scale("relu", criterion="he", depth=7, q0=3.0).outlook.forward == pytest.approx(1)
    started = mf.init_scale("tanh", bias_var=0.05, depth=40, q0=0.5700478816407641).outlook
    assert started.forward == pytest.approx(1, rel=1e-9) and started.gradient == pytest.approx(1, rel=1e-6)
