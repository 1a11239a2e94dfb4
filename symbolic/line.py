"""Means over one Gaussian variable as formulas, thresholds anywhere: x ~ N(m, v), between its kinks a sum of terms
c x^n exp(a x^2 + b x) erf(s x + r) ..., beside deltas.

1. exp(a x^2) tilts the law: m -> m/d, v -> v/d at the price exp(a m^2/d)/sqrt(d), d = 1 - 2 a v.
2. Stein: E (x - m) F(x) = v E F'(x) lowers the power; F' has Gaussians for erfs and densities at the thresholds.
3. What is left is E exp(b x): exponential or Tail; with one erf an erf, or Bvn on a half-line; with two an arcsine or
   Bvn; an odd number of odd ones 0. More than two is Open: that mean is no such formula (a four-orthant probability).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from sympy import Add, Expr, Mul, Poly, Rational, S, erf, exp, expand, oo, pi, sqrt

from symbolic.atoms import Arcsine, Bvn, Tail, density
from symbolic.functions import X
from symbolic.landmarks import pieces, spikes
from symbolic.rational import is_rational, rational_mean
from symbolic.terms import Open, as_exponentials, quadratic, split

Erf = tuple[Expr, Expr]  # erf(s x + r) as (s, r)


@dataclass(frozen=True)
class Span:
    """exp(b x), the law N(m, v) and the ends of an interval."""

    b: Expr
    low: Expr
    high: Expr
    m: Expr
    v: Expr

    @property
    def whole(self) -> bool:
        return self.low == -oo and self.high == oo

    @property
    def centred(self) -> bool:
        return self.m == 0 and self.b == 0


def line_mean(body: Expr, v: Expr, m: Expr = S.Zero) -> Expr:
    """E body(x), x ~ N(m, v); Open if it has no formula.

    >>> from sympy import Max, Symbol
    >>> line_mean(Max(X, 0)**2, Symbol("q", positive=True))
    q/2
    """
    try:
        smooth, deltas = spikes(body)
        parts = pieces(smooth)
        found = [_spike(weight, at, m, v) for weight, at in deltas]
    except ValueError as error:
        raise Open(str(error)) from None
    for low, high, part in parts:
        if m == 0 and (low, high) == (-oo, oo) and is_rational(part):
            found.append(rational_mean(part, v))
            continue
        for product in Add.make_args(expand(as_exponentials(part))):
            found.append(_term_mean(product, Span(S.Zero, low, high, m, v)))
    return Add(*found)


def _spike(weight: Expr, at: Expr, m: Expr, v: Expr) -> Expr:
    """E weight(x) delta(x - at); Open where the weight jumps there."""
    sides = {part.subs(X, at) for low, high, part in pieces(weight) if low <= at <= high}
    if len(sides) != 1:
        raise Open("a jump times a delta")
    return sides.pop() * density(at, m, v)


def _term_mean(product: Expr, span: Span) -> Expr:
    coefficient, power, exponent, rest = split(product)
    erfs: list[Erf] = []
    for base, index in rest:
        if not (isinstance(base, erf) and index.is_Integer and index > 0):
            raise Open(product)
        if not base.args[0].is_polynomial(X) or Poly(base.args[0], X).degree() != 1:
            raise Open(product)
        erfs += [tuple(Poly(base.args[0], X).all_coeffs())] * int(index)
    square, linear, constant = quadratic(exponent)
    return coefficient * exp(constant) * _tilted(power, square, tuple(erfs), replace(span, b=linear))


def _tilted(power: int, square: Expr, erfs: tuple[Erf, ...], span: Span) -> Expr:
    """E x^power exp(square x^2 + b x) erfs."""
    d = 1 - 2 * square * span.v
    weight = exp(square * span.m**2 / d) / sqrt(d)
    return weight * _moment(power, erfs, replace(span, m=span.m / d, v=span.v / d))


@lru_cache(maxsize=4096)
def _moment(n: int, erfs: tuple[Erf, ...], span: Span) -> Expr:
    """E x^n exp(b x) erfs over the interval."""
    if span.centred and all(r == 0 for _, r in erfs):
        even = (n + len(erfs)) % 2 == 0
        if span.whole and not even:
            return S.Zero
        if {span.low, span.high} in ({S.Zero, oo}, {-oo, S.Zero}) and even:
            return _moment(n, erfs, replace(span, low=-oo, high=oo)) / 2
    if n == 0:
        return _zeroth(erfs, span)
    v, b = span.v, span.b
    out = (span.m + b * v) * _moment(n - 1, erfs, span)
    if n > 1:
        out += v * (n - 1) * _moment(n - 2, erfs, span)
    for i, (s, r) in enumerate(erfs):
        slope = 2 * s / sqrt(pi) * exp(-(r**2))
        others = erfs[:i] + erfs[i + 1 :]
        out += v * slope * _tilted(n - 1, -(s**2), others, replace(span, b=b - 2 * s * r))
    for end, way in ((span.low, 1), (span.high, -1)):
        if end.is_finite:
            height = Mul(*(erf(s * end + r) for s, r in erfs))
            out += way * v * end ** (n - 1) * height * exp(b * end) * density(end, span.m, v)
    return out


def _zeroth(erfs: tuple[Erf, ...], span: Span) -> Expr:
    if not span.whole and span.b.as_real_imag()[1] != 0:
        raise Open("an oscillation on a half-line")
    if not erfs:
        return _mass(span)
    if not span.b.is_real:
        raise Open("erf beside an oscillation")
    lift = exp(span.b * span.m + span.b**2 * span.v / 2)
    span = replace(span, b=S.Zero, m=span.m + span.b * span.v)
    if len(erfs) == 1:
        return lift * _one_erf(*erfs[0], span)
    if len(erfs) == 2 and span.whole:
        return lift * _two_erfs(*erfs, span)
    raise Open("a product of more than two erf")


def _mass(span: Span) -> Expr:
    """E exp(b x) over the interval, from the side where nothing cancels."""
    b, low, high, m, v = span.b, span.low, span.high, span.m, span.v
    if low == -oo or (high != oo and (low + high).is_negative):
        return Tail(-b, -high, -m, v) - Tail(-b, -low, -m, v)
    return Tail(b, low, m, v) - Tail(b, high, m, v)


def _height(s: Expr, r: Expr, span: Span) -> Expr:
    """h such that E erf(s x + r) = 2 Phi(h) - 1."""
    return sqrt(2) * (s * span.m + r) / sqrt(1 + 2 * s**2 * span.v)


def _one_erf(s: Expr, r: Expr, span: Span) -> Expr:
    if span.whole:
        return erf(_height(s, r, span) / sqrt(2))
    deviation = sqrt(span.v)
    r_xy = sqrt(2) * s * deviation / sqrt(1 + 2 * s**2 * span.v)

    def below(end: Expr) -> Expr:
        """P(x < end, y > 0) for y ~ N(sqrt(2) (s x + r), 1)."""
        if end == -oo:
            return S.Zero
        if end == oo:
            return (1 + erf(_height(s, r, span) / sqrt(2))) / 2
        return Bvn((end - span.m) / deviation, _height(s, r, span), -r_xy)

    return 2 * (below(span.high) - below(span.low)) - _mass(span)


def _two_erfs(one: Erf, two: Erf, span: Span) -> Expr:
    (s, r), (t, w) = one, two
    v, product = span.v, 2 * s * t * span.v
    if r == w == span.m == 0:
        return Rational(2) / pi * Arcsine(product, 1 + 2 * (s**2 + t**2) * v)
    h, k = _height(s, r, span), _height(t, w, span)
    both = Bvn(h, k, product / sqrt((1 + 2 * s**2 * v) * (1 + 2 * t**2 * v)))
    return 4 * both - erf(h / sqrt(2)) - erf(k / sqrt(2)) - 1
