"""Exponents of depth: the table for every optimizer, named choices, real residual networks with and without them."""

import numpy as np
import pytest
from sympy import Rational, symbols

from symbolic.scaling.depth import NAMED, Stack, depth_rule, unit_residuals, window
from symbolic.scaling.optimizers import RULES, optimizer
from tests.symbolic.depth_network import slopes

half = Rational(1, 2)
alpha = symbols("alpha", real=True)
e_A, e_B, e_L, e_R = symbols("e_A e_B e_L e_R", nonnegative=True)

# name, its exponents, learning rate of the branches in L, dampings in L
TABLE = [
    *((name, {}, 2 * alpha - 1, {}) for name in ("sgd", "momentum")),
    *((name, {}, alpha - 1, {"epsilon": -alpha}) for name in ("adam", "adamw", "rmsprop", "sign", "lion")),
    *((name, {}, alpha - 1, {"epsilon": -alpha}) for name in ("muon", "normalized_sgd", "adafactor", "lamb", "lars")),
    *(("soap", {"sides": sides}, alpha - 1, {"epsilon": -alpha}) for sides in ("both", "left", "right")),
    ("shampoo", {"e_L": e_L, "e_R": e_R}, 2 * alpha * (1 - e_L - e_R) - 1, {"epsilon": -2 * alpha}),
    ("kfac", {"e_A": e_A, "e_B": e_B}, 2 * alpha * (1 - e_B) - 1, {"rho_A": 0, "rho_B": -2 * alpha}),
    ("foof", {}, 2 * alpha - 1, {"rho_A": 0}),
]


@pytest.mark.parametrize(
    ("name", "powers", "rate", "dampings"), TABLE, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(TABLE)]
)
def test_the_table(name, powers, rate, dampings):
    rule = depth_rule(alpha, optimizer(name, **powers), 1)
    assert (rule.block.learning_rate - rate).expand() == 0
    assert rule.block.dampings == dampings
    assert rule.block.weight_decay == -rule.block.learning_rate
    assert (rule.multiplier, rule.drawn, rule.own, rule.change) == (-alpha, half - alpha, alpha - 1, 0)


def test_every_optimizer_of_gradients_has_a_rule():
    assert {name for name, *_ in TABLE} == {name for name in RULES if optimizer(name).signal == "gradient"}


@pytest.mark.parametrize(
    ("matrices", "all_orders", "ends"),
    [(1, True, (half, 1)), (2, True, (1, 1)), (5, True, (1, 1)), (2, False, (half, 1))],
)
@pytest.mark.parametrize("name", ["sgd", "adam", "muon", "shampoo", "kfac"])
def test_the_alphas_of_complete_feature_learning(name, matrices, all_orders, ends):
    assert window(optimizer(name), matrices, all_orders=all_orders) == ends


def test_the_second_order_fades_at_one_half_and_not_at_one():
    """Bordelon et al.'s blocks frozen as L^(alpha-1); one matrix per branch has no second order."""
    rule = depth_rule("depth_mup", optimizer("adam"), 2)
    assert rule.second == -half
    assert rule.incomplete == (
        "products of 2 updates in a branch move the stream by Theta(1), but at alpha = 1/2 only by L^(-1/2)",
    )
    assert len(depth_rule("depth_mup", optimizer("adam"), 3).incomplete) == 2
    assert depth_rule("depth_mup", optimizer("adam"), 1).incomplete == ()
    assert depth_rule("completep", optimizer("adam"), 2).incomplete == ()
    assert depth_rule(alpha, optimizer("sgd"), 2).second == alpha - 1


def test_named_choices():
    adam, sgd = optimizer("adam"), optimizer("sgd")
    assert [depth_rule(name, adam, 2).block.learning_rate for name in ("depth_mup", "completep", "u_mup")] == [
        -half,
        0,
        -half,
    ]
    assert [depth_rule(name, sgd, 2).block.learning_rate for name in ("depth_mup", "completep")] == [0, 1]
    assert depth_rule("completep", adam, 2).block.dampings == {"epsilon": -1}
    assert set(NAMED) == {"depth_mup", "completep", "u_mup"}


@pytest.mark.parametrize(
    ("choice", "name", "matrices", "message"),
    [
        ("completp", "adam", 2, "unknown rule for depth 'completp'; did you mean completep"),
        ("?", "adam", 2, "known are depth_mup, completep, u_mup, or a number alpha"),
        (0.25, "adam", 2, r"from 1/2 to 1, not at 1/4: the drawn branches add up to O\(1\), not L\^\(1/4\)"),
        (1.5, "sgd", 2, r"not at 3/2: what a weight in a branch gives changes by O\(1\), not L\^\(1/2\)"),
        ("depth_mup", "adam", 0, "there are none: take the architecture 'resnet'"),
        ("depth_mup", "predictive_coding", 1, "no rule for depth is known for predictive_coding"),
        ("depth_mup", "target_propagation", 1, "no rule for depth is known for target_propagation"),
    ],
)
def test_what_is_refused(choice, name, matrices, message):
    with pytest.raises(ValueError, match=message):
        depth_rule(choice, optimizer(name), matrices)


def test_residuals_of_unit_scale():
    """Unrolled, branch i weighs alpha_i and the input sqrt(branches/2), all over one norm."""
    tau = [float(t) for t in unit_residuals(6, multiplier=1.5, ratio=0.5)]
    weights = np.array([1.0])
    for t in tau:
        weights = np.append(weights, t) / np.sqrt(1 + t**2)
    mlp = 1.5 * np.sqrt(2 / 1.25)
    wanted = np.array([np.sqrt(3), *[0.5 * mlp, mlp] * 3])
    assert np.allclose(weights, wanted / np.linalg.norm(wanted), atol=1e-14)
    assert abs(tau[0] - 0.5 * mlp / np.sqrt(3)) < 1e-14
    sizes = [float(unit_residuals(n)[-1]) for n in (64, 256)]
    assert abs(np.log(sizes[1] / sizes[0]) / np.log(4) + 0.5) < 0.01


# -- real networks: 64 wide, depths 8 to 64, mean of the logs over seeds --------------------------------------------

SIMULATED = [
    ("sgd", {}, 8),
    ("adam", {}, 8),
    ("muon", {}, 4),
    ("shampoo", {"e_L": half / 4, "e_R": half / 4}, 4),
    ("kfac", {}, 4),
]


@pytest.mark.parametrize("matrices", [1, 2])
@pytest.mark.parametrize("at", [half, 1])
@pytest.mark.parametrize(("name", "powers", "seeds"), SIMULATED, ids=[name for name, *_ in SIMULATED])
def test_slopes_of_real_networks(name, powers, seeds, at, matrices):
    rule = depth_rule(at, optimizer(name, **powers), matrices)
    measured = slopes(matrices, float(at), name, float(rule.block.learning_rate), seeds)
    predicted = [float(e) for e in (rule.drawn, rule.own, rule.change)]
    assert np.abs(measured - predicted).max() < 0.08


@pytest.mark.parametrize(("name", "at", "change"), [("sgd", 1, -1), ("adam", half, half), ("kfac", half, 1)])
def test_without_the_factor_the_stream_freezes_or_blows_up(name, at, change):
    unscaled = Stack(optimizer(name), at, half - half)
    assert unscaled.change == change
    measured = slopes(1, float(at), name, 0, 4, rate=1e-3)
    assert abs(measured[2] - float(change)) < 0.08
    right = depth_rule(at, optimizer(name), 1)
    assert abs(measured[2] - float(right.change)) > 0.3
