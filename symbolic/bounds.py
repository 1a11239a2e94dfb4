"""Bounds by structure: |f(x)| <= sum c x^n exp(b x + a x^2) on a part of the half-line x >= 0, with exact constants.

|f + g| <= |f| + |g|, |f g| = |f| |g|, |1/f| <= 1/floor(f), exp(P + r) <= exp(P + sup r) for deg P <= 2, bounded
functions by their range, sigmoid(g) <= exp(g), erfc(g) <= exp(-g^2) for g >= 0, softplus(g) <= log 2 + |g|, |log g| by
a floor c exp(b x + a x^2) <= |g| and a ceiling of g; a sum of nothing negative has the floor of its largest part.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sympy import (
    Abs,
    Add,
    DiracDelta,
    Expr,
    Max,
    Min,
    Mul,
    Piecewise,
    Pow,
    S,
    cosh,
    erfc,
    exp,
    expand,
    factorial,
    floor,
    log,
    oo,
    sinh,
)

from symbolic.functions import Whole, X, sigmoid, softplus
from symbolic.ranges import value_range

MAX_TERMS = 200


@dataclass(frozen=True)
class Bound:
    """coefficient * x^power * exp(linear x + square x^2) for x >= 0, coefficient >= 0."""

    coefficient: Expr
    power: int = 0
    linear: Expr = S.Zero
    square: Expr = S.Zero

    def __mul__(self, other: "Bound") -> "Bound":
        return Bound(
            self.coefficient * other.coefficient,
            self.power + other.power,
            self.linear + other.linear,
            self.square + other.square,
        )

    def to_the(self, r: Expr) -> "Bound":
        """The r-th power; of a power of x only where it stays an integer."""
        return Bound(self.coefficient**r, int(self.power * r), self.linear * r, self.square * r)


Bounds = tuple[Bound, ...]


class Unknown(Exception):
    """No rule bounds this."""


@dataclass(frozen=True)
class Side:
    """The part low <= x <= high of the half-line x >= 0, on which bounds hold."""

    low: Expr
    high: Expr

    def range(self, e: Expr) -> tuple[Expr, Expr]:
        return value_range(e, self.low, self.high)

    def terms(self, e: Expr) -> Bounds:
        """Terms whose sum is at least |e|."""
        if not e.has(X):
            return (Bound(_real(abs(e))),)
        if e == X:
            return (Bound(S.One, 1),)
        if isinstance(e, Add):
            return self.sum(e)
        if isinstance(e, Mul):
            return self.product(e.args)
        if isinstance(e, exp):
            return self.exponential(e.args[0])
        if isinstance(e, Pow):
            return self.power(e.base, e.exp)
        return self.function(e)

    def sum(self, e: Expr) -> Bounds:
        bounds = _merged(b for a in e.args for b in self.terms(a))
        low, high = self.range(e)
        decays = any(b.linear < 0 or b.square < 0 for b in bounds)
        return bounds if decays or low == -oo or high == oo else (Bound(Max(abs(low), abs(high))),)

    def product(self, factors: tuple[Expr, ...]) -> Bounds:
        out: Bounds = (Bound(S.One),)
        for factor in factors:
            out = _merged(a * b for a in out for b in self.terms(factor))
        return out

    def exponential(self, exponent: Expr) -> Bounds:
        poly, rest = _quadratic(exponent)
        if rest == 0:
            return (_exp(poly),)
        top = self.range(rest)[1]
        if top < oo:
            return (_exp(poly) * Bound(exp(_real(top))),)
        extra = self.terms(rest)
        if any(b.power > 2 or b.linear > 0 or b.square > 0 for b in extra):
            raise Unknown(exponent)
        return (_exp(poly) * _exp([sum(b.coefficient for b in extra if b.power == n) for n in range(3)]),)

    def power(self, base: Expr, n: Expr) -> Bounds:
        if n.has(X):
            if not base.is_positive and not self.range(base)[0] > 0:
                raise Unknown(base**n)
            return self.exponential(n * log(base))
        if not n.is_real:
            raise Unknown(base**n)
        if n < 0:
            return (self.floor(base).to_the(n),)
        whole, part = floor(n), n - floor(n)
        out = self.product((base,) * int(whole))
        if part == 0:
            return out
        return _merged(a * b for a in out for b in _roots(self.terms(base), part))

    def function(self, e: Expr) -> Bounds:
        g = e.args[0]
        if isinstance(e, sinh | cosh):
            return _merged(b * Bound(S.Half) for b in (*self.terms(exp(g)), *self.terms(exp(-g))))
        if isinstance(e, sigmoid) and self.range(g)[1] <= 0:
            return self.terms(exp(g))
        if isinstance(e, erfc) and self.range(g)[0] >= 0:
            return self.terms(exp(-(g**2)))
        if isinstance(e, DiracDelta):
            return (Bound(S.Zero),)
        low, high = self.range(e)
        if low > -oo and high < oo:
            return (Bound(Max(abs(low), abs(high))),)
        if isinstance(e, softplus):
            return _merged((Bound(log(2)), *self.terms(g)))
        if isinstance(e, Abs | Max | Min):
            return _merged(b for a in e.args for b in self.terms(a))
        if isinstance(e, Piecewise):
            return _merged(b for value, _ in e.args for b in self.terms(value))
        if isinstance(e, log):
            return self.logarithm(g)
        if isinstance(e, Whole):
            return self.terms(e.elementary())
        raise Unknown(e)

    def logarithm(self, g: Expr) -> Bounds:
        """log c + b x + a x^2 <= log g for the floor, the same from above for the ceiling."""
        below, above = self.floor(g), _single(self.terms(g))
        ends = [abs(log(below.coefficient)) + abs(log(above.coefficient))]
        ends += [abs(below.linear) + abs(above.linear), abs(below.square) + abs(above.square)]
        return _merged(Bound(c, n) for n, c in enumerate(ends))

    def floor(self, e: Expr) -> Bound:
        """One term without a power of x that is at most |e|."""
        if isinstance(e, exp):
            poly, rest = _quadratic(e.args[0])
            bottom = self.range(rest)[0]
            if bottom > -oo:
                return _exp(poly) * Bound(exp(_real(bottom)))
        if isinstance(e, Mul):
            out = Bound(S.One)
            for factor in e.args:
                out = out * self.floor(factor)
            return out
        if isinstance(e, Pow) and e.exp.is_real:
            return self.floor(e.base).to_the(e.exp) if e.exp > 0 else _single(self.terms(e.base)).to_the(e.exp)
        if isinstance(e, sigmoid | cosh):
            return self.floor(e.elementary() if isinstance(e, sigmoid) else e.rewrite(exp))
        if isinstance(e, Add) and all(self.range(a)[0] >= 0 for a in e.args):
            return self.largest_floor(e.args)
        low, high = self.range(e)
        if low > 0 or high < 0:
            return Bound(low if low > 0 else -high)
        raise Unknown(e)

    def largest_floor(self, addends: tuple[Expr, ...]) -> Bound:
        """Of addends that are not negative, the floor of the one that grows most."""
        floors = []
        for a in addends:
            try:
                floors.append(self.floor(a))
            except Unknown:
                continue
        if not floors:
            raise Unknown(Add(*addends))
        return max(floors, key=lambda b: (b.square, b.linear, b.coefficient))


def _real(c: Expr) -> Expr:
    if not (c.is_extended_real and c.is_number and c.is_finite):
        raise Unknown(c)
    return c


def _exp(poly: list[Expr]) -> Bound:
    return Bound(exp(poly[0]), 0, poly[1], poly[2])


def _quadratic(e: Expr) -> tuple[list[Expr], Expr]:
    """The coefficients of 1, x, x^2 in a sum, and the rest of it."""
    poly, rest = [S.Zero] * 3, S.Zero
    for addend in Add.make_args(expand(e)):
        n = next((n for n in range(3) if not (addend / X**n).has(X)), None)
        if n is None:
            rest += addend
        else:
            poly[n] += _real(addend / X**n)
    return poly, rest


def _roots(bounds: Bounds, r: Expr) -> Bounds:
    """(s + t)^r <= s^r + t^r for r <= 1, and x^m <= 1 + x^ceil(m)."""
    out = []
    for b in bounds:
        whole = (b.power * r).is_integer
        powers = {b.power * r} if whole else {0, -floor(-b.power * r)}
        out += [Bound(b.coefficient**r, int(n), b.linear * r, b.square * r) for n in powers]
    return _merged(out)


def _merged(bounds: Iterable[Bound]) -> Bounds:
    sums: dict[tuple[int, Expr, Expr], Expr] = {}
    for b in bounds:
        key = b.power, b.linear, b.square
        sums[key] = sums.get(key, S.Zero) + b.coefficient
    if len(sums) > MAX_TERMS:
        raise Unknown("too many terms")
    return tuple(Bound(c, *key) for key, c in sums.items() if c != 0) or (Bound(S.Zero),)


def _single(bounds: Bounds) -> Bound:
    """One term above the sum; x^n <= n! exp(x)."""
    total = Add(*(b.coefficient * factorial(b.power) for b in bounds))
    linear = Max(*(b.linear + (1 if b.power else 0) for b in bounds))
    return Bound(total, 0, linear, Max(*(b.square for b in bounds)))
