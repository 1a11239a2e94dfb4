"""Pair maps by interpolation, for maps too dear to evaluate at every entry of a kernel matrix.

f(p, q, k) at k = sqrt(pq) cos(theta) is smooth in log p, log q and theta even where the activation has kinks (a
Gaussian smooths them), so tensor Chebyshev interpolation x_j = cos(pi (j + 1/2)/n) converges geometrically. The error
of a resolved expansion is read off its last coefficients on each axis: they are what doubling n would add.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log, pi

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from solvers.jit import cached, jit

Array = npt.NDArray[np.float64]
PairMap = Callable[[Array, Array, Array], Array]  # rows of p, q, k -> rows of results
RESOLVED, MOST_ANGLES = 2e-14, 256


@dataclass(frozen=True)
class Interpolant:
    """Coefficients (norms, norms, angles, results) over [low, high] for log p, log q, and for theta; `error` is
    absolute."""

    coefficients: Array
    norms: tuple[float, float]
    angles: tuple[float, float]
    error: float


def nodes(n: int, low: float, high: float) -> Array:
    """The n Chebyshev nodes of [low, high]."""
    return 0.5 * (low + high) + 0.5 * (high - low) * np.cos(pi * (np.arange(n) + 0.5) / n)


def coefficients(values: Array, axis: int) -> Array:
    """Chebyshev coefficients along an axis of the polynomial through values at `nodes`."""
    c = np.moveaxis(np.asarray(dct(values, type=2, axis=axis)) / values.shape[axis], axis, 0)
    c[0] /= 2
    return np.moveaxis(c, 0, axis)


def interpolate(f: PairMap, norms: tuple[float, float], angles: tuple[float, float]) -> Interpolant:
    """f over a range of variances and angles; f must be symmetric in p and q."""
    low, high = log(norms[0]), log(norms[1])
    angular = _angular(f, high, angles)
    count = _norm_nodes(high - low)
    values = _on_grid(
        f, nodes(count, low, high) if count > 1 else np.array([0.5 * (low + high)]), nodes(angular, *angles)
    )
    for axis in range(3 if count > 1 else 0):
        values = coefficients(values, axis)
    c = values if count > 1 else coefficients(values, 2)
    rounding = 2e-15 * np.abs(c).sum(axis=(0, 1, 2)).max()
    error = max(_tail(c, axis) for axis in ((0, 2) if count > 1 else (2,))) + rounding
    return Interpolant(np.ascontiguousarray(c), (low, high), angles, float(error))


def _angular(f: PairMap, log_norm: float, angles: tuple[float, float]) -> int:
    """How many angles resolve f at the longest norm, where it is hardest."""
    n = 16
    while n < MOST_ANGLES:
        c = coefficients(_on_grid(f, np.array([log_norm]), nodes(n, *angles)), 2)
        if _tail(c, 2) <= RESOLVED * np.abs(c).max():
            break
        n *= 2
    return n


def _norm_nodes(width: float) -> int:
    """Nodes for 1e-14 on an interval of log p whose nearest singularities lie at distance pi/2 beside it."""
    if width < 1e-13:
        return 1
    aspect = pi / width
    return 2 + ceil(log(1e14) / log(aspect + (aspect**2 + 1) ** 0.5))


def _on_grid(f: PairMap, log_norms: Array, angles: Array) -> Array:
    """f at all pairs of norms and all angles, computed once per unordered pair."""
    count = len(log_norms)
    a, b = np.tril_indices(count)
    p, q = (np.repeat(np.exp(log_norms[i]), len(angles)) for i in (a, b))
    k = np.sqrt(p) * np.sqrt(q) * np.cos(np.tile(angles, len(a)))
    results = f(p, q, k).reshape(len(a), len(angles), -1)
    out = np.empty((count, count, *results.shape[1:]))
    out[a, b] = out[b, a] = results
    return out


def _tail(c: Array, axis: int) -> float:
    n = c.shape[axis]
    last = np.moveaxis(np.abs(c), axis, 0)[-max(2, n // 8) :]
    return float(last.sum(axis=0).max())


def apply(f: Interpolant, p: Array, q: Array, state: Array, rows: tuple[int, int], *, triangle: bool) -> None:
    """state[0] -> f_0, and with three results state[1] -> f_1 + f_2 state[1], for the rows given, in place."""
    low, high = f.norms
    columns = _polynomials(f.coefficients.shape[1], np.log(q), low, high)
    for i in range(*rows):
        weights = _polynomials(f.coefficients.shape[0], np.log(p[i : i + 1]), low, high)[0]
        stop = i if triangle else len(q)
        row = np.tensordot(weights, f.coefficients, 1)
        _apply_row(np.ascontiguousarray(row), columns, f.angles, p[i], q[:stop], state[:, i, :stop])


def _polynomials(n: int, x: Array, low: float, high: float) -> Array:
    """T_0 .. T_{n-1} at points of [low, high], shape (points, n)."""
    if n == 1:
        return np.ones((len(x), 1))
    return np.asarray(np.polynomial.chebyshev.chebvander((2 * x - low - high) / (high - low), n - 1))


@jit
def _clenshaw(c: Array, x: float) -> float:
    a, b = 0.0, 0.0
    for m in range(c.size - 1, 0, -1):
        a, b = 2.0 * x * a - b + c[m], a
    return x * a - b + c[0]


@cached
def _apply_row(row: Array, columns: Array, angles: tuple[float, float], p: float, q: Array, state: Array) -> None:
    low, high = angles
    norms, count, results = row.shape
    mixed = np.empty((results, count))
    for j in range(q.size):
        for r in range(results):
            for m in range(count):
                total = 0.0
                for a in range(norms):
                    total += columns[j, a] * row[a, m, r]
                mixed[r, m] = total
        d = np.sqrt(p) * np.sqrt(q[j])
        c = state[0, j] / d
        c = -1.0 if c < -1.0 else (1.0 if c > 1.0 else c)
        x = (2.0 * np.arccos(c) - low - high) / (high - low)
        state[0, j] = _clenshaw(mixed[0], x)
        if results == 3:
            state[1, j] = _clenshaw(mixed[1], x) + _clenshaw(mixed[2], x) * state[1, j]
