"""A paper as data: what it claims, how the claim is derived, solved and sampled, and where it stakes its name.

`solve` predicts a list of observables of a block at infinite width; `sample` measures the same list in one real finite
network; the verdict compares the two. A case carries its twin: the block with one constant off by ten per cent,
against whose networks the theory must disagree, so that a check which could not fail is noticed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

from meanfield.build import Array
from symbolic.networks import Layer

Start = tuple[float, float, float]


@dataclass(frozen=True)
class Case:
    """Where a theory stakes its name: a block, repeated `depth` times from two pre-activations of `start` = (p, q, k).

    p, q are their variances, k is their covariance; `twin` is the block with one constant off by ten per cent.
    """

    block: Layer
    twin: Layer
    depth: int = 3
    start: Start = (1.0, 1.0, 0.5)


@dataclass(frozen=True)
class Prediction:
    """`labels` of observables, their `values` at infinite width, and the `scales` that relative margins refer to."""

    labels: tuple[str, ...]
    values: Array
    scales: Array


@dataclass(frozen=True)
class Theory:
    """A paper as a record of functions; `meanfield.theories` holds one file for each.

    name, title, cite and claim say what and where; derive(block) is SymPy, solve(block, case) a Prediction of
    observables at infinite width, sample(block, case, width, rng) the same observables of one real network, and
    `cases` are the named Cases at which the two are compared.
    widths: where its networks are drawn unless `check` is told others, if b/width is not yet all of their bias at the
    usual ones.
    """

    name: str
    title: str
    cite: str
    claim: str
    derive: Callable[[Layer], Any]
    solve: Callable[[Layer, Case], Prediction]
    sample: Callable[[Layer, Case, int, np.random.Generator], Array]
    cases: Mapping[str, Case]
    widths: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.title} ({self.cite})\n  {self.claim}"

    __repr__ = __str__


@cache
def theories() -> dict[str, Theory]:
    """Every theory by name: each module of `meanfield.theories` that has a THEORY is one; nothing is listed by hand."""
    folder = import_module("meanfield.theories")
    modules = (import_module(f"{folder.__name__}.{m.name}") for m in iter_modules(folder.__path__))
    found = [m.THEORY for m in modules if hasattr(m, "THEORY")]
    return {t.name: t for t in sorted(found, key=lambda t: t.name)}


def theory(name: str) -> Theory:
    """One theory by name; ValueError with the nearest names for an unknown one."""
    if name not in theories():
        from difflib import get_close_matches

        near = get_close_matches(str(name), theories(), 2)
        raise ValueError(
            f"unknown theory {name!r}{f', did you mean {near[0]}?' if near else ''}; known are {', '.join(theories())}"
        )
    return theories()[name]
