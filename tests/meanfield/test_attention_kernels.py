"""Kernels of attention against tables, plain Monte Carlo of joint scores, and real networks with many heads."""

from math import inf

import numpy as np
import pytest

import meanfield as mf
from meanfield import images, sequences
from solvers.attended import softmax_means
from tests.meanfield.attention_oracle import monte_carlo, monte_carlo_tangent, zeta

# E[Q] of softmax over independent tokens, from one-dimensional integrals: Sakai et al. 2025, computed in 25 digits.
ALONE = {2: 0.63683815396837, 3: 0.48156572077722, 4: 0.39197144357570, 8: 0.23231344723237}
CAUSAL3, ALL3 = np.tril(np.ones((3, 3))), np.ones((3, 3))
X = np.random.default_rng(1).standard_normal((2, 3, 5))


def orthogonal(tokens, points=1):
    """Sequences whose Gram is the identity."""
    return np.sqrt(points * tokens) * np.eye(points * tokens).reshape(points, tokens, points * tokens)


def joint(x):
    rows = x.reshape(-1, x.shape[-1])
    return rows @ rows.T / x.shape[-1]


@pytest.mark.parametrize("tokens", [2, 3, 4])
def test_the_table_of_independent_tokens(tokens):
    found = mf.kernel(mf.Attention(), orthogonal(tokens))[0, 0]
    expected = np.full((tokens, tokens), 1 / tokens)
    np.fill_diagonal(expected, ALONE[tokens])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    other = mf.kernel(mf.Attention(qk_var=1.1), orthogonal(tokens))[0, 0]
    assert abs(other[0, 0] - ALONE[tokens]) > 1e-3


def test_the_table_of_many_independent_tokens():
    found = mf.kernel(mf.Attention(), orthogonal(8))[0, 0]
    expected = np.full((8, 8), 1 / 8)
    np.fill_diagonal(expected, ALONE[8])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - expected).max() > 1e-12  # sampled


def test_tokens_behind_a_relu():
    """Gram 1/2 on the diagonal and 1/(2 pi) beside it."""
    gram = np.full((4, 4), 1 / (2 * np.pi)) + (0.5 - 1 / (2 * np.pi)) * np.eye(4)
    x = np.sqrt(4) * np.linalg.cholesky(gram)[None]
    found = mf.kernel(mf.Attention(), x)[0, 0]
    assert found[0, 0] == pytest.approx(0.25476594676766, abs=1e-10)
    assert found[0, 1] == pytest.approx(0.247591, abs=9e-6)  # Monte Carlo, standard error 3e-6


@pytest.mark.parametrize("score", ["softmax", "identity", "relu"])
@pytest.mark.parametrize("mask", [None, "causal"])
def test_random_scores_against_draws(score, mask):
    found = mf.kernel(mf.Attention(score=score, mask=mask, qk_var=1.3, ov_var=0.7), X)
    rows = ALL3 if mask is None else CAUSAL3
    for i, j in ((0, 1), (0, 0)):
        k = joint(X[[i, j]])
        mean, error = monte_carlo(k, 3, score, rows, 1.3, 40000, 10 * i + j)
        assert (np.abs(found[i, j] - 0.7 * mean) <= 3.5 * error + 1e-14).all()
        assert not (np.abs(found[i, j] - 0.77 * mean) <= 3.5 * error + 1e-14).all()


def test_the_covariance_of_scores_between_sequences_matters():
    """A twin that draws the scores of both sequences independently disagrees, as it must."""
    x = np.concatenate([X[:1], X[:1] + 0.3 * X[1:]])
    found, k = mf.kernel(mf.Attention(qk_var=4), x)[0, 1], joint(x)
    mean, error = monte_carlo(k, 3, "softmax", ALL3, 4, 40000, 3)
    assert (np.abs(found - mean) <= 5 * error + 1e-14).all()
    mean, error = monte_carlo(k, 3, "softmax", ALL3, 4, 40000, 3, independent=True)
    assert not (np.abs(found - mean) <= 5 * error + 1e-14).all()


