"""The reduced attention layer has the law of the full one, and a wrong reduction does not."""

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp, kurtosis

import meanfield as mf
from meanfield.finite.reduced import RandomTokens, attention_outputs, wishart_root
from tests.meanfield.full_attention import output, random_tokens

NETWORKS, N = 2500, 16


@pytest.fixture(scope="module")
def full():
    """y[0, 0], y[1, 0], p[0, 1] and products of narrow networks with random tokens, two heads, all matrices drawn."""
    rng, found = np.random.default_rng(0), []
    for _ in range(NETWORKS):
        y, p, _ = output(random_tokens(N, 3, rng), 2, rng)
        found.append((y[0, 0], y[1, 0], p[0, 0, 1], y[0, 0] * y[1, 0], (y[0, 0] * y[0, 1]) ** 2))
    return np.array(found).T


def reduced(rng, n=N, head_width=None):
    layer = mf.Attention(heads=2)
    found = attention_outputs(
        layer, RandomTokens(3), width=n, networks=20_000, rng=rng, channels=2, head_width=head_width
    )
    y, p = found.y, found.scores
    return np.array([y[:, 0, 0], y[:, 1, 0], p[:, 0, 0, 1], y[:, 0, 0] * y[:, 1, 0], y[:, 0, 0] ** 2 * y[:, 0, 1] ** 2])


def test_the_reduction_has_the_law_of_full_matrices(full):
    for one, other in zip(full, reduced(np.random.default_rng(1)), strict=True):
        assert ks_2samp(one, other).pvalue > 1e-3
        error = np.sqrt(one.var() / one.size + other.var() / other.size)
        assert abs(one.mean() - other.mean()) < 4 * error
        square = np.sqrt((one**2).var() / one.size + (other**2).var() / other.size)
        assert abs((one**2).mean() - (other**2).mean()) < 4 * square


def test_a_wrong_reduction_is_noticed(full):
    """Wishart matrices of 2 degrees in place of 16."""
    wrong = reduced(np.random.default_rng(1), head_width=2)
    assert ks_2samp(full[2], wrong[2]).pvalue < 1e-3


def test_relu_tokens_have_the_law_of_full_matrices():
    rng, found = np.random.default_rng(2), []
    for _ in range(1500):
        x = random_tokens(12, 2, rng, lambda x: np.maximum(x, 0))
        y, p, _ = output(x, 1, rng)
        found.append((y[0, 0], p[0, 0, 1], p[0, 0, 0]))
    other = attention_outputs(mf.Attention(heads=1), RandomTokens(2, "relu"), width=12, networks=20_000, rng=rng)
    columns = (other.y[:, 0, 0], other.scores[:, 0, 0, 1], other.scores[:, 0, 0, 0])
    for one, column in zip(np.array(found).T, columns, strict=True):
        assert ks_2samp(one, column).pvalue > 1e-3
    identity = attention_outputs(mf.Attention(heads=1), RandomTokens(2), width=12, networks=20_000, rng=rng)
    assert ks_2samp(np.array(found)[:, 2], identity.scores[:, 0, 0, 0]).pvalue < 1e-6


def test_fixed_tokens_under_a_mask_have_the_law_of_full_matrices():
    rng, x = np.random.default_rng(3), np.random.default_rng(4).standard_normal((3, 12))
    mask = np.tril(np.ones((3, 3), dtype=bool))
    full = np.array([output(x, 1, rng, mask)[0][:, 0] for _ in range(2500)])
    layer = mf.Attention(heads=1, mask="causal")
    other = attention_outputs(layer, x @ x.T / 12, width=12, networks=20_000, rng=rng).y[:, :, 0]
    for token in range(3):
        assert ks_2samp(full[:, token], other[:, token]).pvalue > 1e-3
    open_layer = attention_outputs(mf.Attention(heads=1), x @ x.T / 12, width=12, networks=20_000, rng=rng).y[:, 0, 0]
    assert ks_2samp(full[:, 0], open_layer).pvalue < 1e-3


