"""Blocks of rows, threads and the completion of triangles."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers import gram
from solvers.compile import load

STEP = "def step(p, q, k, t, a):\n    v = a * ramp(p, q, k)\n    return (v, v + a * t * orthant(p, q, k))\n"


@given(rows=st.integers(0, 5000), triangle=st.booleans(), threads=st.integers(1, 64))
def test_blocks_cover_every_row_once(rows: int, triangle: bool, threads: int) -> None:
    blocks = gram.row_blocks(rows, triangle=triangle, threads=threads)
    assert [a for a, _ in blocks] == [0, *(b for _, b in blocks)][: len(blocks)]
    assert all(a < b for a, b in blocks) and sum(b - a for a, b in blocks) == rows


@pytest.mark.parametrize("triangle", [True, False])
def test_blocks_hold_equal_work(triangle: bool) -> None:
    blocks = gram.row_blocks(4000, triangle=triangle, threads=4)
    work = [b * b - a * a if triangle else b - a for a, b in blocks]
    assert len(blocks) == 32 and max(work) < 1.1 * min(work)


def test_no_rows_no_task() -> None:
    gram.in_threads(lambda block: pytest.fail("nothing to do"), 0, triangle=True)


@pytest.mark.parametrize("n", [1, 2, 7, 512, 513, 1300])
def test_completion_mirrors_exactly_and_sets_the_diagonal(n: int) -> None:
    rng = np.random.default_rng(n)
    lower, diagonals = rng.normal(size=(2, n, n)), rng.normal(size=(2, n))
    state = lower.copy()
    state[:, *np.triu_indices(n)] = np.nan  # what a triangle loop never wrote
    gram.complete(state, diagonals)
    for component, before, diagonal in zip(state, lower, diagonals, strict=True):
        assert np.array_equal(component, component.T)
        assert np.array_equal(np.tril(component, -1), np.tril(before, -1))
        assert np.array_equal(np.diag(component), diagonal)


def test_an_exception_in_a_thread_reaches_the_caller() -> None:
    def task(block: tuple[int, int]) -> None:
        if block[0] <= 50 < block[1]:
            raise ArithmeticError("row 50")

    with pytest.raises(ArithmeticError, match="row 50"):
        gram.in_threads(task, 100, triangle=False)


def test_threads_work_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    meeting = threading.Barrier(3, timeout=20)

    def task(block: tuple[int, int]) -> None:
        meeting.wait()

    gram.in_threads(task, 24, triangle=False)


@pytest.mark.parametrize("triangle", [True, False])
def test_results_do_not_depend_on_the_number_of_threads(triangle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    n, layers = 600, 3
    module = load(STEP, {"step": 2})
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 5))
    variances = np.repeat((x * x).mean(axis=1)[None], layers, axis=0)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("os.cpu_count", lambda threads=threads: threads)
        state = np.stack([x @ x.T / 5, np.zeros((n, n))])

        def task(rows: tuple[int, int], state: gram.Array = state) -> None:
            module.step_gram(variances, variances, state, np.array([2.0]), *rows, triangle)

        gram.in_threads(task, n, triangle=triangle)
        found.append(state)
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    assert np.isfinite(found[0]).all() and found[0][1, -1].any()
