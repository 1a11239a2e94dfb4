"""Gaussian means against closed forms, 40-digit and 80-bit references; the stated error never falls short."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers import quadrature
from solvers.jit import jit

ROOT = Path(__file__).parents[2]
REFS = json.loads((Path(__file__).parent / "refs" / "quadrature.json").read_text())
NONE, ZERO, ONES = np.empty(0), np.zeros(1), np.array([-1.0, 1.0])
DELTAS = [2.0, 2 - 1e-8, 1.9, 1.0, 0.5, 0.01, 1e-4, 1e-8, 1e-12, 0.0]
VARIANCES = [1e-6, 1e-2, 1.0, 1e2, 1e6]
RHALF, DENSITY = 1.0 / math.sqrt(2.0), 1.0 / math.sqrt(2.0 * math.pi)
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772


@jit
def sigmoid(x: float) -> float:
    e = math.exp(-abs(x))
    return (1.0 if x > 0.0 else e) / (1.0 + e)


@jit
def sech2(x: float) -> float:
    e = math.exp(-2.0 * abs(x))
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


relu = jit(lambda x: x if x > 0.0 else 0.0 * x)
step = jit(lambda x: 1.0 if x > 0.0 else 0.0)
tanh = jit(lambda x: math.tanh(x))
tanh_square = jit(lambda x: math.tanh(x) ** 2)
hard_tanh_square = jit(lambda x: x * x if abs(x) < 1.0 else 1.0)
sin = jit(lambda x: math.sin(x))
exp = jit(lambda x: math.exp(x))
broken_tail = jit(lambda x: math.nan if x > 3.0 else x)
infinite_tail = jit(lambda x: math.inf if x < -11.0 else x)

FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "relu": (relu, ZERO),
    "step": (step, ZERO),
    "elu": (jit(lambda x: x if x > 0.0 else math.expm1(x)), ZERO),
    "elu_slope": (jit(lambda x: 1.0 if x > 0.0 else math.exp(x)), ZERO),
    "selu": (jit(lambda x: SCALE * (x if x > 0.0 else ALPHA * math.expm1(x))), ZERO),
    "selu_slope": (jit(lambda x: SCALE * (1.0 if x > 0.0 else ALPHA * math.exp(x))), ZERO),
    "gelu": (jit(lambda x: 0.5 * x * math.erfc(-x * RHALF)), NONE),
    "gelu_slope": (jit(lambda x: 0.5 * math.erfc(-x * RHALF) + x * DENSITY * math.exp(-0.5 * x * x)), NONE),
    "hard_tanh": (jit(lambda x: -1.0 if x < -1.0 else (1.0 if x > 1.0 else x)), ONES),
    "hard_tanh_square": (hard_tanh_square, ONES),
    "hard_tanh_slope": (jit(lambda x: 1.0 if abs(x) < 1.0 else 0.0), ONES),
    "tanh": (tanh, NONE),
    "tanh_square": (tanh_square, NONE),
    "tanh_slope": (sech2, NONE),
    "tanh_vertex": (jit(lambda x: x * math.tanh(x) * sech2(x)), NONE),
    "sigmoid": (sigmoid, NONE),
    "sigmoid_slope": (jit(lambda x: 0.25 * sech2(0.5 * x)), NONE),
    "silu": (jit(lambda x: x * sigmoid(x)), NONE),
    "silu_slope": (jit(lambda x: sigmoid(x) * (1.0 + x * sigmoid(-x))), NONE),
    "softplus": (jit(lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0)), NONE),
}
MARKS: dict[Any, Any] = dict(FUNCTIONS.values())


def pair(f: Any, g: Any, p: float, q: float, delta: float | str) -> tuple[float, float]:
    """The mean at c = 1 - delta; text is exact, where the float 1.99999999 has 1 + c to 8 digits only."""
    d = mp.mpf(delta)
    c, s = float(1 - d), float(mp.sqrt(d * (2 - d)))
    return quadrature.pair_mean(f, MARKS.get(f, NONE), g, MARKS.get(g, NONE), p, q, c, s)


# Compiling a function costs seconds; these are near twins of others here.
TWINS = ["elu", "selu", "selu_slope", "sigmoid_slope", "hard_tanh_square", "softplus", "sigmoid", "silu"]


def names(table: str) -> list[Any]:
    found = sorted({row[0] for row in REFS[table]})
    return [pytest.param(name, marks=pytest.mark.slow) if name in TWINS else name for name in found]


@pytest.mark.parametrize("name", names("single"))
def test_single_means_match_forty_digits(name: str) -> None:
    for _, q, reference, size in [row for row in REFS["single"] if row[0] == name]:
        value, error = quadrature.mean(*FUNCTIONS[name], float(q))
        gap = abs(float(mp.mpf(value) - mp.mpf(reference)))
        assert gap <= error <= 1e-10 * size, (q, gap / size, error / size)
        assert gap <= 2e-15 * size, (q, gap / size)


@pytest.mark.parametrize("name", names("pair"))
def test_pair_means_match_tanh_sinh(name: str) -> None:
    rows = [row for row in REFS["pair"] if row[0] == name]
    assert len(rows) == 44
    f = FUNCTIONS[name][0]
    for _, p, q, delta, reference, scale in rows:
        with mp.workdps(40):
            value, error = pair(f, f, float(p), float(q), delta)
        gap = abs(float(mp.mpf(value) - mp.mpf(reference)))
        assert gap <= error <= 1e-10 * scale, (p, q, delta, gap / scale, error / scale)
        assert gap <= 2e-15 * scale, (p, q, delta, gap / scale)


def relu_pair(p: mp.mpf, q: mp.mpf, c: mp.mpf, s: mp.mpf) -> mp.mpf:
    angle = mp.atan2(s, c)
    return mp.sqrt(p * q) * (s + (mp.pi - angle) * c) / (2 * mp.pi)


def step_pair(p: mp.mpf, q: mp.mpf, c: mp.mpf, s: mp.mpf) -> mp.mpf:
    return (mp.pi - mp.atan2(s, c)) / (2 * mp.pi)


def gelu_pair(p: mp.mpf, q: mp.mpf, c: mp.mpf, s: mp.mpf) -> mp.mpf:
    k, total = c * mp.sqrt(p * q), (1 + p) * (1 + q)
    tail = (p * q + k * k * (1 / (1 + p) + 1 / (1 + q) - 1)) / (2 * mp.pi * mp.sqrt(total - k * k))
    return k / 4 + k / (2 * mp.pi) * mp.asin(k / mp.sqrt(total)) + tail


CLOSED: dict[str, Callable[..., mp.mpf]] = {"relu": relu_pair, "step": step_pair, "gelu": gelu_pair}


@pytest.mark.parametrize("name", CLOSED)
def test_pair_means_match_closed_forms(name: str) -> None:
    """At c = ±1 too, where one dimension is left."""
    f, formula = FUNCTIONS[name][0], CLOSED[name]
    pairs = [(q, q) for q in VARIANCES] + [(1e-2, 1e2), (1e6, 1e-6), (0.7, 2.25)]
    with mp.workdps(40):
        for p, q in pairs:
            size = mp.sqrt(formula(p, p, mp.mpf(1), mp.mpf(0)) * formula(q, q, mp.mpf(1), mp.mpf(0)))
            for delta in DELTAS:
                d = mp.mpf(delta)
                reference = formula(mp.mpf(p), mp.mpf(q), 1 - d, mp.sqrt(d * (2 - d)))
                value, error = pair(f, f, p, q, delta)
                gap = float(abs(value - reference))
                assert gap <= error <= 1e-10 * size, (p, q, delta, float(gap / size), float(error / size))
                assert gap <= 2e-15 * size, (p, q, delta, float(gap / size))


def test_entire_functions_match_closed_forms_where_they_fit_the_window() -> None:
    with mp.workdps(40):
        for p, q in [(1e-6, 1e-6), (1e-2, 1.0), (1.0, 1.0), (1.0, 0.3)]:
            a, b = mp.sqrt(mp.mpf(p)), mp.sqrt(mp.mpf(q))
            for delta in DELTAS:
                k = a * b * (1 - mp.mpf(delta))
                waves = (pair(sin, sin, p, q, delta), mp.exp(-(mp.mpf(p) + q) / 2) * mp.sinh(k), 1)
                grown = (pair(exp, exp, p, q, delta), mp.exp((mp.mpf(p) + q) / 2 + k), mp.exp(mp.mpf(p) + q))
                for (value, error), reference, scale in (waves, grown):
                    gap = abs(value - reference)
                    assert gap <= error <= 1e-8 * scale, (p, q, delta, float(gap), error)
                    assert gap <= 1e-14 * scale, (p, q, delta, float(gap))


def test_growth_out_of_the_window_is_seen_and_refused() -> None:
    """The 8 v 12 gap alone reads 2e-14 for exp at q = 4; the ring carries 2e-8 of the mean."""
    value, error = pair(exp, exp, 4.0, 4.0, 1e-12)
    assert abs(value - math.exp(8.0)) <= error
    assert error > quadrature.REFUSED * math.exp(8.0)
    assert math.isnan(quadrature.checked_pair_mean(exp, NONE, exp, NONE, 4.0, 4.0, 4.0))
    assert quadrature.checked_pair_mean(exp, NONE, exp, NONE, 1.0, 1.0, 0.5) == pytest.approx(math.exp(1.5), 1e-14)
    for q in (4.0, 25.0, 100.0, 400.0):
        value, error = quadrature.mean(exp, NONE, q)
        assert abs(value - math.exp(q / 2.0)) <= error, q
    assert math.isnan(quadrature.checked_mean(exp, NONE, 25.0))
    assert math.isnan(quadrature.checked_mean(exp, NONE, 1e6))


def test_oscillation_below_the_panels_is_seen_and_refused() -> None:
    """E sin = 0 comes out exactly by symmetry, and is refused all the same: no panel resolves it."""
    for q in (1e4, 1e6, 1e8):
        assert quadrature.mean(sin, NONE, q)[1] == math.inf
        assert math.isnan(quadrature.checked_mean(sin, NONE, q))
        assert math.isnan(quadrature.checked_pair_mean(sin, NONE, sin, NONE, q, q, 0.99 * q))


def test_constants_and_zero_variances() -> None:
    assert quadrature.mean(tanh, NONE, 0.0) == (0.0, 0.0)
    assert quadrature.mean(exp, NONE, 0.0) == (1.0, 0.0)
    assert quadrature.checked_mean(exp, NONE, 0.0) == 1.0
    for c, s in ((0.3, math.sqrt(0.91)), (1.0, 0.0), (-1.0, 0.0)):
        for p, q, reference in ((0.0, 0.49, math.exp(0.245)), (0.49, 0.0, math.exp(0.245)), (0.0, 0.0, 1.0)):
            value, error = quadrature.pair_mean(exp, NONE, exp, NONE, p, q, c, s)
            assert abs(value - reference) <= error <= 1e-13
            assert quadrature.checked_pair_mean(exp, NONE, exp, NONE, p, q, 0.0) == value


def test_covariance_version_keeps_the_diagonal_and_clamps() -> None:
    """√p √p is not p for p = 0.7: one ulp off the diagonal would cost the step 2e-9."""
    for p in (0.7, 1.3, 5e-7, 3e5):
        assert quadrature.checked_pair_mean(step, ZERO, step, ZERO, p, p, p) == pytest.approx(0.5, abs=1e-15)
        assert quadrature.checked_pair_mean(step, ZERO, step, ZERO, p, p, -p) == 0.0
        assert quadrature.checked_pair_mean(step, ZERO, step, ZERO, p, p, 2 * p) == pytest.approx(0.5, abs=1e-15)
        half = quadrature.checked_pair_mean(step, ZERO, step, ZERO, p, p, 0.5 * p)
        assert half == pytest.approx(1.0 / 3.0, abs=1e-15)


def refused(result: tuple[float, float]) -> bool:
    return math.isnan(result[0]) and not math.isfinite(result[1])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_becomes_nan(bad: float) -> None:
    good = [1.0, 2.0, 0.6, 0.8]
    for i in range(4):
        numbers = [*good[:i], bad, *good[i + 1 :]]
        assert refused(quadrature.pair_mean(step, ZERO, step, ZERO, *numbers)), i
    for p, q, k in ((bad, 1.0, 0.5), (1.0, bad, 0.5), (1.0, 1.0, bad), (0.0, 1.0, bad), (1.0, 0.0, bad)):
        assert math.isnan(quadrature.checked_pair_mean(step, ZERO, step, ZERO, p, q, k)), (p, q, k)
    marks = np.array([0.0, bad])
    assert refused(quadrature.pair_mean(step, marks, step, ZERO, *good))
    assert refused(quadrature.pair_mean(step, ZERO, step, marks, *good))
    assert refused(quadrature.mean(step, marks, 1.0))
    assert refused(quadrature.mean(step, ZERO, bad))
    assert math.isnan(quadrature.checked_mean(step, ZERO, bad))
    assert refused(quadrature.mean(step, ZERO, -1.0))
    assert refused(quadrature.pair_mean(step, ZERO, step, ZERO, 1.0, 1.0, 1.5, 0.0))


def test_nan_or_inf_from_the_function_is_not_swallowed() -> None:
    """Also where the other factor is exactly 0 and skips it, and in the ring beyond the window."""
    for f in (broken_tail, infinite_tail):
        assert refused(quadrature.mean(f, NONE, 1.0))
    # u > 0 and v > 3 meet with probability 1e-300 only.
    assert refused(pair(step, broken_tail, 1.0, 1.0, 2 - 1e-6))


variances = st.floats(-6.0, 6.0).map(lambda e: 10.0**e)
deltas = st.floats(-12.0, 0.0).map(lambda e: 10.0**e) | st.floats(0.0, 2.0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(p=variances, q=variances, delta=deltas)
def test_pairs_are_symmetric_and_obey_cauchy_schwarz(p: float, q: float, delta: float) -> None:
    one, other = pair(tanh, relu, p, q, delta), pair(relu, tanh, q, p, delta)
    bound = math.sqrt(quadrature.mean(tanh_square, NONE, p)[0] * q / 2.0)
    assert abs(one[0] - other[0]) <= min(one[1] + other[1], 2e-15 * bound)
    assert abs(one[0]) <= bound * (1.0 + 1e-15) + one[1]


def test_without_its_marks_a_kinked_function_is_bounded_or_refused() -> None:
    """And 50 Gauss-Hermite nodes, the common rule, miss by 1e-4 and more."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(50)
    for q in (0.3, 1.0, 7.0, 1e2, 1e4, 1e6):
        reference = quadrature.mean(hard_tanh_square, ONES, q)[0]
        value, error = quadrature.mean(hard_tanh_square, NONE, q)
        assert abs(value - reference) <= error
        lost = math.isnan(quadrature.checked_mean(hard_tanh_square, NONE, q))
        assert lost or abs(value - reference) <= quadrature.REFUSED * reference
        hermite = weights @ np.minimum(q * nodes**2, 1.0) / math.sqrt(2.0 * math.pi)
        assert abs(hermite - reference) > 1e-4 * reference, q
    assert math.isnan(quadrature.checked_mean(hard_tanh_square, NONE, 7.0))


CALLER = """
import math
import numpy as np
from numba import njit
from solvers import quadrature
from solvers.jit import OPTIONS, jit

MARKS = np.array([0.0])

@jit
def bent(x):
    return math.tanh(x) if x > 0.0 else 0.1 * x

@njit(cache=True, **OPTIONS)
def entry(p, k):
    one = quadrature.checked_mean(bent, MARKS, p)
    return one + quadrature.checked_pair_mean(bent, MARKS, bent, MARKS, p, p, k)

print(repr(entry(1.3, 0.4)), sum(entry.stats.cache_hits.values()), sum(entry.stats.cache_misses.values()))
"""


def test_a_cached_caller_is_loaded_by_the_next_process(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    environment = os.environ | {"PYTHONPATH": paths, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-W", "error", "-c", "import caller"]
    runs = [
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    ]
    assert [run[1:] for run in runs] == [["0", "1"], ["1", "0"]]
    assert runs[0][0] == runs[1][0] != "nan"
