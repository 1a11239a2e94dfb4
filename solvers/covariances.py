"""E A G A^T of random attention weights, all pairs of queries: rows of scores are p_i. with Cov(p_ij, p_kl) =
variance G_ik G_jl.

Exact where two rows are independent (G_ik = 0) and each has exchangeable keys, so that E A is uniform, and for
identity scores, variance G_ik sum_jl G_jl^2 over the keys of both; else scrambled Sobol points in all scores.
"""

import math

import numpy as np

from solvers.forms import KINDS, Array, Flags, attend
from solvers.normal_points import normal_points
from solvers.rules import SCRAMBLES, Form, gram_factor

LOG_POINTS, MOST_SOBOL, MOST_NUMBERS = 13, 1024, 1 << 23


def covariance(gram: Array, keys: Flags, variance: float, kind: str) -> tuple[Array, Array]:
    """The matrix (tokens, tokens) and its errors: three standard errors of the scrambles where it is not exact."""
    found = np.full(gram.shape, np.nan)
    if kind == "identity":
        found = variance * gram * (keys @ (gram**2) @ keys.T)
    else:
        _independent(gram, keys, variance, kind, found)
    wide = 4e-16 * np.abs(np.nan_to_num(found))
    missing = np.isnan(found)
    if missing.any():
        each = np.stack([_once(gram, keys, variance, kind, seed) for seed in range(SCRAMBLES)])
        spread = 3 * each.std(axis=0, ddof=1) / math.sqrt(SCRAMBLES)
        found[missing], wide[missing] = each.mean(axis=0)[missing], spread[missing]
    return found, wide


def _independent(gram: Array, keys: Flags, variance: float, kind: str, found: Array) -> None:
    """Softmax over exchangeable keys has mean 1/keys."""
    read = [np.flatnonzero(row) for row in keys]
    forms = [Form(gram[np.ix_(row, row)], variance * gram[i, i], kind) for i, row in enumerate(read)]
    even = [kind == "softmax" and (form.even or form.constant) for form in forms]
    for i in range(len(gram)):
        for k in range(len(gram)):
            if i != k and even[i] and even[k] and (gram[i, k] == 0 or forms[i].constant or forms[k].constant):
                found[i, k] = gram[np.ix_(read[i], read[k])].mean()


def _once(gram: Array, keys: Flags, variance: float, kind: str, seed: int) -> Array:
    factor = gram_factor(gram)
    tokens, rank = factor.shape
    size = rank * rank
    if size <= MOST_SOBOL:
        points = normal_points(size, LOG_POINTS, seed)
    else:
        points = np.random.default_rng(seed).standard_normal((max(256, MOST_NUMBERS // size), size))
    total = np.zeros((tokens, tokens))
    at_once = max(1, (1 << 20) // (tokens * tokens))
    for first in range(0, len(points), at_once):
        z = points[first : first + at_once].reshape(-1, 1, rank, rank)
        values = np.ascontiguousarray(np.broadcast_to(factor, (len(z), 1, tokens, rank)))
        out = np.zeros((len(z), tokens, rank))
        attend(math.sqrt(variance) * (factor @ z @ factor.T), values, keys, KINDS[kind], out)
        total += np.einsum("dir,djr->ij", out, out, optimize=True)
    return total / len(points)
