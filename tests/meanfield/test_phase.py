"""Fixed points, slopes and depth scales against tables that were computed apart from this code, with mpmath."""

import json
import math

import numpy as np
import pytest
import sympy as sp

import meanfield as mf
from meanfield.build import Block
from symbolic.functions import X

# activation, weight_var, bias_var, q, chi_1, chi_q, c, chi_c, xi_q, xi_c
DEPTH_SCALES = """
tanh 1     .05 .1935925202453   .7590316471854  .5642799820468 1              .7590316471854 1.7476262429  3.6269756181
tanh 1.69  .05 .5270871078692   .9845121931730  .5277107952576 1              .9845121931730 1.5644387268 64.0656202646
tanh 2.25  .09 .9608442797404  1.0609812641409  .4246323519036 .7667532972533 .9510295575917 1.1674993327 19.9162972273
tanh 4     .05 2.1954939280345 1.3424024144452  .3181950994046 .1650649620223 .8665279955973  .8732933720  6.9802735330
tanh 6.25  .09 4.0791238752822 1.5852247650060  .2339220455826 .1221037473056 .8222291727236  .6883414572  5.1089189892
tanh 16    .09 12.6041494978443 2.3672610355459 .1300821023262 .0296959215803 .7597436050122  .4902947451  3.6393510215
erf  1     .09 .3693531915024   .8089299833830  .4652481818034 1              .8089299833830 1.3068747113  4.7160265197
erf  2.25  .09 1.2191689527617 1.1817531539780  .3436989575922 .4970695226116 .8903403041925  .9363391197  8.6094435638
erf  4     .01 2.5248947869853 1.5286809507827  .2526833259391 .0250512898268 .8420246556758  .7269458658  5.8157799512
sin  1.44  .25 .8342618779807   .8557381220193  .2714762440386 1              .8557381220193  .7669413653  6.4188608987
gelu 1.96  .01 .0203422474111   .5143894144466  .5262198624919 1              .5143894144466 1.5575446618  1.5042690749
silu 1.96  .25 .7405098933685   .7039681062672  .7739178476467 1              .7039681062672 3.9018367937  2.8488224443
"""
ROWS = [line.split() for line in DEPTH_SCALES.strip().splitlines()]
FAST = {"tanh", "erf", "sin", "gelu"}
NAMES = ("q", "chi_1", "chi_q", "c", "chi_c", "xi_q", "xi_c")


def marked(rows):
    """Rows whose activation has open means to compile, other than tanh, are slow."""
    return [pytest.param(*r, marks=() if r[0] in FAST else pytest.mark.slow, id=" ".join(r[:3])) for r in rows]


def block_of(name, weight_var, bias_var):
    return mf.activation(name) >> mf.Dense(float(weight_var), float(bias_var))


@pytest.mark.parametrize(
    ("name", "weight_var", "bias_var", "q", "chi_1", "chi_q", "c", "chi_c", "xi_q", "xi_c"), marked(ROWS)
)
def test_depth_scales(printed, name, weight_var, bias_var, q, chi_1, chi_q, c, chi_c, xi_q, xi_c):
    found = mf.phase(block_of(name, weight_var, bias_var))
    expected = dict(zip(NAMES, (q, chi_1, chi_q, c, chi_c, xi_q, xi_c), strict=True))
    assert {n: getattr(found, n) for n in NAMES} == {n: printed(text) for n, text in expected.items()}
    assert found.phase == ("chaotic" if float(chi_1) > 1 else "ordered")
    assert found.chi_gradient == pytest.approx(found.chi_1, rel=1e-13)


@pytest.mark.parametrize("row", [r for r in ROWS if r[0] in FAST], ids=lambda r: " ".join(r[:3]))
def test_one_per_cent_of_the_weight_variance_would_be_noticed(printed, row):
    name, weight_var, bias_var, *_ = row
    found = mf.phase(block_of(name, 1.01 * float(weight_var), bias_var))
    wrong = [n for n, text in zip(NAMES, row[3:], strict=True) if getattr(found, n) != printed(text)]
    assert set(NAMES) - {"c"} <= set(wrong)  # c = 1 stays 1 in the ordered phase


