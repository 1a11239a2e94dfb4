"""Elementary functions for inner loops: scalar, inlined, free of branches, so that loops become vectors.

exp x = 2^n e^r, r = x - n ln 2;  tanh x = m/(m+2), m = expm1 2x;  erfc x = exp(-x^2) erfcx x, erfcx one
polynomial in (x-4)/(x+4);  asin x = pi/2 - 2 asin sqrt((1-x)/2);  atan t = pi/4 + atan (t-1)/(t+1).
NaN in, NaN out; infinities as in IEEE 754; the sign of zero is not kept; exp below 2.2e-308 is 0.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numba import config
from numba.core.types import float64, int64
from numba.extending import intrinsic

import solvers._vecmath_coefficients as fit
from solvers.jit import inlined

ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the nearest integer in the low bits
LARGEST = 1.7976931348623157e308
BORROWED = ("sqrt", "fabs", "log", "log1p", "sin", "cos", "tan")

# Where nothing is compiled, these are computed by other libraries; the other words run as they are.
TWINS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in (*BORROWED, "exp", "expm1", "tanh", "sinh", "cosh")},
    **{"asin": np.arcsin, "acos": np.arccos, "atan2": np.arctan2, "erf": math.erf, "erfc": math.erfc},
    "_exp_times": lambda a, b, factor: 0.5 * np.exp(0.5 * (a + b)) * factor * np.exp(0.5 * (a + b)),
    "_fma": lambda a, b, c: float(Fraction(a) * Fraction(b) + Fraction(c)) if math.isfinite(a + b + c) else a * b + c,
    "_balance": lambda a: ((x := 2.0 ** -(max(math.frexp(a)[1], -1021) // 2)), 1.0 / x),
}


def word(function: Callable[..., Any], compiler: Callable[..., Any] = inlined) -> Callable[..., Any]:
    """Compile and always inline; the twin, if there is one, where nothing is compiled."""
    if config.DISABLE_JIT:
        return np.errstate(all="ignore")(TWINS.get(function.__name__, function))
    return compiler(function)


def _borrow(name: str) -> Callable[..., Any]:
    function = getattr(math, name)

    def call(x: float) -> float:
        return function(x)

    call.__name__ = name
    return word(call)


instruction = partial(word, compiler=intrinsic)
sqrt, absolute, log, log1p, sin, cos, tan = map(_borrow, BORROWED)


@instruction
def _fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c rounded once."""
    return float64(float64, float64, float64), lambda _, builder, __, values: builder.fma(*values)


@instruction
def _bits(context: Any, a: Any) -> Any:
    return int64(float64), lambda c, builder, _, values: builder.bitcast(values[0], c.get_value_type(int64))


@instruction
def _real(context: Any, a: Any) -> Any:
    return float64(int64), lambda c, builder, _, values: builder.bitcast(values[0], c.get_value_type(float64))


@word
def _scale(a: float, t: float) -> float:
    """a 2^n for t = ROUND + n, nothing subnormal."""
    return _real(_bits(a) + (_bits(t) << 52))


@word
def _balance(a: float) -> tuple[float, float]:
    """A power of two near 1/sqrt(a), a >= 0, and its inverse."""
    half = _bits(a) >> 53
    return _real((1534 - half) << 52), _real((512 + half) << 52)


@word
def sign(x: float) -> float:
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else x)


@word
def heaviside(x: float) -> float:
    return 0.5 + 0.5 * sign(x)


@word
def maximum(a: float, b: float) -> float:
    return b if b != b else (b if a <= b else a)


@word
def minimum(a: float, b: float) -> float:
    return b if b != b else (b if a >= b else a)


@word
def clip1(x: float) -> float:
    return -1.0 if x < -1.0 else (1.0 if x > 1.0 else x)


@word
def _reduce(high: float, low: float) -> tuple[float, float, float]:
    """ROUND + n and, in two parts, high + low - n ln 2 for the integer n nearest to high / ln 2."""
    t = high * fit.LOG2_E + ROUND
    n = t - ROUND
    first, second = high - n * fit.LN2_HIGH, n * fit.LN2_LOW - low
    r = first - second
    return t, r, (first - r) - second


@word
def _exp_sum(high: float, low: float) -> float:
    """exp(high + low), low below the precision of high."""
    t, r, rest = _reduce(high, low)
    y = _scale(1.0 + (r + (rest + r * r * fit.exp_tail(r))), t)
    y = 0.0 if high < fit.EXP_LOW else y
    y = math.inf if high > fit.EXP_HIGH else y
    return y if high == high else high


@word
def exp(x: float) -> float:
    return _exp_sum(x, 0.0)


@word
def expm1(x: float) -> float:
    """half (e^r - 1) + half - 1/2, doubled: 2^1024 would overflow."""
    t, r, rest = _reduce(maximum(-40.0, minimum(x, 710.0)), 0.0)
    half = _scale(0.5, t)
    return 2.0 * (half * (r + (rest + r * r * fit.exp_tail(r))) + (half - 0.5))


@word
def tanh(x: float) -> float:
    m = expm1(minimum(2.0 * math.fabs(x), 40.0))
    return math.copysign(m / (m + 2.0), x)


