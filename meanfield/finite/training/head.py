"""A head of attention whose queries and keys are trained for one step: how far its scores move.

s_ij = c q_i k_j, q = W_Q x, k = W_K x, a_i = sum_j softmax_j(s_ij) v_j, loss mean_i (a_i - y_i)^2/2.
The gradient of W_Q is sum_i (c sum_j r_ij k_j) x_i^T with r = dl/ds, that of W_K sum_j (c sum_i r_ij q_i) x_j^T.
"""

import numpy as np

from meanfield.finite.training.gradients import Gradient
from meanfield.finite.training.mlp import Array
from meanfield.finite.training.updates import Update, rms

TOKENS, INPUTS = 8, 32


def gradients(query: Array, key: Array, x: Array, v: Array, y: Array, c: float) -> tuple[Gradient, Gradient]:
    """Of W_Q and W_K, for tokens x (entries, tokens) with values v and targets y (tokens,)."""
    q, k = query @ x, key @ x
    weights = np.exp(c * q.T @ k)
    weights /= weights.sum(axis=1, keepdims=True)
    seen = weights @ v
    r = (seen - y)[:, None] * weights * (v - seen[:, None])
    return Gradient(c * k @ r.T, x), Gradient(c * q @ r, x)


def score_sizes(width: int, c: float, rate: float, update: Update, rng: np.random.Generator) -> Array:
    """Root mean squares of the scores as drawn, and of their change by a step, of a head as wide as its inputs."""
    data, v, y = rng.standard_normal((INPUTS, TOKENS)), rng.standard_normal(TOKENS), rng.standard_normal(TOKENS)
    x = rng.standard_normal((width, INPUTS)) @ data / np.sqrt(INPUTS)
    query, key = rng.standard_normal((2, width, width)) / np.sqrt(width)
    found = zip((query, key), gradients(query, key, x, v, y, c), strict=True)
    moved = [w - rate * update(g, w, (), None)[0] for w, g in found]
    before, after = (c * (w @ x).T @ (u @ x) for w, u in ((query, key), moved))
    return np.array([rms(before), rms(after - before)])
