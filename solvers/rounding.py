"""What rounding can do to a formula: emitted text run on numbers that carry error bounds.

For x = (value, error) sums and products add what they lost, other functions their ulps, to what the errors of their
operands can do to them, to first order where the function is smooth, exactly where it is not (roots at 0, arcs at 1):
|ab - AB| <= |a| eb + |b| ea + ea eb,  |sqrt a - sqrt A| <= min(ea/sqrt a, sqrt ea),  |f(a) - f(A)| <= max |f'| ea.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx

Array = npt.NDArray[np.float64]
HALF_ULP = 1.2e-16  # a little over 2^-53, for the second orders
ROOM = 1.000001  # for second orders and for the rounding of the errors themselves
TINY = 1e-300  # what underflow can lose, with room


@dataclass(frozen=True)
class Rounded:
    """Values known to within errors, elementwise."""

    value: Array
    error: Array

    def __add__(self, other: Any) -> "Rounded":
        other = lift(other)
        value, lost = _sum(self.value, other.value)
        return Rounded(value, self.error + other.error + np.abs(lost) + TINY)

    def __mul__(self, other: Any) -> "Rounded":
        other = lift(other)
        spread = np.abs(self.value) * other.error + np.abs(other.value) * self.error + self.error * other.error
        value, lost = _product(self.value, other.value)
        return Rounded(value, spread + np.abs(lost) + HALF_ULP * HALF_ULP * np.abs(value) + TINY)

    def __truediv__(self, other: Any) -> "Rounded":
        other = lift(other)
        value = self.value / other.value
        room = np.maximum(np.abs(other.value) - other.error, 0.0)
        return settled(value, (self.error + np.abs(value) * other.error) / room)

    def __rtruediv__(self, other: Any) -> "Rounded":
        return lift(other) / self

    def __neg__(self) -> "Rounded":
        return Rounded(-self.value, self.error)

    def __pow__(self, exponent: float) -> "Rounded":
        low, high = np.maximum(np.abs(self.value) - self.error, 0.0), np.abs(self.value) + self.error
        steepest = np.maximum(low ** (exponent - 1), high ** (exponent - 1))
        return settled(self.value**exponent, abs(exponent) * steepest * self.error, ulps=2 + abs(exponent))

    __radd__, __rmul__ = __add__, __mul__


def lift(x: Any) -> Rounded:
    """A constant of the text; one with few bits is meant exactly."""
    if isinstance(x, Rounded):
        return x
    value = np.asarray(x, dtype=np.float64)
    return Rounded(value, np.where(value * 1024 == np.rint(value * 1024), 0.0, HALF_ULP * np.abs(value)))


def _sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b as a rounded sum and what it lacks (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _product(a: Array, b: Array) -> tuple[Array, Array]:
    """a b as a rounded product and what it lacks (Veltkamp and Dekker)."""
    high_a, high_b = ((134217729.0 * x) - (134217729.0 * x - x) for x in (a, b))
    product = a * b
    return product, ((high_a * high_b - product) + high_a * (b - high_b) + (a - high_a) * high_b) + (a - high_a) * (
        b - high_b
    )


def settled(value: Array, spread: Array, ulps: float = 1.0) -> Rounded:
    return Rounded(value, spread * ROOM + ulps * HALF_ULP * np.abs(value) + TINY)


def bounds(text: str, name: str, columns: Sequence[Array]) -> list[tuple[Array, Array]]:
    """The results of an emitted function with their error bounds, for exact arguments."""
    world: dict[str, Any] = {"__builtins__": {}, **WORDS}
    exec(compile(text, "<formula>", "exec"), world)
    exact = [Rounded(np.asarray(c, dtype=np.float64), np.zeros_like(c, dtype=np.float64)) for c in columns]
    with np.errstate(all="ignore"):
        results = [lift(r) for r in world[name](*exact)]
    shape = np.broadcast_shapes(*(np.shape(c) for c in columns))
    # What the last sum lost can be all there is: one rounding more than counted.
    ends = [(r.value, r.error * ROOM + HALF_ULP * np.abs(r.value)) for r in results]
    return [(np.broadcast_to(value, shape), np.broadcast_to(error, shape)) for value, error in ends]


def smooth(
    function: Callable[[Array], Array], steepest: Callable[[Array, Array, Array], Array], ulps: float = 2.0
) -> Callable[[Any], Rounded]:
    """A word whose slope is bounded by steepest(|x|, error, result)."""

    def word(x: Any) -> Rounded:
        x = lift(x)
        value = function(x.value)
        return settled(value, steepest(np.abs(x.value), x.error, value) * x.error, ulps)

    return word


def sqrt(x: Any) -> Rounded:
    x = lift(x)
    value = np.sqrt(x.value)
    return settled(value, np.minimum(x.error / np.maximum(value, TINY), np.sqrt(x.error)))


def _arc(function: Callable[[Array], Array]) -> Callable[[Any], Rounded]:
    def word(x: Any) -> Rounded:
        x = lift(x)
        size = np.minimum(np.abs(x.value), 1.0)
        reach = np.arcsin(np.minimum(size + x.error, 1.0)) - np.arcsin(np.maximum(size - x.error, 0.0))
        # Close to 1 the reach is a difference of arcs, itself known to a few digits only.
        return settled(function(np.clip(x.value, -1.0, 1.0)), 1.001 * reach + HALF_ULP)

    return word


def atan2(y: Any, x: Any) -> Rounded:
    y, x = lift(y), lift(x)
    square = np.maximum(y.value**2 + x.value**2, TINY)
    spread = (np.abs(x.value) * y.error + np.abs(y.value) * x.error) / square
    return settled(np.arctan2(y.value, x.value), np.minimum(spread, 6.3), ulps=3)


def arcsine(n: Any, m: Any) -> Rounded:
    return atan2(n, sqrt(m))


def area(p: Any, q: Any, k: Any) -> Rounded:
    p, q, k = lift(p), lift(q), lift(k)
    (one, lost_one), (other, lost_other) = _product(p.value, q.value), _product(k.value, k.value)
    value = np.maximum((one - other) + (lost_one - lost_other), 0.0)
    spread = np.abs(p.value) * q.error + np.abs(q.value) * p.error + 2 * np.abs(k.value) * k.error
    return settled(value, spread + 1e-31 * np.abs(one), ulps=3)


def orthant(p: Any, q: Any, k: Any) -> Rounded:
    return atan2(sqrt(area(p, q, k)), -lift(k)) / (2 * np.pi)


def ramp(p: Any, q: Any, k: Any) -> Rounded:
    return (sqrt(area(p, q, k)) + k * atan2(sqrt(area(p, q, k)), -lift(k))) / (2 * np.pi)


def exp_sinh(a: Any, b: Any) -> Rounded:
    """exp(a + |b|) (1 - exp(-2 |b|))/2, relative errors of the first factor and absolute ones of b."""
    a, b = lift(a), lift(b)
    size, total = np.abs(b.value), a.value + np.abs(b.value)
    value = np.copysign(-0.5 * np.exp(total) * np.expm1(-2 * size), b.value)
    relative = np.expm1(a.error + HALF_ULP * np.abs(total))
    by_b = 0.5 * (np.exp(total) + np.exp(a.value - size)) * np.expm1(b.error)
    return settled(value, np.abs(value) * relative + by_b, ulps=5)


def exp_cosh(a: Any, b: Any) -> Rounded:
    a, b = lift(a), lift(b)
    return (exp(a + b) + exp(a + -b)) * 0.5


def tail(b: Any, t: Any, m: Any, v: Any) -> Rounded:
    b, t, m, v = lift(b), lift(t), lift(m), lift(v)
    unit = sqrt(v * 2.0)
    w, a = (t + -m) / unit, (t + -(m + b * v)) / unit
    size = np.abs(a.value)
    scaled = settled(erfcx(size), 1.2 * a.error, ulps=8)
    part, whole = exp(b * t + -(w * w)) * scaled * 0.5, exp(b * m + b * b * v * 0.5)
    rest = whole + -part
    below = a.value < 0
    return Rounded(np.where(below, rest.value, part.value), np.where(below, rest.error, part.error))


def maximum(a: Any, b: Any) -> Rounded:
    a, b = lift(a), lift(b)
    return Rounded(np.maximum(a.value, b.value), np.maximum(a.error, b.error))


def minimum(a: Any, b: Any) -> Rounded:
    return -maximum(-lift(a), -lift(b))


def absolute(x: Any) -> Rounded:
    x = lift(x)
    return Rounded(np.abs(x.value), x.error)


def clip1(x: Any) -> Rounded:
    return minimum(maximum(x, -1.0), 1.0)


def erf(x: Any) -> Rounded:
    """Through 1 - erf, which is accurate in its tail."""
    x = lift(x)
    size = np.abs(x.value)
    slope = 1.13 * np.exp(-(np.maximum(size - x.error, 0.0) ** 2))
    return settled(np.copysign(1 - np.exp(-size * size) * erfcx(size), x.value), slope * x.error + 4 * HALF_ULP)


def erfc(x: Any) -> Rounded:
    x = lift(x)
    size = np.abs(x.value)
    tail_of = np.exp(-size * size) * erfcx(size)
    slope = 1.13 * np.exp(-(np.maximum(size - x.error, 0.0) ** 2))
    lost = (8 + 2 * size * size) * HALF_ULP * tail_of
    return settled(np.where(x.value < 0, 2 - tail_of, tail_of), slope * x.error + lost)


exp = smooth(np.exp, lambda size, error, value: value * np.exp(error))
expm1 = smooth(np.expm1, lambda size, error, value: (value + 1) * np.exp(error))
log = smooth(np.log, lambda size, error, value: 1 / np.maximum(size - error, TINY))
sin, cos = (smooth(f, lambda size, error, value: np.ones_like(value)) for f in (np.sin, np.cos))
tanh, atan = (smooth(f, lambda size, error, value: np.ones_like(value), ulps=3) for f in (np.tanh, np.arctan))
sinh, cosh = (smooth(f, lambda size, error, value: np.cosh(size + error), ulps=3) for f in (np.sinh, np.cosh))
asin, acos = _arc(np.arcsin), _arc(np.arccos)

WORDS: dict[str, Callable[..., Rounded]] = {
    f: globals()[f]
    for f in (
        *("exp", "expm1", "log", "sin", "cos", "tanh", "atan", "sinh", "cosh", "asin", "acos", "sqrt", "atan2", "area"),
        *("arcsine", "orthant", "ramp", "exp_sinh", "exp_cosh", "tail", "maximum", "minimum", "absolute", "clip1"),
        *("erf", "erfc"),
    )
}
