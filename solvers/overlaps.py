"""What attention does to alike tokens: Y2 = E sum_k A_ik^2, Y12 = E sum_k A_ik A_jk and their difference, by regime.

exact: independent Gaussian scores, any n, as integrals (solvers/participation.py), for small s by the series n Y(c) =
1 + pi c s^2 + s^4 (c^2 (pi^2 - pi/n)/2 - 2 c pi/n) + O(s^6), pi = 1 - 1/n (derived by us); annealed: Y2 = e^(s^2)/n,
Y12 = e^(c s^2)/n; rem, the random energy model: Y2 = max(0, 1 - sqrt(2 log n)/s), Y12 = 0 (Giorlandino, Goldt 2025,
arXiv 2505.24333, code read); uniform: 1/n.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from solvers.participation import Array, joint_participation, participation

Overlaps: TypeAlias = tuple[Array, Array, Array]
Rule: TypeAlias = Callable[[Array, Array, float], Overlaps]

WIDEST = 1e4


def uniform(variance: Array, correlation: Array, n: float) -> Overlaps:
    return 0 * variance + 1 / n, 0 * variance + 1 / n, 0 * variance


def annealed(variance: Array, correlation: Array, n: float) -> Overlaps:
    with np.errstate(over="ignore"):
        same, other = np.exp(variance) / n, np.exp(variance * correlation) / n
        return same, other, other * np.expm1(variance * (1 - correlation))


def random_energy(variance: Array, correlation: Array, n: float) -> Overlaps:
    with np.errstate(divide="ignore"):
        same = np.maximum(0.0, 1 - np.sqrt(2 * np.log(n) / variance))
    return same, 0 * variance, same


def exact(variance: Array, correlation: Array, n: float) -> Overlaps:
    """Integrals, and the series where the difference of the two would lose more digits than the series leaves out."""
    if (variance > WIDEST).any():
        raise ValueError(
            f"scores of variance {float(variance.max()):.4g} make each row read one token: the exact regime is for "
            f"variances up to {WIDEST:g}; lower qk_var, or bound lengths by a norm"
        )
    found = np.empty((3, *variance.shape))
    for at in np.ndindex(variance.shape):
        v, c = float(variance[at]), float(correlation[at])
        if v**3 * (1 - c) < 1e-14:
            found[(slice(None), *at)] = _short(v, c, n)
        else:
            same, other = participation(np.sqrt(v), n), joint_participation(np.sqrt(v), c, n)
            found[(slice(None), *at)] = same, other, same - other
    return found[0], found[1], found[2]


def _short(v: float, c: float, n: float) -> tuple[float, float, float]:
    seen = 1 - 1 / n
    bend = (seen**2 - seen / n) / 2
    gap = (1 - c) * (seen * v + v * v * ((1 + c) * bend - 2 * seen / n)) / n
    other = (1 + seen * c * v + v * v * (c * c * bend - 2 * c * seen / n)) / n
    return other + gap, other, gap


REGIMES: dict[str, Rule] = {
    "exact": exact,
    "annealed": annealed,
    "rem": random_energy,
    "uniform": uniform,
}


class Interpolant:
    """The exact regime for scores of variance up to `most`: Chebyshev polynomials of log(n Y12)/s^2 in s and c.

    Y2 is the value at c = 1, so that the difference of the two keeps its digits.
    """

    def __init__(self, n: float, most: float, shape: tuple[int, int] = (24, 16)) -> None:
        self.n, self.top, self.least = float(n), float(np.sqrt(most)), -1 / (n - 1)
        x, y = (np.cos(np.pi * (np.arange(size) + 0.5) / size) for size in shape)
        s, c = self.top * (x + 1) / 2, self.least + (1 - self.least) * (y + 1) / 2
        values = np.array([[np.log(n * joint_participation(a, b, n)) / a**2 for b in c] for a in s])
        left = np.linalg.inv(chebyshev.chebvander(x, shape[0] - 1))
        self.coefficients = left @ values @ np.linalg.inv(chebyshev.chebvander(y, shape[1] - 1)).T

    def __call__(self, variance: Array, correlation: Array, n: float) -> Overlaps:
        if n != self.n or (variance > self.top**2 * (1 + 1e-9)).any():
            raise ValueError(f"this table is for {self.n:g} tokens and score variances up to {self.top**2:g}")
        s, c = 2 * np.sqrt(variance) / self.top - 1, 2 * (correlation - self.least) / (1 - self.least) - 1
        here = chebyshev.chebval2d(s, c, self.coefficients)
        more = chebyshev.chebval2d(s, np.ones_like(c), self.coefficients) - here
        other = np.exp(variance * here) / n
        gap = other * np.expm1(variance * more)
        return other + gap, other, gap


@lru_cache(maxsize=16)
def interpolant(n: int, most: float) -> Interpolant:
    return Interpolant(n, most)


def overlaps(variance: npt.ArrayLike, correlation: npt.ArrayLike, n: float, regime: str = "exact") -> Overlaps:
    """Y2, Y12 and Y2 - Y12 for scores of this variance within a row and correlation across rows; arrays broadcast."""
    v, c = np.broadcast_arrays(np.asarray(variance, dtype=np.float64), np.asarray(correlation, dtype=np.float64))
    return REGIMES[regime](v, c, float(n))
