"""Verdicts: the right block agrees, a wrong one does not, too few draws say so; what is refused."""

import json
import math

import pytest

import meanfield as mf

BLOCK = mf.erf >> mf.Dense(1.5, 0.1)
TWIN = mf.erf >> mf.Dense(1.65, 0.1)
QUICK = {"sampler": "conditional", "width": 128, "draws": 1000, "depth": 2}


@pytest.fixture(scope="module")
def verdict():
    return mf.check(BLOCK, **QUICK)


def test_a_block_agrees_with_its_own_networks(verdict):
    assert verdict.outcome == "agrees"
    assert verdict.draws_needed is None


def test_a_tenth_more_weight_variance_is_noticed():
    assert mf.check(BLOCK, networks=TWIN, **QUICK).outcome == "disagrees"


def test_too_few_draws_are_inconclusive_and_say_how_many_are_needed():
    found = mf.check(BLOCK, **QUICK | {"draws": 20, "max_draws": 20})
    assert found.outcome == "inconclusive"
    assert found.draws_needed > 20


def test_one_width_stands_for_itself_and_its_fourfold(verdict):
    assert verdict.widths == (128, 512)


def test_a_theory_may_be_named():
    few = {"case": "gaussian relu", "draws": 32, "max_draws": 32}
    assert mf.check("pennington2018", **few) == mf.check(mf.theory("pennington2018"), **few)


def test_the_same_seed_gives_the_same_verdict(verdict):
    assert mf.check(BLOCK, **QUICK) == verdict


def test_another_seed_gives_other_evidence(verdict):
    assert mf.check(BLOCK, **QUICK, seed=1).rows != verdict.rows


def test_there_is_a_row_for_every_observable(verdict):
    assert [row.label for row in verdict.rows] == ["q at layer 1", "k at layer 1", "q at layer 2", "k at layer 2"]


def test_a_verdict_is_no_boolean(verdict):
    with pytest.raises(TypeError, match="three outcomes"):
        bool(verdict)


def test_a_verdict_can_be_written_as_json(verdict):
    assert json.loads(json.dumps(verdict.to_dict()))["outcome"] == "agrees"


def test_a_verdict_says_what_it_rests_on(verdict):
    text = str(verdict)
    assert "agrees" in text
    assert "seed 0" in text
    assert "k at layer 2" in text


@pytest.mark.parametrize(
    ("theory", "options", "error", "message"),
    [
        (lambda: BLOCK, {"sampler": "magic"}, ValueError, "unknown sampler 'magic'; known are weights and conditional"),
        (lambda: BLOCK, {"depth": 0}, ValueError, "depth is how often the block is applied"),
        (lambda: BLOCK, {"depth": 1.5}, ValueError, "depth is how often the block is applied"),
        (lambda: BLOCK, {"start": (1, 1, 1)}, ValueError, r"k\^2 < p q"),
        (lambda: BLOCK, {"width": (64,)}, ValueError, "two distinct widths"),
        (lambda: BLOCK, {"draws": 3}, ValueError, "draws must be at least"),
        (lambda: BLOCK, {"margin": 0}, ValueError, "margin must be positive"),
        (lambda: BLOCK, {"alpha": 0.7}, ValueError, "alpha must lie between"),
        (lambda: mf.tanh >> mf.Dense(1.5), {}, ValueError, "has no value"),
        (lambda: mf.tanh, {}, ValueError, "alone is not a block"),
        (lambda: mf.relu.formula, {}, TypeError, "a block is a layer"),
        (lambda: "poole2061", {}, ValueError, "did you mean poole2016"),
        (lambda: mf.theory("poole2016"), {"case": "none"}, ValueError, "has no case 'none'; it has ordered tanh"),
        (lambda: mf.theory("poole2016"), {"sampler": "conditional"}, ValueError, "brings its own networks and cases"),
        (lambda: mf.theory("poole2016"), {"depth": 2}, ValueError, "brings its own networks and cases"),
        (lambda: BLOCK, {"case": "ordered tanh"}, ValueError, "case= is for theories"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else None,
)
def test_refusals(theory, options, error, message):
    with pytest.raises(error, match=message):
        mf.check(theory(), **options)


@pytest.mark.slow
def test_both_samplers_draw_the_same_law():
    weights, conditional = (
        mf.check(BLOCK, sampler=s, width=64, draws=4000, max_draws=4000, depth=2) for s in ("weights", "conditional")
    )
    for one, other in zip(weights.rows, conditional.rows, strict=True):
        assert abs(one.estimate - other.estimate) < 4.5 * math.hypot(one.standard_error, other.standard_error)


@pytest.mark.slow
def test_a_true_theory_is_rarely_called_wrong():
    """At alpha = 0.2 at most a fifth of 200 seeds may disagree, and three standard errors of that share."""
    options = {"sampler": "conditional", "width": 64, "draws": 32, "max_draws": 32, "alpha": 0.2, "margin": 1e-4}
    found = [mf.check(BLOCK, depth=1, seed=seed, **options).outcome for seed in range(200)]
    assert found.count("disagrees") / 200 <= 0.2 + 3 * math.sqrt(0.2 * 0.8 / 200)
    assert "disagrees" in found  # else the bound would be empty
