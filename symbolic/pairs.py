"""Means over two Gaussian variables as formulas, for sums of x^n exp(a x^2 + b x) T(x), T one of 1, step, erf(s x),
delta.

1. Each Gaussian factor tilts the law: exp(a u^2 + c v^2) turns the covariance S into (S^-1 - 2 diag(a, c))^-1 at the
   price det(1 - 2 diag(a, c) S)^(-1/2); linear exponents (sin, cos, exp) shift the mean.
2. Stein: E u F(u) G(v) = p E F'(u) G(v) + k E F(u) G'(v) lowers the powers; T' is a delta or a Gaussian factor again.
3. What is left is E T(u) T(v): 1, 1/2, 0, an orthant probability, an arcsine, a density at the origin.
"""

from dataclasses import dataclass, replace

from sympy import Add, Expr, S, binomial, exp, expand, pi, sqrt

from symbolic.atoms import Arcsine, Area, Orthant, Ramp
from symbolic.terms import Open, Term, terms

Factor = tuple[int, str, Expr]  # power, kind, scale
ONE: Factor = (0, "1", S.One)


@dataclass(frozen=True)
class Law:
    """The Gaussian weight exp(a u^2 + c v^2) times the density with variances p, q and covariance k.

    The determinant 1 - 2ap - 2cq + 4ac(pq - k^2) and all below are sums of one sign for a, c <= 0: nothing cancels.
    """

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
        return 1 - 2 * self.a * self.p - 2 * self.c * self.q + 4 * self.a * self.c * self._before

    @property
    def _before(self) -> Expr:
        return Area(self.p, self.q, self.k)

    @property
    def area(self) -> Expr:
        return self._before / self.determinant

    @property
    def covariance(self) -> tuple[Expr, Expr, Expr]:
        if self.a == 0 and self.c == 0:
            return self.p, self.q, self.k
        area, rest = self._before, self.determinant
        return (self.p - 2 * self.c * area) / rest, (self.q - 2 * self.a * area) / rest, self.k / rest


def pair_mean(f: Expr, g: Expr, p: Expr, q: Expr, k: Expr) -> Expr:
    """E f(u) g(v); Open if it has no formula."""
    return Add(*(_pair(a, b, p, q, k) for a in terms(f) for b in terms(g)))


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
    return _atoms(f, g, law) / sqrt(law.determinant)


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
    if f[0] > 0:
        return S.Zero
    given = Law(Area(law.p, law.q, law.k) / law.p, S.One, S.Zero, law.c)
    return _moment(given, g, ONE) / sqrt(2 * pi * law.p)


def _atoms(f: Factor, g: Factor, law: Law) -> Expr:
    """E T(u) T(v) for powers zero."""
    (_, a, s), (_, b, r) = f, g
    p, q, k = law.covariance
    if a == "1" and b == "1":
        return S.One
    if "1" in (a, b):
        return S.Half if "step" in (a, b) else S.Zero
    if a == b == "step":
        return Orthant(p, q, k)
    if a == b == "erf":
        return 2 / pi * Arcsine(2 * s * r * k, 1 + 2 * s**2 * p + 2 * r**2 * q + 4 * s**2 * r**2 * law.area)
    if b == "step":
        return _atoms(g, f, law.swapped())
    return Arcsine(sqrt(2) * r * k, p + 2 * r**2 * law.area) / pi
