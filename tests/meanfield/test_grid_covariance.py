"""Covariances of positions against sums over all of them, lags of thirty digits and the dense recursion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import circulant

import meanfield as mf
from tests.meanfield.fourier_networks import network
from tests.meanfield.fourier_oracle import through


def pair_mean(name, q, g):
    """E phi(u) phi(v) of variances q and covariance g."""
    if name == "erf":
        return 2 / np.pi * np.arcsin(np.clip(2 * g / (1 + 2 * q), -1, 1))
    angle = np.arccos(np.clip(g / q, -1, 1))
    mean = q * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    return mean


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 9),
    st.sampled_from(["relu", "erf"]),
    st.floats(0.2, 3),
    st.floats(0, 1),
    st.integers(0, 1000),
)
def test_with_all_modes_each_lag_goes_as_in_a_dense_layer(n, name, w, b, seed):
    power = np.random.default_rng(seed).uniform(0.1, 1, n)
    lags = np.real(np.fft.ifft(power + np.roll(power[::-1], 1)))
    block = mf.FourierBlock(n // 2 + 1, name, weight_var=w, bias_var=b, pointwise_var=0)
    expected = w * pair_mean(name, lags[0], lags) + b
    assert_allclose(mf.grid_covariance(block, circulant(lags)), circulant(expected), rtol=1e-10, atol=1e-14)


def test_with_fewer_modes_lags_mix():
    lags = np.real(np.fft.ifft([1, 1, 0.5, 0.2, 0.1, 0.2, 0.5, 1]))
    found = mf.grid_covariance(mf.FourierBlock(2, "erf", weight_var=2, bias_var=0, pointwise_var=0), circulant(lags))
    assert np.abs(found[0] - 2 * pair_mean("erf", lags[0], lags)).max() > 0.01


START = 0.4 + sum(a * np.cos(2 * np.pi * k * np.arange(16) / 16) for a, k in ((0.3, 1), (0.2, 3), (0.1, 6)))


@pytest.mark.parametrize(
    ("options", "depth", "expected"),
    [
        (
            {"modes": 3, "phi": "erf", "weight_var": 2, "bias_var": 0},
            10,
            [0.86419743243815, 0.80454102590466, 0.27218943017831, 0.095175916352755],
        ),
        (
            {"modes": 3, "phi": "erf", "weight_var": 1.37583900734668, "bias_var": 0.05},
            10,
            [0.5159878675314, 0.50343204636569, 0.38211757081484, 0.3155210227294],
        ),
        (
            {"modes": 3, "phi": "relu", "weight_var": 2, "bias_var": 0},
            10,
            [0.75689119411803, 0.75022124527915, 0.69216718227686, 0.67701582584521],
        ),
        (
            {"modes": 3, "phi": "relu", "weight_var": 2, "bias_var": 0, "dc": "complex"},
            10,
            [0.016158759710672, 0.014725501979417, 0.0033876550702763, 0.0037301739873443],
        ),
    ],
)
def test_stationary_covariances_follow_lags_computed_with_thirty_digits(options, depth, expected):
    block = mf.FourierBlock(pointwise_var=0, **options)
    assert_allclose(mf.grid_covariance(block**depth, circulant(START))[0, [0, 1, 4, 8]], expected, rtol=1e-12)


def test_an_activation_without_a_formula_follows_them_too():
    block = mf.FourierBlock(3, "tanh", weight_var=2, bias_var=0, pointwise_var=0)
    found = mf.grid_covariance(block**10, circulant(START))[0, [0, 1, 8]]
    assert_allclose(found, [0.6119699840, 0.5776664810, 0.0712951427], rtol=1e-9)


def random_covariance(*shape, seed=3):
    size = int(np.prod(shape))
    root = np.random.default_rng(seed).standard_normal((size, size))
    return (root @ root.T / size).reshape(*shape, *shape)


@pytest.mark.parametrize("shape", [(7,), (3, 4)], ids=str)
@pytest.mark.parametrize("points", [1, 3])
def test_covariances_of_positions_are_those_of_sums_over_all_of_them(shape, points):
    sigma = random_covariance(points, *shape)
    spec = [("block", 2, 1.2, 0.7, 0.1, 0.5), ("relu",), ("spectral", 2, 1.5, 0.3)]
    n = int(np.prod(shape))
    flat = sigma.reshape(points, n, points, n)
    expected, _ = through(spec, flat, np.zeros_like(flat), shape)
    found = mf.grid_covariance(network(spec), sigma, axes=len(shape))
    assert np.array_equal(found.reshape(points * n, -1), found.reshape(points * n, -1).T)
    assert found.shape == sigma.shape
    assert_allclose(found, expected.reshape(sigma.shape), rtol=1e-11)
    if points == 1:
        alone = mf.grid_covariance(network(spec), sigma.reshape(shape * 2), axes=len(shape))
        assert np.array_equal(alone, found.reshape(shape * 2))


def test_positions_become_alike_in_one_layer_but_for_a_pointwise_path():
    def spread(pointwise_var):
        block = mf.FourierBlock(3, "relu", weight_var=2, bias_var=0.1, pointwise_var=pointwise_var)
        found = mf.grid_covariance(block, random_covariance(8))
        return np.abs(found - np.roll(found, (1, 1), axis=(0, 1))).max()

    assert spread(0) < 1e-15
    assert spread(0.5) > 0.1


def test_axes_of_the_grid_are_read_from_the_modes():
    sigma = random_covariance(2, 6)
    lines, planes = (mf.relu >> mf.Spectral(modes, 2, 0) for modes in ((2,), (2, 2)))
    whole = mf.relu >> mf.Spectral(2, 2, 0)
    assert np.array_equal(mf.grid_covariance(lines, sigma), mf.grid_covariance(whole, sigma, axes=1))
    assert np.array_equal(mf.grid_covariance(planes, sigma), mf.grid_covariance(whole, sigma, axes=2))
    assert np.abs(mf.grid_covariance(lines, sigma) - mf.grid_covariance(planes, sigma)).max() > 0.01


BLOCK_OF_ONE = mf.relu >> mf.Spectral(2, 2, 0)


@pytest.mark.parametrize(
    ("net", "start", "options", "error", "message"),
    [
        ("relu", np.eye(4), {}, TypeError, r"a network is layers such as .* not 'relu'"),
        (BLOCK_OF_ONE, np.ones((2, 3, 2, 3)), {}, ValueError, "a start of 4 axes may be .* say which by axes="),
        (BLOCK_OF_ONE, np.eye(4), {"axes": 0}, ValueError, "axes must be at least 1, not 0"),
        (BLOCK_OF_ONE, np.eye(4), {"axes": 2}, ValueError, r"start has 2 axes of positions.* not \(4, 4\)"),
        (BLOCK_OF_ONE, np.ones((4, 3)), {}, ValueError, r"start has 1 axes of positions.* not \(4, 3\)"),
        (BLOCK_OF_ONE, [[1, 0.5], [0.5]], {}, TypeError, "start must be an array of numbers, not list"),
        (BLOCK_OF_ONE, [[1, 0.5], [0.4, 1]], {}, ValueError, "differs from its transpose by 0.1"),
        (BLOCK_OF_ONE, [[1, 2], [2, 1]], {}, ValueError, "semidefinite, but has the eigenvalue -1"),
        (BLOCK_OF_ONE, [[1, np.nan], [np.nan, 1]], {}, ValueError, r"start must be finite, but start\[0, 1\] is nan"),
        (BLOCK_OF_ONE >> mf.GlobalAvgPool(), np.eye(4), {}, ValueError, "ends flat, but a covariance of positions"),
        (mf.relu >> mf.Spectral(9, 2, 0), np.eye(4), {}, ValueError, "keeps 9 non-negative modes"),
        (mf.relu >> mf.Spectral(2), np.eye(4), {}, ValueError, "has no value: write weight_var="),
        (mf.relu >> mf.Spectral(2, 1e200, 0), 1e200 * np.eye(4), {}, mf.NotConverged, "is not finite: a mean diverges"),
    ],
)
def test_what_is_no_network_and_no_start_is_refused(net, start, options, error, message):
    with pytest.raises(error, match=message):
        mf.grid_covariance(net, start, **options)
