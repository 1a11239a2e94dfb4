"""Duals of functions that have no formula: numbers with bounds, of what is declared about them.

Kinks are what quadrature is split at; growth b and wave w say that |f| <= poly(x) exp(b |x|) and that its phase turns
by at most w per unit of x. What is not declared is seen by the error bound, or refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from meanfield.expectation import TWO, check_law, columns_of, integrated, sound
from solvers import callables


@dataclass(frozen=True)
class CallableDual:
    """E f(u) g(v) of functions without a formula, by quadrature split at the kinks that are declared."""

    f: Callable[[float], float]
    g: Callable[[float], float]
    kinks: tuple[float, ...] = ()
    growth: float = 0.0
    wave: float = 0.0
    closed = False
    tier = TWO

    @cached_property
    def _rows(self) -> Any:
        marks = np.array(sorted(float(x) for x in self.kinks))
        rates = (float(self.growth), float(self.wave), 0.0)
        f = callables.compiled(self.f)
        g = f if self.g is self.f else callables.compiled(self.g)
        return callables.pair_rows(f, g, marks, marks, rates, rates)

    def __call__(self, p: Any, q: Any, k: Any, *, error: bool = False) -> Any:
        """As for a Dual."""
        columns, shape = columns_of(check_law, p=p, q=q, k=k)
        rows = np.stack(columns, axis=1)
        value, bound = integrated(self._rows, rows)
        sound(str(self), "p, q, k", rows, value)
        return (value.reshape(shape)[()], bound.reshape(shape)[()]) if error else value.reshape(shape)[()]

    def __str__(self) -> str:
        return f"E[{self.f.__name__}(u)*{self.g.__name__}(v); p, q, k]"
