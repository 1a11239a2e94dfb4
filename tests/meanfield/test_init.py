"""Initialization scales: each criterion against its closed or tabulated value."""

import json
import math

import pytest

import meanfield as mf

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
        ((mf.relu >> mf.Dense(),), {"criterion": "he"}, TypeError, "is a block: use 'edge_of_chaos'"),
        (("relu",), {"bias_var": 0.1}, mf.NoEdge, "relu is critical only at bias_var = 0"),
        (("rely",), {}, mf.ParseError, "did you mean relu"),
        ((3,), {}, TypeError, "an activation is a name"),
    ],
    ids=["criterion", "bias", "block", "no edge", "misspelt", "number"],
)
def test_refusals(arguments, options, error, message):
    with pytest.raises(error, match=message):
        mf.init_scale(*arguments, **options)


def test_the_result_says_what_it_was_derived_from():
    found = mf.init_scale("relu", criterion="he")
    assert str(found).startswith("relu (he): weights N(0, 2/fan_in), biases N(0, 0), gain 1.41421356237")
    assert json.loads(json.dumps(found.to_dict()))["criterion"] == "he"
