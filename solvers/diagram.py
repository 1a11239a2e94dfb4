"""Fixed points on a grid of V(q) = w A(q) + b, b beside w, and of C(c), 1 - C(c) = (1 - c) w M(q, c).

A(q) = E phi(u)^2, G(q) = q dA/dq, B(q) = E phi'(u)^2, S(q, c) = E phi'(u) phi'(v), M the mean of S over [c, 1]; chi_q =
w G/q, chi_1 = w B, chi_c = w S(q, c*), and c* solves w M = 1, a sum of one sign, so that 1 - c* keeps its digits
close to criticality. A length is the first fixed point from q0 in the direction in which the map moves, by Newton's
steps in its bracket, begun at its neighbour's on the grid where that lies inside.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solvers import chebyshev
from solvers.gram import in_threads
from solvers.jit import cached
from solvers.tables import Table, clenshaw, place

Array = npt.NDArray[np.float64]
STEPS = 60
SAME = 1e-13  # relative gap below which q0 itself is the fixed point


@dataclass(frozen=True)
class Angles:
    """S and M at variances (cells, nodes) as Chebyshev series in the angle over [0, pi]: (cells, nodes, 2, angles)."""

    low: float
    coefficients: Array


def angles(values: Array, low: float) -> Angles:
    """From S at `variances` and at the angles `nodes(n, 0, pi)`: shape (cells, nodes, n)."""
    n = values.shape[2]
    theta = chebyshev.nodes(n, 0.0, np.pi)
    slopes = chebyshev.coefficients(values, 2)
    x, w = np.polynomial.legendre.leggauss(n // 2 + 16)
    inner = 0.5 * theta[:, None] * (1.0 + x)
    basis = np.polynomial.chebyshev.chebvander(2.0 * inner / np.pi - 1.0, n - 1)
    weights = 0.5 * theta[:, None] * w * np.sin(inner) / (2.0 * np.sin(0.5 * theta[:, None]) ** 2)
    means = slopes @ np.einsum("ij,ijm->mi", weights, basis)
    both = np.stack([slopes, chebyshev.coefficients(means, 2)], axis=2)
    return Angles(low, np.ascontiguousarray(chebyshev.coefficients(both, 1)))


def lengths(weight_var: Array, bias_var: Array, table: Table, q0: float) -> Array:
    """q*, chi_1, chi_q and the number of length fixed points for each pair, shape (4, weights, biases).

    `table` holds A, G, B. q* is 0 where lengths shrink beyond the table, inf where they grow beyond it; slopes are then
    those at its ends.
    """
    out = np.empty((4, weight_var.size, bias_var.size))
    marks = np.linspace(table.low, table.high, 8 * len(table.coefficients) + 1)

    def task(rows: tuple[int, int]) -> None:
        _lengths(weight_var, bias_var, table.low, table.coefficients, marks, np.log(q0), rows, out)

    in_threads(task, weight_var.size, triangle=False)
    return out


def correlations(weight_var: Array, found: Array, table: Angles) -> Array:
    """c*, 1 - c* and chi_c, shape (3, weights, biases); NaN where lengths have no finite fixed point."""
    out = np.empty((3, *found.shape[1:]))

    def task(rows: tuple[int, int]) -> None:
        _correlations(weight_var, found, table.low, table.coefficients, rows, out)

    in_threads(task, weight_var.size, triangle=False)
    return out


@cached
def _lengths(
    w: Array, b: Array, low: float, table: Array, marks: Array, start: float, rows: tuple[int, int], out: Array
) -> None:
    cells = table.shape[0]
    values, at = np.empty(marks.size), np.exp(marks)
    for m in range(marks.size):
        cell, x = place(low, cells, marks[m])
        values[m] = clenshaw(table[cell, :, 0], x)
    first = min(max(int((start - low) / (marks[1] - marks[0])), 0), marks.size - 2)
    for i in range(*rows):
        guess = start
        for j in range(b.size):
            count = 0
            above = w[i] * values[0] + b[j] > at[0]
            for m in range(1, marks.size):
                now = w[i] * values[m] + b[j] > at[m]
                count += above != now
                above = now
            cell, x = place(low, cells, start)
            gap = w[i] * clenshaw(table[cell, :, 0], x) + b[j] - np.exp(start)
            log_q = start
            if abs(gap) > SAME * np.exp(start):
                rises = gap > 0.0
                m = first + 1 if rises else first
                while 0 <= m < marks.size and ((w[i] * values[m] + b[j] > at[m]) == rises):
                    m += 1 if rises else -1
                if m < 0:
                    log_q = -np.inf
                elif m >= marks.size:
                    log_q = np.inf
                else:
                    near = start if m in (first, first + 1) else marks[m - 1 if rises else m + 1]
                    log_q = _root(w[i], b[j], low, table, min(near, marks[m]), max(near, marks[m]), guess)
                    guess = log_q
            cell, x = place(low, cells, min(max(log_q, low), marks[-1]))
            out[0, i, j] = np.exp(log_q)
            out[1, i, j] = w[i] * clenshaw(table[cell, :, 2], x)
            out[2, i, j] = w[i] * clenshaw(table[cell, :, 1], x) / np.exp(min(max(log_q, low), marks[-1]))
            out[3, i, j] = count


@cached
def _root(w: float, b: float, low: float, table: Array, left: float, right: float, guess: float) -> float:
    """log q in the bracket where V(q) = q, by Newton's steps in q, halving where they leave it."""
    a, z = np.exp(left), np.exp(right)
    cells = table.shape[0]
    cell, x = place(low, cells, left)
    rising = w * clenshaw(table[cell, :, 0], x) + b - a > 0.0
    q = np.exp(guess) if left < guess < right else 0.5 * (a + z)
    for _ in range(STEPS):
        cell, x = place(low, cells, np.log(q))
        gap = w * clenshaw(table[cell, :, 0], x) + b - q
        slope = w * clenshaw(table[cell, :, 1], x) / q
        if (gap > 0.0) == rising:
            a = q
        else:
            z = q
        step = gap / (1.0 - slope) if slope != 1.0 else np.inf
        after = q + step
        if abs(step) <= 4e-16 * q:
            break
        q = after if a < after < z else 0.5 * (a + z)
    return np.log(q)


