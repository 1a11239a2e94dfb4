"""Kernels of networks with closed means: a few rows at a time, walked through the whole depth while they are in cache.

Memory is the result and a tile for each core. Rows of a symmetric kernel end at the diagonal and are written twice.
Every tile is computed by one thread from its own inputs, so that the number of threads does not change a bit.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.depth import Stage
from meanfield.progress import Report
from solvers import gram

ENTRIES = 2**17  # of a tile
FEWEST = 8  # rows of a tile


def fill(
    stages: Sequence[Stage], a: Array, b: Array | None, limit: str, wanted: Mapping[int, Any], report: Report
) -> bool:
    """Write the components of the state behind the stages to the arrays (n1, n2) in `wanted`, of any float type.

    a (n1, features) and b (n2, features) are the data, b = None if they are the same points: then below the diagonal
    and mirrored, the diagonal itself is left to the caller. False if an entry may not be finite.
    """
    columns = a if b is None else b
    rows = max(FEWEST, ENTRIES // len(columns))
    most = min(float(np.finfo(out.dtype).max) for out in wanted.values())

    def task(span: tuple[int, int]) -> bool:
        stop = span[1] if b is None else len(columns)
        state = np.zeros((2 if limit == "ntk" else 1, span[1] - span[0], stop))
        np.matmul(a[slice(*span)], columns[:stop].T, out=state[0])
        state[0] /= a.shape[1]
        for stage in stages:
            p, q = (np.ascontiguousarray(x) for x in (stage.p[:, slice(*span)], stage.q[:, :stop]))
            stage.block.gram(limit, p, q, state, (0, state.shape[1]), triangle=False)
        with np.errstate(over="ignore"):  # of float32; what is called not finite is looked for by the caller
            for component, out in wanted.items():
                _write(state[component], out, span, symmetric=b is None)

        return bool(-most <= state.min() and state.max() <= most)

    parts = [(first, min(first + rows, len(a))) for first in range(0, len(a), rows)]
    return all(gram.run(task, parts[::-1], report))


def _write(tile: Array, out: Any, span: tuple[int, int], *, symmetric: bool) -> None:
    rows = slice(*span)
    if not symmetric:
        out[rows] = tile
        return
    left, square = tile[:, : span[0]], tile[:, rows]
    out[rows, : span[0]] = left
    out[: span[0], rows] = left.T
    out[rows, rows] = np.tril(square, -1) + np.tril(square).T
