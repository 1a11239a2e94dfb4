"""What closed means are made of, kept whole until they are shown, because their elementary forms lose digits.

For centred Gaussians with variances p, q and covariance k:  Area = pq - k^2,  Orthant = P(u > 0, v > 0),
Ramp = E[max(u, 0) max(v, 0)]  (Cho and Saul 2009, n = 0, 1);  Arcsine(n, m) = asin(n/sqrt(n^2 + m)).
For x ~ N(m, v):  Tail(b, t, m, v) = E[exp(b x); x > t],  Gain(b, t, m, v) = E[exp(b x) - 1; x > t].
Bvn(h, k, r) = P(X < h, Y < k), X, Y standard with correlation r, is an atom for good (Owen 1956).
"""

from typing import Any

import mpmath
from sympy import Expr, Float, Function, Rational, S, acos, asin, erf, erfc, exp, factor, oo, pi, sqrt

from symbolic.functions import Whole, elementary


def density(t: Expr, m: Expr, v: Expr) -> Expr:
    """The density of N(m, v) at t."""
    return exp(-((t - m) ** 2) / (2 * v)) / sqrt(2 * pi * v)


class Area(Whole):
    """pq - k^2, which rounding carries far from itself near correlation 1."""

    @classmethod
    def eval(cls, p: Expr, q: Expr, k: Expr) -> Expr | None:
        if p == q == k:
            return S.Zero
        return p * q - k**2 if k.is_zero or (p.is_number and q.is_number and k.is_number) else None

    def fdiff(self, argindex: int = 1) -> Expr:
        p, q, k = self.args
        return (q, p, -2 * k)[argindex - 1]

    def _eval_is_extended_nonnegative(self) -> bool:
        return True

    def elementary(self) -> Expr:
        p, q, k = self.args
        return p * q - k**2


class Orthant(Whole):
    """P(u > 0, v > 0); its derivative in k is the density at the origin, 1/(2 pi sqrt(pq - k^2))."""

    @classmethod
    def eval(cls, p: Expr, q: Expr, k: Expr) -> Expr | None:
        return S.Half if p == q == k else None

    def fdiff(self, argindex: int = 1) -> Expr:
        p, q, k = self.args
        at_origin = 1 / (2 * pi * sqrt(Area(p, q, k)))
        return (-k / (2 * p) * at_origin, -k / (2 * q) * at_origin, at_origin)[argindex - 1]

    def elementary(self) -> Expr:
        p, q, k = self.args
        return Rational(1, 4) + asin(k / sqrt(p * q)) / (2 * pi)


class Ramp(Whole):
    """E[max(u, 0) max(v, 0)]; its derivative in k is Orthant(p, q, k) (Price)."""

    @classmethod
    def eval(cls, p: Expr, q: Expr, k: Expr) -> Expr | None:
        return p / 2 if p == q == k else None

    def fdiff(self, argindex: int = 1) -> Expr:
        p, q, k = self.args
        if argindex == 3:
            return Orthant(p, q, k)
        return sqrt(Area(p, q, k)) / (4 * pi * (p, q)[argindex - 1])

    def elementary(self) -> Expr:
        p, q, k = self.args
        return (sqrt(p * q - k**2) + k * (pi - acos(k / sqrt(p * q)))) / (2 * pi)


class Arcsine(Whole):
    """asin(n/sqrt(n^2 + m)), which near 1 has its digits from m alone."""

    @classmethod
    def eval(cls, n: Expr, m: Expr) -> Expr | None:
        return S.Zero if n.is_zero else None

    def fdiff(self, argindex: int = 1) -> Expr:
        n, m = self.args
        return (sqrt(m) / (n**2 + m), -n / (2 * sqrt(m) * (n**2 + m)))[argindex - 1]

    def elementary(self) -> Expr:
        n, m = self.args
        return asin(n / sqrt(factor(n**2 + m)))


class Tail(Whole):
    """E[exp(b x); x > t] for x ~ N(m, v)."""

    @classmethod
    def eval(cls, b: Expr, t: Expr, m: Expr, v: Expr) -> Expr | None:
        if t == -oo:
            return exp(b * m + b**2 * v / 2)
        return S.Zero if t == oo else S.Half if b.is_zero and t == m else None

    def fdiff(self, argindex: int = 1) -> Expr:
        b, t, m, v = self.args
        edge = exp(b * t) * density(t, m, v)
        by_mean = b * self + edge
        return ((m + b * v) * self + v * edge, -edge, by_mean, (b * by_mean + edge * (t - m) / v) / 2)[argindex - 1]

    def elementary(self) -> Expr:
        b, t, m, v = self.args
        if b == 0:
            return (1 + erf((m - t) / sqrt(2 * v))) / 2
        return exp(b * m + b**2 * v / 2) * erfc((t - m - b * v) / sqrt(2 * v)) / 2


class Gain(Whole):
    """E[exp(b x) - 1; x > t] for x ~ N(m, v), which a difference of tails would lose where b x is small."""

    @classmethod
    def eval(cls, b: Expr, t: Expr, m: Expr, v: Expr) -> Expr | None:
        return S.Zero if b.is_zero or t == oo else None

    def fdiff(self, argindex: int = 1) -> Expr:
        b, *law = self.args
        steep, flat = (Expr.__new__(Tail, slope, *law).fdiff(argindex) for slope in (b, S.Zero))
        return steep if argindex == 1 else steep - flat

    def elementary(self) -> Expr:
        b, t, m, v = self.args
        return sum(sign * elementary(Tail(slope, t, m, v)) for sign, slope in ((1, b), (-1, S.Zero)))


class Bvn(Function):
    """P(X < h, Y < k) for standard normal X, Y with correlation r."""

    @classmethod
    def eval(cls, h: Expr, k: Expr, r: Expr) -> Expr | None:
        if h == 0 and k == 0:
            return Rational(1, 4) + asin(r) / (2 * pi)
        if k == 0:
            return cls(k, h, r)
        if h == oo or k == oo:
            return Tail(S.Zero, -(k if h == oo else h), S.Zero, S.One)
        return S.Zero if -oo in (h, k) else None

    def fdiff(self, argindex: int = 1) -> Expr:
        h, k, r = self.args
        if argindex == 3:
            return exp(-(h**2 + k**2 - 2 * h * k * r) / (2 - 2 * r**2)) / (2 * pi * sqrt(1 - r**2))
        a, b = (h, k) if argindex == 1 else (k, h)
        return density(a, S.Zero, S.One) * (1 + erf((b - r * a) / sqrt(2 - 2 * r**2))) / 2

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_evalf(self, prec: int) -> Any:
        if not all(a.is_number for a in self.args):
            return None
        with mpmath.workprec(prec + 20):
            h, k, r = (mpmath.mpf(a._evalf(prec + 20)) for a in self.args)

            def slope(angle: Any) -> Any:
                return mpmath.exp(-(h * h + k * k - 2 * h * k * mpmath.sin(angle)) / (2 * mpmath.cos(angle) ** 2))

            part = mpmath.quad(slope, [0, mpmath.asin(r)]) / (2 * mpmath.pi)
            return Float(mpmath.ncdf(h) * mpmath.ncdf(k) + part, precision=prec)

    def _latex(self, printer: Any, exp: Any = None) -> str:
        h, k, r = (printer._print(a) for a in self.args)
        text = rf"\Phi_2\left({h}, {k}; {r}\right)"
        return text if exp is None else f"{text}^{{{exp}}}"
