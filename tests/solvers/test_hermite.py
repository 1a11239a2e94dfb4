"""Hermite coefficients against closed values, and the Hermite-Mehler series against direct integration."""

import math
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from numba import njit, types
from scipy.special import erf

from solvers import gram, vecmath
from solvers.hermite import Curve, coefficients, effort, spectrum
from solvers.jit import OPTIONS
from solvers.mehler import pair_means
from solvers.quadrature import pair_mean

Array = npt.NDArray[np.float64]
Function = Callable[[float], float]
Wide = npt.NDArray[np.longdouble]
PI = np.longdouble("3.14159265358979323846264338327950288")
SINE = (0.0, 1.0, 0.0)
# Passed by address, so that the direct rule is compiled once for all.
FUNCTION, VECTOR = types.FunctionType(types.float64(types.float64)), types.float64[::1]
scalar = njit(types.float64(types.float64), **OPTIONS)

# -- coefficients --------------------------------------------------------------------------------------------------


def erf_row(q: float, n: int) -> Wide:
    m, r = np.arange((n + 1) // 2, dtype=np.longdouble), 2 * np.longdouble(q) / (1 + 2 * np.longdouble(q))
    ratios = (2 * m + 1) ** 2 / (2 * (m + 1) * (2 * m + 3)) * r * r
    a = np.zeros(n, dtype=np.longdouble)
    a[1::2] = np.sqrt(2 / PI * r * np.append(1, np.cumprod(ratios)))[: n // 2] * (-1) ** m[: n // 2]
    return a


def ramp_row(q: float, n: int) -> Wide:
    m = np.arange(1, n // 2 + 1, dtype=np.longdouble)
    a = np.zeros(n + 2, dtype=np.longdouble)
    ratios = -(2 * m - 1) / np.sqrt((2 * m + 1) * (2 * m + 2))
    a[0], a[1] = 1 / np.sqrt(2 * PI), 0.5
    a[2::2][: m.size] = 1 / np.sqrt(4 * PI) * np.append(1, np.cumprod(ratios))[: m.size]
    return a[:n] * np.sqrt(np.longdouble(q))


def sine_row(q: float, n: int) -> Wide:
    m, a = np.arange(n // 2, dtype=np.longdouble), np.zeros(n, dtype=np.longdouble)
    ratios = -np.longdouble(q) / np.sqrt((2 * m + 2) * (2 * m + 3))
    a[1::2] = np.exp(-np.longdouble(q) / 2) * np.sqrt(np.longdouble(q)) * np.append(1, np.cumprod(ratios))[: m.size]
    return a


def exp_row(q: float, n: int) -> Wide:
    ratios = np.sqrt(np.longdouble(q) / np.arange(1, n + 1, dtype=np.longdouble))
    return np.exp(np.longdouble(q) / 2) * np.append(1, np.cumprod(ratios))[:n]


def ramp(x: Array) -> Array:
    return np.maximum(x, 0.0)


Row = Callable[[float, int], Wide]
CLOSED: dict[str, tuple[Curve, Row, Callable[[float], float]]] = {
    "erf": (Curve(erf), erf_row, lambda q: 2 / math.pi * math.asin(2 * q / (1 + 2 * q))),
    "ramp": (Curve(ramp), ramp_row, lambda q: q / 2),
    "sin": (Curve(np.sin, rates=SINE), sine_row, lambda q: -math.expm1(-2 * q) / 2),
    "exp": (Curve(np.exp, rates=(1.0, 0.0, 0.0)), exp_row, lambda q: math.exp(2 * q)),
}
VARIANCES = {"erf": (1e-8, 1e-2, 1.0, 30.0, 1e6), "ramp": (1e-8, 1.0, 1e6), "sin": (1e-8, 1.0, 100.0)}


@pytest.mark.parametrize("n", [1, 2, 33, 400, 2000])
@pytest.mark.parametrize("name", CLOSED)
def test_coefficients_are_the_closed_ones_within_their_error(name: str, n: int) -> None:
    f, row, square = CLOSED[name]
    q = np.array(VARIANCES.get(name, (1e-8, 1.0, 25.0)))
    a, error = coefficients(f, q, n)
    scale = np.array([math.sqrt(square(v)) for v in q])
    assert a.shape == (len(q), n) and error.shape == q.shape
    assert np.all(error <= (2e-15 + 2e-16 * math.sqrt(n)) * scale * (20 if name == "exp" else 1))
    for variance, got, bound in zip(q, a, error, strict=True):
        wanted = row(variance, n)
        assert off(got, wanted) <= bound
        if n > 1:  # a negative twin: one coefficient off in the twelfth digit
            wanted[1] *= 1 + 1e-12
            assert off(got, wanted) > bound or abs(wanted[1]) * 1e-12 < 2 * bound


def off(a: Array, b: Wide) -> float:
    return float(np.sqrt(((a - b) ** 2).sum()))


def test_tanh_has_the_known_coefficients() -> None:
    known = [0, 0.605705509602, 0, -0.148437190787, 0, 0.062547523753, 0, -0.031445419288]
    assert coefficients(Curve(np.tanh), np.ones(1), 8)[0][0] == pytest.approx(known, abs=1e-12)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("q", [1e-8, 0.3, 3.0])
def test_the_squares_sum_to_the_second_moment(name: str, q: float) -> None:
    f, _, square = CLOSED[name]
    found = spectrum(f, np.array([q]), 400)
    sums = np.array([(found.coefficients[0, c::2] ** 2).sum() for c in (0, 1)])
    assert found.energy.sum() == pytest.approx(square(q), rel=2e-15)
    # Bessel's inequality up to what is said to be uncertain; an equality where the coefficients decay.
    assert np.all(sums <= found.energy[0] + found.blur[0])
    if name != "ramp":
        assert np.all(found.energy[0] - sums <= found.blur[0])
    assert found.blur.sum() <= 2e-14 * square(q)


def test_a_kink_away_from_zero_is_an_edge_if_it_is_known() -> None:
    def kinked(x: Array) -> Array:
        return np.maximum(x - 0.7, 0.0)

    # E max(x - m, 0) = √q (phi(m/√q) - m/√q P(z > m/√q))
    m = 0.7 / math.sqrt(2.0)
    mean = math.sqrt(2.0) * (math.exp(-m * m / 2) / math.sqrt(2 * math.pi) - m * math.erfc(m / math.sqrt(2)) / 2)
    found, error = coefficients(Curve(kinked, np.array([0.7])), np.array([2.0]), 64)
    assert abs(found[0, 0] - mean) <= error[0] <= 4e-15
    assert coefficients(Curve(kinked), np.array([2.0]), 64)[1][0] == math.inf


def test_an_unknown_edge_shows_in_the_error() -> None:
    def bent(x: Array) -> Array:
        return np.maximum(x - 0.7, 0.0) ** 3

    found, error = coefficients(Curve(bent, np.array([0.7])), np.array([2.0]), 64)
    unaware, doubt = coefficients(Curve(bent), np.array([2.0]), 64)
    gap = float(np.linalg.norm(unaware - found))
    assert 1e3 * error[0] < gap <= doubt[0] + error[0]


@pytest.mark.parametrize("q", [math.nan, math.inf, -1.0])
def test_no_variance_no_coefficients(q: float) -> None:
    a, error = coefficients(Curve(np.tanh), np.array([1.0, q]), 4)
    assert np.isfinite(a[0]).all() and np.isnan(a[1]).all() and error[1] == math.inf


def test_a_function_that_is_not_finite_or_leaves_the_window_has_no_coefficients() -> None:
    for f in (Curve(lambda x: np.where(x > 3, np.nan, x)), Curve(np.exp, rates=(30.0, 0.0, 0.0))):
        a, error = coefficients(f, np.ones(1), 4)
        assert np.isnan(a).all() and error[0] == math.inf
    assert effort(Curve(np.sin, rates=SINE), 1e6, 100) == math.inf > effort(Curve(np.sin, rates=SINE), 1.0, 100)


# -- pairs ---------------------------------------------------------------------------------------------------------


@scalar
def tanh(x: float) -> float:
    return vecmath.tanh(x)


@scalar
def softplus(x: float) -> float:
    return vecmath.softplus(x)


@scalar
def elu(x: float) -> float:
    return x if x > 0.0 else vecmath.expm1(x)


@scalar
def clipped(x: float) -> float:
    return -1.0 if x < -1.0 else (1.0 if x > 1.0 else x)


@njit((FUNCTION, VECTOR, VECTOR), **OPTIONS)
def each(f: Function, x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = f(x[i])


@njit((FUNCTION, VECTOR, FUNCTION, VECTOR, VECTOR, VECTOR, VECTOR, types.float64[:, ::1]), **OPTIONS)
def integrate(
    f: Function, f_marks: Array, g: Function, g_marks: Array, p: Array, q: Array, rho: Array, out: Array
) -> None:
    for i in range(p.size):
        s = math.sqrt((1.0 - rho[i]) * (1.0 + rho[i]))
        out[i, 0], out[i, 1] = pair_mean(f, f_marks, g, g_marks, p[i], q[i], rho[i], s)


NONE = np.empty(0)
SCALAR = {"tanh": tanh, "softplus": softplus, "elu": elu, "clipped": clipped}
MARKS = {name: np.array([-1.0, 1.0]) if name == "clipped" else NONE for name in SCALAR}
PAIRS = [("tanh", "tanh"), ("softplus", "softplus"), ("elu", "elu"), ("tanh", "elu"), ("clipped", "softplus")]


@cache
def curve(name: str) -> Curve:
    def values(x: Array) -> Array:
        out = np.empty_like(x)
        each(SCALAR[name], x, out)
        return out

    return Curve(values, MARKS[name])


def direct(first: str, second: str, p: Array, q: Array, rho: Array) -> tuple[Array, Array]:
    out = np.empty((len(p), 2))
    integrate(SCALAR[first], MARKS[first], SCALAR[second], MARKS[second], *map(np.ascontiguousarray, (p, q, rho)), out)
    return out[:, 0], out[:, 1]


def sample(seed: int, count: int, low: float, high: float, most: float = 1.0) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    p, q = (np.exp(rng.uniform(math.log(low), math.log(high), count)) for _ in range(2))
    return p, q, rng.uniform(-most, most, count)


def covariance(p: Array, q: Array, rho: Array) -> Array:
    return rho * (np.sqrt(p) * np.sqrt(q))


def scale(first: str, second: str, p: Array, q: Array) -> Array:
    squares = (spectrum(curve(name), v, 1).energy.sum(axis=1) for name, v in ((first, p), (second, q)))
    return np.sqrt(math.prod(squares))


def bounded(values: Array, bounds: Array, wanted: Array, error: Array) -> bool:
    return bool(np.all(np.abs(values - wanted) <= bounds + error))


@pytest.mark.parametrize(("low", "high", "most"), [(0.1, 10.0, 1.0), (1e-8, 1e-3, 1.0), (1e2, 1e6, 0.9)])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_series_is_the_integral_within_its_bound(
    first: str, second: str, low: float, high: float, most: float
) -> None:
    p, q, rho = sample(3, 2000, low, high, most)
    values, bounds = pair_means(curve(first), curve(second), p, q, covariance(p, q, rho))
    reached = np.flatnonzero(bounds < math.inf)
    assert reached.size > (0.7 if first == "clipped" else 0.9) * p.size
    some = reached[:40]
    wanted, error = direct(first, second, p[some], q[some], rho[some])
    unit = scale(first, second, p[some], q[some])
    assert np.all(error <= 1e-11 * unit)
    assert bounded(values[some], bounds[some], wanted, error)
    assert np.all(bounds[some] <= 1.3e-13 * unit)
    assert np.all(np.abs(values[some] - wanted) <= 5e-15 * unit)
    # A negative twin: what is off in the twelfth digit would be noticed.
    assert not bounded(values[some] + 1e-12 * unit, bounds[some], wanted, error)


def test_a_series_cut_short_is_within_the_tail_that_is_claimed_and_not_within_less() -> None:
    p, q, rho = np.array([2.0]), np.array([0.5]), np.array([0.8])
    full, error = direct("elu", "tanh", p, q, rho)
    left, right = (spectrum(curve(name), v, 128) for name, v in (("elu", p), ("tanh", q)))
    for terms in (2, 4, 8, 16, 32):
        kept = left.coefficients[0, :terms] * right.coefficients[0, :terms]
        value = (kept * rho ** np.arange(terms)).sum()
        rests = [found.energy.sum() - (found.coefficients[0, :terms] ** 2).sum() for found in (left, right)]
        gap, tail = abs(value - full[0]), rho[0] ** terms * math.sqrt(rests[0] * rests[1])
        assert gap <= tail + error[0] + 1e-15
        assert terms == 32 or gap > 1e-3 * tail


@pytest.mark.parametrize("name", ["tanh", "softplus", "elu"])
def test_the_ends_of_the_range_of_correlations(name: str) -> None:
    f = curve(name)
    rho = np.tile([0.0, 1.0, -1.0, 1 - 1e-15, -1 + 1e-15], 100)
    q = np.full(rho.size, 0.7)
    values, bounds = pair_means(f, f, q, q, rho * q)
    wanted, error = direct(name, name, q[:5], q[:5], rho[:5])
    # A kink leaves a tail that ρ = ±1 does not shrink: refused. Independent factors need no series.
    assert np.array_equal(bounds[:5] < math.inf, [True, *[name != "elu"] * 4])
    some = bounds[:5] < math.inf
    assert bounded(values[:5][some], bounds[:5][some], wanted[some], error[some])
    mean = coefficients(f, q[:1], 1)[0][0, 0]
    assert values[0] == pytest.approx(mean * mean, abs=1e-15)
    assert np.array_equal(np.isnan(values), np.isinf(bounds))


@pytest.mark.parametrize("variance", [1e-8, 1e6])
def test_extreme_variances(variance: float) -> None:
    rho = np.linspace(-0.9, 0.9, 181)
    q = np.full(rho.size, variance)
    for first, second in (("tanh", "tanh"), ("elu", "softplus")):
        values, bounds = pair_means(curve(first), curve(second), q, q, rho * q)
        wanted, error = direct(first, second, q[::20], q[::20], rho[::20])
        assert np.all(bounds < math.inf)
        assert bounded(values[::20], bounds[::20], wanted, error)


def test_a_variance_of_zero_is_a_constant() -> None:
    f, g = curve("softplus"), curve("tanh")
    q = np.full(200, 1.3)
    q[:2] = 0.0
    values, bounds = pair_means(f, f, np.zeros(200), q, np.zeros(200))
    mean = coefficients(f, np.array([1.3]), 1)[0][0, 0]
    assert values[0] == pytest.approx(math.log(2) ** 2, abs=1e-15)
    assert np.all(np.abs(values[2:] - math.log(2) * mean) <= bounds[2:]) and np.all(bounds <= 1e-13)
    odd, bounds = pair_means(g, g, np.zeros(3), np.zeros(3), np.zeros(3))
    assert np.all(odd == 0.0) and np.all(bounds == 0.0)


def test_where_the_tables_cost_more_than_they_save_or_the_series_is_too_long_nothing_is_claimed() -> None:
    q = np.full(400, 1e6)
    for rho, count in ((0.5, 1), (1 - 1e-9, 400)):
        values, bounds = pair_means(curve("tanh"), curve("tanh"), q[:count], q[:count], rho * q[:count])
        assert np.all(np.isnan(values)) and np.all(np.isinf(bounds))
    fast = Curve(np.sin, rates=SINE)
    assert np.all(np.isinf(pair_means(fast, fast, q, q, 0.5 * q)[1]))


@pytest.mark.parametrize(
    ("where", "bad"), [*((i, x) for i in range(3) for x in (math.nan, math.inf)), (0, -1), (1, -1)]
)
@pytest.mark.parametrize("name", ["tanh", "softplus"])
def test_what_is_not_sound_is_nan_and_spoils_nothing_else(bad: float, where: int, name: str) -> None:
    arguments = [np.full(100, 1.0), np.full(100, 2.0), np.linspace(-1, 1, 100)]
    clean, _ = pair_means(curve(name), curve(name), *arguments)
    arguments[where][[3, 50]] = bad
    values, bounds = pair_means(curve(name), curve(name), *arguments)
    expected = np.isin(np.arange(100), [3, 50])
    assert np.array_equal(np.isnan(values), expected) and np.array_equal(np.isinf(bounds), expected)
    np.testing.assert_allclose(values[~expected], clean[~expected], atol=1e-14)


def test_nan_is_not_lost_in_a_constant() -> None:
    p, q, k = np.zeros(3), np.array([1.0, np.nan, 0.0]), np.array([np.nan, 0.0, np.inf])
    assert np.all(np.isnan(pair_means(curve("tanh"), curve("tanh"), p, q, k)[0]))


def test_a_covariance_beyond_the_variances_is_the_largest_possible() -> None:
    q = np.full(200, 0.5)
    most, more = (pair_means(curve("tanh"), curve("tanh"), q, q, k * q)[0] for k in (1.0, 1 + 1e-15))
    assert np.array_equal(most, more)


def test_a_pole_is_noticed() -> None:
    q = np.full(100, 1.0)
    for f in (Curve(lambda x: 1 / x), Curve(lambda x: np.log(np.abs(x)))):
        assert np.all(np.isnan(pair_means(f, f, q, q, 0.5 * q)[0]))
        assert np.all(np.isnan(pair_means(f, f, 0 * q, 0 * q, 0 * q)[0]))


def test_no_pairs() -> None:
    values, bounds = pair_means(curve("tanh"), curve("elu"), NONE, NONE, NONE)
    assert values.shape == bounds.shape == (0,)


def test_arrays_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="shape mismatch"):
        pair_means(curve("tanh"), curve("elu"), np.ones(3), np.ones(2), np.ones(3))


def test_one_function_and_its_copy_agree_and_the_pair_is_symmetric() -> None:
    p, q, rho = sample(5, 1000, 0.2, 5.0)
    k, f = covariance(p, q, rho), curve("softplus")
    shared, bounds = pair_means(f, f, p, q, k)
    apart, _ = pair_means(f, Curve(f.values), p, q, k)
    swapped, _ = pair_means(f, f, q, p, k)
    for other in (apart, swapped):
        reached = np.isfinite(shared) & np.isfinite(other)
        assert reached.mean() > 0.9 and np.all(np.abs(shared - other)[reached] <= bounds[reached])


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    p, q, rho = sample(6, 3000, 0.1, 10.0)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(gram.os, "cpu_count", lambda threads=threads: threads)
        results.append(pair_means(curve("softplus"), curve("elu"), p, q, covariance(p, q, rho)))
    for other in results[1:]:
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(results[0], other, strict=True))


def test_the_speed_table_runs() -> None:
    script = Path(__file__).parents[2] / "scripts" / "bench_duals.py"
    done = subprocess.run([sys.executable, str(script), "--quick"], capture_output=True, text=True, check=True)
    assert "| solvers.mehler.pair_means |" in done.stdout and "skipped: " in done.stdout
