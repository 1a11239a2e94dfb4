"""Layers of sequences as steps of a kernel: attention, and positional encodings.

Behind attention with weights A = zeta(G), J their derivative by the scores, K(x, x'), T(x, x') in front of it,
    k_ab = ov E[A_a K A'_b^T],  t_ab = 2 k_ab + ov E[A_a T A'_b^T]
        + ov qk sum_ij (2 K_ab K_ij + T_ab K_ij + K_ab T_ij) E[(J_a K J'_b^T)_ij]
(the last line for random scores alone: Hron et al. 2020, arXiv 2006.10540, kernel as recalled, tangent kernel derived
here; its case zeta = identity is the formula of neural-tangents). Of the Gram of each sequence `Own` takes a note.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np

from meanfield.build import Array, Block
from meanfield.finite.attention import SCORES
from meanfield.finite.networks import number
from meanfield.finite.positions import covariance
from meanfield.pixels import Own, Place, Step, Walk, alone, steps_of
from solvers import gram
from solvers.attended import softmax_means
from solvers.iterate import NotConverged
from solvers.scores import Keys, Scores
from symbolic.activations import ACTIVATIONS
from symbolic.attention import Attention, allowed
from symbolic.sequences import PositionalEncoding
from symbolic.signals import NoRule

LARGEST = 1e70  # a covariance, of which parts have up to four as factors
TOLERANCE = 1e-3  # the largest standard error of a mean over random scores, relative to its scale


@dataclass(frozen=True, eq=False)
class Mixed:
    """Attention at one place of a network, with its numbers."""

    layer: Attention
    keys: Keys
    qk_var: float
    ov_var: float

    def __call__(self, walk: Walk, state: Array) -> Array:
        """(components, n1, tokens, n2, tokens) in front of the layer to the same behind it."""
        own, largest = isinstance(walk, Own), float(np.abs(state).max())
        if not largest < LARGEST:
            raise NotConverged(
                f"covariances in front of '{self.layer}' reach {largest:.3g}, whose products no number holds: put "
                "LayerNorm() before it"
            )
        if isinstance(walk, Own):
            walk.noted[self] = state[None, 0, :, :, 0, :].copy()
            left = right = walk.noted[self][0]
        else:
            left, right = walk.left[self][0], walk.right[self][0]
        after = np.empty_like(state)
        for i, one in enumerate(left):
            for j, other in enumerate(right):
                after[:, i, :, j] = self._behind(Grams(one, other, state[:, i, :, j], own, walk.seed))
        if own:  # symmetric but for rounding
            after = 0.5 * (after + after.swapaxes(2, 4))
        return after

    def _behind(self, grams: "Grams") -> Array:
        means = self._random(grams) if self.layer.random else self._fixed(grams)
        k, t = grams.cross, grams.tangent
        found = self.ov_var * means[0]
        if t is None:
            return found[None]
        tangent = 2 * found + self.ov_var * means[1]
        if self.layer.random:
            tangent += self.ov_var * self.qk_var * ((2 * k + t) * means[2] + k * means[3])
        return np.stack([found, tangent])

    def _fixed(self, grams: "Grams") -> Array:
        """Scores that are numbers: the Gram if tied, else 0."""
        share = sqrt(self.qk_var) if self.layer.tied else 0.0
        a, b = (SCORES[self.layer.score](share * one, self.keys)[0] for one in (grams.left, grams.right))
        return np.stack([a @ form @ b.T for form in grams.state])

    def _random(self, grams: "Grams") -> Array:
        if self.layer.score == "softmax":
            return self._softmax(grams)
        return (_identity if self.layer.score == "identity" else _relu)(grams, self.qk_var, self.keys)

    def _softmax(self, grams: "Grams") -> Array:
        scores = Scores(grams.left, grams.right, grams.cross, self.qk_var, self.keys, grams.tangent)
        values, errors = softmax_means(scores, grams.seed)
        worst = float((errors / np.maximum(scores.scales, 1e-300)[:, None, None]).max())
        if not worst <= TOLERANCE:
            variance = self.qk_var * max(grams.left.max(), grams.right.max()) ** 2
            raise NotConverged(
                f"the means of '{self.layer}' over its random scores are known to {worst:.1e} of their scale only, not "
                f"to {TOLERANCE:.0e}: scores have variances up to {variance:.3g}; take a smaller qk_var, or put "
                "LayerNorm() before it"
            )
        return values


@dataclass(frozen=True)
class Grams:
    """Of two sequences: each with itself, and the components between them; are both the same sequence?"""

    left: Array
    right: Array
    state: Array
    own: bool
    seed: int

    @property
    def cross(self) -> Array:
        return self.state[0]

    @property
    def tangent(self) -> Array | None:
        return self.state[1] if len(self.state) > 1 else None


def _identity(grams: Grams, qk_var: float, keys: Keys) -> Array:
    """E[A A'] = qk K_ab K_ij and J = 1, over the keys of a and of b."""
    k, over = grams.cross, keys.astype(float)
    sums = [over @ (k * form) @ over.T for form in grams.state]
    return np.stack([*(qk_var * k * total for total in sums), *sums])


def _relu(grams: Grams, qk_var: float, keys: Keys) -> Array:
    """E[relu relu] and E[relu' relu'] of the scores G_ai, G_bj of variances qk K_aa K_ii: arc-cosine kernels."""
    tokens, limit = len(keys), "nngp" if grams.tangent is None else "ntk"
    p, q = (qk_var * np.outer(d, d).reshape(1, -1) for d in (grams.left.diagonal(), grams.right.diagonal()))
    state = np.ones((len(grams.state), tokens**2, tokens**2))
    state[0] = qk_var * np.kron(grams.cross, grams.cross)
    block = Block(ACTIVATIONS["relu"])
    block.gram(limit, p, q, state, (0, tokens**2), triangle=grams.own)
    if grams.own:
        gram.complete(state, block(f"{limit}_diagonal", np.stack([p[0], np.ones_like(p[0])][: len(state)], axis=1)).T)
    means = state.reshape(-1, tokens, tokens, tokens, tokens) * keys[:, :, None, None] * keys
    first = [np.einsum("ij,aibj->ab", form, means[0]) for form in grams.state]
    return np.stack(
        [*first, *(np.einsum("ij,aibj->ab", grams.cross * form, m) for m in means[1:] for form in grams.state)]
    )


@steps_of.register
def _(layer: Attention, place: Place, wanted: bool) -> Iterator[Step]:
    if not layer.gaussian:
        raise NoRule(
            f"what leaves '{layer}' is Gaussian given its scores alone, which are random, so no kernel describes it: "
            "take heads=float('inf') for a kernel, or mf.attention_law for the law of one layer"
        )
    keys = np.array(allowed(layer.mask, place.size))
    yield Mixed(layer, keys, number(layer, "qk_var"), number(layer, "ov_var"))
    if not wanted:
        yield partial(alone, axes=1)


@steps_of.register
def _(layer: PositionalEncoding, place: Place, wanted: bool) -> Iterator[Step]:
    yield partial(_placed, share=covariance(layer, place.size), full=place.full)


def _placed(walk: Walk, state: Array, share: Array, full: bool) -> Array:
    if full:
        state[0] += share[:, None, :]
    else:
        state[:, 0] += share.diagonal()[:, None, None]
    return state
