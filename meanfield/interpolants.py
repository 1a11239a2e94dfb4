"""Open maps of pairs where no series serves: interpolated in (log p, log q, angle), or refused.

In these coordinates a map is smooth even for kinked activations; it must be trusted to 1e-8 of its size.
"""

import numpy as np

from meanfield.build import Array, Block
from solvers import chebyshev, gram
from solvers.iterate import NotConverged

TRUSTED = 1e-8


def interpolant(
    block: Block, limit: str, norms: tuple[float, float], angles: tuple[float, float]
) -> chebyshev.Interpolant:
    """The block's pair map for variances and angles within these ends; NotConverged where it is not smooth enough."""

    def pair_map(p: Array, q: Array, k: Array) -> Array:
        if limit == "nngp":
            return _in_threads(block, limit, np.stack([p, q, k], axis=1))
        zero = _in_threads(block, limit, np.stack([p, q, k, 0 * k], axis=1))
        one = _in_threads(block, "pullback", np.stack([p, q, k], axis=1))
        return np.hstack([zero, one])

    found = chebyshev.interpolate(pair_map, norms, angles)
    if not found.error <= TRUSTED * np.abs(found.coefficients).max():
        raise NotConverged(
            f"'{block.layer}' could not be interpolated to {TRUSTED:g}: "
            f"its means are not smooth enough at variance {norms[1]:.3g}"
        )
    return found


def _in_threads(block: Block, question: str, states: Array) -> Array:
    parts = gram.in_threads(lambda rows: block(question, states[slice(*rows)]), len(states), triangle=False)
    return np.concatenate(parts)
