"""The one bridge: names meet values, and a derived map becomes compiled functions.

A block's numbers are first replaced by symbols, so that one compiled text serves every value of its variances; the
text is derived once per process and block shape, compiled once per machine. Rows of states go in, rows of results
come out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import RLock
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from sympy import Expr, Symbol

from solvers.compile import is_known, load
from symbolic.closing import close, prove
from symbolic.emit import Functions, emit
from symbolic.gaussian import Mean, PairMean, k, p, q, t
from symbolic.limits import derive
from symbolic.networks import Layer
from symbolic.signals import NoRule
from symbolic.structure import with_symbols

Array = npt.NDArray[np.float64]
_DERIVING = RLock()


def _length(layer: Layer) -> list[Expr]:
    derived = derive(layer, "length")
    return [derived.raw[0], derived.slopes()[0, 0]]


def _correlation(layer: Layer) -> list[Expr]:
    covariance = derive(layer, "nngp").raw[2]
    return [covariance, covariance.diff(k)]


# What can be asked of a block: the arguments before its parameters, and the expressions behind each question.
QUESTIONS: dict[str, tuple[Sequence[Symbol], Callable[[Layer], Sequence[Expr]]]] = {
    "length": ((q,), _length),
    "correlation": ((p, q, k), _correlation),
    "slope_at_one": (
        (q,),
        lambda layer: [derive(layer, "nngp").raw[2].diff(k).subs({p: q, k: q}, simultaneous=True)],
    ),
    # p and q move together, and count alike
    "through_length": ((q, k), lambda layer: [2 * derive(layer, "nngp").raw[2].diff(p).subs(p, q)]),
    "gradient": ((q,), lambda layer: [derive(layer, "gradient").slopes()[1, 1]]),
    "orbit": ((p, q, k), lambda layer: derive(layer, "nngp").raw),
    "nngp": ((p, q, k), lambda layer: derive(layer, "nngp").raw[2:]),
    "nngp_diagonal": ((q,), lambda layer: derive(layer, "length").raw),
    "ntk": ((p, q, k, t), lambda layer: derive(layer, "ntk").raw[2:]),
    "pullback": ((p, q, k), lambda layer: [derive(layer, "ntk").raw[3].diff(t)]),
    "ntk_diagonal": ((q, t), lambda layer: derive(layer, "ntk_diagonal").raw),
}


def compiled(functions: Functions, title: str, gram: Mapping[str, int] | None = None) -> ModuleType:
    """The expressions as a compiled module. What is new is proved first: a text that the cache knows has been.

    One thread at a time: SymPy and mpmath share one working precision between all threads.
    """
    with _DERIVING:
        text = emit(functions, title)
        if not is_known(text, gram):
            prove(e for _, results in functions.values() for e in results)
        return load(text, gram)


def tabulated(arguments: Sequence[Symbol], expressions: Sequence[Expr], title: str) -> Callable[..., Array]:
    """The expressions compiled: arrays of the arguments, which broadcast, to an array (expressions, points)."""
    module = compiled({"table": (arguments, expressions)}, title)

    def values(*columns: Any) -> Array:
        rows = np.stack(np.broadcast_arrays(*(np.atleast_1d(np.asarray(c, dtype=np.float64)) for c in columns)), axis=1)
        out = np.empty((len(rows), len(expressions)))
        module.table_rows(np.ascontiguousarray(rows), out)
        return out.T

    return values


@lru_cache(maxsize=256)
def program(shape: Layer, question: str) -> tuple[ModuleType, int]:
    """The compiled answer to one question about a block whose parameters are symbols, and its number of results."""
    arguments, answer = QUESTIONS[question]
    with _DERIVING:
        expressions = answer(shape)
        functions = {question: ((*arguments, *parameters(shape)), expressions)}
    gram = {question: len(expressions)} if question in ("nngp", "ntk") else None
    return compiled(functions, f"{shape}: {question}", gram), len(expressions)


@lru_cache(maxsize=256)
def is_closed(shape: Layer, question: str) -> bool:
    return not any(close(e).has(Mean, PairMean) for e in QUESTIONS[question][1](shape))


@lru_cache(maxsize=256)
def parameters(shape: Layer) -> tuple[Symbol, ...]:
    """Every parameter of the block, by name, whether or not a particular question depends on it.

    A layer without a rule for the ntk limit has those of the nngp limit: questions about slopes of training refuse
    it.
    """
    try:
        found = derive(shape, "ntk")
    except NoRule:
        found = derive(shape, "nngp")
    return tuple(sorted(found.params, key=lambda s: s.name))


@dataclass(frozen=True)
class Block:
    """One block with all its numbers: `block("length", states)` answers a question for rows of states."""

    layer: Layer

    @cached_property
    def _bound(self) -> tuple[Layer, Array]:
        shape, values = with_symbols(self.layer)
        missing = [s.name for s in parameters(shape) if s.name not in values]
        if missing:
            names = " and ".join(missing)
            raise ValueError(f"{names} of '{self.layer}' has no value: write {missing[0]}=... in its layer")
        return shape, np.array([float(values[s.name]) for s in parameters(shape)])

    @property
    def shape(self) -> Layer:
        """The block with a symbol in place of each number."""
        return self._bound[0]

    @property
    def params(self) -> Array:
        return self._bound[1]

    def __call__(self, question: str, states: Any) -> Array:
        """Rows of states to rows of results."""
        module, width = program(self._bound[0], question)
        states = np.atleast_2d(np.asarray(states, dtype=np.float64))
        rows = np.hstack([states, np.broadcast_to(self.params, (len(states), len(self.params)))])
        out = np.empty((len(states), width))
        getattr(module, f"{question}_rows")(np.ascontiguousarray(rows), out)
        return out

    def closed(self, question: str) -> bool:
        """Is the answer a formula, without an integral?"""
        return is_closed(self._bound[0], question)

    def gram(self, question: str, p: Array, q: Array, state: Array, rows: tuple[int, int], *, triangle: bool) -> None:
        """Walk the kernel entries `state` (components, n1, n2) in place through the layers of p (layers, n1), q
        (layers, n2)."""
        module, _ = program(self._bound[0], question)
        getattr(module, f"{question}_gram")(p, q, state, self.params, *rows, triangle)
