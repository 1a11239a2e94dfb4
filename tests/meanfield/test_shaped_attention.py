"""Shaped attention: wrong laws that networks tell apart, networks at depth in proportion to width, paths, refusals."""

from dataclasses import replace

import numpy as np
import pytest

import meanfield as mf
from meanfield.finite import draw_many
from meanfield.finite.shaped import deep_grams, drawn_layers, from_weights
from meanfield.theories import noci2023
from meanfield.theory import Prediction
from solvers import shaped
from solvers.agreement import decide
from symbolic.networks import Dense
from symbolic.shaped import ShapedAttention

V0 = np.array([[1.0, 0.5, 0.2], [0.5, 1.2, -0.1], [0.2, -0.1, 0.8]])
UPPER = np.triu_indices(3)
THEORY, CASE = noci2023.THEORY, noci2023.THEORY.cases["one layer"]


def test_a_law_without_gamma_to_the_fourth_disagrees():
    def solve(block, case):
        right, V = THEORY.solve(block, case), noci2023.start(case)
        plain = np.einsum("abab->ab", shaped.diffusion(V, 0.8, 1e9))[UPPER]
        return Prediction(right.labels, np.append(right.values[:6], plain), right.scales)

    found = mf.check(replace(THEORY, solve=solve))
    assert found.outcome == "disagrees"
    assert {row.label[:5] for row in found.rows if row.outcome == "disagrees"} == {"diffu"}


def test_a_drift_without_its_second_term_disagrees():
    def solve(block, case):
        right, V = THEORY.solve(block, case), noci2023.start(case)
        shared = (0.8 / 0.6) ** 2 * V * (shaped.centred(V) * V).sum() / 9
        return Prediction(right.labels, np.append(shared[UPPER], right.values[6:]), right.scales)

    found = mf.check(replace(THEORY, solve=solve))
    assert found.outcome == "disagrees"
    assert {row.label[:5] for row in found.rows if row.outcome == "disagrees"} == {"drift"}


def test_a_temperature_without_the_number_of_keys_disagrees():
    def sample(block, case, width, rng):
        tau = 0.6 / np.sqrt(width // noci2023.KEYS_PER_NEURON)
        return THEORY.sample(ShapedAttention(0.8, tau), case, width, rng)

    assert mf.check(replace(THEORY, sample=sample)).outcome == "disagrees"


def test_layers_from_their_exact_law_are_layers_of_weights():
    """First and second moments of V' at 8 neurons and 5 keys, where no limit helps."""
    rng, n, count = np.random.default_rng(0), 8, 20_000
    X = np.sqrt(n) * np.linalg.cholesky(V0) @ np.linalg.qr(rng.standard_normal((n, n)))[0][:3]
    weights = np.array([from_weights(X, 0.8, 0.4, depth=1, keys=5, rng=rng) for _ in range(count)])
    real = (weights @ np.swapaxes(weights, 1, 2) / n)[:, *UPPER]
    law = deep_grams(np.tile(V0, (count, 1, 1)), 0.8, 0.4, depth=1, width=n, keys=5, rng=rng)[:, *UPPER]
    for power in (1, 2):
        a, b = real**power, law**power
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / count)
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4.5 * error).all()
    other = deep_grams(np.tile(V0, (count, 1, 1)), 0.9, 0.4, depth=1, width=n, keys=5, rng=rng)[:, *UPPER]
    assert (np.abs(real.var(axis=0) / other.var(axis=0) - 1) > 0.1).any()


def displaced(V):
    """Mean squares of how far correlations and V/(1 + V) of variances are from the start: exist for any path."""

    def coordinates(V):
        own = np.diagonal(V, axis1=-2, axis2=-1)
        off = (V / np.sqrt(own[..., :, None] * own[..., None, :]))[..., [0, 0, 1], [1, 2, 2]]
        return np.concatenate([off, own / (1 + own)], axis=-1)

    return ((coordinates(V) - coordinates(V0)) ** 2).mean(axis=0)


def last(paths):
    """The last V of every path, also of those that ended early."""
    at = np.isfinite(paths.V[:, :, 0, 0]).sum(axis=1) - 1
    return paths.V[np.arange(len(at)), at]


