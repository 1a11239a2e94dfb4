"""Numbers of Gaussian means with error bounds, from the best tier that a mean allows.

closed form: the derived formula, its error that of rounding alone; one-dimensional quadrature: one side smoothed by its
formula, the other integrated; two-dimensional quadrature: both integrated. Many pairs without a formula are first asked
of the Hermite-Mehler series; what it does not reach is integrated. Where a formula has no finite value (0/0 at variance
0) the integral stands in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from sympy import DiracDelta, Expr, Symbol

from meanfield.build import Array, compiled
from solvers import gram, mehler, rounding
from solvers.compile import load
from solvers.hermite import Curve
from solvers.iterate import NotConverged
from symbolic.closing import close
from symbolic.emit import emit, emit_bounded
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean
from symbolic.integrals import rates, smoothed
from symbolic.landmarks import landmarks

CLOSED, ONE, TWO = "closed form", "one-dimensional quadrature", "two-dimensional quadrature"
LOOSE = 5e-14  # relative bound above which another integral is tried
MANY = 4096  # pairs from which the tables of the series pay


@dataclass(frozen=True)
class Expectation:
    """A mean as a function of its law: q, or p, q, k."""

    mean: Expr
    law: tuple[Symbol, ...]

    @property
    def tier(self) -> str:
        """How its numbers are computed."""
        if not close(self.mean).has(Mean, PairMean):
            return CLOSED
        inside = self._inside
        return ONE if len(inside) == 1 or any(smoothed(f) is not None for f in inside) else TWO

    def values(self, columns: Sequence[Array], *, error: bool) -> tuple[Array, Array]:
        """Values and, where asked for, error bounds at columns of numbers.

        Raises NotConverged where there is no value, ValueError for a formula with a parameter that is no number.
        """
        parameters = sorted(s.name for s in self.mean.free_symbols - {*self.law})
        if parameters:
            raise ValueError(f"{self.mean} has no value before {', '.join(parameters)} has one: substitute a number")
        rows = np.ascontiguousarray(np.stack(columns, axis=1))
        value, bound = self._closed(rows, error) if self.tier == CLOSED else self._integrated(rows)
        return sound(str(self.mean), ", ".join(s.name for s in self.law), rows, value), bound

    def integral_errors(self, columns: Sequence[Array]) -> Array:
        """Bounds on how far the mean is off where the compiled update of a block integrates it; 0 for a formula."""
        if self.tier == CLOSED:
            return np.zeros(len(columns[0]))
        return integrated(_integral(self, True).bounded_rows, np.stack(columns, axis=1))[1]

    @property
    def _inside(self) -> list[Expr]:
        return [f.expr for f in self.mean.args[: 1 if isinstance(self.mean, Mean) else 2]]

    def _closed(self, rows: Array, error: bool) -> tuple[Array, Array]:
        text, module = _formula(self)
        out = np.empty((len(rows), 1))
        module.formula_rows(rows, out)
        value, bound = out[:, 0], np.zeros(len(rows))
        if error:
            ((again, spread),) = rounding.bounds(text, "formula", [*rows.T])
            bound = spread + np.abs(value - again)
        lost = ~np.isfinite(value)
        if lost.any() and not any(f.has(DiracDelta) for f in self._inside):
            value[lost], bound[lost] = self._quadrature(rows[lost])
        return value, bound

    def _integrated(self, rows: Array) -> tuple[Array, Array]:
        if len(rows) < MANY or isinstance(self.mean, Mean):
            return self._quadrature(rows)
        f, g = (curve(body) for body in self._inside)
        value, bound = mehler.pair_means(f, g, *rows.T)
        rest = bound == np.inf
        if rest.any():
            value[rest], bound[rest] = self._quadrature(rows[rest])
        return value, bound

    def _quadrature(self, rows: Array) -> tuple[Array, Array]:
        value, bound = integrated(_integral(self, True).bounded_rows, rows)
        if len(self._inside) == 2 and any(smoothed(f) is not None for f in self._inside):
            # A smoothing formula can lose digits to cancellation; then integrating both sides loses fewer.
            loose = ~(bound <= LOOSE * np.abs(value))
            if loose.any():
                other, spread = integrated(_integral(self, False).bounded_rows, rows[loose])
                better = ~(bound[loose] <= spread)
                value[loose] = np.where(better, other, value[loose])
                bound[loose] = np.where(better, spread, bound[loose])
        return value, bound


@lru_cache(maxsize=256)
def _formula(expectation: Expectation) -> tuple[str, ModuleType]:
    functions = {"formula": (expectation.law, [expectation.mean])}
    return emit(functions), compiled(functions, str(expectation.mean))


@lru_cache(maxsize=256)
def _integral(expectation: Expectation, smooth: bool) -> ModuleType:
    return load(emit_bounded(expectation.mean, expectation.law, str(expectation.mean), smooth=smooth))


@lru_cache(maxsize=256)
def curve(body: Expr) -> Curve:
    """A formula in x as a function of arrays, with its landmarks and rates."""
    module = load(emit({"curve": ([X], [body])}, str(body)))

    def values(x: Array) -> Array:
        out = np.empty((len(x), 1))
        module.curve_rows(np.ascontiguousarray(x)[:, None], out)
        return out[:, 0]

    return Curve(values, np.array([float(m) for m in landmarks(body)]), rates(body))


def integrated(loop: Callable[[Array, Array], None], rows: Array) -> tuple[Array, Array]:
    """Values, NaN where unresolved, and bounds of a compiled loop over rows, in threads."""
    rows, out = np.ascontiguousarray(rows), np.empty((len(rows), 2))

    def part(block: tuple[int, int]) -> None:
        loop(rows[slice(*block)], out[slice(*block)])

    gram.in_threads(part, len(rows), triangle=False)
    out[~np.isfinite(out[:, 1]), 0] = np.nan
    return out[:, 0].copy(), out[:, 1].copy()


def sound(what: str, names: str, rows: Array, value: Array) -> Array:
    """The values, if all are finite; NotConverged with the first place where one is not."""
    if not np.isfinite(value).all():
        at = ", ".join(f"{v:.6g}" for v in rows[int((~np.isfinite(value)).argmax())])
        raise NotConverged(
            f"{what} at ({names}) = ({at}) is no finite number, or could not be integrated to 1e-8: "
            "it grows too fast or oscillates"
        )
    return value


def columns_of(check: Callable[..., None], **given: Any) -> tuple[list[Array], tuple[int, ...]]:
    """Numbers or arrays that broadcast, as finite columns that pass the check, and their common shape."""
    arrays = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in given.values()))
    for name, values in zip(given, arrays, strict=True):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, not {values[~np.isfinite(values)].ravel()[0]}")
    check(*arrays)
    return [a.ravel() for a in arrays], arrays[0].shape


def check_law(p: Array, q: Array, k: Array) -> None:
    """Two variances and a covariance that two Gaussians can have; ValueError else."""
    bad = (p < 0) | (q < 0) | (k * k > p * q * (1 + 1e-12))
    if bad.any():
        at = ", ".join(f"{v.ravel()[int(bad.ravel().argmax())]:.6g}" for v in (p, q, k))
        raise ValueError(f"(p, q, k) must be two variances and a covariance with k^2 <= p q, not ({at})")
