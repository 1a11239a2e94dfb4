"""E f(u) f(v) for many pairs of two variances p, q, from the Hermite coefficients of f: sum_n a_n(p) a_n(q) c^n,
c = k/sqrt(pq).

The coefficients are those of solvers/hermite.py, as many as their rest, at most sqrt(R(p) R(q)) |c|^n with R = E f^2 -
sum a_n^2, calls for; Mehler 1866. Where 4096 of them do not reach 1e-13 of sqrt(E f^2 E f^2), nothing is returned, and
the caller integrates.
"""

import numpy as np
import numpy.typing as npt

from solvers import hermite
from solvers.hermite import Curve
from solvers.jit import cached, wide

Array = npt.NDArray[np.float64]
FIRST, MOST, AIM = 64, 4096, 1e-13
STRIP = 512  # pairs that stay in the first-level cache


def pair_means(f: Curve, p: float, q: float, k: Array) -> Array | None:
    """E f(u) f(v), Var u = p, Var v = q, for covariances k, k^2 <= pq; None where the series does not serve."""
    root, one = np.sqrt(p * q), p == q
    c = np.ascontiguousarray(np.clip(k / root, -1.0, 1.0) if root > 0 else np.zeros_like(k))
    inner = np.abs(c[np.abs(c) < 1.0] if one else c).max(initial=0.0)
    n = FIRST
    while n <= MOST:
        found = hermite.spectrum(f, np.array([p, q][: 1 if one else 2]), n)
        energy = found.energy.sum(axis=1)
        if not (found.error.sum(axis=1) <= AIM * np.sqrt(energy)).all():
            return None
        left, right = found.coefficients[0], found.coefficients[-1]
        rest = np.maximum(energy - (found.coefficients**2).sum(axis=1), 0.0)
        if np.sqrt(rest[0] * rest[-1]) * inner**n <= AIM * np.sqrt(energy[0] * energy[-1]):
            out = np.empty_like(c)
            _horner(left * right, c.ravel(), out.ravel())
            if one:  # there the whole sum is known: the even part plus or minus the odd one
                out[c == 1.0], out[c == -1.0] = energy[0], found.energy[0, 0] - found.energy[0, 1]
            return out
        n *= 2
    return None


@cached
def _horner(products: Array, c: Array, out: Array) -> None:
    wide()
    for first in range(0, c.size, STRIP):
        x, y = c[first : first + STRIP], out[first : first + STRIP]
        for j in range(x.size):
            y[j] = 0.0
        for n in range(products.size - 1, -1, -1):
            a = products[n]
            for j in range(x.size):
                y[j] = y[j] * x[j] + a