@pytest.mark.parametrize("q0", [1e-6, 0.3, 7.0, 1e4])
def test_the_fixed_point_does_not_depend_on_where_it_is_sought(q0):
    found = mf.phase(mf.tanh >> mf.Dense(2.25, 0.09), q0=q0)
    assert (found.q, found.c) == (pytest.approx(0.9608442797404, rel=1e-12), pytest.approx(0.7667532972533, rel=1e-11))


# -- lengths without a fixed point, or with every length one ------------------------------------------------------


@pytest.mark.parametrize("q0", [0.25, 1.0, 9.0])
def test_a_critical_relu_keeps_any_length(q0):
    found = mf.phase(mf.relu >> mf.Dense(2, 0), q0=q0)
    assert (found.q, found.c, found.chi_1, found.chi_q, found.phase) == (q0, 1, 1, 1, "critical")
    assert found.xi_q == found.xi_c == math.inf


def test_lengths_that_grow_without_bound():
    found = mf.phase(mf.relu >> mf.Dense(2, 0.1))
    assert found.q == math.inf
    assert "grow without bound" in str(found)
    assert found.chi_1 == pytest.approx(1, abs=1e-12)


def test_lengths_that_vanish():
    found = mf.phase(mf.tanh >> mf.Dense(0.8, 0))
    assert (found.q, found.c, found.phase) == (0, 1, "ordered")
    assert found.chi_1 == found.chi_q == pytest.approx(0.8, rel=1e-12)


def test_an_odd_activation_without_bias_forgets_the_sign_of_correlations():
    found = mf.phase(mf.erf >> mf.Dense(4, 0))
    assert (found.c, found.phase) == (0, "chaotic")
    assert 0 < found.chi_c < 1 < found.chi_1


@pytest.mark.slow
def test_selu_is_self_normalising_and_chaotic(printed):
    found = mf.phase(mf.selu >> mf.Dense(1, 0))
    assert found.q == pytest.approx(1, rel=1e-12)
    assert (found.chi_1, found.chi_q) == (printed("1.0715749924558"), printed(".78264788319681"))


# -- dropout, normalisation, residual -------------------------------------------------------------------------------

# weight_var, bias_var, keep, q, c, chi_c, xi_c, gradient factor
DROPOUT = """
1.69 .05 .9   .642963906909 .381452398606 .806226929746  4.64274052 1.024051721601
1.69 .05 .99  .537323395025 .805441487286 .931491119446 14.09073424  .988307141961
2    .05 .8  1.063958377417 .160837371325 .710130510891  2.92135842 1.133515698704
"""


@pytest.mark.parametrize("row", [line.split() for line in DROPOUT.strip().splitlines()], ids=lambda r: " ".join(r[:3]))
def test_dropout_has_no_fixed_point_at_correlation_one(printed, row):
    weight_var, bias_var, keep = map(float, row[:3])
    found = mf.phase(mf.tanh >> mf.Dropout(keep) >> mf.Dense(weight_var, bias_var))
    numbers = (found.q, found.c, found.chi_c, found.xi_c, found.chi_gradient)
    assert numbers == tuple(printed(text) for text in row[3:])


# slope at correlation 1 of normalise >> act >> Dense(1, 0)
NORMALISED = {
    "tanh": "1.177807232304",
    "erf": "1.225700003786",
    "sin": "1.313035285499",
    "gelu": "1.072031598436",
    "silu": "1.066634241242",
    "relu": "1.",
}


@pytest.mark.parametrize("norm", [mf.RMSNorm, mf.LayerNorm], ids=["rms", "layer"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n == "silu" else ()) for n in NORMALISED])
def test_normalising_before_the_activation(printed, name, norm):
    found = mf.phase(norm() >> mf.activation(name) >> mf.Dense(1, 0))
    assert found.chi_1 == printed(NORMALISED[name])
    assert found.chi_q == 0


