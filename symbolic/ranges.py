"""Interval arithmetic with exact ends: where a formula in x can lie while x runs from `low` to `high`.

[a, b] + [c, d] = [a + c, b + d];  [a, b] [c, d] = [min, max of ac, ad, bc, bd];  f([a, b]) = [f(a), f(b)] for f rising.
A quadratic is enclosed exactly through its vertex, a longer polynomial through Cauchy's bound 1 + max |c_i/c_n| on its
roots. What is not understood is (-oo, oo), so an enclosure may be too wide and is never too narrow.
"""

from collections.abc import Callable

from sympy import (
    Abs,
    Add,
    Expr,
    Heaviside,
    Integer,
    Max,
    Min,
    Mul,
    Poly,
    Pow,
    S,
    acos,
    asin,
    asinh,
    atan,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    log,
    nan,
    oo,
    pi,
    sign,
    sin,
    sinh,
    tanh,
    zoo,
)

from symbolic.functions import Whole, X, sigmoid, softplus

Range = tuple[Expr, Expr]
EVERYTHING: Range = (-oo, oo)
_RISING = (exp, tanh, erf, atan, sinh, asinh, sigmoid, softplus)
_BOUNDED: dict[type, Range] = {
    sin: (S.NegativeOne, S.One), cos: (S.NegativeOne, S.One), sign: (S.NegativeOne, S.One),
    Heaviside: (S.Zero, S.One), atan: (-pi / 2, pi / 2), tanh: (S.NegativeOne, S.One), erf: (S.NegativeOne, S.One),
    sigmoid: (S.Zero, S.One),
}  # fmt: skip


def value_range(e: Expr, low: Expr, high: Expr) -> Range:
    """An interval that holds e(x) for low <= x <= high.

    >>> from sympy import tanh
    >>> value_range(1 - tanh(X) ** 2, S.Zero, oo), value_range(X**2 - 2 * X + 3, S.Zero, oo)
    ((0, 1), (2, oo))
    """
    if e == X:
        return low, high
    if not e.has(X):
        return (e, e) if e.is_extended_real else EVERYTHING
    if isinstance(e, Add):
        return _polynomial(e, low, high) if e.is_polynomial(X) else _sum([value_range(a, low, high) for a in e.args])
    inside = [value_range(a, low, high) for a in e.args]
    if isinstance(e, Mul):
        return _product(inside)
    if isinstance(e, Pow):
        return _power(inside[0], e.exp) if not e.exp.has(X) else _exponential(inside[0], inside[1])
    if isinstance(e, Max | Min):
        choose = Max if isinstance(e, Max) else Min
        return choose(*(a for a, _ in inside)), choose(*(b for _, b in inside))
    if isinstance(e, Whole) and not isinstance(e, _RISING):
        return value_range(e.elementary(), low, high)
    return _function(type(e), *inside[0]) if len(inside) == 1 or isinstance(e, Heaviside) else EVERYTHING


def _function(f: type, a: Expr, b: Expr) -> Range:
    if f in _RISING:
        return f(a), f(b)
    if f is erfc:
        return erfc(b), erfc(a)
    if f is log:
        return (log(a) if a.is_positive else -oo), (log(b) if b.is_positive else oo)
    if f in (asin, acos):
        inside = a >= -1 and b <= 1
        return ((asin(a), asin(b)) if f is asin else (acos(b), acos(a))) if inside else EVERYTHING
    if f is Abs:
        return _power((a, b), Integer(2), root=True)
    if f is cosh:
        least, most = _function(Abs, a, b)
        return cosh(least), cosh(most)
    return _BOUNDED.get(f, EVERYTHING)


def _sum(parts: list[Range]) -> Range:
    low, high = Add(*(a for a, _ in parts)), Add(*(b for _, b in parts))
    return (-oo if low is nan else low), (oo if high is nan else high)


def _product(parts: list[Range]) -> Range:
    (low, high), *rest = parts
    for a, b in rest:
        # 0 * oo stands for 0 times something arbitrarily large, which is 0
        corners = [S.Zero if c is nan else c for c in (low * a, low * b, high * a, high * b)]
        low, high = Min(*corners), Max(*corners)
    return low, high


def _power(base: Range, n: Expr, *, root: bool = False) -> Range:
    """base^n, or |base| (root of the square)."""
    a, b = base
    if n.is_Integer and n > 0:
        raised: Callable[[Expr], Expr] = (lambda x: abs(x)) if root else (lambda x: x**n)
        ends = raised(a), raised(b)
        if n % 2:
            return ends
        return (S.Zero if a < 0 < b else Min(*ends)), Max(*ends)
    if n.is_Integer:
        low, high = _power(base, -n)
        if low > 0 or high < 0:
            return 1 / high, 1 / low
        return (S.Zero, oo) if low == 0 else (-oo, S.Zero) if high == 0 else EVERYTHING
    if n.is_real and a >= 0:
        ends = (a**n, b**n) if n > 0 else (b**n, oo if a == 0 else a**n)
        return tuple(oo if x is zoo else x for x in ends)
    return EVERYTHING


def _exponential(base: Range, exponent: Range) -> Range:
    """base^exponent for a positive base: exp(exponent log base)."""
    return _function(exp, *_product([_function(log, *base), exponent])) if base[0].is_positive else EVERYTHING


def _polynomial(e: Expr, low: Expr, high: Expr) -> Range:
    poly = Poly(e, X)
    coefficients = poly.all_coeffs()
    if not all(c.is_real for c in coefficients):
        return EVERYTHING
    plain = _sum([_product([(c, c), _power((low, high), Integer(n))]) if n else (c, c) for (n,), c in poly.terms()])
    lead, degree = coefficients[0], poly.degree()
    if degree == 2:
        vertex = -coefficients[1] / (2 * lead)
        if low <= vertex <= high:
            best = poly.eval(vertex)
            return (best, plain[1]) if lead > 0 else (plain[0], best)
    if low < 0 or degree < 2:
        return plain
    beyond = 1 + Max(*(abs(c / lead) for c in coefficients))
    ups, downs = (Add(*(Max(s * c, 0) * beyond**n for (n,), c in poly.terms())) for s in (1, -1))
    return (Max(plain[0], -downs), plain[1]) if lead > 0 else (plain[0], Min(plain[1], ups))
