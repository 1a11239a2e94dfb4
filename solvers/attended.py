"""Means of softmax attention over random scores, A_a = softmax(u) and A'_b = softmax(v) of solvers/scores.py.

The parts (parts, queries, queries) are E[A_a C A'_b^T]; and, where a tangent T is given, the same with T for C, and
sum_ij X_ij E[(J C J'^T)_ij] for X = C and X = T, J = diag A - A^T A the derivative by the scores. In up to three
dimensions by Hermite coefficients on grids, else, or where those do not settle, by sampling.
"""

import numpy as np

from solvers.attended_grid import expanded
from solvers.attended_sample import sampled
from solvers.scores import Array, Scores

SETTLED = 1e-6  # the error, relative to the scale of a part, up to which a grid is not replaced by points


def softmax_means(scores: Scores, seed: int = 0) -> tuple[Array, Array]:
    """The parts and their estimated errors; the same to the last bit, transposed, for exchanged sequences."""
    turned = scores.turned()
    if (scores.left.tobytes(), scores.cross.tobytes()) > (turned.left.tobytes(), turned.cross.tobytes()):
        values, errors = _either(turned, seed)
        return values.swapaxes(1, 2), errors.swapaxes(1, 2)
    values, errors = _either(scores, seed)
    if all(np.allclose(x, y, rtol=1e-10, atol=1e-12 * scores.scales[0]) for x, y in scores.exchanged()):
        # A sequence with itself, whose kernel is symmetric, which points alone do not see.
        values, errors = (0.5 * (x + x.swapaxes(1, 2)) for x in (values, errors))
    return values, errors


def _either(scores: Scores, seed: int) -> tuple[Array, Array]:
    found = expanded(scores)
    if found is not None and (found[1] <= SETTLED * scores.scales[:, None, None]).all():
        return found
    drawn = sampled(scores, seed)
    return drawn if found is None or found[1].max() > drawn[1].max() else found
