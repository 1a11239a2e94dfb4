"""Functions of a variance q > 0 as piecewise Chebyshev polynomials in log q, in cells of one width.

Means over N(0, q) are analytic in log q, their nearest singularities a distance of about pi/2 off, so 12 nodes in a
cell of width 1/2 leave an error of (1/13)^12 = 4e-14, and half that width rounding alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log

import numpy as np
import numpy.typing as npt

from solvers import chebyshev
from solvers.jit import inlined

Array = npt.NDArray[np.float64]
WIDTH, NODES = 0.25, 12


@dataclass(frozen=True)
class Table:
    """Coefficients (cells, nodes, results) over cells of log q that start at `low`."""

    low: float
    coefficients: Array

    @property
    def high(self) -> float:
        return self.low + WIDTH * len(self.coefficients)


def variances(low: float, high: float) -> tuple[float, Array]:
    """Where a table over [low, high] needs values, shape (cells, nodes), and the log at which it starts."""
    start = log(low)
    cells = max(1, ceil((log(high) - start) / WIDTH))
    left = start + WIDTH * np.arange(cells)
    return start, np.exp(left[:, None] + WIDTH * chebyshev.nodes(NODES, 0.0, 1.0))


def tabulate(f: Callable[[Array], Array], low: float, high: float) -> Table:
    """f: variances -> (variances, results), over [low, high]."""
    start, q = variances(low, high)
    values = np.asarray(f(q.ravel())).reshape(*q.shape, -1)
    return Table(start, np.ascontiguousarray(chebyshev.coefficients(values, 1)))


@inlined
def place(low: float, cells: int, log_q: float) -> tuple[int, float]:
    """The cell of log q, and where in [-1, 1] it lies there; the nearest cell beyond the ends."""
    at = (log_q - low) / WIDTH
    cell = int(min(max(at, 0.0), cells - 1.0))
    return cell, 2.0 * (at - cell) - 1.0


@inlined
def clenshaw(c: Array, x: float) -> float:
    """sum c_m T_m(x)."""
    a, b = 0.0, 0.0
    for m in range(c.size - 1, 0, -1):
        a, b = 2.0 * x * a - b + c[m], a
    return x * a - b + c[0]