@word
def _exp_times(a: float, b: float, factor: float) -> float:
    """exp(a + b) factor / 2, rounded like the product: no part of it overflows or underflows alone."""
    total = a + b
    shift = total - a
    low = (a - (total - shift)) + (b - shift)
    t, r, rest = _reduce(maximum(-1414.0, minimum(total, 1414.0)), low if low == low else 0.0)
    first = (t - ROUND) * 0.5 + ROUND
    second = (t - (first - ROUND)) - 1.0
    return _scale(1.0, first) * (1.0 + (r + (rest + r * r * fit.exp_tail(r)))) * factor * _scale(1.0, second)


@word
def exp_sinh(a: float, b: float) -> float:
    size = math.fabs(b)
    return math.copysign(_exp_times(a, size, -expm1(-2.0 * size)), b)


@word
def exp_cosh(a: float, b: float) -> float:
    size = math.fabs(b)
    return _exp_times(a, size, 2.0 + expm1(-2.0 * size))  # like exp_sinh, to share it


@word
def sinh(x: float) -> float:
    return exp_sinh(0.0, x)


@word
def cosh(x: float) -> float:
    return exp_cosh(0.0, x)


@word
def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x))


@word
def softplus(x: float) -> float:
    """max(x, 0) + log(1 + y), y = exp(-|x|); log(1 + y) = 2 atanh(y/(2 + y))."""
    y = exp(-math.fabs(x))
    w = y / (2.0 + y)
    return (x if x > 0.0 else 0.0) + 2.0 * (w + w * (w * w) * fit.atanh_tail(w * w))


@word
def _erfcx_half(x: float) -> float:
    """exp(x^2) erfc(x) for finite x >= 0."""
    u = 2.0 * x / (x + 4.0)
    return (1.0 + u * fit.erfcx_tail(u - 1.0)) / (1.0 + 2.0 * x)


@word
def _erfc_half(x: float) -> float:
    """erfc(x) for x >= 0."""
    y = minimum(x, 30.0)
    square = y * y
    return _exp_sum(-square, -_fma(y, y, -square)) * _erfcx_half(y)


@word
def erf(x: float) -> float:
    near = clip1(x)
    inner = near + near * fit.erf_tail(near * near)
    outer = math.copysign(1.0 - _erfc_half(math.fabs(x)), x)
    return outer if math.fabs(x) > 1.0 else inner


@word
def erfc(x: float) -> float:
    tail = _erfc_half(math.fabs(x))
    return 2.0 - tail if x < 0.0 else tail


@word
def _arc(x: float) -> tuple[bool, float]:
    """Whether |x| > 1/2, and the arc sine of |x|, of sqrt((1 - |x|)/2) if so."""
    size = math.fabs(x)
    far = size > 0.5
    z = 0.5 - 0.5 * size if far else size * size
    s = math.sqrt(z) if far else size
    return far, s + s * z * fit.asin_tail(z)


@word
def asin(x: float) -> float:
    far, angle = _arc(x)
    return math.copysign(2.0 * fit.QUARTER_PI_HIGH - 2.0 * (angle - fit.QUARTER_PI_LOW) if far else angle, x)


@word
def acos(x: float) -> float:
    far, angle = _arc(x)
    quarters = (4.0 if x < 0.0 else 0.0) if far else 2.0
    turned = 2.0 * angle if far else angle
    turned = turned if (x < 0.0) != far else -turned
    return quarters * fit.QUARTER_PI_HIGH + (turned + quarters * fit.QUARTER_PI_LOW)


@word
def half_turn(y: float, x: float) -> float:
    """The angle of (x, y) in [0, pi], y >= 0, |x| + |y| not too large."""
    run = math.fabs(x)
    steep = y > run
    small, large = (run if steep else y), (y if steep else run)
    wide = small > fit.TAN_PI_8 * large
    top, bottom = (small - large if wide else small), (small + large if wide else large)
    return _turned(top / (1.0 if bottom == 0.0 else bottom), wide, steep, x < 0.0)


@word
def atan2(y: float, x: float) -> float:
    """The angle of (x, y) in [-pi, pi]."""
    rise, run = math.fabs(y), math.fabs(x)
    steep = rise > run
    small, large = (run if steep else rise), (rise if steep else run)
    wide = small > (fit.TAN_PI_8 * large if large <= LARGEST else LARGEST)
    top = 0.5 * small - 0.5 * large if wide else small
    bottom = 0.5 * small + 0.5 * large if wide else large
    t = (0.0 if small == large else top) / (1.0 if bottom == 0.0 else bottom)
    return math.copysign(_turned(t, wide, steep, x < 0.0), y)


@word
def _turned(t: float, wide: bool, steep: bool, back: bool) -> float:
    """The angle in [0, pi] whose octants, and place t = tan of what is left within its own, these are."""
    angle = t + t * (t * t) * fit.atan_tail(t * t)
    quarters = 1.0 if wide else 0.0
    quarters, angle = (2.0 - quarters, -angle) if steep else (quarters, angle)
    quarters, angle = (4.0 - quarters, -angle) if back else (quarters, angle)
    return quarters * fit.QUARTER_PI_HIGH + (angle + quarters * fit.QUARTER_PI_LOW)


@word
def atan(x: float) -> float:
    return atan2(x, 1.0)
