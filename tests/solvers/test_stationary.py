"""Pair means of two variances from Hermite series, against Gauss-Hermite rules in two variables."""

import numpy as np
import pytest

from meanfield.expectation import curve
from solvers.stationary import pair_means
from symbolic.parse import parse

Z, W = np.polynomial.hermite_e.hermegauss(180)


def by_a_rule(f, p, q, k):
    u = np.sqrt(p) * Z[:, None]
    v = k / np.sqrt(p) * Z[:, None] + np.sqrt(q - k * k / p) * Z
    return W @ (f(u) * f(v)) @ W / W.sum() ** 2


@pytest.mark.parametrize(
    ("text", "f", "p", "q"),
    [
        ("tanh(x)", np.tanh, 0.5, 0.5),
        ("tanh(x)", np.tanh, 0.9, 0.3),
        ("x*sigmoid(x) + x**2", lambda x: x / (1 + np.exp(-x)) + x**2, 0.6, 0.6),
    ],
)
def test_the_series_is_the_integral(text, f, p, q):
    ks = np.sqrt(p * q) * np.array([0.9, -0.4, 0.0])
    found = pair_means(curve(parse(text)), p, q, ks)
    expected = np.array([by_a_rule(f, p, q, k) for k in ks])
    assert np.abs(found - expected).max() < 1e-12
    assert np.abs(pair_means(curve(parse(text)), 1.1 * p, q, ks) - expected).max() > 1e-4


def test_at_the_ends_it_is_the_mean_square():
    body = parse("tanh(x) + x**2")
    ends = pair_means(curve(body), 0.7, 0.7, np.array([0.7, -0.7]))
    z, w = np.polynomial.hermite_e.hermegauss(150)
    f = np.sqrt(0.7) * z
    square = w @ (np.tanh(f) + f**2) ** 2 / w.sum()
    mirrored = w @ ((np.tanh(f) + f**2) * (np.tanh(-f) + f**2)) / w.sum()
    assert ends == pytest.approx([square, mirrored], rel=1e-11)


def test_a_jump_is_left_to_the_caller():
    assert pair_means(curve(parse("sign(x)*tanh(x + 1)")), 1.0, 1.0, np.array([0.999])) is None


def test_no_variance():
    assert pair_means(curve(parse("tanh(x) + 2")), 0.0, 0.0, np.zeros(2)) == pytest.approx([4, 4], rel=1e-14)
