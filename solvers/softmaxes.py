"""Compiled sums over samples of scores: softmax rows of two sequences, and the bilinear forms between them.

Per sample, A = softmax(s_a u) and A' = softmax(s_b (c p + sqrt(1 - c^2) q)) over the keys of queries a and b, and
A X A'^T for X = C and T; J C J'^T summed against X is A (X*C) A'^T - sum_i A_i (X A')_i (C A')_i - sum_j A'_j (A X)_j
(A C)_j + (A C A'^T)(A X A'^T), J = diag A - A^T A.
"""

import numpy as np
import numpy.typing as npt

from solvers.jit import cached, jit
from solvers.vecmath import exp

Array = npt.NDArray[np.float64]
Keys = npt.NDArray[np.bool_]
STRIP = 64


@jit
def _softmax(u: Array, keys: Keys, size: int) -> None:
    """u (tokens, samples) to its softmax over the keys, in place; 0 elsewhere."""
    top, total = np.full(STRIP, -np.inf), np.zeros(STRIP)
    for j in range(len(u)):
        if keys[j]:
            for m in range(size):
                top[m] = max(top[m], u[j, m])
    for j in range(len(u)):
        if keys[j]:
            for m in range(size):
                u[j, m] = exp(u[j, m] - top[m])
                total[m] += u[j, m]
        else:
            u[j, :] = 0.0
    for m in range(size):
        total[m] = 1.0 / total[m]
    for j in range(len(u)):
        if keys[j]:
            for m in range(size):
                u[j, m] *= total[m]


@jit
def _times(x: Array, a: Array, keys: Keys, out: Array, size: int) -> None:
    """out_i = sum_j x_ij a_j over the keys."""
    out[:] = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            if keys[j]:
                for m in range(size):
                    out[i, m] += x[i, j] * a[j, m]


@jit
def _dot(a: Array, b: Array, keys: Keys, out: Array, size: int) -> None:
    out[:] = 0.0
    for j in range(len(a)):
        if keys[j]:
            for m in range(size):
                out[m] += a[j, m] * b[j, m]


@jit
def _tangent_parts(
    a: Array, b: Array, left: Array, right: Array, parts: Array, keys: Keys, others: Keys, size: int
) -> tuple[float, float, float]:
    """The last three parts of one strip; left: A C, A T, A (C*C), A (C*T), right: C A', T A', parts[0] = A C A'."""
    for x in range(1, 4):
        _dot(left[x], b, others, parts[x], size)
    total = second = third = 0.0
    for m in range(size):
        total += parts[1, m]
        second += parts[2, m] + parts[0, m] * parts[0, m]
        third += parts[3, m] + parts[0, m] * parts[1, m]
    for i in range(len(a)):
        if keys[i]:
            for m in range(size):
                second -= a[i, m] * right[0, i, m] * right[0, i, m]
                third -= a[i, m] * right[0, i, m] * right[1, i, m]
        if others[i]:
            for m in range(size):
                second -= b[i, m] * left[0, i, m] * left[0, i, m]
                third -= b[i, m] * left[0, i, m] * left[1, i, m]
    return total, second, third


@cached
def add_parts(
    u: Array, p: Array, q: Array, c: Array, s: Array, t: Array, keys: Keys, weights: Array, out: Array
) -> None:
    """Add to out (1 or 4, tokens, tokens) the parts of all samples (tokens, samples), weights (2, tokens, tokens) = C,
    T."""
    tokens, samples, tangent = len(u), u.shape[1], len(out) > 1
    a, b, parts = np.empty((tokens, STRIP)), np.empty((tokens, STRIP)), np.empty((4, STRIP))
    left, right = np.empty((4, tokens, STRIP)), np.empty((2, tokens, STRIP))
    forms = np.stack((weights[0], weights[1], weights[0] * weights[0], weights[0] * weights[1]))
    for first in range(0, samples, STRIP):
        size = min(STRIP, samples - first)
        for i in range(tokens):
            for j in range(tokens):
                for m in range(size):
                    a[j, m] = s[i] * u[j, first + m]
            _softmax(a, keys[i], size)
            for x in range(4 if tangent else 1):
                _times(forms[x].T, a, keys[i], left[x], size)
            for k in range(tokens):
                along, across = t[k] * c[i, k], t[k] * np.sqrt(max(0.0, 1.0 - c[i, k] * c[i, k]))
                for j in range(tokens):
                    for m in range(size):
                        b[j, m] = along * p[j, first + m] + across * q[j, first + m]
                _softmax(b, keys[k], size)
                _dot(left[0], b, keys[k], parts[0], size)
                for m in range(size):
                    out[0, i, k] += parts[0, m]
                if tangent:
                    for x in range(2):
                        _times(weights[x], b, keys[k], right[x], size)
                    found = _tangent_parts(a, b, left, right, parts, keys[i], keys[k], size)
                    for x in range(3):
                        out[1 + x, i, k] += found[x]
