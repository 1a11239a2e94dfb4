"""Kernel regression from kernels on disk: (K + ridge mean(diag K) I) a = y by conjugate gradients, without n^3.

Each step reads K once, tile by tile and only on and below the diagonal; memory holds one tile and a few vectors. The
relative residual |y - (K + ...) a|/|y| that is stated is computed anew from the solution, not carried along.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from meanfield.build import Array
from meanfield.kernels import KERNELS, data
from meanfield.stored import cuts, opened
from solvers.iterate import NotConverged

RESTARTS = 3  # carried residuals drift from the true one by rounding; a new start from the solution mends that


@dataclass(frozen=True, eq=False)
class StoredSolution:
    """Coefficients `a` (points, outputs) of the training kernel `get` at `path`, the largest relative `residual` of an
    output, and the `steps` of conjugate gradients that all outputs took together."""

    a: Array
    residual: float
    steps: int
    get: str
    path: Path

    def predict(self, path: Any) -> Array:
        """Predictions K(test, train) a, shape (test points, outputs), from the kernel (test, train) at `path`.

        Raises ValueError if that is not finished, damaged, or of another network, kernel or training data.
        """
        cross, train = opened(path, finished=True), opened(self.path, finished=True)
        fits = cross.attrs["network"] == train.attrs["network"] and cross.attrs["x2"] == train.attrs["x1"]
        if not fits or self.get not in cross:
            raise ValueError(
                f"{path} must hold the {self.get} of the same network between test data and the same training data: "
                "write it with mf.kernel(net, x_test, x_train, get=..., out=...)"
            )
        kernel = cross[self.get]
        found = np.zeros((kernel.shape[0], self.a.shape[1]))
        for rows in cuts(kernel.shape[0], kernel.chunks[0]):
            for columns in cuts(kernel.shape[1], kernel.chunks[1]):
                found[rows] += _tile(kernel, rows, columns) @ self.a[columns]
        return found


def solve_stored(
    path: Any, y: Any, *, ridge: float = 1e-6, tol: float = 1e-8, get: str | None = None, steps: int = 1000
) -> StoredSolution:
    """Solve (K + ridge mean(diag K) I) a = y for the symmetric kernel K (n, n) at `path` and y (n,) or (n, outputs).

    `get` names the kernel where the store holds both. Raises NotConverged, with the relative residual that was
    reached, where it is above `tol` after `steps` steps for an output; ValueError for stores, shapes and numbers that
    do not fit.
    """
    store = opened(path, finished=True)
    kernel, name = _chosen(store, get, path), get or store.attrs["get"]
    y = data(np.atleast_2d(np.asarray(y, dtype=np.float64).T).T, "y")
    if len(y) != kernel.shape[0]:
        raise ValueError(f"y must have one row for each of the {kernel.shape[0]} points of {path}, not {len(y)}")
    if not 0 <= ridge < np.inf:
        raise ValueError(f"ridge must be finite and at least 0, not {ridge}")
    if not 0 < tol < 1:
        raise ValueError(f"tol must lie between 0 and 1, not {tol}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number, at least 1, not {steps!r}")
    operator = _operator(kernel, ridge * _mean_diagonal(kernel))
    found = [_column(operator, column, tol, steps) for column in y.T]
    worst = max(residual for _, residual, _ in found)
    taken = sum(count for _, _, count in found)
    if not worst <= tol:
        raise NotConverged(
            f"conjugate gradients reached a relative residual of {worst:.2g}, not tol={tol:g}, with steps={steps}: "
            f"raise ridge={ridge:g}, tol or steps"
        )
    return StoredSolution(np.stack([a for a, _, _ in found], axis=1), worst, taken, name, Path(path).absolute())


def _chosen(store: Any, get: str | None, path: Any) -> Any:
    if store.attrs["x2"] is not None:
        raise ValueError(
            f"{path} holds a kernel between two sets of points: solve with that of one, written without x2"
        )
    held = [name for name in KERNELS if name in store]
    if get is None and len(held) == 1:
        return store[held[0]]
    if get not in held:
        raise ValueError(f"get must name a kernel that {path} holds ({' or '.join(held)}), not {get!r}")
    return store[get]


def _tile(kernel: Any, rows: slice, columns: slice) -> Array:
    """One chunk; ValueError where it is lost, for which Zarr gives NaN throughout, as no kernel has."""
    tile: Array = kernel[rows, columns]
    if np.isnan(tile[0, 0]):
        raise ValueError(
            f"rows from {rows.start} and columns from {columns.start} are lost from {kernel.store_path}: "
            "remove the store and compute the kernel again"
        )
    return tile


def _operator(kernel: Any, ridge: float) -> Any:
    """v -> K v + ridge v, from the tiles on and below the diagonal."""

    def times(v: Array) -> Array:
        v = v.ravel()
        found = ridge * v
        for rows in cuts(len(v), kernel.chunks[0]):
            for columns in cuts(rows.stop, kernel.chunks[0]):
                tile = _tile(kernel, rows, columns)
                found[rows] += tile @ v[columns]
                if rows != columns:
                    found[columns] += v[rows] @ tile
        return found

    return LinearOperator(kernel.shape, matvec=times, dtype=np.float64)


def _mean_diagonal(kernel: Any) -> float:
    parts = [np.diag(_tile(kernel, rows, rows)) for rows in cuts(kernel.shape[0], kernel.chunks[0])]
    return float(np.concatenate(parts).mean())


def _column(operator: Any, y: Array, tol: float, steps: int) -> tuple[Array, float, int]:
    """Solution, true relative residual and number of steps for one right-hand side."""
    size, taken = float(np.linalg.norm(y)), 0
    a, residual = np.zeros_like(y), 1.0 if size else 0.0

    def count(_: Array) -> None:
        nonlocal taken
        taken += 1

    for _ in range(RESTARTS):
        if residual <= tol or taken >= steps:
            break
        # A little below, for the carried residual is not quite the true one.
        a, _ = cg(operator, y, x0=a, rtol=0.5 * tol, atol=0.0, maxiter=steps - taken, callback=count)
        residual = float(np.linalg.norm(y - operator.matvec(a))) / size
    return a, residual, taken