# slopes at correlation 1 and 0 of act >> LayerNorm >> Dense(1, 0)
CENTRED = {
    "relu": (str(math.pi / (math.pi - 1)), ".73347110346213"),
    "gelu": ("1.318844970866", ".723287521341"),
    "silu": ("1.212081114757", ".798509541710"),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n == "silu" else ()) for n in CENTRED])
def test_layer_normalisation_behind_the_activation(printed, name):
    block = mf.activation(name) >> mf.LayerNorm() >> mf.Dense(1, 0)
    slope_at_zero = Block(block)("correlation", [1, 1, 0])[0, 1]
    assert (mf.phase(block).chi_1, slope_at_zero) == tuple(printed(text) for text in CENTRED[name])


RESIDUAL = {
    1: ("1.4942944904", ".526217836080"),
    2: ("2.0618898855", ".540443285382"),
    10: ("7.9687561792", ".545196983632"),
    100: ("95.4464563438", ".425635186542"),
    1000: ("1051.2800674525", ".317689804305"),
}


def test_a_residual_orbit_of_a_thousand_layers(printed):
    block, state, found = Block(mf.Identity() + (mf.tanh >> mf.Dense(1, 0.1))), np.array([1, 1, 0.5]), {}
    for layer in range(1, 1001):
        state = block("orbit", state)[0]
        found[layer] = (state[0], state[2] / np.sqrt(state[0] * state[1]))
    assert {n: found[n] for n in RESIDUAL} == {n: tuple(map(printed, texts)) for n, texts in RESIDUAL.items()}


def test_a_residual_relu_multiplies_lengths():
    block = Block(mf.Identity() + (mf.relu >> mf.Dense(1.5, 0)))
    assert block("length", [[0.3], [2.0]])[:, 0] == pytest.approx([0.3 * 1.75, 2 * 1.75], rel=1e-15)


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (lambda: mf.tanh, ValueError, r"'tanh' alone is not a block: join it with a Dense layer"),
        (lambda: mf.tanh >> mf.Dense(1.5), ValueError, r"bias_var of .* has no value: write bias_var="),
        (lambda: mf.tanh >> mf.Dense(bias_var=0.1), ValueError, r"weight_var of .* has no value: write weight_var="),
        (lambda: mf.tanh >> mf.Dropout(0.5), ValueError, r"cannot be repeated: it must give the kind"),
        (lambda: "tanh", TypeError, r"a block is a layer such as .*, not 'tanh'"),
    ],
    ids=["bare", "no bias_var", "no weight_var", "ends in features", "text"],
)
def test_what_is_not_a_block_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        mf.phase(given())


@pytest.mark.parametrize("q0", [0, -1, math.inf, math.nan])
def test_a_start_that_is_no_length_is_refused(q0):
    with pytest.raises(ValueError, match="positive and finite"):
        mf.phase(mf.tanh >> mf.Dense(1, 0.1), q0=q0)


def test_an_activation_that_jumps_has_no_phase():
    with pytest.raises((ValueError, mf.NotConverged)):
        mf.phase(mf.step >> mf.Dense(1, 0.1))


def test_a_mean_that_diverges_is_not_a_number():
    """An activation without a second moment is refused by name; made by hand, its phase has no value."""
    with pytest.raises(mf.Divergent, match="variances below 1/4"):
        mf.activation("exp(x**2)")
    with pytest.raises(mf.NotConverged):
        mf.phase(mf.Pointwise("growing", sp.exp(X**2)) >> mf.Dense(1, 0))


def test_the_result_can_be_written_as_json():
    found = mf.phase(mf.erf >> mf.Dense(1, 0.09))
    assert json.loads(json.dumps(found.to_dict()))["q"] == found.q
