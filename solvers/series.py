"""E f(u) g(v) for every pair of two sets of points, from Hermite coefficients of each point: one Horner loop an entry.

E f(u) g(v) = sum_k a_k(p_i) b_k(q_j) rho^k (Mehler 1866), rho = k/sqrt(p_i q_j). Coefficients of a point are read off
the tables of solvers/mehler.py; rows of a matrix are cut into strips, and the tails of the points and the largest |rho|
of a strip tell how many terms it takes. Cost per entry: two fused operations a term.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solvers import mehler
from solvers.hermite import Curve
from solvers.jit import cached, jit, wide

Array = npt.NDArray[np.float64]
Fields = tuple[Array, Array, Array]

NODES, LANES = mehler.NODES, mehler.LANES
WIDTH, BLOCK, STRIP = 0.25, 2 * LANES, 256
AIM, REFUSED = 2e-14, 1e-13  # tail and whole bound, over sqrt(E f^2 E g^2)
MOST = 512  # coefficients of a point
ALWAYS = 1e9  # pairs of a point, so that every table is worth its cost: without one a whole layer is interpolated


@dataclass(frozen=True)
class Points:
    """By point: a_k, shape (terms, points); after each block of terms the norm of those that follow, shape (blocks + 1,
    points), and the norm of what all are off, both over sqrt(E f^2)."""

    coefficients: Array
    tails: Array
    error: Array

    @property
    def fields(self) -> Fields:
        """As compiled code takes them."""
        return self.coefficients, self.tails, self.error


def points(f: Curve, variances: Array, correlation: float) -> Points:
    """The coefficients of points with these variances, as many as correlations up to `correlation` can call for; f(0)
    alone where the variance is 0."""
    n = min(MOST, mehler.order(np.array([correlation])))
    with np.errstate(divide="ignore"):
        logs = np.log(variances) / WIDTH
    cells, ledger = mehler.survey(f, (logs,), WIDTH, n, ALWAYS)
    need = np.full((2, ledger.size.size), n // BLOCK, dtype=np.int64)
    need[:, -1] = 0
    tables = mehler.tabulate(f, cells, ledger, need)
    out = np.full((n, len(variances)), np.nan)
    where = np.full(len(variances), -1, dtype=np.int64)
    _read(logs, tables.first, tables.lookup, tables.start, tables.blocks, n // BLOCK, out, where)
    size = tables.size[where]
    with np.errstate(all="ignore"):
        tails = np.hypot(tables.tail[0, where], tables.tail[1, where]).T / size
        off = np.hypot(*np.linalg.norm(tables.off[:, where], axis=2)) + np.hypot(*tables.error[:, where])
        error = off / size
    known, constant = where >= 0, variances == 0
    tails, error = (np.where(known, x, np.where(constant, 0.0, np.inf)) for x in (tails, error))
    out[:, ~known] = 0.0
    out[0, constant], tails[0, constant] = f.values(np.zeros(1))[0], 1.0
    return Points(out, np.ascontiguousarray(tails), error)


@cached
def _read(
    logs: Array, first: int, lookup: Array, start: Array, blocks: Array, count: int, out: Array, where: Array
) -> None:
    """Each point's coefficients from the polynomials of its cell, and the cell."""
    nodes, lanes = NODES, LANES
    for i in range(logs.size):
        floor = math.floor(logs[i])
        if not 0 <= floor - first < lookup.size or lookup[int(floor - first)] < 0:
            continue
        cell, t = lookup[int(floor - first)], 2.0 * (logs[i] - floor) - 1.0
        where[i] = cell
        for parity in range(2):
            for block in range(count):
                at = start[parity, cell] + block * nodes * lanes
                for m in range(lanes):
                    value = blocks[at + (nodes - 1) * lanes + m]
                    for j in range(nodes - 2, -1, -1):
                        value = value * t + blocks[at + j * lanes + m]
                    out[2 * (block * lanes + m) + parity, i] = value


@jit
def _terms(rho: Array, first: Array, rest: Array) -> int:
    """How many blocks of terms a strip takes: rho of its entries, tails of the row's point and of the strip's."""
    blocks, largest = rest.shape[0] - 1, 0.0
    for r in rho:
        largest = max(largest, abs(r))
    for n in range(blocks):
        power, worst = largest ** (n * BLOCK), 0.0
        for tail in rest[n]:
            worst = max(worst, tail)
        if power * first[n] * worst <= AIM:
            return n
    return blocks


@cached
def missed(rows: tuple[int, int], triangle: bool, rho: Array, f: Fields, g: Fields) -> int:
    """How many entries of `sums` will be NaN."""
    (_, tail_a, error_a), (_, tail_b, error_b), count = f, g, 0
    for i in range(rows[0], rows[1]):
        stop = i if triangle else rho.shape[1]
        for start in range(0, stop, STRIP):
            end = min(stop, start + STRIP)
            r = rho[i - rows[0], start:end]
            n = _terms(r, tail_a[:, i], tail_b[:, start:end])
            for j in range(end - start):
                missing = abs(r[j]) ** (n * BLOCK) * tail_a[n, i] * tail_b[n, start + j]
                if not missing + error_a[i] + error_b[start + j] <= REFUSED:
                    count += 1
    return count


@cached
def sums(rows: tuple[int, int], triangle: bool, rho: Array, f: Fields, g: Fields, out: Array) -> None:
    """Rows of the matrix (rho and out hold those rows alone), below the diagonal if `triangle`; NaN where the bound is
    not met. f and g are the fields of Points."""
    wide()
    a, tail_a, error_a = f
    b, tail_b, error_b = g
    value = np.empty(STRIP)
    for i in range(rows[0], rows[1]):
        stop = i if triangle else rho.shape[1]
        for start in range(0, stop, STRIP):
            end = min(stop, start + STRIP)
            r, v = rho[i - rows[0], start:end], value[: end - start]
            n = _terms(r, tail_a[:, i], tail_b[:, start:end])
            v[:] = 0.0
            for k in range(n * BLOCK - 1, -1, -1):
                c, d = a[k, i], b[k, start:end]
                for j in range(end - start):
                    v[j] = v[j] * r[j] + c * d[j]
            for j in range(end - start):
                missing = abs(r[j]) ** (n * BLOCK) * tail_a[n, i] * tail_b[n, start + j]
                bound = missing + error_a[i] + error_b[start + j]
                out[i - rows[0], start + j] = v[j] if bound <= REFUSED else math.nan