@pytest.mark.parametrize("score", ["softmax", "identity", "relu"])
@pytest.mark.parametrize("tied", [True, False])
def test_scores_that_are_numbers(score, tied):
    mask = [[1, 0, 1], [1, 1, 0], [0, 1, 1]]
    net = mf.Attention(score=score, scale="1/d", tied=tied, qk_var=1.7, ov_var=0.6, mask=mask)
    found, k = mf.kernel(net, X)[0, 1], joint(X)
    scores = [np.sqrt(1.7) * tied * k[at, at] for at in (slice(3), slice(3, 6))]
    a, b = (zeta(score, g, np.array(mask)) for g in scores)
    np.testing.assert_allclose(found, 0.6 * a @ k[:3, 3:] @ b.T, rtol=1e-12, atol=1e-15)
    if tied:
        random = mf.kernel(mf.Attention(score=score, qk_var=1.7, ov_var=0.6, mask=mask), X)[0, 1]
        assert not np.allclose(found, random, rtol=2e-2)


def test_tangent_kernel_of_identity_scores():
    """The formula of neural-tangents, Theta = s (2 <k, t> k + <k, k> (t + 4 k)), and a twin without its factor 2."""
    first, layer = mf.Dense(1.5, 0.1), mf.Attention(score="identity", qk_var=0.8, ov_var=0.9)
    rows = X.reshape(6, 5)
    k = (1.5 * rows @ rows.T / 5 + 0.1)[:3, 3:]
    t = k
    found = mf.kernel(first >> layer, X, get="ntk")[0, 1]
    expected = 0.72 * (2 * (k * t).sum() * k + (k * k).sum() * (t + 4 * k))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not np.allclose(found, 0.72 * ((k * t).sum() * k + (k * k).sum() * (t + 4 * k)), rtol=1e-2)


@pytest.mark.parametrize("score", ["softmax", "identity", "relu"])
@pytest.mark.parametrize("mask", [None, "causal"])
def test_tangent_kernels_against_draws(score, mask):
    found = mf.kernel(mf.Dense(1.5, 0.1) >> mf.Attention(score=score, mask=mask, qk_var=0.8), X, get="ntk")
    for i, j in ((0, 1), (1, 1)):
        k = 1.5 * joint(X[[i, j]]) + 0.1
        rows = ALL3 if mask is None else CAUSAL3
        mean, error = monte_carlo_tangent(k, k, 3, score, rows, 0.8, 20000, 10 * i + j)
        assert (np.abs(found[i, j] - mean) <= 5 * error + 1e-13).all()
        assert not (np.abs(1.1 * found[i, j] - mean) <= 5 * error + 1e-13).all()


# -- deep networks ---------------------------------------------------------------------------------------------------


def deep(heads, **kw):
    attention = mf.Attention(heads, **kw)
    return (
        mf.Dense(1.5, 0.1) >> (mf.Identity() + attention) >> mf.LayerNorm() >> mf.relu >> mf.Dense(2, 0.1)
        >> attention >> mf.GlobalAvgPool() >> mf.Dense(1, 0.1)
    )  # fmt: skip


KINDS = {
    "softmax": {"qk_var": 1.1},
    "causal": {"mask": "causal"},
    "relu": {"score": "relu", "qk_var": 0.5},
    "identity": {"score": "identity", "qk_var": 0.3, "mask": "causal"},
    "tied": {"scale": "1/d", "tied": True, "qk_var": 2},
    "uniform": {"scale": "1/d", "qk_var": 2},
}


@pytest.mark.parametrize("name", KINDS)
def test_networks_with_many_heads_have_the_kernel(name):
    """Within 4.5 standard errors and a bias of 8 %, of order 1/heads + 1/width; a twin of the double is not, a factor
    that takes account of the heavy tails of scores without a softmax."""
    x = 0.7 * np.random.default_rng(4).standard_normal((2, 3, 5))
    kernels = mf.kernel(deep(inf, **KINDS[name]), x, get=("nngp", "ntk"))
    options = {"width": 64, "draws": 60, "get": ("nngp", "ntk"), "outputs": 2, "error": True, "seed": 7}
    measured = mf.empirical_kernel(deep(16, **KINDS[name]), x, **options)
    for kernel, (mean, error) in zip(kernels, measured, strict=True):
        assert (np.abs(mean - kernel) <= 4.5 * error + 0.08 * np.abs(kernel)).all()
        assert not (np.abs(mean - 2 * kernel) <= 4.5 * error + 0.08 * np.abs(kernel)).all()


