"""Exponents of power laws: exact ones, noisy ones, and claims about them that are true and false."""

import numpy as np
import pytest

from solvers.powers import outcomes, quantile, slopes

SIZES = (64, 128, 512)


def test_the_slope_of_a_power_is_its_exponent():
    values = 3.0 * np.array(SIZES, dtype=float)[None, :, None] ** np.array([-0.5, 0.0, 1.5])
    assert np.allclose(slopes(SIZES, np.repeat(values, 2, axis=0)), [[-0.5, 0, 1.5]] * 2, atol=1e-14)


def test_slopes_are_those_of_a_fit_by_numpy():
    values = np.exp(np.random.default_rng(0).standard_normal((4, 3)))
    fitted = [np.polyfit(np.log(SIZES), np.log(row), 1)[0] for row in values]
    assert np.allclose(slopes(SIZES, values), fitted, rtol=1e-12)


def test_the_quantile_is_that_of_student():
    from scipy.stats import t

    assert quantile(8, 0.025) == pytest.approx(t.ppf(0.975, 7), rel=1e-12)


def test_three_outcomes():
    means, errors = np.array([0.01, 0.5, 0.06, -0.4]), np.array([0.005, 0.02, 0.02, 0.01])
    claims, margins = np.array([[0, 0], [0, 0], [0, 0], [-0.5, 0]]), np.full(4, 0.08)
    assert outcomes(means, errors, claims, margins, 8, 0.05) == ["agrees", "disagrees", "inconclusive", "agrees"]


def test_one_wrong_claim_among_many_needs_more_evidence():
    mean, error, claim, margin = np.array([0.2]), np.array([0.04]), np.zeros((1, 2)), np.array([0.08])
    assert outcomes(mean, error, claim, margin, 8, 0.05) == ["disagrees"]
    many = [np.repeat(a, 40, axis=0) for a in (mean, error, claim, margin)]
    assert set(outcomes(*many, 8, 0.05)) == {"inconclusive"}


def test_a_true_claim_is_seldom_refused_and_a_false_one_seldom_accepted():
    rng, alpha, repetitions = np.random.default_rng(1), 0.1, 6
    draws = 0.05 * rng.standard_normal((repetitions, 4000))
    means, errors = draws.mean(axis=0), draws.std(axis=0, ddof=1) / np.sqrt(repetitions)
    said = {
        at: [
            outcomes(means[k : k + 1] + at, errors[k : k + 1], np.zeros((1, 2)), np.array([0.08]), repetitions, alpha)[
                0
            ]
            for k in range(4000)
        ]
        for at in (0.0, 0.08)
    }
    assert said[0.0].count("disagrees") < 40
    assert said[0.08].count("agrees") / 4000 == pytest.approx(alpha / 2, abs=0.015)
    assert said[0.08].count("disagrees") / 4000 == pytest.approx(alpha / 2, abs=0.015)
