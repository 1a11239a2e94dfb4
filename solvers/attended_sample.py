"""Means over random scores by scrambled Sobol points (Owen 1995): the parts of solvers/attended.py for many tokens.

u = F z and v = sqrt(s K'_bb) (c p + sqrt(1 - c^2) q): (u, p) of the covariance of both sequences together, q an
independent copy of p, so that one set of points serves all pairs of queries. The error is the scatter of independent
scramblings.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from solvers.normal_points import normal_points
from solvers.scores import FLAT, Array, Scores, centred, factor
from solvers.softmaxes import add_parts

Index = npt.NDArray[np.intp]

AIM = 3e-4  # the standard error, relative to the scale of a part, at which sampling stops
SCRAMBLINGS = 8
FEWEST, MOST = 9, 13  # log2 of the points of a scrambling


def sampled(scores: Scores, seed: int = 0) -> tuple[Array, Array]:
    """The parts (parts, tokens, tokens) and standard errors, by as many points as bring these to AIM, or the most."""
    directions = _directions(scores)
    for power in range(FEWEST, MOST + 1):
        found = np.stack([_scrambling(scores, directions, power, seed * SCRAMBLINGS + i) for i in range(SCRAMBLINGS)])
        error = found.std(axis=0, ddof=1) / np.sqrt(SCRAMBLINGS)
        if (error <= AIM * scores.scales[:, None, None]).all():
            break
    return found.mean(axis=0), error


def _scrambling(scores: Scores, directions: tuple[Array, Array, Index], power: int, seed: int) -> Array:
    joint, alone, order = directions
    z = _normals(len(order), power, seed)[order] if len(order) else np.zeros((0, 1))
    tokens, rank = len(scores.left), joint.shape[1]
    both, other = joint @ z[:rank], alone @ z[rank:]
    weights = np.stack([scores.cross, np.zeros_like(scores.cross) if scores.tangent is None else scores.tangent])
    out = np.zeros((scores.parts, tokens, tokens))
    add_parts(both[:tokens], both[tokens:], other, scores.correlations, *scores.spreads, scores.keys, weights, out)
    return out / z.shape[1]


def _directions(scores: Scores) -> tuple[Array, Array, Index]:
    """Factors of both sequences together and of the right one alone, and the rank of each column by its size."""
    tokens = len(scores.left)
    gram = np.block([[scores.left, scores.cross], [scores.cross.T, scores.right]])
    values, vectors = np.linalg.eigh(centred(gram, tokens))
    kept = values > FLAT * gram.diagonal().max()
    joint, alone = vectors[:, kept] * np.sqrt(values[kept]), factor(scores.right)
    return joint, alone, np.argsort(np.argsort(-np.concatenate([values[kept], (alone**2).sum(axis=0)])))


@lru_cache(maxsize=24)
def _normals(dimensions: int, power: int, seed: int) -> Array:
    """2^power points as standard normal numbers, (dimensions, points)."""
    return np.ascontiguousarray(normal_points(dimensions, power, [dimensions, seed]).T)
