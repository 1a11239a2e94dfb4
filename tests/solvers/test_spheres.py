"""Sphere averages: moments in closed form, an expansion in Gegenbauer polynomials, samples, kinks."""

import numpy as np
import pytest
from scipy.special import eval_gegenbauer, roots_gegenbauer

from solvers import spheres

BATCHES = (4, 5, 8, 33, 1000)


def gegenbauer(f, batch):
    """E f(h_1) f(h_2) by the Funk-Hecke formula, for analytic f."""
    order, top = (batch - 3) / 2, 90
    x, w = roots_gegenbauer(2 * top, order)
    values, total = f(np.sqrt(batch - 1) * x), 0.0
    for n in range(top):
        p, at_rho = (eval_gegenbauer(n, order, z) / eval_gegenbauer(n, order, 1.0) for z in (x, -1 / (batch - 1)))
        total += (w @ (values * p)) ** 2 / (w @ (p * p)) * at_rho
    return total / w.sum()


@pytest.mark.parametrize("batch", BATCHES)
def test_moments_of_one_coordinate(batch):
    (second, fourth, sixth), bound = spheres.one(lambda h: np.stack([h**2, h**4, h**6]), batch)
    d, r = batch - 1, batch - 1
    assert second == pytest.approx(1, abs=1e-13)
    assert fourth == pytest.approx(3 * r**2 / (d * (d + 2)), rel=1e-13)
    assert sixth == pytest.approx(15 * r**3 / (d * (d + 2) * (d + 4)), rel=1e-13)
    assert bound < 1e-10


@pytest.mark.parametrize("batch", BATCHES)
def test_two_coordinates_have_correlation_minus_one_over_the_others(batch):
    (linear, constant), bound = spheres.two(lambda h: np.stack([h, np.ones_like(h)]), batch)
    assert linear == pytest.approx(-1 / (batch - 1), abs=1e-13)
    assert constant == pytest.approx(1, abs=1e-13)
    assert bound < 1e-12


@pytest.mark.parametrize("batch", BATCHES)
def test_rectified_coordinates_have_the_arcs_of_gaussians(batch):
    (ramps, steps), bound = spheres.two(lambda h: np.stack([np.maximum(h, 0), np.heaviside(h, 0.5)]), batch, [0.0])
    rho = -1 / (batch - 1)
    angle = np.pi - np.arccos(rho)
    assert ramps == pytest.approx((np.sqrt(1 - rho**2) + rho * angle) / (2 * np.pi), rel=1e-12)
    assert steps == pytest.approx(angle / (2 * np.pi), rel=1e-12)
    assert bound < 1e-12


@pytest.mark.parametrize("batch", [4, 5, 8, 33])
@pytest.mark.parametrize("f", [np.tanh, np.cos, np.exp], ids=["tanh", "cos", "exp"])
def test_smooth_functions_have_their_expansions(batch, f):
    (value,), bound = spheres.two(lambda h: f(h)[None], batch)
    assert value == pytest.approx(gegenbauer(f, batch), rel=1e-12, abs=1e-14)
    assert bound < 1e-11


@pytest.mark.parametrize("batch", [4, 6, 12])
def test_kinks_anywhere_are_met(batch):
    marks = [-1.0, 0.3, 1.5]

    def bent(h):
        return np.stack([np.abs(h - 0.3) + np.clip(h, -1, 1.5), np.where(h > 0.3, h, -1.0)])

    z = np.random.default_rng(batch).standard_normal((400_000, batch))
    z -= z.mean(axis=1, keepdims=True)
    z *= np.sqrt(batch / (z**2).sum(axis=1, keepdims=True))
    found, bound = spheres.two(bent, batch, marks)
    samples = bent(z[:, 0]) * bent(z[:, 1])
    assert bound < 1e-11
    assert (np.abs(samples.mean(axis=1) - found) < 4 * samples.std(axis=1) / 400_000**0.5).all()
    assert spheres.two(bent, batch)[1] > 1e-8  # unsplit
