"""Kernels of networks with open means: one layer at a time on the whole matrix.

A block whose means are closed is evaluated at every entry; one whose means are integrals is, unless its entries are
few, summed from the Hermite coefficients of its points, or where that does not serve interpolated in (log p, log q,
angle) and refused if not to be trusted to 1e-8.
"""

from collections.abc import Sequence

import numpy as np

from meanfield import series
from meanfield.build import Array, Block
from meanfield.depth import Stage
from meanfield.interpolants import interpolant
from meanfield.progress import Report
from solvers import chebyshev, gram

Ends = tuple[float, float]


def walk(stages: Sequence[Stage], state: Array, limit: str, symmetric: bool, report: Report) -> None:
    """The state (components, n1, n2) behind the stages, in place; below the diagonal alone if symmetric."""
    done, total = 0, sum(len(stage.p) for stage in stages)
    for stage in stages:
        if direct(stage, limit, state[0].size):
            evaluate(stage, state, limit, symmetric)
            done += len(stage.p)
            report(done, total)
            continue
        # A formula is walked through all its layers at once, coefficients and interpolants are made anew for each.
        for p, q in zip(stage.p, stage.q, strict=True):
            if not series.step(stage.block, limit, p, q, state, symmetric=symmetric):
                interpolate(stage.block, p, q, state, limit, symmetric)
            done += 1
            report(done, total)


def direct(stage: Stage, limit: str, entries: int) -> bool:
    """Is the stage evaluated at every entry?"""
    return stage.block.closed(limit) or entries <= series.FEW


def evaluate(stage: Stage, state: Array, limit: str, symmetric: bool) -> None:
    """The state behind the stage, every entry by the compiled update, in place."""

    def task(rows: tuple[int, int]) -> None:
        stage.block.gram(limit, stage.p, stage.q, state, rows, triangle=symmetric)

    gram.in_threads(task, len(state[0]), triangle=symmetric)


def interpolate(block: Block, p: Array, q: Array, state: Array, limit: str, symmetric: bool) -> float:
    """The state behind one layer, every entry interpolated, in place; the error of the interpolant."""
    found = interpolant(block, limit, *_ends(block, p, q, state[0], symmetric))

    def task(rows: tuple[int, int]) -> None:
        chebyshev.apply(found, p, q, state, rows, triangle=symmetric)

    gram.in_threads(task, len(state[0]), triangle=symmetric)
    return found.error


def _ends(block: Block, p: Array, q: Array, k: Array, symmetric: bool) -> tuple[Ends, Ends]:
    """The ends of the variances and of the angles that occur."""
    for name, variances in (("x1", p), ("x2", q)):
        if variances.min() <= 0:
            raise ValueError(
                f"row {int(variances.argmin())} of {name} is zero, which '{block.layer}' cannot take: "
                "drop it, or use bias_var > 0"
            )
    cosine = k / np.sqrt(p)[:, None] / np.sqrt(q)[None, :]
    if symmetric:
        cosine = cosine[np.tril_indices(len(p), -1)]
    least, most = (float(c) for c in (cosine.min(initial=1.0), cosine.max(initial=-1.0)))
    angles = float(np.arccos(min(most, 1.0))), float(np.arccos(max(least, -1.0)))
    norms = float(min(p.min(), q.min())), float(max(p.max(), q.max()))
    return norms, (max(angles[0] - 1e-3, 0.0), min(angles[1] + 1e-3, np.pi))
