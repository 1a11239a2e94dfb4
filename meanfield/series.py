"""One layer of a kernel whose means are integrals, from Hermite coefficients of the points (solvers/series.py).

Every open mean of the update must be one over the layer's own p, q and k: it becomes a symbol, its numbers a matrix,
and what is left of the update a compiled formula. Entries that the series does not reach to 1e-13 are integrated one
by one; where those are many the caller interpolates instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from types import ModuleType
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from sympy import Expr, Symbol

from meanfield.build import QUESTIONS, Array, Block, compiled, parameters
from meanfield.expectation import curve
from solvers import gram, series
from symbolic.closing import close
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.networks import Layer

T = TypeVar("T")
Span = tuple[int, int]
ROWS = 32  # of a matrix at a time
FEW = 16  # entries up to which integrals are evaluated one by one: from there on coefficients are cheaper
SPARE = 0.02  # share of entries that may be integrated one by one


@dataclass(frozen=True)
class Update:
    """The means of a block, as pairs of functions, and the compiled rest of its update."""

    means: tuple[tuple[Expr, Expr], ...]
    module: ModuleType
    width: int


@lru_cache(maxsize=64)
def update(shape: Layer, limit: str) -> Update | None:
    """The update of a block whose parameters are symbols; None where a mean is no mean over (p, q, k)."""
    arguments, answer = QUESTIONS[limit]
    results = [close(e) for e in answer(shape)]
    means = sorted(set().union(*(e.atoms(PairMean) for e in results)), key=str)
    if any(e.has(Mean) for e in results) or any(m.args[2:] != (p, q, k) for m in means):
        return None
    symbols = [Symbol(f"mean_{i}", real=True) for i in range(len(means))]
    rest = [e.xreplace(dict(zip(means, symbols, strict=True))) for e in results]
    module = compiled(
        {"rest": ((*arguments, *symbols, *parameters(shape)), rest)}, f"{shape}: {limit} behind its means"
    )
    return Update(tuple((m.args[0].expr, m.args[1].expr) for m in means), module, len(rest))


Sides = Mapping[Expr, tuple[series.Points, series.Points]]


@dataclass(frozen=True)
class Layered:
    """One layer: what updates it, the variances of its rows and columns, the coefficients of its points."""

    block: Block
    limit: str
    update: Update
    p: Array
    q: Array
    sides: Sides
    symmetric: bool

    def correlations(self, k: Array, part: Span) -> Array:
        """Those of some rows, up to the last column that matters."""
        stop = part[1] if self.symmetric else len(self.q)
        root_p, root_q = (np.sqrt(np.where(x > 0, x, np.inf)) for x in (self.p[slice(*part), None], self.q[:stop]))
        return np.clip(k[slice(*part), :stop] / root_p / root_q, -1.0, 1.0)

    def missed(self, k: Array, part: Span) -> int:
        """How many entries of these rows the series does not reach, at most."""
        rho = self.correlations(k, part)
        pairs = ((self.sides[f][0].fields, self.sides[g][1].fields) for f, g in self.update.means)
        return sum(series.missed(part, self.symmetric, rho, *pair) for pair in pairs)

    def advance(self, state: Array, part: Span) -> tuple[npt.NDArray[np.intp], Array]:
        """These rows behind the layer, in place; where the series fails, the positions and states before."""
        rho, count = self.correlations(state[0], part), part[1] - part[0]
        span, stop = slice(*part), rho.shape[1]
        columns = [np.broadcast_to(self.p[span, None], rho.shape), np.broadcast_to(self.q[:stop], rho.shape)]
        columns += [component[span, :stop] for component in state]
        for f, g in self.update.means:
            value = np.zeros((count, stop))
            series.sums(part, self.symmetric, rho, self.sides[f][0].fields, self.sides[g][1].fields, value)
            columns.append(value)
        params = self.block.params
        given, result = np.empty((rho.size, len(columns) + len(params))), np.empty((rho.size, self.update.width))
        for i, column in enumerate(columns):
            given[:, i] = column.ravel()
        given[:, len(columns) :] = params
        self.update.module.rest_rows(given, result)
        bad = np.isnan(result).any(axis=1).reshape(count, stop)
        if self.symmetric:
            bad &= np.arange(stop) < np.arange(*part)[:, None]
        before = given[bad.ravel(), : 2 + len(state)]
        state[:, span, :stop] = result.T.reshape(-1, count, stop)
        return np.argwhere(bad) + np.array([part[0], 0]), before


def step(block: Block, limit: str, p: Array, q: Array, state: Array, *, symmetric: bool) -> bool:
    """The state behind one layer, in place; False, and nothing done, where the series does not serve."""
    return advanced(block, limit, p, q, state, symmetric=symmetric) is not None


def advanced(
    block: Block, limit: str, p: Array, q: Array, state: Array, *, symmetric: bool
) -> npt.NDArray[np.intp] | None:
    """`step` that tells the positions (entries, 2) that were integrated one by one; None where it does not serve."""
    found = update(block.shape, limit)
    if found is None:
        return None
    largest = _largest(state[0], np.sqrt(p), np.sqrt(q), symmetric)
    sides: dict[Expr, tuple[series.Points, series.Points]] = {}
    for body in {f for pair in found.means for f in pair}:
        left = series.points(curve(body), p, largest)
        sides[body] = left, left if symmetric else series.points(curve(body), q, largest)
    layer = Layered(block, limit, found, p, q, sides, symmetric)
    missed = _in_parts(lambda part: layer.missed(state[0], part), len(p), symmetric)
    if sum(missed) > SPARE * len(p) * len(q) / (2 if symmetric else 1):
        return None
    skipped = _in_parts(lambda part: layer.advance(state, part), len(p), symmetric)
    at, before = (np.concatenate(x) for x in zip(*skipped, strict=True))
    _integrate(block, limit, at, before, state)
    return at


def _in_parts(task: Callable[[Span], T], rows: int, symmetric: bool) -> list[T]:
    """What the task gives for every few rows, on all cores."""

    def block(span: Span) -> list[T]:
        return [task((first, min(first + ROWS, span[1]))) for first in range(*span, ROWS)]

    return list(chain.from_iterable(gram.in_threads(block, rows, triangle=symmetric)))


def _largest(k: Array, root_p: Array, root_q: Array, symmetric: bool) -> float:
    """The largest |correlation|, and a little more."""
    inverse_p, inverse_q = (np.divide(1.0, x, out=np.zeros_like(x), where=x > 0) for x in (root_p, root_q))

    def task(rows: Span) -> float:
        stop = rows[1] if symmetric else len(inverse_q)
        sizes = np.abs(k[slice(*rows), :stop]) * inverse_q[:stop]
        if symmetric:
            sizes = np.tril(sizes, rows[0] - 1)
        return float(np.max(sizes * inverse_p[slice(*rows), None]))

    most = max(_in_parts(task, len(root_p), symmetric))
    return min(1.0, most * (1 + 1e-12) + 1e-9)


def _integrate(block: Block, limit: str, at: npt.NDArray[np.intp], before: Array, state: Array) -> None:
    """What the series left, entry by entry."""
    if len(at):
        parts = gram.in_threads(lambda rows: block(limit, before[slice(*rows)]), len(at), triangle=False)
        state[:, at[:, 0], at[:, 1]] = np.concatenate(parts).T