def test_the_tangent_kernel_of_softmax_attention(monkeypatch):
    """With the share that flows through the scores, which a twin leaves out."""
    x = np.random.default_rng(4).standard_normal((2, 3, 12))

    def net(heads):
        return mf.Dense(1.5, 0.1) >> mf.Attention(heads, qk_var=4) >> mf.GlobalAvgPool() >> mf.Dense(1, 0.1)

    mean, error = mf.empirical_kernel(net(8), x, width=128, draws=100, outputs=2, get="ntk", error=True, seed=5)
    found = mf.kernel(net(inf), x, get="ntk")
    assert (np.abs(mean - found) <= 4.5 * error + 0.03 * found).all()

    def without(scores, seed=0):
        values, errors = softmax_means(scores, seed)
        return values * np.array([1, 1, 0, 0])[:, None, None], errors

    monkeypatch.setattr(sequences, "softmax_means", without)
    assert not (np.abs(mean - mf.kernel(net(inf), x, get="ntk")) <= 4.5 * error + 0.03 * found).all()


@pytest.mark.parametrize("name", KINDS)
def test_laws(name):
    """Symmetric, positive semidefinite, a block of the whole, the same again, in half the memory."""
    x = 0.7 * np.random.default_rng(6).standard_normal((3, 3, 5))
    net = deep(inf, **KINDS[name])
    for found in mf.kernel(net, x, get=("nngp", "ntk")):
        np.testing.assert_array_equal(found, found.T)
        assert np.linalg.eigvalsh(found)[0] >= -1e-9 * np.trace(found)
    block = mf.kernel(net, x[:1], x[1:], get="ntk", dtype=np.float32)
    np.testing.assert_allclose(block, found[:1, 1:], rtol=1e-6)
    prediction = mf.predict(net, x[:2], [1.0, -1.0], x[2:])
    assert prediction.shape == (1, 1) and np.isfinite(prediction).all()


def test_sampled_kernels_are_the_same_again_and_symmetric_between_sequences():
    x = np.random.default_rng(6).standard_normal((3, 6, 8))
    found = mf.kernel(mf.Attention(), x)
    np.testing.assert_array_equal(found, mf.kernel(mf.Attention(), x))
    np.testing.assert_array_equal(found, found.transpose(1, 0, 3, 2))
    np.testing.assert_array_equal(mf.kernel(mf.Attention(), x[2:], x[:2])[0, 1], found[2, 1])
    k = joint(x[:2])
    mean, error = monte_carlo(k, 6, "softmax", np.ones((6, 6)), 1, 40000, 8)
    assert (np.abs(found[0, 1] - mean) <= 5 * error + 1e-3).all()
    pooled = mf.kernel(mf.Attention() >> mf.GlobalAvgPool(), x)
    assert np.linalg.eigvalsh(pooled)[0] >= -1e-3


def test_the_bounds_of_sampled_kernels():
    """They hold the mean over many other points, and not one that is 5 % off."""
    x = np.random.default_rng(6).standard_normal((2, 5, 8))
    net = mf.Attention() >> mf.LayerNorm() >> mf.relu >> mf.Dense(2, 0) >> mf.Attention() >> mf.GlobalAvgPool()
    pairs = mf.kernel(net, x, get=("nngp", "ntk"), error=True)
    others = [
        images.entries(net, x, None, "ntk", (0, 1), np.dtype(float), lambda *_: None, seed) for seed in range(9, 15)
    ]
    for place, (found, bounds) in enumerate(pairs):
        np.testing.assert_array_equal(found, mf.kernel(net, x, get=("nngp", "ntk")[place]))
        mean = np.mean([other[place] for other in others], axis=0)
        assert (np.abs(found - mean) <= bounds).all() and (bounds < 0.02 * found).all()
        assert not (np.abs(1.05 * found - mean) <= bounds).any()
    with pytest.raises(mf.NoRule, match="no bound is known"):
        mf.kernel(mf.Attention(score="relu"), x, error=True)


def test_one_token_and_equal_tokens_need_no_mean():
    """One token reads itself; of equal tokens every average is the token: k' = ov_var k, exactly."""
    x = np.random.default_rng(2).standard_normal((3, 1, 4))
    for tokens in (1, 7):
        same = np.repeat(x, tokens, axis=1)
        nngp, ntk = mf.kernel(mf.Attention(ov_var=0.7) >> mf.GlobalAvgPool(), same, get=("nngp", "ntk"))
        k = x[:, 0] @ x[:, 0].T / 4
        np.testing.assert_allclose(nngp, 0.7 * k, rtol=1e-12)
        np.testing.assert_allclose(ntk, 1.4 * k, rtol=1e-12)
    partly = np.concatenate([x, x, x[::-1]], axis=1)
    twice = mf.kernel(mf.Attention(), partly)[0, 0]
    np.testing.assert_allclose(twice[0], twice[1], rtol=1e-12)


