"""Real attention networks: their gradients by finite differences, their tangent kernels parameter by parameter, and
their outputs by a plain NumPy network that shares the draws alone."""

from math import sqrt

import numpy as np
import pytest

import meanfield as mf
from meanfield.finite import Draw, Tape, empirical_kernels, forward, stream
from tests.meanfield.shifted_draws import Shifted

X = np.random.default_rng(5).standard_normal((2, 4, 3)) + 0.3
ROWS = [[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]]
DENSE, END = mf.Dense(1.5, 0.2), mf.GlobalAvgPool() >> mf.Dense(2, 0.1)
LAYERS = {
    "softmax": mf.Attention(2, qk_var=1.7, ov_var=0.8),
    "causal": mf.Attention(3, mask="causal"),
    "rows": mf.Attention(2, scale="1/d", mask=ROWS, qk_var=3),
    "identity": mf.Attention(2, score="identity", mask="causal"),
    "relu": mf.Attention(2, score="relu", qk_var=0.5),
    "tied": mf.Attention(2, scale="1/d", tied=True, qk_var=2),
    "tied relu": mf.Attention(1, scale="1/d", tied=True, score="relu", mask=ROWS),
}


def plain(layer, x, width, rng):
    """The same layer written out, drawing in the same order."""
    mask = {None: np.ones((4, 4)), "causal": np.tril(np.ones((4, 4)))}.get(layer.mask)
    mask = np.array(layer.mask, dtype=float) if mask is None else mask
    qk, ov, n = float(layer.qk_var), float(layer.ov_var), x.shape[-1]

    def matrix(features):
        w = rng.standard_normal((width, features))
        rng.standard_normal(width)
        return w.T

    total = np.zeros((len(x), x.shape[1], width))
    for _ in range(layer.heads):
        w_q = matrix(n) * (qk**0.25 / sqrt(n))
        w_k = w_q if layer.tied else matrix(n) * (qk**0.25 / sqrt(n))
        w_v, w_o = matrix(n) * (ov**0.25 / sqrt(n)), matrix(width) * (ov**0.25 / sqrt(width))
        for point, tokens in enumerate(x):
            scores = tokens @ w_q @ (tokens @ w_k).T / (sqrt(width) if layer.scale == "1/sqrt(d)" else width)
            if layer.score == "softmax":
                attention = np.exp(scores) * mask / (np.exp(scores) * mask).sum(axis=1)[:, None]
            else:
                attention = mask * (np.maximum(scores, 0) if layer.score == "relu" else scores)
            total[point] += attention @ tokens @ w_v @ w_o / sqrt(layer.heads)
    return total


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_what_is_written(name):
    found, _ = forward(LAYERS[name], X, Draw(6, stream(2)))
    np.testing.assert_allclose(found, plain(LAYERS[name], X, 6, stream(2)), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_finite_differences(name):
    net, rng = DENSE >> (mf.Identity() + LAYERS[name]) >> mf.LayerNorm() >> mf.erf >> DENSE, np.random.default_rng(0)
    y, back = forward(net, X, Draw(5, stream(1)))
    g, direction, step = rng.standard_normal(y.shape), rng.standard_normal(X.shape), 1e-5
    ahead, behind = (forward(net, X + s * step * direction, Draw(5, stream(1)))[0] for s in (1, -1))
    assert (back(g) * direction).sum() == pytest.approx((g * (ahead - behind)).sum() / (2 * step), rel=1e-6)
    assert (back(1.1 * g) * direction).sum() != pytest.approx((g * (ahead - behind)).sum() / (2 * step), rel=1e-2)


@pytest.mark.parametrize("name", ["softmax", "rows", "identity", "relu", "tied"])
def test_the_tangent_kernel_of_a_network_is_the_gram_of_its_parameter_gradients(name):
    net = DENSE >> LAYERS[name] >> mf.erf >> END

    def outputs(at, change):
        draw = Draw(3, stream(1), tape=Tape())
        object.__setattr__(draw, "rng", Shifted(at, change))
        return forward(net, X, draw)[0], draw.rng.seen

    count = outputs(-1, 0.0)[1]
    slopes = np.stack([(outputs(i, 1e-4)[0] - outputs(i, -1e-4)[0]) / 2e-4 for i in range(count)])
    expected = np.einsum("iao,ibo->ab", slopes, slopes) / 3
    found = empirical_kernels(net, X, width=3, rng=stream(1), outputs=3)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_conditional_dense_layer_has_the_law_of_one_with_weights():
    """Tokens of two sequences share the weights: covariance 1.5 x x'/features + 0.2 between all of them."""
    y, _ = forward(DENSE, X, Draw(40000, stream(3), conditional=True))
    rows = X.reshape(8, 3)
    np.testing.assert_allclose(np.cov(y.reshape(8, -1)), 1.5 * rows @ rows.T / 3 + 0.2, atol=5 * np.sqrt(2 / 40000) * 3)
    assert np.cov(y.reshape(8, -1))[0, 4] != pytest.approx(0, abs=0.1)


def test_what_real_attention_refuses():
    with pytest.raises(ValueError, match=r"a real network has finitely many heads, .* write heads=8"):
        mf.empirical_kernel(mf.Attention() >> END, X, width=5)
    with pytest.raises(ValueError, match="for 4 tokens, but the sequence has 3"):
        mf.empirical_kernel(LAYERS["rows"] >> END, X[:, :3], width=5)
    with pytest.raises(ValueError, match=r"x1 must be non-empty pictures of shape .*length"):
        mf.empirical_kernel(LAYERS["softmax"] >> END, X[:, 0], width=5)
    with pytest.raises(ValueError, match="reads sequences"):
        mf.empirical_kernel(LAYERS["softmax"] >> END, X[:, None], width=5)
