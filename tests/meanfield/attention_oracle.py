"""Attention layers at infinite width by plain NumPy, one pair of sequences at a time, shared with no code of the
library: means over joint Gaussian scores of both sequences, drawn with their full covariance; networks as lists of
steps on the Grams."""

import numpy as np


def zeta(name, scores, mask):
    if name == "softmax":
        weights = np.exp(scores) * mask
        return weights / weights.sum(axis=-1, keepdims=True)
    return mask * (np.maximum(scores, 0) if name == "relu" else scores)


def drawn_scores(k, t, rng, draws, qk):
    """(draws, tokens, tokens) of both sequences: Q K^T for queries and keys of the joint Gram of all tokens."""
    values, vectors = np.linalg.eigh(k)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    z = rng.standard_normal((draws, len(k), len(k)))
    both = np.sqrt(qk) * factor @ z @ factor.T
    return both[:, :t, :t], both[:, t:, t:]


def monte_carlo(k, tokens, name, mask, qk, draws, seed, independent=False):
    """Mean and standard error of A K(x, x') A'^T, the covariance of tokens of x (rows) with those of x'."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(50):
        u, v = drawn_scores(k, tokens, rng, draws // 50, qk)
        if independent:
            v = drawn_scores(k, tokens, rng, draws // 50, qk)[1]
        a, b = zeta(name, u, mask), zeta(name, v, mask)
        found.append((a @ k[:tokens, tokens:] @ b.swapaxes(1, 2)).mean(axis=0))
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(50)


def slopes(name, scores, mask):
    """J (draws, queries, tokens, tokens), the derivative of the weights of a query by its scores."""
    weights, own = zeta(name, scores, mask), np.eye(scores.shape[-1])
    if name == "softmax":
        return weights[..., None] * own - weights[..., :, None] * weights[..., None, :]
    return (mask * ((scores > 0) if name == "relu" else np.ones_like(scores)))[..., None] * own


def monte_carlo_tangent(k, t, tokens, name, mask, qk, draws, seed):
    """Mean and standard error of the tangent kernel behind attention of ov_var = 1."""
    rng, found = np.random.default_rng(seed), []
    kc, tc = k[:tokens, tokens:], t[:tokens, tokens:]
    for _ in range(50):
        u, v = drawn_scores(k, tokens, rng, draws // 50, qk)
        a, b = zeta(name, u, mask), zeta(name, v, mask)
        j, j2 = slopes(name, u, mask), slopes(name, v, mask)
        inner = np.einsum("maik,kl,mbjl->abij", j, kc, j2, optimize=True) / len(u)
        through = 2 * kc * np.einsum("ij,abij->ab", kc, inner) + tc * np.einsum("ij,abij->ab", kc, inner)
        through += kc * np.einsum("ij,abij->ab", tc, inner)
        found.append((a @ (2 * kc + tc) @ b.swapaxes(1, 2)).mean(axis=0) + qk * through)
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(50)
