"""Causal mixing matrices A = L' L^(-1) between kernels L L^T and L' L'^T, without inverses and without cancellation.

Equal correlations r -> s, Sigma_ij = r for i != j (0-based i > j; empty sums are 0), with kappa^2 = (1-s)/(1-r),
    s_k = s/(1 + (k-1) s), w_k^2 = (1 + k s)(1 + (k-1) r)/((1 + (k-1) s)(1 + k r)):
    A_ii = kappa w_i,   A_ij = kappa [sum_{j<k<i} s_k (w_{k-1} w_k - 1)/w_k + w_{i-1} s_i - w_i r_i],
both terms multiples of s - r written out. Exponential a^|i-j|, b = exp(-gamma) -> a = exp(-gamma'):
    A_jj = kappa, A_ij = kappa a^(i-j-1) (a - b) for j > 0, A_00 = 1, A_i0 = a^(i-1) (a - b kappa),
with kappa^2 = (1 - a^2)/(1 - b^2).
All entries are nonnegative if and only if s >= r, gamma' <= gamma. The forms are derived here, not read.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def equal(r: float, s: float, tokens: int) -> Array:
    """A (tokens, tokens) from correlations r to s, both in [0, 1)."""
    k = np.arange(float(tokens))
    one_s, one_r, step = 1 + (k - 1) * s, 1 + (k - 1) * r, s - r
    kappa = np.sqrt((1 - s) / (1 - r))
    w = np.sqrt((1 + k * s) * one_r / (one_s * (1 + k * r)))
    # (w_{k-1} w_k)^2 - 1 and (w_{k-1} s_k)^2 - (w_k r_k)^2 are rational with the factor s - r.
    early_s = 1 + (k[1:] - 2) * s
    pair = w[:-1] * w[1:]
    inner = s / one_s[1:] * 2 * step / (early_s * (1 + k[1:] * r)) / ((1 + pair) * w[1:])
    squares = step * (s + r + 2 * (k[1:] - 1) * s * r) / (one_s * one_r)[1:] / (early_s * (1 + k[1:] * r))
    sums = w[:-1] * (s / one_s)[1:] + w[1:] * (r / one_r)[1:]
    last = np.divide(squares, sums, out=np.zeros_like(sums), where=sums > 0)
    A = np.diag(kappa * w)
    for i in range(1, tokens):
        tail = np.append(np.cumsum(inner[: i - 1][::-1])[::-1], 0.0)  # over j < k < i, for j = 0 .. i - 1
        A[i, :i] = kappa * (tail + last[i - 1])
    return A


def exponential(old: float, new: float, tokens: int) -> Array:
    """A (tokens, tokens) from decay rates old to new, both positive; inf for uncorrelated tokens."""
    a, b, powers = np.exp(-new), np.exp(-old), _decays(new, tokens)
    gap = 0.0 if old == new else -a * np.expm1(new - old) if np.isfinite(new) else -b
    rest = -np.expm1(-2 * old)
    kappa = np.sqrt(-np.expm1(-2 * new) / rest)
    lag = np.arange(tokens)[:, None] - np.arange(tokens)
    A = np.where(lag > 0, kappa * gap * powers[np.maximum(lag - 1, 0)], 0.0) + kappa * np.eye(tokens)
    # a - b kappa = (a^2 - b^2)/((1 - b^2)(a + b kappa))
    first = gap * (a + b) / (rest * (a + b * kappa)) if a + b * kappa > 0 else 0.0
    A[:, 0] = np.append(1.0, first * powers[:-1])
    return np.asarray(A)


def equal_kernel(r: float, tokens: int) -> Array:
    return np.asarray((1 - r) * np.eye(tokens) + r)


def exponential_kernel(rate: float, tokens: int) -> Array:
    at = np.arange(tokens)
    return np.asarray(_decays(rate, tokens)[np.abs(at[:, None] - at)])


def _decays(rate: float, tokens: int) -> Array:
    """exp(-rate k) for k = 0 .. tokens - 1; a power of exp(-rate) would lose a digit at k = 10."""
    return np.append(1.0, np.exp(-rate * np.arange(1.0, tokens)))
