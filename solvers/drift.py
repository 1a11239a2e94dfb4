"""How far E f(u) f(v) can move when variances p, q and correlation c are known to within errors.

E f(u) f(v) = Σ_k a_k(p) a_k(q) c^k (Mehler 1866). For |c|, |c'| <= r and |c - c'| <= w, by Cauchy-Schwarz,
|Σ a_k(p) a_k(q) (c^k - c'^k)| <= S(p) S(q), S² = Σ a_k² |c^k - c'^k|, and by Minkowski S <= √(w p D(r)) + Σ |s| √(A/2π)
for f = smooth part + jumps s, D(r) = E f'(u) f'(v) of the smooth slopes at variances p, p and correlation r, A the
largest difference of two arcsines within [c - w, c + w]. At fixed c, p d/dp E f(u) g(v) = E u f'(u) g(v)/2, by
Cauchy-Schwarz again, and x s N(x; 0, p) E[g(v) | u = x]/2 for a jump at x. Derived here, not read anywhere.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from solvers import chebyshev
from solvers.hermite import Curve, spectra
from solvers.jit import cached

Array = npt.NDArray[np.float64]
Side = tuple[Array, Array, Array, Array, Array, Array]  # p, relative error of p, |f|(r), S/√w(r), |u f'|/2, jumps/2

TERMS = 128  # of a series; what follows counts as if it were one term
WIDTH, NODES = 0.25, 10  # of a cell of log p; Chebyshev nodes in it
GRID = np.append(1.0 - 2.0 ** (-0.5 * np.arange(41)), 1.0)  # of r, which is rounded up to it
ROOM = 1.01  # for what is interpolated in log p and for second orders
UNDERFLOW = 1e-290  # below it an error is no error of a variance that is 0
ARGUMENTS = 1e-15  # relative: what rounding inside a formula does to its arguments


def cell(f: Curve, number: int) -> Array:
    """E f(u) f(v) at equal variances p = q and the correlations of GRID, or a little more, as Chebyshev coefficients
    (NODES, len(GRID)) in log p over [number, number + 1] WIDTH; NaN where E f(u)^2 is not found."""
    found = spectra(f, np.exp(WIDTH * chebyshev.nodes(NODES, number, number + 1.0)), TERMS)
    if not np.isfinite(found.error).all():
        return np.full((NODES, GRID.size), np.nan)
    squares = found.coefficients**2
    rest = np.maximum(found.energy.sum(axis=1) - squares.sum(axis=1), 0.0)
    powers = GRID ** np.arange(TERMS + 1.0)[:, None]
    return chebyshev.coefficients(squares @ powers[:TERMS] + rest[:, None] * powers[TERMS], 0)


def norms(cells: Callable[[int], Array], at_zero: float, p: Array) -> Array:
    """√(E f(u) f(v)) at variances p, p and the correlations of GRID, shape (points, len(GRID)), from above."""
    out = np.full((p.size, GRID.size), abs(at_zero))
    with np.errstate(divide="ignore"):
        logs = np.log(p) / WIDTH
    numbers = np.floor(logs)
    for number in np.unique(numbers[np.isfinite(logs)]):
        inside = numbers == number
        place = 2.0 * (logs[inside] - number) - 1.0
        square = np.polynomial.chebyshev.chebvander(place, NODES - 1) @ cells(int(number))
        out[inside] = np.sqrt(ROOM * np.maximum(square, 0.0) + 1e-9 * np.abs(square[:, -1:]))
    return out


def side(p: Array, error: Array, f: Array, slope: Array, turn: Array, shift: Array) -> Side:
    """One side of `pairs`, of the norms of f, f' and u f' and of the effect Σ |x s| N(x; 0, p) of jumps."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(error > UNDERFLOW, error / p, 0.0) * ROOM + ARGUMENTS
    return p, relative, f, np.sqrt(p)[:, None] * slope, 0.5 * turn[:, -1], 0.5 * shift


def alone(one: Side, ceiling: float) -> tuple[Array, Array]:
    """How far E f(u)² and E f(u) of one variable can move; `ceiling` bounds |f| where it jumps away from 0."""
    _, relative, f, _, turn, shift = one
    return 2.0 * relative * (turn * f[:, -1] + shift * ceiling), relative * (turn + shift)


@cached
def pairs(
    rows: tuple[int, int], triangle: bool, k: Array, error: Array, left: Side, right: Side, jump: float,
    ceiling: float, moved: Array, size: Array,
) -> None:  # fmt: skip
    """How far E f(u) f(v) can move for covariances k known to within `error`, and the most that it can be."""
    p, a, f, slope_p, turn_p, shift_p = left
    q, b, g, slope_q, turn_q, shift_q = right
    for i in range(rows[0], rows[1]):
        for j in range(i if triangle else q.size):
            root = math.sqrt(p[i]) * math.sqrt(q[j])
            c = w = 0.0
            if root > 0.0:
                c = min(1.0, abs(k[i, j]) / root)
                w = ROOM * error[i, j] / root + 0.5 * c * (a[i] + b[j]) + ARGUMENTS
            r = min(1.0, c + w)
            at = min(int(np.searchsorted(GRID, r)), GRID.size - 1)  # also for NaN
            x, y = math.sqrt(w) * slope_p[i, at], math.sqrt(w) * slope_q[j, at]
            if jump > 0.0:
                steep = 2.0 * w / math.sqrt((1.0 - r) * (1.0 + r)) if r < 1.0 else math.inf
                arc = jump * math.sqrt(min(steep, 2.0 * math.asin(math.sqrt(min(w, 1.0)))) / math.tau)
                x, y = x + arc, y + arc
            by_p = turn_p[i] * g[j, -1] + shift_p[i] * ceiling
            by_q = turn_q[j] * f[i, -1] + shift_q[j] * ceiling
            moved[i, j] = x * y + a[i] * by_p + b[j] * by_q
            size[i, j] = f[i, at] * g[j, at]
