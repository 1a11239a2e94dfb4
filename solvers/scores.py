"""Scores of attention between two sequences: Gaussian, u ~ N(0, s K_aa K) of query a of the left one, v ~ N(0, s K'_bb
K') of query b of the right one, Cov(u, v) = s C_ab C, for Grams K, K' and C of their tokens and s = qk_var.

A softmax does not see what all scores of a row have in common, so their mean over the tokens is projected out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Keys = npt.NDArray[np.bool_]
FLAT = 1e-13  # eigenvalues below this share of the largest variance are rounding


@dataclass(frozen=True)
class Scores:
    """Scores of two sequences: Grams left K, right K', cross C, all (tokens, tokens), qk_var, the keys of each query;
    tangent T or None."""

    left: Array
    right: Array
    cross: Array
    qk_var: float
    keys: Keys
    tangent: Array | None = None

    @property
    def parts(self) -> int:
        return 1 if self.tangent is None else 4

    @property
    def correlations(self) -> Array:
        """c_ab = C_ab/sqrt(K_aa K'_bb), 0 where a token is zero."""
        size = np.sqrt(np.outer(self.left.diagonal(), self.right.diagonal()))
        c = np.divide(self.cross, size, out=np.zeros_like(size), where=size > 0)
        return np.clip(c, -1.0, 1.0)

    @property
    def spreads(self) -> tuple[Array, Array]:
        """Standard deviations that multiply the tokens' own: sqrt(s K_aa) and sqrt(s K'_bb)."""
        return np.sqrt(self.qk_var * self.left.diagonal()), np.sqrt(self.qk_var * self.right.diagonal())

    @property
    def scales(self) -> Array:
        """What errors of the parts are relative to."""
        size = float(np.sqrt(self.left.diagonal().max() * self.right.diagonal().max()))
        if self.tangent is None:
            return np.array([size])
        tangent = max(float(np.abs(self.tangent).max()), size)
        return np.array([size, tangent, size * size, size * tangent])

    def exchanged(self) -> Iterator[tuple[Array, Array]]:
        """What must be equal for the sequences to be one."""
        yield self.left, self.right
        yield self.cross, self.cross.T
        if self.tangent is not None:
            yield self.tangent, self.tangent.T

    def turned(self) -> "Scores":
        """Left and right exchanged."""
        tangent = None if self.tangent is None else self.tangent.T
        return Scores(self.right, self.left, self.cross.T, self.qk_var, self.keys, tangent)


def factor(gram: Array) -> Array:
    """F with F F^T = P gram P, P without the mean over tokens, which no softmax sees: (tokens, rank), largest first.

    By eigenvalues, so that equal tokens are no problem: they leave the rank smaller, in the end 0.
    """
    values, vectors = np.linalg.eigh(centred(gram, len(gram)))
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = int((values > FLAT * max(float(gram.diagonal().max()), 0.0)).sum())
    return np.asarray(vectors[:, :rank] * np.sqrt(values[:rank]))


def centred(gram: Array, tokens: int) -> Array:
    """Rows and columns less their mean over the tokens of each sequence."""
    blocks = gram.reshape(-1, tokens, gram.shape[1])
    rows = (blocks - blocks.mean(axis=1, keepdims=True)).reshape(-1, gram.shape[1] // tokens, tokens)
    return np.asarray((rows - rows.mean(axis=2, keepdims=True)).reshape(gram.shape))
