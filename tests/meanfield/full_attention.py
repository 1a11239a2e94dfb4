"""Attention layers with full weight matrices in plain NumPy: what reductions and laws are compared with."""

import numpy as np


def random_tokens(n, count, rng, psi=lambda x: x):
    h = rng.standard_normal(n)
    return np.stack([psi(rng.standard_normal((n, n)) @ h / np.sqrt(n)) for _ in range(count)])


def output(x, heads, rng, mask=None):
    """All channels (tokens, n), the scores of each head, and the covariance of channels given all but W_O."""
    s, n = x.shape
    y, scores, covariance = np.zeros((s, n)), [], np.zeros((s, s))
    for _ in range(heads):
        q, k, v, o = (rng.standard_normal((n, n)) / np.sqrt(n) for _ in range(4))
        p = (x @ q) @ (x @ k).T / np.sqrt(n)
        masked = p if mask is None else np.where(mask, p, -np.inf)
        a = np.exp(masked - masked.max(axis=1, keepdims=True))
        a /= a.sum(axis=1, keepdims=True)
        values = a @ (x @ v)
        y += values @ o / np.sqrt(heads)
        covariance += values @ values.T / n / heads
        scores.append(p)
    return y, np.array(scores), covariance
