"""Many networks at once against walks of real weights, at a width where nothing is a limit yet."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.finite.fields import walk
from meanfield.finite.lag_kernels import lag_kernels
from meanfield.theory import Case

CHANNELS, DEPTH, NETWORKS = 4, 2, 1000
TURN = 2 * np.pi * np.arange(5) / 5
LINE = 0.5 + 0.4 * np.cos(TURN) + 0.1 * np.cos(2 * TURN)
PLANE = LINE[:, None] * (0.7 + 0.3 * np.cos(2 * np.pi * np.arange(4) / 4))
CASES = {
    "relu": (mf.relu >> mf.Spectral(2, 2, 0.3), LINE),
    "complex": (mf.erf >> mf.Spectral(3, 2, 0.1, dc="complex"), LINE),
    "two axes": (mf.relu >> mf.Spectral((2, 3), 2, 0, spectrum=[[1, 0.6, 0.3], [0.8, 0.4, 0.2]]), PLANE),
    "skip": (mf.FourierBlock(2, "relu", weight_var=1, pointwise_var=0, bias_var=0.2, skip=-0.8), LINE),
}


def walked(block, start):
    """Lag covariances of real networks at the last layer."""
    each = [
        walk(block, start, channels=CHANNELS, depth=DEPTH, rng=np.random.default_rng([5, i]), conditional=False)[-1]
        for i in range(NETWORKS)
    ]
    return np.array(each).reshape(NETWORKS, -1)


def at_once(block, start, networks=20_000):
    found = lag_kernels(block, start, channels=CHANNELS, depth=DEPTH, networks=networks, rng=np.random.default_rng(1))
    assert found.shape == (networks, DEPTH + 1, *start.shape)
    np.testing.assert_allclose(found[:, 0], np.broadcast_to(start, found[:, 0].shape), atol=1e-15)
    return found[:, -1].reshape(networks, -1)


def z_of(first, second):
    spread = np.sqrt(first.var(axis=0) / len(first) + second.var(axis=0) / len(second))
    return np.abs(first.mean(axis=0) - second.mean(axis=0)) / spread


@pytest.mark.parametrize("name", CASES)
def test_the_law_is_that_of_real_weights(name):
    block, start = CASES[name]
    real, drawn = walked(block, start), at_once(block, start)
    assert (z_of(real, drawn) < 4).all()
    if name == "skip":
        return  # whose channels are not Gaussian given Ghat
    # Given Ghat, the covariance of D channels has the second moment Ghat_0^2 + (2/(N D)) sum_r Ghat_r^2 at lag 0.
    square = drawn[:, 0] ** 2 + 2 * (drawn**2).mean(axis=1) / CHANNELS
    assert z_of(real[:, 0] ** 2, square) < 4


def test_another_law_is_noticed():
    block, start = CASES["complex"]
    assert z_of(walked(block, start), at_once(mf.erf >> mf.Spectral(3, 2, 0.1), start)).max() > 8


def test_a_pointwise_path_is_refused():
    block = mf.FourierBlock(2, "relu", weight_var=1, pointwise_var=1, bias_var=0)
    with pytest.raises(
        mf.NoRule, match=r"many networks at once are drawn without a pointwise path, not of .* use walk"
    ):
        lag_kernels(block, LINE, channels=2, depth=1, networks=2, rng=np.random.default_rng(0))


def test_the_theory_asks_for_covariances_over_lags():
    theory = mf.theory("kim2025")
    with pytest.raises(ValueError, match="kernels over lags need a LagCase"):
        theory.solve(mf.relu >> mf.Spectral(2, 2, 0), Case(mf.relu, mf.relu))
