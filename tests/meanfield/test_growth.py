"""Theories of trained networks: what their cases train and predict, against tables and limits written out here."""

import numpy as np
import pytest
from sympy import Rational

import meanfield as mf
from meanfield.growth import MANY, Point, TrainedCase, Training, derive, sample, solve
from meanfield.theories import depth2023, everett2024, ishikawa2025, spectral2023, yang2021, yang2022
from meanfield.theory import Case

HALF = Rational(1, 2)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_sgd_points_are_those_of_the_paper():
    """Maximal update: Definition 5.1; the tangent kernel: a = (0, 1/2, 1/2), b = c = 0."""
    mup = Training("sgd", gauge="table9").table.chain
    point = yang2021.MAXIMAL_UPDATE.table.chain
    assert (point.a, point.b, point.c) == (mup.a, mup.b, mup.c) == ((-HALF, 0, HALF), (HALF,) * 3, (0,) * 3)
    tangent = yang2021.TANGENT.table.chain
    assert (tangent.a, tangent.b, tangent.c) == ((0, HALF, HALF), (0,) * 3, (0,) * 3)
    assert yang2021.TANGENT.table.regime.name == "kernel" and yang2021.TANGENT.table.regime.r == HALF


def r_of_theorem(a, b, c):
    return min(a[-1] + b[-1], 2 * a[-1] + c) + c - 1 + min(2 * a[0] + 1, *(2 * x for x in a[1:-1]))


@pytest.mark.parametrize(("training", "r"), [(yang2021.MAXIMAL_UPDATE, 0), (yang2021.TANGENT, HALF)])
def test_r_is_that_of_the_theorem(training, r):
    chain = training.table.chain
    assert training.table.regime.r == r_of_theorem(chain.a, chain.b, 0) == r


def test_largest_rates_of_the_standard_parametrization():
    """c by alignment, from the paper's table in the notes for Adam."""
    rates = {(n, a): everett2024.fastest(n, a).table.chain.c for n in ("adam", "adafactor") for a in (1, HALF)}
    assert rates["adam", 1] == (0, 1, 1) and rates["adam", HALF] == (0, HALF, HALF)
    assert rates["adafactor", 1] == (0, HALF, HALF) and rates["adafactor", HALF] == (0, 0, 0)


def test_spectral_initialization_is_the_maximal_updates():
    """min(1, sqrt(fan_out/fan_in))/sqrt(fan_in), and rates fan_out/fan_in."""
    table = spectral2023.THEORY.cases["SGD"].block.table
    for p in table.chain.layers:
        row, (i, o) = table[p.kind], (p.fan_in, p.fan_out)
        assert row.init_std == min(0, (o - i) / 2) - i / 2 and row.learning_rate == o - i


def test_spectral_norms_are_those_of_full_matrices():
    matrix = rng().standard_normal((40, 40))
    assert spectral2023.largest(matrix) == pytest.approx(np.linalg.svd(matrix)[1][0], rel=1e-10)


@pytest.mark.parametrize(("gamma", "b_out"), [(1, 1), (0, 1), (1, HALF)])
def test_the_fixed_point_against_matrices_written_out(gamma, b_out):
    """(I + C)^-1 at a width of 1500 by C = n^g (V V^T + V W W^T V^T), against the limit that is predicted."""
    n, g = 1500, rng(1)
    V = ishikawa2025.ROWS[:, None] * g.standard_normal((2, n)) * n ** -float(b_out)
    W = g.standard_normal((n, n)) / np.sqrt(n)
    C = n ** float(gamma) * (V @ V.T + V @ W @ W.T @ V.T)
    block = Point("predictive_coding", powers=(("gamma", gamma),), b=(0, HALF, b_out))
    predicted = solve_fixed_point(block)
    assert np.diag(np.linalg.inv(np.eye(2) + C)) == pytest.approx(predicted, abs=0.03)


def solve_fixed_point(block):
    return ishikawa2025.solve(block, ishikawa2025.FixedPoint(block, block)).values


def test_critical_predictive_coding_lies_between_gradient_and_gauss_newton():
    first, critical, newton = (
        solve_fixed_point(Point("predictive_coding", powers=(("gamma", 1),), b=(0, HALF, b))) for b in (2, 1, HALF)
    )
    assert np.allclose(first, 1) and np.allclose(newton, 0)
    assert np.allclose(critical, 1 / (1 + 2 * np.array([2.25, 0.25])))


def test_rules_for_depth():
    powers = {name: list(depth2023.derive(case.block).update.values()) for name, case in depth2023.THEORY.cases.items()}
    assert powers == {"Depth-muP, Adam": [0, -HALF, 0], "CompleteP, SGD": [-HALF, 0, 0]}
    adam, sgd = (case.block.depth.block.learning_rate for case in depth2023.THEORY.cases.values())
    assert (adam, sgd) == (-HALF, 1)


def test_a_draw_compares_two_widths_on_the_same_data():
    training = Training("muon")
    case = TrainedCase(training, training, task=MANY)
    found = sample(training, case, 16, rng())
    assert np.array_equal(found, sample(training, case, 16, rng()))
    assert found[0] == pytest.approx(0, abs=0.15)  # an orthogonal update of the input layer has a size without noise
    assert len(found) == len(solve(training, case).labels) == 4


def test_what_is_not_trained_is_refused():
    block, case = mf.Dense(1, 0), Case(mf.Dense(1, 0), mf.Dense(1, 0))
    with pytest.raises(ValueError, match="are measured of a Training in a TrainedCase, not of 'Dense"):
        sample(block, case, 16, rng())
    with pytest.raises(ValueError, match="derived for a Training, not for 'Dense"):
        derive(block)
    with pytest.raises(ValueError, match="measured of a ResidualTraining, not of 'Dense"):
        depth2023.solve(block, case)


def test_scores_need_the_whole_dimension():
    assert yang2022.Head().scores.multiplier == -1
    assert yang2022.solve(yang2022.Head(-HALF), Case(yang2022.Head(), yang2022.Head())).values == pytest.approx(
        [0, 0.5]
    )