@pytest.mark.parametrize("n", [16, 256])
def test_moments_of_scores_at_finite_width(n):
    """E p_11^2 = (1 + 2/n)^2 for random tokens, excess 6/n for fixed ones; exact, derived apart."""
    rng = np.random.default_rng(5)
    p = attention_outputs(mf.Attention(1), RandomTokens(2), width=n, networks=200_000, rng=rng).scores[:, 0, 0, 0]
    assert abs((p**2).mean() - (1 + 2 / n) ** 2) < 4 * (p**2).std() / math.sqrt(p.size)
    fixed = attention_outputs(mf.Attention(1), np.eye(2), width=n, networks=200_000, rng=rng).scores[:, 0, 0, 1]
    assert abs(kurtosis(fixed) - 6 / n) < 5 * math.sqrt(24 / fixed.size) * (1 + 6 / n) ** 4


def test_wishart_roots_narrow_and_wide():
    rng = np.random.default_rng(6)
    for degrees in (2, 3, 50):
        root = wishart_root(3, degrees, (50_000,), rng)
        gram = root @ root.swapaxes(1, 2)
        assert np.abs(gram.mean(axis=0) - degrees * np.eye(3)).max() < 0.1 * math.sqrt(degrees)
        # Var of an off-diagonal entry is the number of degrees, of a diagonal one twice that.
        assert gram[:, 0, 1].var() == pytest.approx(degrees, rel=0.05)
        assert gram[:, 2, 2].var() == pytest.approx(2 * degrees, rel=0.05)


def test_what_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="finitely many heads"):
        attention_outputs(mf.Attention(), np.eye(2), width=8, networks=1, rng=rng)
    with pytest.raises(ValueError, match="cannot have a Gram of rank 3"):
        attention_outputs(mf.Attention(1), np.eye(3), width=2, networks=1, rng=rng)
    with pytest.raises(ValueError, match="known are identity and relu"):
        RandomTokens(3, "tanh")


def test_deterministic_scores_are_those_of_the_gram():
    rng, layer = np.random.default_rng(7), mf.Attention(1, scale="1/d", tied=True)
    gram = np.array([[1.0, 0.3], [0.3, 0.8]])
    found = attention_outputs(layer, gram, width=4000, networks=50, rng=rng).scores[:, 0]
    assert np.abs(found - gram).max() < 0.2
    untied = attention_outputs(mf.Attention(1, scale="1/d"), gram, width=4000, networks=50, rng=rng).scores
    assert np.abs(untied).max() < 0.2


def test_channels_of_one_network_are_gaussian_and_its_law_over_networks_is_not():
    """One draw of full matrices: the histogram over channels is Gaussian with this draw's covariance."""
    rng = np.random.default_rng(8)
    x = random_tokens(1024, 4, rng)
    y, _, covariance = output(x, 1, rng)
    assert abs(kurtosis(y[0])) < 4 * math.sqrt(24 / 1024)
    sampling = np.sqrt((covariance**2 + np.outer(covariance.diagonal(), covariance.diagonal())) / 1024)
    assert (np.abs(y @ y.T / 1024 - covariance) < 4 * sampling).all()
    law = mf.attention_law(np.eye(4))
    assert abs(covariance[0, 0] / law.moments().variance - 1) > 0.02  # this draw's own, not the mean over draws
    drawn = attention_outputs(mf.Attention(1), np.eye(4), width=1024, networks=100_000, rng=rng).y[:, 0, 0]
    assert kurtosis(drawn) > 0.15 > 5 * math.sqrt(24 / drawn.size)
    many = law.sample(2, seed=1, channels=40_000)
    assert all(abs(kurtosis(one)) < 4 * math.sqrt(24 / 40_000) for one in many[:, 0])
    assert abs(many[0, 0].var() / many[1, 0].var() - 1) > 0.02
