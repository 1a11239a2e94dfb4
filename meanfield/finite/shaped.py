"""Finite shaped attention X' = sqrt(1 - gamma^2) X + gamma A X W/sqrt(n), A = 1 + softmax(Y/tau) - 1/m, of m tokens.

Y = X W_Q W_K^T X^T/n, tau = tau_0 sqrt(n n_k). From real weights, or many layers at once from their exact law: rotated
into X = sqrt(n) (L, 0), L L^T = V, a network meets m rows of W only, (Z, Z') with m columns Z, of which Z' Z'^T is a
Wishart matrix, drawn as R R^T (Bartlett 1933), and so is that of W_Q. H = (L Z, L R) stands for X W/sqrt(n).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from meanfield.build import Array


@dataclass(frozen=True, eq=False)
class Layers:
    """X, H (layers, m, 2 m) and the scores Y/sqrt(n n_k) (layers, m, m) of independent layers of one width."""

    X: Array
    H: Array
    scores: Array
    width: int

    def after(self, gamma: float, tau: float, sign: float = 1.0) -> Array:
        """The Grams V' behind the layers; sign = -1 for -W_Q in place of W_Q, which is as likely."""
        A = _attention(sign * self.scores / tau)
        new = np.sqrt(1 - gamma**2) * self.X + gamma * A @ self.H
        return np.asarray(new @ np.swapaxes(new, -2, -1) / self.width)


def drawn_layers(V: Array, *, width: int, keys: int, rng: np.random.Generator) -> Layers:
    """One layer for each of the Grams V (layers, m, m), from their exact law; width > m and keys >= m."""
    count, m, _ = V.shape
    if width <= m or keys < m:
        raise ValueError(f"{m} tokens need more than {m} neurons and {m} keys or more, not {width} and {keys}")
    L = np.linalg.cholesky(V)
    Z, G = rng.standard_normal((2, count, m, m))
    H = L @ np.concatenate([Z, _bartlett(count, m, width - m, rng)], axis=2)
    X = np.sqrt(width) * np.concatenate([L, np.zeros_like(L)], axis=2)
    scores = L @ _bartlett(count, m, keys, rng) @ G @ np.swapaxes(L, 1, 2) / np.sqrt(width * keys)
    return Layers(X, H, scores, width)


def deep_grams(
    V: Array, gamma: float, tau: float, *, depth: int, width: int, keys: int, rng: np.random.Generator
) -> Array:
    """The Grams behind `depth` layers of independent networks that start from V (networks, m, m)."""
    for _ in range(depth):
        V = drawn_layers(V, width=width, keys=keys, rng=rng).after(gamma, tau)
    return V


def from_weights(X: Array, gamma: float, tau: float, *, depth: int, keys: int, rng: np.random.Generator) -> Array:
    """The tokens (m, n) behind `depth` layers of one network, every weight drawn."""
    n = X.shape[1]
    for _ in range(depth):
        W, (W_Q, W_K) = rng.standard_normal((n, n)), rng.standard_normal((2, n, keys))
        Y = (X @ W_Q) @ (X @ W_K).T / n
        A = _attention(Y / (tau * np.sqrt(n * keys)))
        X = np.sqrt(1 - gamma**2) * X + gamma * A @ (X @ W) / np.sqrt(n)
    return X


def _attention(scores: Array) -> Array:
    """1 + softmax(scores) - 1/m, row by row."""
    m = scores.shape[-1]
    return np.asarray(np.eye(m) + softmax(scores, axis=-1) - 1 / m)


def _bartlett(count: int, m: int, freedom: int, rng: np.random.Generator) -> Array:
    """R (count, m, m) with R R^T distributed as G G^T, G (m, freedom) of independent N(0, 1)."""
    columns = min(m, freedom)
    R = np.tril(rng.standard_normal((count, m, columns)), -1)
    at = np.arange(columns)
    R[:, at, at] = np.sqrt(rng.chisquare(freedom - at, (count, columns)))
    return np.concatenate([R, np.zeros((count, m, m - columns))], axis=2)
