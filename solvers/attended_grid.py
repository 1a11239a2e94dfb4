"""Means over random scores by Hermite coefficients: the parts of solvers/attended.py where scores have few dimensions.

In the canonical coordinates of two sequences u = G z, v = H w with E z_i w_j = c rho_i delta_ij (singular values of the
whitened C), so that E f(z) g(w) = sum_n (c rho)^n f_n g_n (Mehler), n over multi-indices, with f_n from a Gauss-Hermite
grid of one sequence alone: m^d nodes for d dimensions of each, not m^(2 d). m grows until two grids agree; their
distance is the error.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from scipy.special import roots_hermitenorm, softmax

from solvers.scores import Array, Keys, Scores, centred, factor

SIZES = (8, 16, 24, 32, 48, 64, 96, 128)
NODES = 40000  # of a grid, at most
DIMENSIONS = 3
CLOSE = 1e-9  # relative to the scale of a part: two grids agree


def expanded(scores: Scores) -> tuple[Array, Array] | None:
    """The parts and the distance of the last two grids; None where there are too many dimensions."""
    left, right = factor(scores.left), factor(scores.right)
    dimensions = max(left.shape[1], right.shape[1])
    if dimensions > DIMENSIONS:
        return None
    left, right, rho = _canonical(left, right, scores)
    before, error = np.full((scores.parts, *scores.cross.shape), np.inf), np.zeros(0)
    for size in SIZES:
        if size**dimensions > NODES:
            break
        found = _on_grid(scores, left, right, rho, size)
        before, error = found, np.abs(found - before)
        if (error <= CLOSE * scores.scales[:, None, None]).all():
            break
    return before, error


def _canonical(left: Array, right: Array, scores: Scores) -> tuple[Array, Array, Array]:
    """The factors turned so that only coordinates of the same number are correlated, and those correlations."""
    cross = centred(scores.cross, len(scores.cross))
    white = _inverse(left).T @ cross @ _inverse(right)
    turn, rho, other = np.linalg.svd(white)
    return left @ turn, right @ other.T, np.minimum(rho, 1.0)


def _inverse(f: Array) -> Array:
    """f (f^T f)^-1; the columns of f are orthogonal."""
    return f / (f * f).sum(axis=0) if f.size else f


def _on_grid(scores: Scores, left: Array, right: Array, rho: Array, size: int) -> Array:
    shared = len(rho)
    a = _softmaxes(scores.spreads[0], left, scores.keys, size)
    b = _softmaxes(scores.spreads[1], right, scores.keys, size)
    powers = np.ones(1)
    for r in rho:
        powers = np.multiply.outer(powers, r ** np.arange(size)).ravel()
    degrees = np.indices((size,) * shared).reshape(shared, size**shared).sum(axis=0)
    weights = powers * (scores.correlations[:, :, None] ** np.arange(shared * size + 1))[:, :, degrees]
    f, g = (_features(x, d.shape[1], shared, size, scores.tangent is not None) for x, d in ((a, left), (b, right)))
    found = [
        [
            [np.einsum("fn,fn,n", x, y, w) for y, w in zip(others, row, strict=True)]
            for x, row in zip(ones, weights, strict=True)
        ]
        for ones, others in _factors(scores, f, g)
    ]
    return np.array(found)


def _softmaxes(spread: Array, directions: Array, keys: Keys, size: int) -> Array:
    """The softmax row of each query at each node: (queries, tokens, nodes)."""
    nodes, _ = _rule(size)
    dimensions = directions.shape[1]
    grid = nodes[np.indices((size,) * dimensions).reshape(dimensions, size**dimensions)]
    scores = spread[:, None, None] * (directions @ grid)
    scores = np.where(keys[:, :, None], scores, -np.inf)
    return np.asarray(softmax(scores, axis=1))


def _features(a: Array, dimensions: int, shared: int, size: int, tangent: bool) -> list[Array]:
    """Coefficients of the weights A (queries, tokens, numbers), and of their derivatives J (queries, tokens, tokens,
    numbers)."""
    found = [_coefficients(a, dimensions, shared, size)]
    if tangent:
        tokens = a.shape[1]
        rows, columns = np.triu_indices(tokens)
        place = np.zeros((tokens, tokens), dtype=np.intp)
        place[rows, columns] = place[columns, rows] = np.arange(len(rows))  # J is symmetric
        slopes = (rows == columns)[:, None] * a[:, rows] - a[:, rows] * a[:, columns]
        found.append(_coefficients(slopes, dimensions, shared, size)[:, place])
    return found


def _factors(scores: Scores, f: list[Array], g: list[Array]) -> Iterator[tuple[Array, Array]]:
    """Coefficients (queries, features, numbers) on both sides whose products, summed over the features, are the
    parts."""
    c, forms = scores.cross, [scores.cross] if scores.tangent is None else [scores.cross, scores.tangent]
    for form in forms:
        yield np.einsum("ij,ain->ajn", form, f[0], optimize=True), g[0]
    for form in forms if scores.tangent is not None else ():
        turned = np.einsum("ij,aikn,kl->ajln", form, f[1], c, optimize=True)
        yield _joined(turned), _joined(g[1])


def _joined(x: Array) -> Array:
    return x.reshape(len(x), -1, x.shape[-1])


def _coefficients(values: Array, dimensions: int, shared: int, size: int) -> Array:
    """Hermite coefficients of values (queries, features, nodes) in the first `shared` of the dimensions, means over the
    others: (queries, features, size^shared)."""
    _, transform = _rule(size)
    functions, found = values.shape[0] * values.shape[1], values
    for axis in reversed(range(dimensions)):
        rows = transform if axis < shared else transform[:1]
        # One product over the last axis, which then comes first, so that after all the order is the old one.
        found = (found.reshape(-1, size) @ rows.T).reshape(functions, -1, len(rows)).swapaxes(1, 2)
    return found.reshape(*values.shape[:2], -1)


@lru_cache(maxsize=32)
def _rule(size: int) -> tuple[Array, Array]:
    """Gauss-Hermite nodes, and the matrix from values there to coefficients of the orthonormal Hermite polynomials."""
    nodes, weights = roots_hermitenorm(size)
    table = np.ones((size, size))
    for n in range(1, size):
        table[n] = (nodes * table[n - 1] - (np.sqrt(n - 1) * table[n - 2] if n > 1 else 0)) / np.sqrt(n)
    return nodes, table * (weights / weights.sum())
