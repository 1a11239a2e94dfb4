"""Finite attention with real weights over sequences (points, tokens, features), and its exact gradient.

Head a draws W_Q, W_K of variance sqrt(qk_var)/features and W_V, W_O of sqrt(ov_var) over what they read, W_O with the
1/heads of y = heads^(-1/2) sum_a A^a X W_V^a W_O^a; all are `width` wide, scores divided by sqrt(width) or width.
Back: dA = g (V W_O)^T, dG = A * (dA - sum_j A_j dA_j) of a softmax, dQ = dG K/d^s, dK = dG^T Q/d^s.
"""

from collections.abc import Callable
from functools import reduce
from math import inf, sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from meanfield.finite.networks import Array, Draw, Passed, forward, linear, number
from meanfield.finite.positions import covariance
from meanfield.finite.roots import gram_root
from symbolic.attention import Attention, allowed
from symbolic.pictures import shape_after
from symbolic.sequences import PositionalEncoding

Keys = npt.NDArray[np.bool_]  # (tokens, tokens), which keys each query reads


@forward.register
def _(layer: Attention, x: Array, draw: Draw) -> Passed:
    shape_after(layer, x.shape[1:-1])
    if layer.heads == inf:
        raise ValueError(
            f"a real network has finitely many heads, '{layer}' has not: write heads=8, say; its kernel is that of "
            "infinitely many heads, which is approached like 1/heads"
        )
    keys = np.array(allowed(layer.mask, x.shape[1]))
    heads = [_head(layer, x, keys, draw) for _ in range(layer.heads)]
    return reduce(np.add, (y for y, _ in heads)), lambda g: reduce(np.add, (back(g) for _, back in heads))


@forward.register
def _(layer: PositionalEncoding, x: Array, draw: Draw) -> Passed:
    shape_after(layer, x.shape[1:-1])
    factor = gram_root(covariance(layer, x.shape[1]))
    return x + factor @ draw.rng.standard_normal(x.shape[1:]), lambda g: g


def _head(layer: Attention, x: Array, keys: Keys, draw: Draw) -> Passed:
    attention, to_scores = _attention(layer, x, keys, draw)
    share = sqrt(number(layer, "ov_var"))
    values, to_values = linear(x, share, 0.0, draw)
    y, to_mixed = linear(attention @ values, share / layer.heads, 0.0, draw)

    def pullback(g: Array) -> Array:
        mixed = to_mixed(g)
        through_values = to_values(attention.swapaxes(-1, -2) @ mixed)
        return np.asarray(through_values + to_scores(mixed @ values.swapaxes(-1, -2)))

    return y, pullback


def _attention(layer: Attention, x: Array, keys: Keys, draw: Draw) -> Passed:
    """The weights A (points, tokens, tokens) of one head, and the way back from their gradient to the tokens."""
    share, divisor = sqrt(number(layer, "qk_var")), draw.width ** (0.5 if layer.random else 1)
    queries, to_queries = linear(x, share, 0.0, draw)
    read, to_keys = (queries, to_queries) if layer.tied else linear(x, share, 0.0, draw)
    attention, slope = SCORES[layer.score](queries @ read.swapaxes(-1, -2) / divisor, keys)

    def pullback(g: Array) -> Array:
        scores = slope(g) / divisor
        at_queries, at_keys = scores @ read, scores.swapaxes(-1, -2) @ queries
        if layer.tied:  # one matrix, so one gradient
            return to_queries(at_queries + at_keys)
        return np.asarray(to_queries(at_queries) + to_keys(at_keys))

    return attention, pullback


def _softmax(scores: Array, keys: Keys) -> Passed:
    masked = np.where(keys, scores, -np.inf)
    weights = softmax(masked, axis=-1)
    return weights, lambda g: weights * (g - (weights * g).sum(axis=-1, keepdims=True))


def _identity(scores: Array, keys: Keys) -> Passed:
    return scores * keys, lambda g: g * keys


def _relu(scores: Array, keys: Keys) -> Passed:
    open_ = keys & (scores > 0)
    return scores * open_, lambda g: g * open_


SCORES: dict[str, Callable[[Array, Keys], Passed]] = {"softmax": _softmax, "identity": _identity, "relu": _relu}
