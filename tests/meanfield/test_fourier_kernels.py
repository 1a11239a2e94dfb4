"""Kernels of Fourier neural operators against brute force and Jacobians of real networks, and their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import erf

import meanfield as mf
from tests.meanfield.fourier_networks import network
from tests.meanfield.fourier_oracle import kernels as plain

LIFT, BLOCK, SKIP = ("point", 1.5, 0.2), ("block", 2, 1.2, 0.7, 0.1, 0), ("block", 2, 1.2, 0.7, 0.1, 0.5)
NETWORKS = {
    "spectral": [("spectral", 2, 1.5, 0.2)],
    "simplified": [("spectral", 2, 1.5, 0.2), ("relu",), ("spectral", 2, 2, 0.1), ("relu",), ("spectral", 2, 2, 0.1)],
    "complex": [LIFT, ("relu",), ("complex", 2, 2, 0.1), ("relu",), ("complex", 2, 2, 0.1)],
    "original": [LIFT, BLOCK, BLOCK],
    "residual": [LIFT, SKIP, SKIP],
    "mean": [LIFT, BLOCK, BLOCK, ("mean",)],
    "flat": [LIFT, BLOCK, BLOCK, ("relu",), ("flat",)],
    "flat behind a spectral layer": [LIFT, ("relu",), ("spectral", 2, 1.5, 0.2), ("relu",), ("flat",)],
}
BOTH = ("nngp", "ntk")


def functions(points, *shape, seed=1, channels=2):
    return np.random.default_rng(seed).standard_normal((points, *shape, channels))


def by_functions(kernel, shape):
    """(n, positions, n, positions) -> (n, n, *grid, *grid)."""
    if kernel.ndim == 2:
        return kernel
    return kernel.swapaxes(1, 2).reshape(len(kernel), len(kernel), *shape, *shape)


@pytest.mark.parametrize("shape", [(7,), (8,), (4, 3), (2, 2, 3)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_of_sums_over_all_positions_and_modes(name, shape):
    x = functions(3, *shape)
    expected = [by_functions(k, shape) for k in plain(NETWORKS[name], x)]
    for ours, other in zip(mf.kernel(network(NETWORKS[name]), x, get=BOTH), expected, strict=True):
        assert_allclose(ours, other, rtol=1e-11, atol=1e-13)
    for ours, other in zip(mf.kernel(network(NETWORKS[name]), x[:1], x[1:], get=BOTH), expected, strict=True):
        assert_allclose(ours, other[:1, 1:], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", ["spectral", "complex"])
@pytest.mark.parametrize(("n", "kept"), [(8, 5), (8, 4), (8, 1), (7, 4), (1, 1), (2, 2)])
def test_every_number_of_modes_on_a_line(kind, n, kept):
    spec, x = [LIFT, ("relu",), (kind, kept, 1.5, 0.2)], functions(2, n)
    for ours, other in zip(mf.kernel(network(spec), x, get=BOTH), plain(spec, x), strict=True):
        assert_allclose(ours, by_functions(other, (n,)), rtol=1e-11, atol=1e-13)


def test_a_lag_of_two_functions_is_no_lag_back():
    """The covariance at b - a of x, x' is not that at a - b; it is that at a - b of x', x."""
    x = functions(2, 8)
    k = mf.kernel(mf.Spectral(3, 1, 0), x)
    assert_allclose(k[0, 1], k[1, 0].T, rtol=1e-14)
    assert np.abs(k[0, 1] - k[0, 1].T).max() > 0.01


def test_the_plane_of_real_weights_counts():
    x = functions(2, 8)
    real, free = (mf.kernel(mf.Spectral(1, 2, 0, dc=dc), x) for dc in ("real", "complex"))
    assert_allclose(free, real / 2, rtol=1e-13)
    assert np.ptp(real[0, 1]) < 1e-14  # the mean alone


def test_a_function_without_kept_modes_has_no_covariance():
    wave = np.cos(2 * np.pi * 3 * np.arange(8) / 8).reshape(1, 8, 1)
    net = mf.Spectral(2, 2, 0) >> mf.relu >> mf.Spectral(2, 2, 0)
    for k in mf.kernel(net, wave, get=BOTH):
        assert np.all(np.isfinite(k)) and np.abs(k).max() < 1e-15


# -- real networks ---------------------------------------------------------------------------------------------------

WIDTH, N = 6, 5


def spectral(x, real, imaginary, share):
    """irfft(R rfft(x)) of x (draws, points, N, c), R of two modes, (draws, 2, c, c'), given as standard normals."""
    weights = (real + 1j * imaginary) * np.sqrt(share / (2 * x.shape[-1]))[:, None, None]
    modes = np.einsum("...pkc,...kcd->...pkd", np.fft.rfft(x, axis=2)[:, :, :2], weights)
    return np.fft.irfft(modes, n=N, axis=2)


def parts(theta, channels):
    """Weights of two Spectral layers, (2, c, c') real and imaginary, of a filter of size 1 and a bias."""
    shapes = [(2, channels, WIDTH)] * 2 + [(WIDTH,)] + [(2, WIDTH, 1)] * 2 + [(WIDTH, 1)]
    cuts = np.cumsum([np.prod(s) for s in shapes])
    return [p.reshape(len(theta), *s) for p, s in zip(np.split(theta, cuts[:-1], axis=1), shapes, strict=True)]


def operator(theta, x, dc):
    """erf >> (Spectral + W) behind a Spectral layer with a bias, in NTK parametrization: (draws, points, N)."""
    a, b, bias, c, d, point = parts(theta, x.shape[-1])
    share = 1.5 * np.array([2.0 if dc == "real" else 1.0, 1.0])  # R_0 real, or free: its imaginary part is lost
    keep = np.array([0.0, 1.0])[:, None, None] if dc == "real" else 1.0
    h = spectral(np.broadcast_to(x, (len(theta), *x.shape)), a, b * keep, share) + 0.5 * bias[:, None, None, :]
    out = spectral(erf(h), c, d * keep, share) + np.sqrt(0.8 / WIDTH) * erf(h) @ point[:, None]
    return out[..., 0]


def tangents(x, dc, draws):
    """The tangent kernel of each draw by central differences in every parameter, (draws, points, N, points, N)."""
    count = 4 * x.shape[-1] * WIDTH + WIDTH + 4 * WIDTH + WIDTH
    theta = np.random.default_rng(2).standard_normal((draws, count))
    total, step = np.zeros((draws, *(x.shape[0] * N,) * 2)), 1e-5
    for one in np.eye(count):
        slope = (operator(theta + step * one, x, dc) - operator(theta - step * one, x, dc)) / (2 * step)
        flat = slope.reshape(draws, -1)
        total += flat[:, :, None] * flat[:, None, :]
    return total


@pytest.mark.parametrize("dc", ["real", "complex"])
def test_the_tangent_kernel_is_that_of_jacobians_of_real_networks(dc):
    """The mean over draws is the limit at any width: given one hidden layer, hidden channels are independent."""
    x, draws = functions(2, N), 800

    def limit(dc):
        first, last = mf.Spectral(2, 1.5, 0.25, dc=dc), mf.Spectral(2, 1.5, 0, dc=dc)
        return mf.kernel(first >> mf.erf >> (last + mf.Conv(1, weight_var=0.8, bias_var=0)), x, get="ntk")

    found = tangents(x, dc, draws)
    error = found.std(axis=0, ddof=1) / np.sqrt(draws)

    def gap(dc):
        expected = limit(dc).swapaxes(1, 2).reshape(found.shape[1:])
        return (np.abs(found.mean(axis=0) - expected) / error).max()

    assert gap(dc) < 5
    assert gap({"real": "complex", "complex": "real"}[dc]) > 20


# -- laws ------------------------------------------------------------------------------------------------------------

LAYER = mf.Spectral(3, 1.5, 0.1) >> mf.relu >> mf.Spectral(2, 2, 0.1)
ORIGINAL = network([LIFT, BLOCK, BLOCK])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.integers(0, 3), st.integers(0, 100))
def test_functions_moved_together_have_the_same_kernel(down, right, seed):
    x = functions(2, 6, 4, seed=seed)
    moved = np.roll(x, (down, right), axis=(1, 2))
    for net in (LAYER >> mf.GlobalAvgPool(), ORIGINAL >> mf.relu >> mf.Flatten()):
        assert_allclose(mf.kernel(net, moved, get="ntk"), mf.kernel(net, x, get="ntk"), rtol=1e-12)
    k = mf.kernel(ORIGINAL, x)
    back = np.roll(mf.kernel(ORIGINAL, moved), (-down, -right) * 2, axis=(2, 3, 4, 5))
    assert_allclose(back, k, rtol=1e-12)


