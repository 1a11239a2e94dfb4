"""Closing a mean into a formula, for sums of x^n exp(a x^2 + b x) T(x), T one of 1, step, erf(s x), delta.

1. Each Gaussian factor tilts the law: exp(a u^2 + c v^2) turns the covariance S into (S^-1 - 2 diag(a, c))^-1 at the
   price det(1 - 2 diag(a, c) S)^(-1/2); linear exponents (sin, cos, exp) shift the mean.
2. Stein: E u F(u) G(v) = p E F'(u) G(v) + k E F(u) G'(v) lowers the powers; T' is a delta or a Gaussian factor again.
3. What is left is E T(u) T(v): 1, 1/2, 0, an orthant probability, an arcsine, a density at the origin.
Whatever is no such sum stays open, and is integrated numerically by whoever needs its value.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from sympy import (
    Add,
    Expr,
    I,
    Mul,
    S,
    asin,
    binomial,
    cancel,
    cos,
    cosh,
    exp,
    expand,
    factor_terms,
    pi,
    sin,
    sinh,
    sqrt,
)

from symbolic.functions import Orthant, Ramp
from symbolic.gaussian import Mean, PairMean
from symbolic.terms import Open, Term, split_terms, terms


def close(expr: Expr) -> Expr:
    """Replace every mean that can be closed, innermost first.

    >>> from sympy import erf
    >>> from symbolic.functions import X
    >>> from symbolic.gaussian import p, q, k
    >>> close(PairMean(erf(X), erf(X), p, q, k))
    2*asin(2*k/(sqrt(2*p + 1)*sqrt(2*q + 1)))/pi
    """
    return expr.replace(lambda e: isinstance(e, Mean | PairMean), _close_one)


def formula(expr: Expr) -> Expr:
    """The form to show: closed, the orthant moments spelled out; an open mean stays inside as it was written.

    >>> from symbolic.functions import X
    >>> from symbolic.gaussian import p, q, k
    >>> from sympy import Max
    >>> formula(PairMean(Max(X, 0), Max(X, 0), p, q, k))
    (k*(pi - acos(k/(sqrt(p)*sqrt(q)))) + sqrt(-k**2 + p*q))/(2*pi)
    """
    return close(expr).replace(lambda e: isinstance(e, Orthant | Ramp), lambda e: e.elementary())


@lru_cache(maxsize=4096)
def _close_one(mean: Expr) -> Expr:
    try:
        if isinstance(mean, PairMean):
            f, g, p, q, k = mean.args
            pairs = [(a, b) for a in terms(f.expr) for b in terms(g.expr)]
            return _tidy(Add(*(_pair(a, b, p, q, k) for a, b in pairs)))
        f, q = mean.args
        return _tidy(Add(*(_pair(a, b, q, q, q) for a, b in split_terms(f.expr))))
    except Open:
        return mean


def _tidy(expr: Expr) -> Expr:
    """Complex exponentials back to real ones, pairs of real ones to hyperbolic shape, common factors out."""
    expr = expr.replace(lambda e: isinstance(e, exp), _real_and_phase)
    if expr.has(I):
        expr = expand(expr, power_exp=False)
    return factor_terms(_hyperbolic(expr))


def _real_and_phase(power: Expr) -> Expr:
    """exp(a + i b) as exp(a) (cos b + i sin b)."""
    exponent = expand(power.args[0])
    phase = exponent.coeff(I)
    return exp(exponent.subs(I, 0)) * (cos(phase) + I * sin(phase)) if phase != 0 else exp(exponent)


def _hyperbolic(expr: Expr) -> Expr:
    """c e^(a + b) -+ c e^(a - b) as 2 c e^a sinh b or 2 c e^a cosh b."""
    addends = list(Add.make_args(expand(expr, power_exp=False)))
    for i, first in enumerate(addends):
        for j in range(i + 1, len(addends)):
            joined = _join(first, addends[j])
            if joined is not None:
                rest = [a for n, a in enumerate(addends) if n not in (i, j)]
                return joined + _hyperbolic(Add(*rest)) if rest else joined
    return expr


def _join(first: Expr, second: Expr) -> Expr | None:
    one, two = ([e for e in Mul.make_args(term) if isinstance(e, exp)] for term in (first, second))
    if len(one) != 1 or len(two) != 1:
        return None
    weight, other = (Mul(*(e for e in Mul.make_args(term) if not isinstance(e, exp))) for term in (first, second))
    if weight not in (other, -other):
        return None
    middle, half = (
        expand((one[0].args[0] + two[0].args[0]) / 2),
        expand((one[0].args[0] - two[0].args[0]) / 2),
    )
    if half.could_extract_minus_sign():
        return _join(second, first)
    return 2 * weight * exp(middle) * (cosh if weight == other else sinh)(half)


Factor = tuple[int, str, Expr]  # power, kind, scale
ONE: Factor = (0, "1", S.One)


@dataclass(frozen=True)
class Law:
    """The Gaussian weight exp(a u^2 + c v^2) times the density with variances p, q and covariance k."""

    p: Expr
    q: Expr
    k: Expr
    a: Expr = S.Zero
    c: Expr = S.Zero

    def swapped(self) -> "Law":
        return Law(self.q, self.p, self.k, self.c, self.a)

    def tilted(self, a: Expr, c: Expr) -> "Law":
        return replace(self, a=self.a + a, c=self.c + c)

    @property
    def determinant(self) -> Expr:
        if self.p == self.q == self.k:
            return 1 - 2 * (self.a + self.c) * self.q
        return (1 - 2 * self.a * self.p) * (1 - 2 * self.c * self.q) - 4 * self.a * self.c * self.k**2

    @property
    def covariance(self) -> tuple[Expr, Expr, Expr]:
        p, q, k, rest = self.p, self.q, self.k, self.determinant
        if p == q == k:
            return (q / rest,) * 3
        if self.a == 0 and self.c == 0:
            return p, q, k
        area = p * q - k**2
        return cancel((p - 2 * self.c * area) / rest), cancel((q - 2 * self.a * area) / rest), k / rest


def _pair(a: Term, b: Term, p: Expr, q: Expr, k: Expr) -> Expr:
    """E of the product of two terms."""
    law, weight = Law(p, q, k, a.square, b.square), a.coefficient * b.coefficient
    if a.linear == 0 and b.linear == 0:
        return weight * _moment(law, (a.power, a.kind, a.scale), (b.power, b.kind, b.scale))
    if a.kind != "1" or b.kind != "1":
        raise Open("a step or erf beside a linear exponent")
    p, q, k = law.covariance
    shift_u, shift_v = p * a.linear + k * b.linear, k * a.linear + q * b.linear
    weight *= exp(expand(a.linear * shift_u + b.linear * shift_v) / 2)
    moments = (
        binomial(a.power, i) * binomial(b.power, j) * shift_u ** (a.power - i) * shift_v ** (b.power - j)
        * _moment(law, (i, *ONE[1:]), (j, *ONE[1:]))
        for i in range(a.power + 1) for j in range(b.power + 1)
    )  # fmt: skip
    return weight * Add(*moments)


def _moment(law: Law, f: Factor, g: Factor) -> Expr:
    """E exp(a u^2 + c v^2) u^m T(u) v^n T(v) by lowering powers, u first."""
    if g[1] == "delta":
        return _moment(law.swapped(), g, f) if f[1] != "delta" else _at_origin(law, f, g)
    if f[1] == "delta":
        return _at_origin(law, f, g)
    p, q, k = law.covariance
    if law.a == law.c == 0 and f[:2] == g[:2] == (1, "step"):
        return Ramp(p, q, k)
    if f[0] > 0:
        lower = (f[0] - 1, *f[1:])
        first = (w * _moment(law.tilted(s, S.Zero), h, g) for w, s, h in _derivative(lower))
        second = (w * _moment(law.tilted(S.Zero, s), lower, h) for w, s, h in _derivative(g))
        return p * Add(*first) + k * Add(*second)
    if g[0] > 0:
        return _moment(law.swapped(), g, f)
    return _atoms(f, g, p, q, k) / sqrt(law.determinant)


def _derivative(f: Factor) -> list[tuple[Expr, Expr, Factor]]:
    """d/dx of x^n T as (weight, Gaussian exponent, factor)."""
    n, kind, scale = f
    out: list[tuple[Expr, Expr, Factor]] = [(S(n), S.Zero, (n - 1, kind, scale))] if n else []
    if kind == "step":
        out.append((S.One, S.Zero, (n, "delta", S.One)))
    if kind == "erf":
        out.append((2 * scale / sqrt(pi), -(scale**2), (n, *ONE[1:])))
    return out


def _at_origin(law: Law, f: Factor, g: Factor) -> Expr:
    """E delta(u) G(v): the density of u at 0 times the mean of G given u = 0."""
    p, q, k = law.p, law.q, law.k
    if f[0] > 0:
        return S.Zero
    if p == q == k:
        if g[1] == "delta":
            raise Open("the square of a delta")
        at_zero = {"1": S.One, "step": S.Half, "erf": S.Zero}[g[1]]
        return (S.Zero if g[0] else at_zero) / sqrt(2 * pi * p)
    given = Law((p * q - k**2) / p, S.One, S.Zero, law.c)
    return _moment(given, g, ONE) / sqrt(2 * pi * p)


def _atoms(f: Factor, g: Factor, p: Expr, q: Expr, k: Expr) -> Expr:
    """E T(u) T(v) for powers zero."""
    (_, a, s), (_, b, r) = f, g
    if a == "1" and b == "1":
        return S.One
    if "1" in (a, b):
        return S.Half if "step" in (a, b) else S.Zero
    if a == b == "step":
        return Orthant(p, q, k)
    if a == b == "erf":
        return 2 / pi * asin(2 * s * r * k / sqrt((1 + 2 * s**2 * p) * (1 + 2 * r**2 * q)))
    if b == "step":
        return _atoms(g, f, q, p, k)
    return asin(k / sqrt(p * (q + 1 / (2 * r**2)))) / pi