def depth_verdict(T_theory):
    """Networks of depth n/8 at 32 and 128 neurons against paths to T; margin 3 %, alpha 0.001."""
    sde = mf.shaped_attention(gamma=0.7, tau=1.0)
    paths = sde.sample_paths(V0, T_theory, steps=64, paths=200_000)
    assert paths.alive[-1] > 0.999
    wanted = displaced(last(paths))

    def observe(width):
        start = np.tile(V0, (1000, 1, 1))
        options = {"depth": width // 8, "width": width, "keys": width // 4}
        return lambda rng: displaced(deep_grams(start, 0.7, 1.0, rng=rng, **options))

    def draw(width, first, last):
        return draw_many(observe(width), width=width, start=first, stop=last, seed=0)

    labels = [f"component {i}" for i in range(6)]
    plan = {"widths": (32, 128), "draws": 100, "max_draws": 400, "margin": 0.03}
    return decide(labels, wanted, wanted, draw, **plan)


@pytest.mark.slow
def test_deep_networks_scatter_as_the_paths_do():
    assert depth_verdict(0.125).outcome == "agrees"


@pytest.mark.slow
def test_a_depth_off_by_ten_per_cent_disagrees():
    assert depth_verdict(0.1375).outcome == "disagrees"


def test_paths_are_reproducible_and_have_a_mean():
    sde = mf.shaped_attention(gamma=0.5, tau=100.0)
    paths = sde.sample_paths(V0, 0.2, steps=10, paths=4000, seed=3)
    assert np.array_equal(paths.V, sde.sample_paths(V0, 0.2, steps=10, paths=4000, seed=3).V)
    assert paths.V.shape == (4000, 11, 3, 3) and paths.times[-1] == 0.2
    # Without attention V is a martingale.
    assert (np.abs(paths.mean()[-1] - V0) < 4.5 * paths.standard_error()[-1]).all()
    assert (paths.alive == 1).all() and "a share of 1 arrived" in str(paths)
    np.testing.assert_allclose(np.diagonal(paths.correlations, axis1=2, axis2=3), 1)
    starts = sde.sample_paths(np.stack([V0, 2 * V0]), 0.1, steps=1, paths=2).V[:, 0]
    np.testing.assert_array_equal(starts, np.stack([V0, 2 * V0]))


def test_paths_that_explode_have_no_mean():
    paths = mf.shaped_attention(gamma=0.9, tau=0.3).sample_paths(V0, 2.0, steps=64, paths=200)
    assert paths.alive[-1] < 1
    with pytest.raises(mf.NotConverged, match=r"of 200 paths exploded and .* left the covariances before T = 2"):
        paths.mean()


def test_packed_diffusion_is_a_covariance_of_entries():
    found = mf.shaped_attention(gamma=0.8, tau=0.6)
    packed, full = found.diffusion(V0, packed=True), found.diffusion(V0)
    assert packed.shape == (6, 6) and packed[1, 4] == full[0, 1, 1, 2]
    assert np.linalg.eigvalsh(packed)[0] > 0


SDE = mf.shaped_attention(gamma=0.5, tau=1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mf.shaped_attention(gamma=1.5, tau=1), ValueError, "gamma must be .* at most 1"),
        (lambda: mf.shaped_attention(gamma=0.5, tau=0), ValueError, "tau must be .* greater than 0"),
        (lambda: SDE.drift([1.0, 2.0]), ValueError, r"shape \(..., m, m\), not \(2,\)"),
        (lambda: SDE.drift([[1, 2], [2, 1]]), ValueError, "the eigenvalue -1"),
        (lambda: SDE.diffusion([[1, 0.5], [0.4, 1]]), ValueError, "differs from its transpose by 0.1"),
        (lambda: SDE.drift([[float("nan")]]), ValueError, r"V\[0, 0\] is nan"),
        (lambda: SDE.sample_paths(V0, -1, steps=2, paths=2), ValueError, "T is depth over width"),
        (lambda: SDE.sample_paths(V0, 1, steps=0, paths=2), ValueError, "steps must be at least 1"),
        (lambda: SDE.sample_paths(np.stack([V0] * 3), 1, steps=1, paths=2), ValueError, "one for each of 2 paths"),
        (lambda: THEORY.solve(Dense(1, 0), CASE), TypeError, "ShapedAttention"),
        (lambda: drawn_layers(V0[None], width=3, keys=3, rng=None), ValueError, "3 tokens need more than 3 neurons"),
    ],
)
def test_what_is_no_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
