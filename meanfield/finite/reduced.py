"""Outputs of real attention layers of any width n from their exact law, without a matrix of that width.

With x x^T/n = L L^T, Gaussian weights give queries L Z_Q, keys L Z_K and values L Z_V, Z with n columns of independent
N(0, 1), so that only Z_Q Z_K^T and Z_V Z_V^T matter: Z_Q Z_K^T = R G with G square Gaussian, R R^T and Z_V Z_V^T
Wishart matrices of n degrees, R triangular (Bartlett). Given the values, a channel behind W_O is R_V z, z Gaussian. The
cost does not depend on n. Reduction read in notes on Sakai et al. 2025 (arXiv 2506.00846), Bartlett's step added here.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from meanfield.finite.networks import Array, number, whole
from meanfield.finite.roots import gram_root
from solvers import forms
from solvers.rules import gram_factor
from symbolic.attention import Attention, allowed

AT_ONCE = 1 << 20
TOKENS = ("identity", "relu")


@dataclass(frozen=True)
class RandomTokens:
    """x^i = psi(W^i h), i = 1 .. count, h ~ N(0, I_n) shared, W^i of variance 1/n: given h, W^i h is Gaussian.

    psi: "identity" (also the clip at 100 of the paper's experiments, a hundred standard deviations) or "relu".
    """

    count: int
    psi: str = "identity"

    def __post_init__(self) -> None:
        whole("count", self.count)
        if self.psi not in TOKENS:
            raise ValueError(f"unknown psi {self.psi!r}; known are {' and '.join(TOKENS)}")


@dataclass(frozen=True, eq=False)
class Outputs:
    """Of independent networks: y (networks, tokens, channels), scores (networks, heads, tokens, tokens), and
    `covariance` (networks, tokens, tokens) of the channels given all weights but W_O."""

    y: Array
    scores: Array
    covariance: Array


def attention_outputs(
    layer: Attention,
    tokens: Any,
    *,
    width: int,
    networks: int,
    rng: np.random.Generator,
    channels: int = 1,
    head_width: int | None = None,
) -> Outputs:
    """`networks` layers of `width` on tokens of the Gram x x^T/width (tokens, tokens), or on RandomTokens.

    channels: how many of each output are drawn. head_width: features of each head's queries, keys and values (width).
    Raises ValueError for infinitely many heads and for a Gram of larger rank than the width.
    """
    if layer.heads == math.inf:
        raise ValueError("a network has finitely many heads: give heads= a whole number")
    n, count = whole("width", width), tokens.count if isinstance(tokens, RandomTokens) else len(tokens)
    m = n if head_width is None else whole("head_width", head_width)
    each = layer.heads * count * (count + whole("channels", channels))
    if isinstance(tokens, RandomTokens) and tokens.psi == "relu":
        each += count * n
    at_once, left = max(1, AT_ONCE // each), whole("networks", networks)
    parts = []
    while left:
        now = min(at_once, left)
        root = _tokens(tokens, n, now, rng)
        parts.append(_outputs(layer, root, m, (now, channels), rng))
        left -= now
    return Outputs(*(np.concatenate(found) for found in zip(*parts, strict=True)))


def wishart_root(size: int, degrees: int, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """R with R R^T = Z Z^T in law, Z (size, degrees) standard normal: Z itself if it is narrow, else Bartlett's
    triangle, whose diagonal is chi distributed."""
    if degrees < size:
        return rng.standard_normal((*shape, size, degrees))
    root = np.tril(rng.standard_normal((*shape, size, size)), -1)
    for i in range(size):
        root[..., i, i] = np.sqrt(rng.chisquare(degrees - i, shape))
    return root


def _tokens(tokens: Any, n: int, networks: int, rng: np.random.Generator) -> Array:
    """L of each network (networks, 1, tokens, rank), or (1, 1, tokens, rank) if it is the same."""
    if not isinstance(tokens, RandomTokens):
        root = gram_factor(np.asarray(tokens, dtype=np.float64))
        if root.shape[1] > n:
            raise ValueError(f"tokens of {n} features cannot have a Gram of rank {root.shape[1]}: take a larger width")
        return root[None, None]
    length = np.sqrt(rng.chisquare(n, networks) / n)[:, None, None]
    if tokens.psi == "identity":
        return np.asarray((length * wishart_root(tokens.count, n, (networks,), rng) / math.sqrt(n))[:, None])
    x = np.maximum(length * rng.standard_normal((networks, tokens.count, n)), 0.0)
    return gram_root(x @ x.swapaxes(1, 2) / n)[:, None]


def _outputs(
    layer: Attention, root: Array, n: int, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """y, scores and covariances of networks whose heads have n features; shape: networks, channels."""
    networks, channels = shape
    heads, tokens, rank = layer.heads, root.shape[2], root.shape[3]
    p = _scores(layer, root, n, networks, rng)
    values = np.ascontiguousarray(root @ wishart_root(rank, n, (networks, heads), rng)) / math.sqrt(n)
    keys, kind = np.array(allowed(layer.mask, tokens), dtype=np.bool_), forms.KINDS[layer.score]
    share = number(layer, "ov_var") / heads
    y, covariance = np.zeros((networks, tokens, channels)), np.zeros((networks, tokens, tokens))
    for a in range(heads):
        out = np.zeros((networks, tokens, values.shape[3]))
        forms.attend(p[:, a : a + 1], values[:, a : a + 1], keys, kind, out)
        y += math.sqrt(share) * (out @ rng.standard_normal((networks, values.shape[3], channels)))
        covariance += share * (out @ out.swapaxes(1, 2))
    return y, p, covariance


def _scores(layer: Attention, root: Array, n: int, networks: int, rng: np.random.Generator) -> Array:
    """(networks, heads, tokens, tokens)."""
    rank = root.shape[3]
    left = wishart_root(rank, n, (networks, layer.heads), rng)
    right = left.swapaxes(2, 3) if layer.tied else rng.standard_normal((networks, layer.heads, left.shape[3], rank))
    scale = math.sqrt(number(layer, "qk_var")) / (math.sqrt(n) if layer.random else n)
    return np.ascontiguousarray(scale * (root @ (left @ right) @ root.swapaxes(2, 3)))