@cached
def _correlations(w: Array, found: Array, low: float, table: Array, rows: tuple[int, int], out: Array) -> None:
    cells, nodes, _, count = table.shape
    slopes, means = np.empty(count), np.empty(count)
    powers = np.empty(nodes)
    for i in range(*rows):
        theta = 0.5
        for j in range(found.shape[2]):
            q, chi_1 = found[0, i, j], found[1, i, j]
            out[0, i, j], out[1, i, j], out[2, i, j] = 1.0, 0.0, chi_1
            if not (0.0 < q < np.inf) or chi_1 <= 1.0:
                continue
            cell, x = place(low, cells, np.log(q))
            for m in range(nodes):
                powers[m] = 1.0 if m == 0 else (x if m == 1 else 2.0 * x * powers[m - 1] - powers[m - 2])
            for k in range(count):
                s = t = 0.0
                for m in range(nodes):
                    s += powers[m] * table[cell, m, 0, k]
                    t += powers[m] * table[cell, m, 1, k]
                slopes[k], means[k] = s, t
            theta = _angle(w[i], slopes, means, theta)
            half = np.sin(0.5 * theta)
            out[0, i, j], out[1, i, j] = 1.0 - 2.0 * half * half, 2.0 * half * half
            out[2, i, j] = w[i] * clenshaw(slopes, 2.0 * theta / np.pi - 1.0)


@cached
def _angle(w: float, slopes: Array, means: Array, guess: float) -> float:
    """The angle in (0, pi/2] at which w M = 1, for w M(0) > 1: C is convex on [0, 1] and C(0) >= 0 (Hermite)."""
    low, high, theta = 0.0, 0.5 * np.pi, guess
    if w * clenshaw(means, 0.0) >= 1.0 - SAME:
        return high
    for _ in range(STEPS):
        x = 2.0 * theta / np.pi - 1.0
        mean = clenshaw(means, x)
        gap = w * mean - 1.0
        if gap > 0.0:
            low = theta
        else:
            high = theta
        # dM/dtheta = (S - M) sin theta/(1 - cos theta)
        slope = w * (clenshaw(slopes, x) - mean) / np.tan(0.5 * theta)
        step = -gap / slope if slope != 0.0 else np.inf
        if abs(step) <= 4e-16 * theta:
            break
        theta = theta + step if low < theta + step < high else 0.5 * (low + high)
    return theta