def test_zero_tokens():
    x = np.random.default_rng(2).standard_normal((2, 3, 4))
    x[0, 1], x[1] = 0, 0
    for score in ("softmax", "identity", "relu"):
        found = mf.kernel(mf.Attention(score=score), x, get="ntk")
        assert np.isfinite(found).all() and (found[1] == 0).all() and (found[0, 0] != 0).any()


# -- positional encodings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "power"), [(None, 2), (1.5, 2), (3, 1)])
def test_positional_encodings_add_their_covariance_between_all_points(length, power):
    first, layer = mf.Dense(1.5, 0.1), mf.PositionalEncoding(0.7, length, power)
    apart = np.abs(np.subtract.outer(range(3), range(3)))
    r = np.eye(3) if length is None else np.exp(-((apart / length) ** power))
    mixed = first >> mf.Attention(scale="1/d")
    before, after = (mf.kernel(net, X, get=("nngp", "ntk")) for net in (mixed, mixed >> layer))
    np.testing.assert_allclose(after[0], before[0] + 0.7 * r, rtol=1e-12)
    np.testing.assert_array_equal(after[1], before[1])
    flat = mf.kernel(first >> layer >> mf.Flatten(), X) - mf.kernel(first >> mf.AvgPool(1) >> mf.Flatten(), X)
    np.testing.assert_allclose(flat, 0.7, rtol=1e-12)


def test_positional_encodings_of_real_networks():
    def net(heads, var=0.8):
        placed = mf.Dense(1.5, 0.1) >> mf.PositionalEncoding(var, 2)
        return placed >> mf.Attention(heads, scale="1/d", tied=True) >> mf.GlobalAvgPool() >> mf.Dense(1, 0)

    x = np.random.default_rng(4).standard_normal((2, 3, 12))
    for get in ("nngp", "ntk"):
        mean, error = mf.empirical_kernel(net(2), x, width=128, draws=60, get=get, error=True, seed=3)
        found = mf.kernel(net(inf), x, get=get)
        assert (np.abs(mean - found) <= 4.5 * error + 0.04 * np.abs(found)).all()
        assert not (np.abs(mean - mf.kernel(net(inf, 0), x, get=get)) <= 4.5 * error + 0.04 * np.abs(found)).all()


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "x", "error", "message"),
    [
        (
            mf.Attention(4),
            X,
            mf.NoRule,
            r"Gaussian given its scores alone, .* heads=float\('inf'\) .* mf.attention_law",
        ),
        (mf.Attention(), X[:, 0], ValueError, r"x1 must be non-empty pictures of shape"),
        (mf.Attention(), X[:, None], ValueError, "reads sequences"),
        (mf.Attention(mask=[[1, 0], [1, 1]]), X, ValueError, "the mask is for 2 tokens, but the sequence has 3"),
        (mf.GlobalAvgPool() >> mf.Attention(), X, ValueError, "reads sequences .* not flat signals"),
        (mf.PositionalEncoding() >> mf.GlobalAvgPool(), X[:, None], ValueError, "reads sequences .* not pictures"),
        (mf.Attention(qk_var=mf.Dense().weight_var), X, ValueError, "weight_var of .* has no value"),
        (mf.Attention() >> mf.relu, X * np.nan, ValueError, "must be finite"),
        (mf.relu >> mf.Attention(), X, ValueError, "a Dense layer where they are sequences"),
    ],
)
def test_what_is_refused(net, x, error, message):
    with pytest.raises(error, match=message):
        mf.kernel(net, x)


def test_scores_that_are_too_wide_are_refused():
    x = 40 * np.random.default_rng(3).standard_normal((1, 6, 8))
    with pytest.raises(
        mf.NotConverged, match=r"known to .* of their scale only, .* take a smaller qk_var, or put LayerN"
    ):
        mf.kernel(mf.Attention(), x)
    with pytest.raises(mf.NotConverged, match=r"reach .*e\+.*, whose products no number holds: put LayerNorm"):
        mf.kernel(mf.Attention(score="identity"), 1e50 * x)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"var": -1}, ValueError, "var must be finite and at least 0"),
        ({"length": 0}, ValueError, "length must be finite and greater than 0"),
        ({"power": 2.5}, ValueError, "power must be finite and greater than 0 and at most 2"),
        ({"length": "long"}, TypeError, "length must be a number"),
    ],
)
def test_positional_encodings_that_are_none(given, error, message):
    with pytest.raises(error, match=message):
        mf.PositionalEncoding(**given)
