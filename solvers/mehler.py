"""E f(u) g(v) for many triples (p, q, k) at once by the Hermite-Mehler series, ρ = k/√(pq):

E f(u) g(v) = Σ_k a_k(p) b_k(q) ρ^k, |tail after K| ≤ |ρ|^(K+1) √(T_K(p) T_K(q)), T_K(q) = E f² - Σ_{k≤K} a_k²
(Mehler 1866; Cauchy-Schwarz), even and odd k apart, since either may be absent. log q is cut into cells in which every
a_k is a polynomial through Chebyshev nodes; both ends of a cell tell how far it is off. For each pair the tails at the
ends choose the number of terms, in blocks of 16. Bound: tail + error of both tables + rounding of ρ and of the sum.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial.chebyshev import cheb2poly

from solvers import chebyshev
from solvers.gram import in_threads
from solvers.hermite import Curve, Spectrum, effort, remainders, spectra, spectrum
from solvers.jit import cached, inlined

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Span = tuple[int, int]
Place = tuple[float, float]
Three = tuple[Array, Array, Array]

WIDTHS = (0.25, 0.125, 0.0625, 0.03125)  # of a cell; a kink away from 0 needs narrow ones
NODES, LANES = 10, 16
MOST = 2048  # coefficients; what would need more is integrated directly
HIGHEST = 700.0  # log q, short of overflow
DIRECT = 1.4e6  # multiply-adds in the time that one pair takes by direct integration
AIM, REFUSED = 1e-14, 1e-13  # tail and whole bound over √(E f² E g²)
ULP, SUMS, POWERS = 2.3e-16, 16.0, 5.0  # ulps lost in a sum, and k times in ρ^k
LEBESGUE = 2.5  # of the Chebyshev nodes
SAFETY = 2.0  # between the places where a tail or an interpolation error is known

AT = chebyshev.nodes(NODES, -1.0, 1.0)
# Exact integers: powers from Chebyshev polynomials, by column.
MONOMIALS = np.array([np.pad(cheb2poly(np.eye(j + 1)[j]), (0, NODES - 1 - j)) for j in range(NODES)]).T
ENDS = np.stack(((-1.0) ** np.arange(NODES), np.ones(NODES)))


class Tables(NamedTuple):
    """All that the loop over pairs reads of one function.

    A variance lies in cell lookup[floor(log q/width) - first], -1 where there is none; the last cell is q = 0.
    By parity and cell, `norm` is the largest √(E f²) and `error` that of the values at the nodes; `size` is the least
    √(E f²) of both parities. By parity, cell and blocks already summed, `tail` is √T, `steep` the norm of √k a_k, `off`
    the interpolation error of the next block. The polynomials start at blocks[start], in the order block, power, k.
    """

    first: int
    lookup: Integers
    norm: Array
    error: Array
    size: Array
    tail: Array
    steep: Array
    off: Array
    start: Integers
    blocks: Array


class Cells(NamedTuple):
    """Cells of log q/width by number, and f at their ends: cell i lies between rows left[i] and left[i] + 1."""

    numbers: Integers
    width: float
    left: Integers
    ends: Spectrum


def pair_means(f: Curve, g: Curve, p: Array, q: Array, k: Array) -> tuple[Array, Array]:
    """E f(u) g(v) for each triple of variances and covariance, and a bound on its error.

    NaN with an infinite bound where the series does not reach 1e-13 of √(E f² E g²) or is not worth its tables (large
    variances with |ρ| near 1, few pairs), to be integrated directly, and where the arguments are not sound.
    """
    p, q, k = (np.ascontiguousarray(x, dtype=np.float64) for x in np.broadcast_arrays(p, q, k))
    values, bounds = _attempt(f, g, (p, q, k), WIDTHS[0])
    for width in WIDTHS[1:]:
        left = np.flatnonzero(np.isnan(bounds))
        if left.size > 0:
            values[left], bounds[left] = _attempt(f, g, (p[left], q[left], k[left]), width)
    bounds[np.isnan(bounds)] = math.inf
    values[bounds == math.inf] = math.nan
    return values, bounds


def _attempt(f: Curve, g: Curve, pairs: Three, width: float) -> tuple[Array, Array]:
    """Values and bounds with cells of one width; a NaN bound asks for a narrower one."""
    places, count = tuple(np.empty_like(x) for x in pairs), pairs[0].size  # log p/width, log q/width, ρ
    in_threads(lambda rows: _place(rows, pairs, width, places), count, triangle=False)
    n, same = order(places[2]), f is g
    curves, logs = ([f], [places[:2]]) if same else ([f, g], [places[:1], places[1:2]])
    known = [survey(*side, width, n) for side in zip(curves, logs, strict=True)]
    counts = np.empty((count, 2), dtype=np.int16)
    needs = _choose_all(places, known[0][1], known[-1][1], counts)
    needs = [np.maximum(*needs)] if same else needs
    tables = [tabulate(c, *k, need) for c, k, need in zip(curves, known, needs, strict=True)]
    out = np.empty(count), np.empty(count)
    in_threads(lambda rows: _sum(rows, places, tables[0], tables[-1], counts, *out), count, triangle=False)
    return out


@cached
def _place(rows: Span, pairs: Three, width: float, places: Three) -> None:
    for i in range(rows[0], rows[1]):
        p, q, k = pairs[0][i], pairs[1][i], pairs[2][i]
        places[0][i], places[1][i] = math.log(p) / width, math.log(q) / width
        # √p √q need not round to p, and ρ = 1 - 1e-16 is not 1.
        d = p if p == q else math.sqrt(p) * math.sqrt(q)
        r = k / d if d != 0.0 else 0.0
        r = -1.0 if r < -1.0 else (1.0 if r > 1.0 else r)
        places[2][i] = r + 0.0 * (p + q + k)  # NaN and inf end as NaN


def order(rho: Array) -> int:
    """How many coefficients the largest |ρ| can call for."""
    largest = float(np.max(np.abs(rho), initial=1e-9, where=np.isfinite(rho)))
    blocks = math.log(AIM) / math.log(largest) / (2 * LANES) if largest < 1.0 else math.inf
    return 2 * LANES * math.ceil(min(blocks, MOST / (2 * LANES)))


def survey(f: Curve, logs: tuple[Array, ...], width: float, n: int, pairs: float = 1.0) -> tuple[Cells, Tables]:
    """The cells that are worth it, and tables without polynomials; each variance belongs to so many pairs."""
    floors = np.concatenate([np.floor(x[np.isfinite(x)]) for x in logs]).astype(np.int64)
    first = int(floors.min()) if floors.size else 0
    often = np.bincount(floors - first)
    upper = width * (first + 1 + np.arange(often.size))
    dear = [effort(f, math.exp(x), n) if x < HIGHEST and often[i] else math.inf for i, x in enumerate(upper)]
    kept = often * pairs * DIRECT >= (NODES + 1) * np.array(dear)
    numbers, lookup = first + np.flatnonzero(kept), np.where(kept, np.cumsum(kept) - 1, -1)
    ends = np.unique(np.concatenate((numbers, numbers + 1)))
    left, found = np.searchsorted(ends, numbers), spectra(f, np.exp(width * ends), n)
    return Cells(numbers, width, left, found), _ledger(f, first, lookup, left, found)


def _ledger(f: Curve, first: int, lookup: Integers, left: Integers, ends: Spectrum) -> Tables:
    """What the ends tell; in place of the polynomials, f(0)."""

    def worst(x: Array) -> Array:
        """At either end of each cell; nothing for q = 0."""
        return np.pad(np.maximum(x[:, left], x[:, left + 1]), ((0, 0), (0, 1), *((0, 0),) * (x.ndim - 2)))

    with np.errstate(all="ignore"):
        at_zero = f.values(np.zeros(1))
    tail, steep, norm = (worst(np.sqrt(x)) for x in (*remainders(ends, LANES, SAFETY), ends.energy.T))
    norm[0, -1] = tail[0, -1, 0] = abs(at_zero[0])
    least = np.minimum(*(ends.energy[end].sum(axis=1) for end in (left, left + 1)))
    start, size = np.zeros(norm.shape, dtype=np.int64), np.append(np.sqrt(least), abs(at_zero))
    return Tables(first, lookup, norm, np.zeros_like(norm), size, tail, steep, np.zeros_like(tail), start, at_zero)


@inlined
def _locate(log: float, first: int, lookup: Integers, origin: int) -> tuple[int, float]:
    """The cell, -1 for none, and the place in it, from -1 to 1."""
    if log == -math.inf:
        return origin, 0.0
    floor = math.floor(log)
    # Written so that NaN has no cell.
    inside = 0.0 <= floor - first < lookup.size
    return (lookup[int(floor - first)] if inside else -1), 2.0 * (log - floor) - 1.0


@inlined
def _step(r: float) -> float:
    """r^16."""
    for _ in range(4):
        r *= r
    return r


@cached
def _choose(rows: Span, places: Three, f: Tables, g: Tables, counts: Array, needs: Array) -> None:
    """The blocks that bring the tail below AIM, -1 where all of them do not; the most that any pair in a cell wants."""
    at_p, at_q, rho = places
    first_f, lookup_f, size_f, tail_f = f.first, f.lookup, f.size, f.tail
    first_g, lookup_g, size_g, tail_g = g.first, g.lookup, g.size, g.tail
    for i in range(rows[0], rows[1]):
        a, _ = _locate(at_p[i], first_f, lookup_f, size_f.size - 1)
        b, _ = _locate(at_q[i], first_g, lookup_g, size_g.size - 1)
        step, found = _step(rho[i] * rho[i]), a >= 0 and b >= 0 and rho[i] == rho[i]
        for parity in range(2):
            allowed = AIM * size_f[a] * size_g[b]
            power, n = (1.0 if parity == 0 else abs(rho[i])), 0
            while n < tail_f.shape[2] and not power * tail_f[parity, a, n] * tail_g[parity, b, n] <= allowed:
                power, n = power * step, n + 1
            counts[i, parity] = n
            found = found and n < tail_f.shape[2]
        if found:
            for parity in range(2):
                needs[0, parity, a] = max(needs[0, parity, a], counts[i, parity])
                needs[1, parity, b] = max(needs[1, parity, b], counts[i, parity])
        else:
            counts[i, 0] = -1


def _choose_all(places: tuple[Array, ...], f: Tables, g: Tables, counts: npt.NDArray[np.int16]) -> list[Integers]:
    """Counts for all pairs; for f and for g the blocks needed by parity and cell."""
    found = [np.zeros((2, 2, max(f.size.size, g.size.size)), dtype=np.int64)]

    def choose(rows: Span) -> None:
        needs = np.zeros_like(found[0])
        _choose(rows, places, f, g, counts, needs)
        found.append(needs)

    in_threads(choose, len(counts), triangle=False)
    return [need[:, : side.size.size] for need, side in zip(np.max(found, axis=0), (f, g), strict=True)]


def tabulate(f: Curve, cells: Cells, tables: Tables, need: Integers) -> Tables:
    """Add the polynomials, with as many blocks as needed, and their errors."""
    ends = np.cumsum(need.ravel()).reshape(need.shape)
    start = (ends - need) * (NODES * LANES)
    blocks = np.zeros(int(need.sum()) * NODES * LANES)
    blocks[start[0, -1] : start[0, -1] + need[0, -1]] = tables.blocks[0]
    tables = tables._replace(start=start, blocks=blocks)

    def build(rows: Span) -> None:
        for i in range(*rows):
            if need[:, i].any():
                _fill_cell(f, cells, tables, need[:, i], i)

    in_threads(build, cells.numbers.size, triangle=False)
    return tables


def _fill_cell(f: Curve, cells: Cells, tables: Tables, need: Integers, i: int) -> None:
    place = cells.numbers[i] + 0.5 * (1.0 + AT)
    found = spectrum(f, np.exp(cells.width * place), 2 * LANES * int(need.max()))
    tails, steep = remainders(found, LANES, SAFETY)
    rows = [cells.left[i], cells.left[i] + 1]
    for parity, blocks in enumerate(need):
        n, upto = LANES * blocks, slice(0, blocks + 1)
        powers = MONOMIALS @ chebyshev.coefficients(found.coefficients[:, parity::2][:, :n], 0)
        gap = ENDS @ powers - cells.ends.coefficients[rows, parity::2][:, :n]
        off = np.sqrt((gap**2).reshape(2, blocks, LANES).sum(axis=2).max(axis=0))
        # The place of q in its cell is rounded; the slope of a polynomial is at most Σ j |power j|.
        moved = 4.0 * ULP * (1.0 + np.abs(place).max()) * np.arange(NODES) @ np.linalg.norm(powers, axis=1)
        own = max(found.error[:, parity].max(), cells.ends.error[rows, parity].max())
        tables.error[parity, i], tables.off[parity, i, :blocks] = LEBESGUE * own + moved, SAFETY * off
        for table, seen in ((tables.tail, tails), (tables.steep, steep)):
            table[parity, i, upto] = np.maximum(table[parity, i, upto], np.sqrt(seen[parity, :, upto].max(axis=0)))
        tables.norm[parity, i] = max(tables.norm[parity, i], math.sqrt(found.energy[:, parity].max()))
        begin, ordered = tables.start[parity, i], powers.reshape(NODES, blocks, LANES).transpose(1, 0, 2)
        tables.blocks[begin : begin + n * NODES] = ordered.ravel()


@inlined
def _series(r: float, count: int, blocks: tuple[Array, Array], start: Span, at: Place, lanes: Array) -> float:
    """Σ a_m b_m r^m over `count` blocks, a_m and b_m polynomials in t and s."""
    (t, s), step = at, _step(r)
    for m in range(LANES):
        lanes[m] = 0.0
    for block in range(count - 1, -1, -1):
        x, y = start[0] + block * (NODES * LANES), start[1] + block * (NODES * LANES)
        u, v = blocks[0][x : x + NODES * LANES], blocks[1][y : y + NODES * LANES]
        for m in range(LANES):
            a, b = u[(NODES - 1) * LANES + m], v[(NODES - 1) * LANES + m]
            for j in range(NODES - 2, -1, -1):
                a, b = a * t + u[j * LANES + m], b * s + v[j * LANES + m]
            lanes[m] = lanes[m] * step + a * b
    total = 0.0
    for m in range(LANES - 1, -1, -1):
        total = total * r + lanes[m]
    return total


@cached
def _sum(rows: Span, places: Three, f: Tables, g: Tables, counts: Array, values: Array, bounds: Array) -> None:
    at_p, at_q, rho = places
    first_f, lookup_f, norm_f, error_f, size_f, tail_f, steep_f, off_f, start_f, blocks_f = f
    first_g, lookup_g, norm_g, error_g, size_g, tail_g, steep_g, off_g, start_g, blocks_g = g
    lanes = np.empty(LANES)
    for i in range(rows[0], rows[1]):
        values[i], bounds[i] = math.nan, math.inf
        if counts[i, 0] < 0:
            continue
        a, t = _locate(at_p[i], first_f, lookup_f, size_f.size - 1)
        b, s = _locate(at_q[i], first_g, lookup_g, size_g.size - 1)
        r = rho[i] * rho[i]
        value = bound = 0.0
        for parity in range(2):
            n, x, y = counts[i, parity], norm_f[parity, a], norm_g[parity, b]
            if x == 0.0 or y == 0.0:
                continue
            factor, start = (1.0 if parity == 0 else rho[i]), (start_f[parity, a], start_g[parity, b])
            value += factor * _series(r, n, (blocks_f, blocks_g), start, (t, s), lanes)
            power, step = abs(factor), _step(r)
            for j in range(n):
                u, v = off_f[parity, a, j], off_g[parity, b, j]
                bound += power * (u * (tail_g[parity, b, j] + v) + tail_f[parity, a, j] * v)
                power *= step
            bound += power * tail_f[parity, a, n] * tail_g[parity, b, n]
            bound += error_f[parity, a] * y + x * error_g[parity, b]
            bound += ULP * (SUMS * x * y + POWERS * steep_f[parity, a, n] * steep_g[parity, b, n])
        values[i] = value
        # Not the series but its tables fall short: narrower cells may do.
        bounds[i] = bound if bound <= REFUSED * size_f[a] * size_g[b] else math.nan