def test_one_function_moved_alone_has_another_kernel_where_positions_are_kept():
    x = functions(2, 8)
    moved = np.stack([x[0], np.roll(x[1], 1, axis=0)])
    k, other = (mf.kernel(LAYER, z)[0, 1] for z in (x, moved))
    assert np.abs(other - k).max() > 1e-3
    assert_allclose(np.roll(other, -1, axis=1), k, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 7), st.integers(1, 4), st.sampled_from(BOTH), st.integers(0, 100))
def test_kernels_are_symmetric_and_positive_semidefinite(n, points, get, seed):
    k = mf.kernel(network([LIFT, ("block", 2, 1.2, 0.7, 0.1, 0.5)]), functions(points, n, seed=seed), get=get)
    matrix = k.swapaxes(1, 2).reshape(points * n, -1)
    assert np.array_equal(matrix, matrix.T)
    values = np.linalg.eigvalsh(matrix)
    assert values[0] > -1e-12 * values[-1]


def test_kernels_refuse_what_grids_cannot_do():
    x = functions(2, 6, 4)
    with pytest.raises(ValueError, match=r"keeps 4 non-negative modes, but axis 1"):
        mf.kernel(mf.Spectral(4, 1, 0), x)
    with pytest.raises(ValueError, match=r"use Conv\(1\), which acts on each position"):
        mf.kernel(mf.Dense(1, 0) >> mf.relu >> mf.Spectral(2, 1, 0), x)
    with pytest.raises(ValueError, match=r"put a Conv layer first \(of size 1, or a Spectral layer"):
        mf.kernel(mf.relu >> mf.Spectral(2, 1, 0), x)
    with pytest.raises(mf.NoRule, match="no bound is known"):
        mf.kernel(mf.Spectral(2, 1, 0), x, error=True)


