"""Certified digits: means, duals and critical points as balls that contain the exact value, by Arb.

A dual with a formula is evaluated in ball arithmetic, one without is a Hermite series with a Parseval tail, or one
integral where |k| = sqrt(p q). The edge of chaos of phi >> Dense solves F(q) = q - E phi^2/E phi'^2 - bias_var = 0; if
    N(B) = m - F(m)/F'(B), m the middle of B,
lies inside the ball B, then B holds exactly one root of F, and it lies in N(B) (Moore 1966). F' needs no second
derivative: d/dq E h(u) = E (z^2 - 1) h(sqrt(q) z)/(2 q).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import ceil, isfinite, log2
from numbers import Integral
from typing import Any

from sympy import DiracDelta, Expr, Float, Rational, sqrt

from meanfield.ball_means import Scaled, mean, settled
from meanfield.ball_series import pair_mean
from meanfield.balls import Arb, NotCertified, constant, flint
from symbolic.activations import activation
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean
from symbolic.gaussian import k as K
from symbolic.gaussian import p as P
from symbolic.gaussian import q as Q
from symbolic.landmarks import slope

__all__ = ["Ball", "CertifiedEdge", "NotCertified", "certified_edge", "enclose_dual", "enclose_mean", "enclose_pair"]

SPARE, STEPS = 32, 24  # bits beyond those of the digits asked for; Newton steps


@dataclass(frozen=True)
class Ball:
    """mid +- radius, both exact decimals, printed like 0.813322326872871(1): the exact value lies inside."""

    mid: str
    radius: str
    digits: int

    @classmethod
    def of(cls, value: Arb, digits: int) -> "Ball":
        """An arb in at most `digits` digits, its radius counted in units of the last one."""
        mid, rad, exponent = (int(n) for n in value.mid_rad_10exp(digits + 5))
        drop = max(len(str(abs(mid))) - digits, len(str(rad)) - 1, 0)
        while len(str(abs(short := round(Fraction(mid, 10**drop))))) > digits:
            drop += 1
        slack = ceil(abs(Fraction(mid, 10**drop) - short) + Fraction(rad, 10**drop))
        while slack == 0 and short and short % 10 == 0:
            short, drop = short // 10, drop + 1
        return cls(_decimal(short, exponent + drop if short or slack else 0), _decimal(slack, exponent + drop), digits)

    def contains(self, x: Any) -> bool:
        """Whether a number, taken exactly (a str as the decimal it spells), lies in the ball."""
        return abs(_fraction(x) - Fraction(self.mid)) <= Fraction(self.radius)

    def overlaps(self, other: "Ball") -> bool:
        """Whether both can be the same number."""
        return abs(Fraction(self.mid) - Fraction(other.mid)) <= Fraction(self.radius) + Fraction(other.radius)

    def __float__(self) -> float:
        return float(self.mid)

    def __str__(self) -> str:
        if not Fraction(self.radius):
            return self.mid
        shown, mark, power = self.mid.partition("E")
        return f"{shown}({''.join(map(str, Decimal(self.radius).as_tuple().digits))}){mark}{power}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class CertifiedEdge:
    """A point of the edge of chaos, proved: exactly one fixed point lies in the ball q, weight_var and chi_q are those
    of that point."""

    weight_var: Ball
    bias_var: str
    q: Ball
    chi_q: Ball
    activation: str = field(repr=False, default="")

    def __str__(self) -> str:
        return (
            f"{self.activation}: critical at weight_var = {self.weight_var}, bias_var = {self.bias_var}\n"
            f"  q = {self.q}   chi_q = {self.chi_q}\n"
            "  proved: an interval Newton step maps a ball around q into itself, so exactly one critical point is there"
        )

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def enclose_mean(body: Expr, q: Any, digits: int = 50) -> Ball:
    """E body(u) for u ~ N(0, q), q an exact number (a float is the number it stores, a str the decimal it spells).

    Raises NotCertified (a ValueError) where no finite ball is found, ValueError for a negative variance.
    """
    variance = _variance("q", q)
    return Ball.of(settled(_digits(digits), lambda eps: _line([(body, variance)], eps)), digits)


def enclose_pair(f: Expr, g: Expr, p: Any, q: Any, k: Any, digits: int = 50) -> Ball:
    """E f(u) g(v) for variances p, q and covariance k. Near |k| = sqrt(p q) the ball may be wider than asked."""
    p, q, k = _covariance(p, q, k)
    if k == 0 or p == 0 or q == 0:
        return Ball.of(settled(_digits(digits), lambda eps: _line([(f, p)], eps) * _line([(g, q)], eps)), digits)
    if k**2 == p * q:
        reflected = g if k > 0 else g.subs(X, -X)
        return Ball.of(settled(_digits(digits), lambda eps: _line([(f, p), (reflected, q)], eps)), digits)
    series = settled(_digits(digits), lambda eps: pair_mean(f, g, (p, q), constant(k / sqrt(p * q)), eps), capped=True)
    return Ball.of(series, digits)


def enclose_dual(expr: Expr, phi: Any, psi: Any, p: Any, q: Any, k: Any, digits: int = 50) -> Ball:
    """E phi(u) psi(v) from its formula in p, q, k where `expr` is one, else from the activations."""
    law = _covariance(p, q, k)
    if not expr.has(Mean, PairMean) and law[2] ** 2 < law[0] * law[1]:
        at_numbers = expr.subs(dict(zip((P, Q, K), law, strict=True)), simultaneous=True)
        return Ball.of(settled(_digits(digits), lambda eps: constant(at_numbers)), digits)
    return enclose_pair(activation(phi).formula, activation(psi).formula, *law, digits)


def certified_edge(phi: Any, bias_var: Any, *, near: float, digits: int = 50) -> CertifiedEdge:
    """The critical point of phi >> Dense with this bias_var whose length lies near a float64 solution, proved.

    Raises NotCertified (a ValueError) where Newton's step proves nothing: no root there, or one that is not isolated
    (a scale-invariant activation is critical at every length, and a length 0 is a limit).
    """
    act, bias = activation(phi), _variance("bias_var", bias_var)
    if slope(act.formula).has(DiracDelta):
        raise NotCertified(f"{act.name} jumps, so E phi'(u)^2 is infinite and it has no edge of chaos")
    if not (isfinite(near) and near > 0):
        raise NotCertified(f"a critical length is positive, and a proof starts from one, not from {near}")
    bodies = act.formula**2, act.formula.diff(X) ** 2

    def moments(q: Arb, order: int = 0) -> list[Arb]:
        eps = flint().arb(near) * flint().arb(2) ** -(flint().ctx.prec - SPARE)
        return [mean((Scaled(body, q),), eps, order) for body in bodies]

    def gap(q: Arb) -> Arb:
        a, c = moments(q)
        return q - a / c - constant(bias)

    def rate(q: Arb) -> Arb:
        (a, c), (da, dc) = moments(q), moments(q, order=2)
        return 1 - (da * c - a * dc) / (c * c * 2 * q)

    with flint().ctx.workprec(ceil((_digits(digits) + 8) * log2(10)) + SPARE):
        length = isolated(gap, rate, near)
        c, da = moments(length)[1], moments(length, order=2)[0]
        found = [Ball.of(x, digits) for x in (1 / c, length, da / (2 * length * c))]
    return CertifiedEdge(found[0], str(bias), found[1], found[2], act.name)


def isolated(f: Callable[[Arb], Arb], slope: Callable[[Arb], Arb], near: float) -> Arb:
    """A ball with exactly one root of f, by Newton's step out of a ball around an approximation of half the digits."""
    module = flint()
    half = module.ctx.prec // 2 + SPARE // 2
    middle, bits, step = module.arb(near), 48, module.arb(near)
    for _ in range(STEPS):
        with module.ctx.workprec(bits + SPARE):
            step = f(middle) / slope(middle)
            if not (step.is_finite() and abs(step) < middle / 2):
                break
            middle = (middle - step).mid()
        if abs(step) < middle * module.arb(2) ** (-bits // 2):
            if bits == half:
                break
            bits = min(2 * bits, half)
    for widening in (0, 10, 20):
        around = middle + module.arb(0, middle * module.arb(2) ** (widening + SPARE // 2 - half))
        image = newton(f, slope, around)
        if image is not None:
            return image
    raise NotCertified(f"no isolated root near {near}: Newton's step does not map a ball around it into itself")


def newton(f: Callable[[Arb], Arb], slope: Callable[[Arb], Arb], around: Arb) -> Arb | None:
    """N(B) where it lies inside B and so proves that B holds exactly one root of f; else None."""
    module, middle = flint(), around.mid()
    with module.ctx.workprec(module.ctx.prec // 2 + SPARE):
        rate = slope(around)
    image = middle - f(middle) / rate
    return image if image.is_finite() and around.contains_interior(image) else None


def _line(factors: list[tuple[Expr, Rational]], eps: Arb) -> Arb:
    """E of the product over one standard variable; a factor of variance 0 is its value at 0."""
    value, moving = flint().arb(1), []
    for body, variance in factors:
        if variance == 0:
            value *= constant(body.subs(X, 0))
        else:
            moving.append(Scaled(body, variance))
    return value * mean(moving, eps) if moving else value


def _covariance(p: Any, q: Any, k: Any) -> tuple[Rational, Rational, Rational]:
    p, q, k = _variance("p", p), _variance("q", q), _exact("k", k)
    if k**2 > p * q:
        raise ValueError(f"(p, q, k) must be two variances and a covariance with k^2 <= p q, not ({p}, {q}, {k})")
    return p, q, k


def _variance(name: str, x: Any) -> Rational:
    value = _exact(name, x)
    if value < 0:
        raise ValueError(f"{name} is a variance and must be at least 0, not {x}")
    return value


def _exact(name: str, x: Any) -> Rational:
    try:
        return Rational(_fraction(x))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a finite number (int, float, decimal str or fraction), not {x!r}") from None


def _fraction(x: Any) -> Fraction:
    """The exact value of a number."""
    if isinstance(x, Expr):
        if not isinstance(x, Rational | Float):
            raise TypeError(f"{x} is no rational number")
        x = Rational(x)
        return Fraction(int(x.p), int(x.q))
    if isinstance(x, Integral):
        return Fraction(int(x))
    if hasattr(x, "man_exp"):
        man, exp = x.man_exp
        return Fraction(int(man)) * Fraction(2) ** int(exp)
    return Fraction(x)


def _digits(digits: int) -> int:
    if not 1 <= digits <= 1000:
        raise ValueError(f"digits must lie between 1 and 1000, not {digits}")
    return digits


def _decimal(n: int, exponent: int) -> str:
    return str(Decimal((int(n < 0), tuple(map(int, str(abs(n)))), exponent)))
