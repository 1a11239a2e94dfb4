"""Sums over Hermite coefficients of points against closed duals, and what they leave open."""

import math

import numpy as np
import pytest
from scipy.special import erf

from solvers import series
from solvers.hermite import Curve

ERF = Curve(erf, np.zeros(1))
SLOPE = Curve(lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x), np.zeros(1))
COSINE = Curve(np.cos)
STEP = Curve(lambda x: (x > 0).astype(float), np.zeros(1))


def law(n1, n2, most, seed=0):
    rng = np.random.default_rng(seed)
    p, q, rho = rng.uniform(0.2, 5, n1), rng.uniform(0.2, 5, n2), rng.uniform(-most, most, (n1, n2))
    return p, q, rho


def summed(f, g, p, q, rho, *, triangle=False):
    most = float(np.abs(rho).max())
    left, right = series.points(f, p, most), series.points(g, q, most)
    out = np.zeros(rho.shape)
    law = (0, len(p)), triangle, rho, left.fields, right.fields
    series.sums(*law, out)
    assert series.missed(*law) == np.isnan(out).sum()
    return out


@pytest.mark.parametrize("most", [0.3, 0.95, 1.0])
def test_sums_are_closed_duals(most):
    p, q, rho = law(40, 600, most)
    k = rho * np.sqrt(np.outer(p, q))
    wanted = 2 / math.pi * np.arcsin(2 * k / np.sqrt(np.outer(1 + 2 * p, 1 + 2 * q)))
    np.testing.assert_allclose(summed(ERF, ERF, p, q, rho), wanted, atol=2e-14)
    slopes = 4 / math.pi / np.sqrt(np.outer(1 + 2 * p, 1 + 2 * q) - 4 * k * k)
    np.testing.assert_allclose(summed(SLOPE, SLOPE, p, q, rho), slopes, atol=5e-14)
    np.testing.assert_allclose(summed(ERF, SLOPE, p, q, rho), 0, atol=1e-14)
    assert abs(summed(ERF, ERF, p * 1.01, q, rho) - wanted).max() > 1e-4


def test_a_triangle_stops_at_the_diagonal():
    p, _, rho = law(300, 300, 0.9)
    out = summed(ERF, ERF, p, p, rho, triangle=True)
    assert not out[np.triu_indices(300)].any()
    np.testing.assert_array_equal(out[280:, :250], summed(ERF, ERF, p, p, rho)[280:, :250])


def test_what_the_terms_do_not_reach_is_nan():
    """A jump needs endless terms at correlation 1, few at 0.3."""
    p, q, rho = law(4, 4, 0.3)
    wanted = 0.25 + np.arcsin(rho) / (2 * math.pi)
    np.testing.assert_allclose(summed(STEP, STEP, p, q, rho), wanted, atol=1e-13)
    rho[0, 0] = 1 - 1e-9
    found = summed(STEP, STEP, p, q, rho)
    assert np.isnan(found[0, 0]) and np.isfinite(np.delete(found.ravel(), 0)).all()


def test_a_variance_of_zero_is_a_constant_and_a_huge_one_right():
    p, q, rho = np.array([0.0, 1.0, 1e12]), np.ones(3), np.full((3, 3), 0.5)
    found = summed(ERF, ERF, p, q, rho)
    k = rho * np.sqrt(np.outer(p, q))
    wanted = 2 / math.pi * np.arcsin(2 * k / np.sqrt(np.outer(1 + 2 * p, 1 + 2 * q)))
    assert (found[0] == 0).all() and np.isfinite(found[1]).all()
    np.testing.assert_allclose(summed(COSINE, COSINE, p, q, rho)[0], math.exp(-0.5), atol=1e-14)
    np.testing.assert_allclose(found[np.isfinite(found)], wanted[np.isfinite(found)], atol=1e-12)