# -- learning --------------------------------------------------------------------------------------------------------


def test_an_operator_is_learned_from_functions():
    """Energy of random smooth functions by mf.predict, and whole derivatives by the kernel of positions."""
    rng, grid = np.random.default_rng(5), 2 * np.pi * np.arange(16) / 16
    waves = np.stack([f(k * grid) for k in (1, 2) for f in (np.cos, np.sin)])
    u = rng.standard_normal((80, 4)) @ waves
    train, test = u[:60, :, None], u[60:, :, None]
    net = mf.Conv(1, weight_var=1, bias_var=0.1) >> mf.FourierBlock(
        5, "relu", weight_var=1, pointwise_var=1, bias_var=0.1
    )
    energy = (u**2).mean(axis=1)
    found = mf.predict(net >> mf.relu >> mf.GlobalAvgPool(), train, energy[:60], test, ridge=1e-6)[:, 0]
    assert np.std(found - energy[60:]) < 0.1 * np.std(energy[60:])

    slopes = np.real(np.fft.ifft(1j * np.fft.fftfreq(16, 1 / 16) * np.fft.fft(u)))
    gram, cross = (
        k.swapaxes(1, 2).reshape(len(k) * 16, -1) for k in (mf.kernel(net, z, train[:30]) for z in (train[:30], test))
    )
    weights = np.linalg.solve(gram + 1e-6 * np.eye(len(gram)), slopes[:30].ravel())
    assert np.std(cross @ weights - slopes[60:].ravel()) < 0.1 * np.std(slopes)
