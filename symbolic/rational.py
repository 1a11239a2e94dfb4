"""Means of rational functions whose poles lie on the imaginary axis, as those of arctan': x ~ N(0, v).

E 1/(x^2 + a) = sqrt(pi/(2 a v)) exp(a/(2 v)) erfc(sqrt(a/(2 v))), and each derivative in a raises the power by one.
"""

from sympy import Dummy, Expr, Mul, Poly, Rational, S, Symbol, apart, factorial, fraction, pi, sqrt, together

from symbolic.atoms import Tail
from symbolic.functions import X
from symbolic.terms import Open

_A = Symbol("a", positive=True)


def is_rational(body: Expr) -> bool:
    """A ratio of polynomials in x that is no polynomial?"""
    return bool(body.is_rational_function(X)) and bool(fraction(together(body))[1].has(X))


def rational_mean(body: Expr, v: Expr) -> Expr:
    """E body(x), x ~ N(0, v); Open for another pole than those of 1/(x^2 + a), a > 0.

    >>> rational_mean(1/(X**2 + 1)**2, S.One)
    1/2
    """
    found = S.Zero
    for part in apart(body, X).as_ordered_terms():
        above, below = fraction(part)
        numerator = Poly(above, X)
        if not below.has(X):
            found += _normal(numerator, v) / below
            continue
        base, power = _pole(below)
        even = [c if n % 2 == 0 else S.Zero for n, c in enumerate(reversed(numerator.all_coeffs()))]
        if len(even) > 2:
            raise Open(body)
        scale, a = base
        found += even[0] * _inverse(power, a, v) / scale
    return found


def _normal(polynomial: Poly, v: Expr) -> Expr:
    """E of a polynomial."""
    return sum(
        (c * v ** (n // 2) * _double_factorial(n - 1) for (n,), c in polynomial.terms() if n % 2 == 0),
        start=S.Zero,
    )


def _double_factorial(n: int) -> Expr:
    return Mul(*(Rational(i) for i in range(n, 0, -2)))


def _pole(below: Expr) -> tuple[tuple[Expr, Expr], int]:
    """c and a of c (x^2 + a)^n, and n; Open for another denominator."""
    coefficient, factors = Poly(below, X).factor_list()
    if len(factors) == 1 and factors[0][0].degree() == 2:
        lead, middle, constant = factors[0][0].all_coeffs()
        power = factors[0][1]
        if middle == 0 and (constant / lead).is_positive:
            return (coefficient * lead**power, constant / lead), int(power)
    raise Open(below)


def _inverse(n: int, a: Expr, v: Expr) -> Expr:
    """E (x^2 + a)^-n."""
    ratio, mills = sqrt(_A / v), Dummy()
    first = sqrt(2 * pi / (_A * v)) * mills
    # mills = exp(r^2/2) erfc(r/sqrt(2))/2 at r = sqrt(a/v), and d mills/dr = r mills - 1/sqrt(2 pi).
    slope = (ratio * mills - 1 / sqrt(2 * pi)) * ratio.diff(_A)
    found = first
    for _ in range(n - 1):
        found = found.diff(_A) + found.diff(mills) * slope
    at = sqrt(a / v)
    return (
        (S.NegativeOne ** (n - 1) / factorial(n - 1) * found).expand().subs(_A, a).subs(mills, Tail(at, 2 * at, 0, 1))
    )
