"""Vector words against mpmath: distance in units of the last place, special values, machine code."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mpmath import mp
from numba import njit

from solvers import _vecmath_coefficients, gaussmath, vecmath
from solvers.jit import OPTIONS

ROOT = Path(__file__).parents[2]
NAN, INF = math.nan, math.inf


def logistic(x):
    return 1 / (1 + mp.exp(-x))


def soft(x):
    return mp.log1p(mp.exp(x))


# word: oracle, domain, bound in units of the last place
ACCURACY = {
    "exp": (mp.exp, (-708.3, 709.7), 1.0),
    "expm1": (mp.expm1, (-60.0, 709.7), 3.0),
    "tanh": (mp.tanh, (-25.0, 25.0), 3.0),
    "erf": (mp.erf, (-7.0, 7.0), 2.0),
    "erfc": (mp.erfc, (-6.0, 26.0), 4.0),
    "asin": (mp.asin, (-1.0, 1.0), 2.5),
    "acos": (mp.acos, (-1.0, 1.0), 2.5),
    "atan": (mp.atan, (-1e4, 1e4), 2.5),
    "sigmoid": (logistic, (-708.0, 60.0), 3.0),
    "softplus": (soft, (-708.0, 708.0), 3.0),
    "sinh": (mp.sinh, (-708.0, 708.0), 3.0),
    "cosh": (mp.cosh, (-708.0, 708.0), 3.0),
    "log": (mp.log, (1e-300, 1e6), 1.0),
    "log1p": (mp.log1p, (-0.999, 1e6), 1.0),
    "sin": (mp.sin, (-50.0, 50.0), 1.0),
    "cos": (mp.cos, (-50.0, 50.0), 1.0),
    "tan": (mp.tan, (-50.0, 50.0), 1.0),
    "sqrt": (mp.sqrt, (0.0, 1e6), 0.5),
}
# word: value at -inf, 0, inf
LIMITS = {
    "exp": (0.0, 1.0, INF),
    "expm1": (-1.0, 0.0, INF),
    "tanh": (-1.0, 0.0, 1.0),
    "erf": (-1.0, 0.0, 1.0),
    "erfc": (2.0, 1.0, 0.0),
    "asin": (NAN, 0.0, NAN),
    "acos": (NAN, math.pi / 2, NAN),
    "atan": (-math.pi / 2, 0.0, math.pi / 2),
    "sigmoid": (0.0, 0.5, 1.0),
    "softplus": (0.0, math.log(2.0), INF),
    "sinh": (-INF, 0.0, INF),
    "cosh": (INF, 1.0, INF),
    "log": (NAN, -INF, INF),
    "log1p": (NAN, 0.0, INF),
    "sqrt": (NAN, 0.0, INF),
    "sin": (NAN, 0.0, NAN),
    "cos": (NAN, 1.0, NAN),
    "tan": (NAN, 0.0, NAN),
    "heaviside": (0.0, 0.5, 1.0),
    "sign": (-1.0, 0.0, 1.0),
    "absolute": (INF, 0.0, INF),
    "clip1": (-1.0, 0.0, 1.0),
}
PAIRS = ("atan2", "maximum", "minimum", "exp_sinh", "exp_cosh")


KERNELS = ("orthant", "ramp")


def word(name):
    return getattr(vecmath if hasattr(vecmath, name) else gaussmath, name)


@cache
def looped(name):
    function = word(name)

    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return njit(**OPTIONS)(loop)


def distance(value, exact):
    """|value - exact| in units of the last place of exact."""
    rounded = abs(float(exact))
    return float(abs(mp.mpf(float(value)) - exact) / mp.mpf(float(np.spacing(max(rounded, 2.3e-308)))))


def worst(values, points, oracle):
    with mp.workdps(50):
        pairs = zip(values, points, strict=True)
        return max(distance(value, oracle(mp.mpf(float(x)))) for value, x in pairs)


def points(low, high, count=300):
    generator = np.random.default_rng(20240917)
    near = generator.uniform(max(low, -2.0), min(high, 2.0), count)
    size = 10.0 ** generator.uniform(-17, math.log10(max(-low, high)), count)
    spread = np.concatenate([generator.uniform(low, high, count), near, size, -size, [low, high]])
    return spread[(spread >= low) & (spread <= high) & (spread != 0.0)]


def exact_kernel(name, p, q, k):
    """From the determinant of the given floats, at 50 digits."""
    with mp.workdps(50):
        p, q, k = mp.mpf(p), mp.mpf(q), mp.mpf(k)
        eta = mp.atan2(mp.sqrt(max(p * q - k * k, mp.mpf(0))), -k)
        if name == "orthant":
            return eta / (2 * mp.pi)
        return mp.sqrt(p * q) * (mp.sin(eta) - eta * mp.cos(eta)) / (2 * mp.pi)


@pytest.mark.parametrize("name", ACCURACY)
def test_error_is_below_the_bound(name):
    oracle, domain, bound = ACCURACY[name]
    x = points(*domain)
    values = np.empty_like(x)
    looped(name)(x, values)
    assert worst(values, x, oracle) <= bound


@pytest.mark.parametrize(("name", "coefficient"), [("exp", "exp_tail"), ("asin", "asin_tail"), ("erf", "erf_tail")])
def test_error_measure_sees_a_wrong_coefficient(name, coefficient):
    """The same formulas in Python with the lowest coefficient off by 1e-13 break the bound."""
    coefficients = script().polynomials()[coefficient][1]

    def tail(x, error):
        return float(np.polynomial.polynomial.polyval(x, [coefficients[0] * (1 + error), *coefficients[1:]]))

    formulas = {
        "exp": lambda x, error: 1.0 + (x + x * x * tail(x, error)),
        "asin": lambda x, error: x + x * (x * x) * tail(x * x, error),
        "erf": lambda x, error: x + x * tail(x * x, error),
    }
    oracle, _, bound = ACCURACY[name]
    x = np.linspace(0.05, 0.34, 200)
    assert worst([formulas[name](t, 0.0) for t in x], x, oracle) <= bound
    assert worst([formulas[name](t, 1e-13) for t in x], x, oracle) > bound


@pytest.mark.parametrize("name", LIMITS)
def test_infinities_zero_and_nan(name):
    values = np.empty(4)
    looped(name)(np.array([-INF, 0.0, INF, NAN]), values)
    np.testing.assert_array_equal(values, [*LIMITS[name], NAN])


def test_exp_overflows_and_underflows():
    assert vecmath.exp(1000.0) == INF
    assert vecmath.exp(-1000.0) == 0.0
    assert vecmath.exp(math.log(sys.float_info.max)) < INF
    assert vecmath.expm1(1000.0) == INF
    assert vecmath.exp(math.nextafter(_vecmath_coefficients.EXP_HIGH, INF)) == INF
    assert vecmath.exp(_vecmath_coefficients.EXP_LOW) >= sys.float_info.min


@pytest.mark.parametrize("name", PAIRS + KERNELS)
def test_nan_at_every_argument(name):
    function = word(name)
    for base in (0.0, 1.0):
        arguments = [base] * (3 if name in KERNELS else 2)
        for i in range(len(arguments)):
            assert math.isnan(function(*arguments[:i], NAN, *arguments[i + 1 :]))
    assert math.isnan(function(*[NAN] * len(arguments)))


def test_atan2_everywhere():
    generator = np.random.default_rng(7)
    for _ in range(1000):
        y, x = (10.0 ** generator.uniform(-3, 3, 2) * generator.choice([-1.0, 1.0], 2)).tolist()
        assert distance(vecmath.atan2(y, x), mp.atan2(mp.mpf(y), mp.mpf(x))) <= 2.5
    values = (0.0, 1.0, -1.0, 1.5e308, -1.5e308, 1e-300, INF, -INF)
    for y, x in [(y, x) for y in values for x in values]:
        assert vecmath.atan2(y, x) == pytest.approx(math.atan2(y, x), rel=1e-15, abs=0.0)


def test_order_and_clip():
    for a, b in [(1.0, 2.0), (2.0, 1.0), (-INF, INF), (INF, 3.0), (2.0, 2.0)]:
        assert (vecmath.maximum(a, b), vecmath.minimum(a, b)) == (max(a, b), min(a, b))
    assert [vecmath.clip1(x) for x in (-3.0, -0.5, 0.25, 1.5)] == [-1.0, -0.5, 0.25, 1.0]


@pytest.mark.parametrize(("name", "oracle"), [("exp_sinh", mp.sinh), ("exp_cosh", mp.cosh)])
def test_products_with_the_exponential(name, oracle):
    function = word(name)
    generator = np.random.default_rng(3)
    shift, size = generator.uniform(-1000, 1000, 400), 10.0 ** generator.uniform(-15, 2, 400)
    far = [(a, float(w - a)) for a, w in zip(-1.3 * np.abs(shift), generator.uniform(-690, 690, 400), strict=True)]
    pairs = [
        *zip(shift, size, strict=True),
        *far,
        (-800.0, 799.5),
        (-800.0, -799.5),
        (900.0, 1e-150),
        (0.3, 1e-9),
    ]
    for a, b in pairs:
        with mp.workdps(50):
            exact = mp.exp(mp.mpf(float(a))) * oracle(mp.mpf(float(b)))
        if 1e-305 < abs(exact) < 1.79e308:
            assert distance(function(a, b), exact) <= 3.0, (a, b)
    assert function(-INF, 1.0) == 0.0
    assert function(2000.0, 3.0) == INF
    assert function(1.0, INF) == INF
    assert function(-5000.0, 3.0) == 0.0


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("correlation", [-1 + 1e-14, -1 + 1e-8, -0.9, -0.3, 0.0, 0.5, 1 - 1e-8, 1 - 1e-14])
def test_kernels_near_and_away_from_perfect_correlation(name, correlation):
    function = word(name)
    generator = np.random.default_rng(11)
    extremes = [(1e300, 1e300), (1e-200, 1e-200), (1e-300, 1e300), (1.0, 1e-250), (1.0, 1.0), (3.0, 3.0)]
    for p, q in [*(10.0 ** generator.uniform(-6, 6, (60, 2))).tolist(), *extremes]:
        k = correlation * math.sqrt(p) * math.sqrt(q)
        assert function(p, q, k) == pytest.approx(float(exact_kernel(name, p, q, k)), rel=8e-16, abs=0.0)


def test_error_measure_sees_the_naive_kernel():
    """Through the angle of the rounded correlation the ramp has no digit left near -1."""
    c = -1 + 1e-14
    naive = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / (2 * math.pi)
    assert naive != pytest.approx(float(exact_kernel("ramp", 1.0, 1.0, c)), rel=1e-3, abs=0.0)


@pytest.mark.parametrize("size", [1.0, 2.0, 0.1, 1e-300, 1e300, 1.7e308])
def test_kernels_at_perfect_correlation(size):
    assert gaussmath.orthant(size, size, size) == 0.5
    assert gaussmath.orthant(size, size, 0.0) == 0.25
    assert gaussmath.orthant(size, size, -size) == 0.0
    assert gaussmath.ramp(size, size, size) == pytest.approx(size / 2, rel=2.3e-16, abs=0.0)
    assert gaussmath.ramp(size, size, -size) == 0.0
    for k in (size * (1 + 1e-13), -size * (1 + 1e-13)):
        assert 0.0 <= gaussmath.orthant(size, size, k) <= 0.5


def test_kernels_of_a_constant():
    for p, q in [(0.0, 0.0), (0.0, 2.0), (2.0, 0.0), (0.0, 1e300), (5e-324, 0.0)]:
        assert gaussmath.orthant(p, q, 0.0) == 0.25
        assert gaussmath.ramp(p, q, 0.0) == 0.0


@pytest.mark.parametrize("name", ["exp", "expm1", "tanh", "erf", "erfc", "asin", "acos", "atan", "sigmoid", "softplus"])
def test_loops_become_vectors(name):
    loop = looped(name)
    x = np.linspace(-0.9, 0.9, 7)
    loop(x, np.empty_like(x))
    (code,) = loop.inspect_llvm().values()
    assert re.search(r"f(mul|add|sub)[^\n]*<\d+ x double>", code)
    called = {part for callee in re.findall(r"\bcall [^\n]*?@([\w.]+)\(", code) for part in callee.split(".")}
    assert not called & {
        name,
        "exp",
        "expm1",
        "tanh",
        "erf",
        "erfc",
        "asin",
        "acos",
        "atan",
        "atan2",
        "log1p",
    }


def script():
    spec = importlib.util.spec_from_file_location("fit_vecmath", ROOT / "scripts" / "fit_vecmath.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_coefficients_are_what_the_script_computes():
    assert Path(_vecmath_coefficients.__file__).read_text(encoding="utf-8") == script().text()


TWIN = """
import json, sys
from solvers import gaussmath, vecmath
cases = json.load(sys.stdin)
words = vars(gaussmath) | vars(vecmath)
json.dump([float(words[name](*arguments)) for name, arguments in cases], sys.stdout)
"""


def test_uncompiled_twins_agree():
    values = (-INF, -800.0, -3.0, -0.7, -1e-9, 0.0, 1e-12, 0.3, 0.99, 2.0, 40.0, 800.0, INF, NAN)
    cases = [(name, [x]) for name in LIMITS for x in values]
    cases += [(name, [a, b]) for name in PAIRS for a in (-800.0, 0.3, 2.0, NAN) for b in (799.5, -0.4, 1.0, NAN)]
    triples = [
        (1.0, 1.0, -1 + 1e-14),
        (2.0, 3.0, 0.5),
        (0.0, 1.0, 0.0),
        (1e300, 1e300, 1e300),
        (1.0, NAN, 0.0),
    ]
    triples += [(1e-300, 1e-300, -5e-301), (5e-324, 5e-324, 5e-324), (0.1, 0.1, 0.1)]
    cases += [(name, list(triple)) for name in KERNELS for triple in triples]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", TWIN],
        input=json.dumps(cases),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    compiled = [word(name)(*arguments) for name, arguments in cases]
    np.testing.assert_allclose(json.loads(run.stdout), compiled, rtol=1e-12, atol=3e-308)
