"""Kernel matrices: what is done to every pair of points, in row blocks, by threads, for the lower triangle where that
is all.

The work of row i of a triangle is i entries, so blocks are cut at equal areas. The result does not depend on the
number of threads: every entry is computed by one thread from its own inputs alone.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import sqrt
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
T = TypeVar("T")
R = TypeVar("R")
BLOCKS_PER_THREAD = 8


def row_blocks(rows: int, *, triangle: bool, threads: int) -> list[tuple[int, int]]:
    """Cut rows into blocks of about equal work.

    >>> row_blocks(100, triangle=True, threads=1)[-1]
    (93, 100)
    """
    count = max(1, min(rows, BLOCKS_PER_THREAD * threads))
    cuts = [round(rows * (sqrt(i / count) if triangle else i / count)) for i in range(count + 1)]
    return [(a, b) for a, b in pairwise(cuts) if b > a]


def run(task: Callable[[T], R], parts: Sequence[T], report: Callable[[int, int], object] = lambda *_: None) -> list[R]:
    """What a task gives for every part, on all cores; where one fails what has not begun is given up."""
    if len(parts) == 1:
        return [task(parts[0])]
    pool, results = ThreadPoolExecutor(os.cpu_count() or 1), []
    try:
        for future in [pool.submit(task, part) for part in parts]:
            results.append(future.result())
            report(len(results), len(parts))
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def in_threads(task: Callable[[tuple[int, int]], R], rows: int, *, triangle: bool) -> list[R]:
    """What a task gives for every block of rows, on all cores."""
    return run(task, row_blocks(rows, triangle=triangle, threads=os.cpu_count() or 1))


def complete(state: Array, diagonals: Array) -> None:
    """Copy the lower triangle of each component to the upper one and set its diagonal, in place."""
    n = state.shape[1]
    for component, diagonal in zip(state, diagonals, strict=True):
        for i in range(0, n, 512):
            block = component[i : i + 512, : i + 512]
            component[: i + 512, i : i + 512] = np.where(
                _upper(block.shape, i), component[: i + 512, i : i + 512].T, block
            ).T
        component[np.arange(n), np.arange(n)] = diagonal


def _upper(shape: tuple[int, ...], first: int) -> npt.NDArray[np.bool_]:
    """Which entries of rows first.. of a lower triangle lie above its diagonal."""
    return np.arange(shape[1])[None, :] > first + np.arange(shape[0])[:, None]
