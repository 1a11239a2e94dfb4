"""Kernels with bounds on their errors: one layer at a time on the whole matrix, first its bounds, then its values.

The bound of an entry covers rounding of the input Gram (features u |x| |y|/features), what every layer makes of the
errors that enter it, and what its means are off: the bound of the series, that of the quadrature, that of the
interpolant, or a multiple of the unit roundoff for a formula (bounds.py).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import solvers.series
from meanfield import bounds, layers, series
from meanfield.bounds import Pairs, Points
from meanfield.build import Array
from meanfield.depth import Stage
from meanfield.progress import Report
from solvers import gram
from solvers.iterate import NotConverged

UNIT = 1.2e-16
INTERPOLATED = 2.0  # times the last coefficients of an interpolant, which are what doubling it would change


def walk(
    stages: Sequence[Stage], a: Array, b: Array | None, diagonal: Array, limit: str, report: Report
) -> tuple[Array, Array]:
    """The states (components, n1, n2) behind the stages and bounds on how far they are off.

    a (n1, features) and b (n2, features) are the data, b = None if they are the same points, whose states with
    themselves are `diagonal`.
    """
    columns, symmetric = a if b is None else b, b is None
    state = np.zeros((len(diagonal), len(a), len(columns)))
    np.matmul(a, columns.T, out=state[0])
    state[0] /= a.shape[1]
    s = _start(stages[0], state, a.shape[1], symmetric)
    done, total = 0, sum(len(stage.p) for stage in stages)
    for stage in stages:
        for p, q in zip(stage.p, stage.q, strict=True):
            s = _layer(Stage(stage.block, p[None], q[None]), s, state, limit, symmetric)
            done += 1
            report(done, total)
    off = np.stack([s.off] if s.t_off is None else [s.off, s.t_off])
    if symmetric:
        gram.complete(state, diagonal)
        gram.complete(off, np.stack([s.a.q_off, s.a.t_off])[: len(off)])
    if not np.isfinite(off).all():
        raise NotConverged(f"no finite bound was found on the error of the kernel behind '{stages[-1].block.layer}'")
    return state, off


def _start(first: Stage, state: Array, features: int, symmetric: bool) -> Pairs:
    lost = UNIT * (features + 4)

    def points(q: Array) -> Points:
        none = np.zeros_like(q)
        return Points(q, lost * q, none, none, none, none)

    a = points(first.p[0])
    b = a if symmetric else points(first.q[0])
    s = Pairs(a, b, state[0], np.empty(0), *([np.zeros_like(state[0])] * 2 if len(state) == 2 else [None, None]))
    return replace(s, off=lost * s.scale)


def _layer(stage: Stage, s: Pairs, state: Array, limit: str, symmetric: bool) -> Pairs:
    """Bounds and state behind one layer, the state in place."""
    a = replace(s.a, q=stage.p[0])
    b = a if symmetric else replace(s.b, q=stage.q[0])
    tangents = None if s.t is None else np.abs(state[1])
    s = replace(s, a=a, b=b, k=state[0].copy(), t=tangents)
    extra = 0.0
    local: bounds.Local = bounds.nothing
    if stage.block.closed(limit) or layers.direct(stage, limit, state[0].size):
        layers.evaluate(stage, state, limit, symmetric)
        local = bounds.formulas if stage.block.closed(limit) else bounds.integrals
    else:
        at = series.advanced(stage.block, limit, stage.p[0], stage.q[0], state, symmetric=symmetric)
        if at is None:
            extra = INTERPOLATED * layers.interpolate(stage.block, stage.p[0], stage.q[0], state, limit, symmetric)
        else:
            local = bounds.sums(at, solvers.series.REFUSED)
    after = bounds.behind(stage.block.layer, s, local)
    t_off = None if after.t_off is None or tangents is None else after.t_off + extra * (1 + tangents)
    return replace(after, off=after.off + extra, t_off=t_off)
