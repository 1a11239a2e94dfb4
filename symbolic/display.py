"""The form of a formula that a paper would print.

Over the radicals R = sqrt(D) of its polynomials D and its transcendental atoms (asin, exp, erf, ...) a closed mean is
sum_j c_j R^a T^b with rational c_j. The c_j are brought over their smallest denominators, ordered by powers of k, and
R^2 = D is used up; the shortest of the equivalent forms is shown.
"""

from collections.abc import Iterator

from sympy import (
    Add,
    Dummy,
    Expr,
    Function,
    Integer,
    Mul,
    Poly,
    PolynomialError,
    S,
    acos,
    cancel,
    count_ops,
    exp,
    expand,
    factor,
    factor_list,
    factor_terms,
    fraction,
    pi,
    sqrt,
    together,
)

from symbolic.atoms import Orthant, Ramp
from symbolic.functions import elementary
from symbolic.gaussian import k

LONG = 4000  # operations beyond which rearranging takes longer than it is worth


def printed(expr: Expr) -> Expr:
    """The shortest equivalent form of a closed mean.

    >>> from symbolic.atoms import Area
    >>> from symbolic.gaussian import p, q
    >>> printed(k * Orthant(p, q, k) - k/2 + sqrt(Area(p, q, k)) / (2 * pi) + k/4 + k/4)
    (k*(pi - acos(k/(sqrt(p)*sqrt(q)))) + sqrt(-k**2 + p*q))/(2*pi)
    """
    expr = expr.replace(Ramp, lambda p, q, k: sqrt(p * q - k**2) / (2 * pi) + k * Orthant(p, q, k))
    plain = elementary(expr)
    if count_ops(plain) > LONG:
        return factor_terms(plain)
    forms = [factor_terms(plain)]
    for angles in (False, True) if expr.has(Orthant) else (False,):
        try:
            forms.append(factor_terms(_collected(expr, angles)))
        except (PolynomialError, NotImplementedError, _Irrational):
            continue
    return min(forms, key=lambda e: (count_ops(e), len(str(e))))


class _Irrational(Exception):
    """A radical under a radical, or in a sum below a bar: left as it is."""


class _Atoms:
    """Radicals and transcendental parts by the symbols that stand for them."""

    def __init__(self) -> None:
        self.radicals: dict[Expr, Dummy] = {}
        self.parts: dict[Expr, Dummy] = {}

    def radical(self, power: Expr) -> Expr:
        out = S.One
        for base, multiplicity in _factors(power.base):
            index = power.exp * multiplicity
            if index.is_Integer or base.is_number:
                out *= base**index
                continue
            root = self.radicals.setdefault(base, Dummy(positive=True))
            out *= base ** (index - S.Half) * root
        return out

    def part(self, e: Expr) -> Dummy:
        return self.parts.setdefault(e, Dummy(real=True))


def _factors(base: Expr) -> Iterator[tuple[Expr, Integer]]:
    """The factors of a radicand, numerator and denominator, each with the sign it has at k = 0."""
    above, below = fraction(together(base))
    for side, way in ((above, 1), (below, -1)):
        number, found = _factored(expand(side))
        for f, multiplicity in found:
            lead = expand(f).subs(k, 0)
            if lead.could_extract_minus_sign():
                f, number = -f, number * (-1) ** multiplicity
            yield expand(f), S(way * multiplicity)
        if number != 1:
            yield number, S(way)


def _factored(e: Expr) -> tuple[Expr, list[tuple[Expr, int]]]:
    """A polynomial as a number and its factors; SymPy stumbles over numbers such as pi**(3/2)."""
    number, rest = factor_terms(e).as_independent(*e.free_symbols, as_Add=False)
    if not rest.free_symbols:
        return number * rest, []
    lead, found = factor_list(rest)
    return number * lead, found


def _collected(expr: Expr, angles: bool) -> Expr:
    """The sum over atoms; with `angles`, orthants as (pi - acos)/(2 pi) rather than 1/4 + asin/(2 pi)."""
    atoms = _Atoms()
    if angles:
        expr = expr.replace(Orthant, lambda p, q, k: atoms.part(pi - acos(k / sqrt(p * q))) / (2 * pi))
    expr = elementary(expr)
    expr = expr.replace(lambda e: isinstance(e, Function | exp), atoms.part)
    expr = expr.replace(_is_radical, atoms.radical)
    above, below = fraction(together(expr))
    roots, parts = list(atoms.radicals.values()), list(atoms.parts.values())
    if below.has(*roots, *parts) or any(e.is_Pow and not e.exp.is_Integer and e.has(k) for e in expr.atoms(Expr)):
        raise _Irrational
    back = {d: e for e, d in atoms.parts.items()}
    if not roots + parts:
        return _coefficient(above, below, {})
    out = []
    for powers, coefficient in Poly(above, *roots, *parts).terms():
        indices = {}
        for (base, _), n in zip(atoms.radicals.items(), powers[: len(roots)], strict=True):
            coefficient *= base ** (n // 2)
            indices[base] = n % 2
        rest = Mul(*(d**n for d, n in zip(parts, powers[len(roots) :], strict=True)))
        out.append((rest, _coefficient(coefficient, below, indices)))
    return Add(*(c * rest.xreplace(back) for rest, c in out))


def _is_radical(e: Expr) -> bool:
    return bool(e.is_Pow and e.exp.is_Rational and e.exp.q == 2 and not e.base.is_number)


def _coefficient(above: Expr, below: Expr, indices: dict[Expr, int]) -> Expr:
    """above/below times the square roots of the bases with index 1, roots against their own powers below."""
    above, below = fraction(cancel(above / below))
    number, found = _factored(below)
    radical = S.One
    rest = number
    for f, multiplicity in found:
        match = next((b for b in indices if expand(f - b) == 0 or expand(f + b) == 0), None)
        if match is None:
            rest *= f**multiplicity
            continue
        rest *= 1 if expand(f - match) == 0 else (-1) ** multiplicity
        radical *= _spelled(match) ** (S(indices.pop(match)) / 2 - multiplicity)
    for base, index in indices.items():
        radical *= _spelled(base) ** (S(index) / 2)
    return _shortest(above, rest) * radical


def _spelled(base: Expr) -> Expr:
    """A determinant as (..)(..) - k^2."""
    start = base.subs(k, 0)
    return factor(start) + expand(base - start)


def _shortest(above: Expr, below: Expr) -> Expr:
    whole = factor(above) / below
    if not above.has(k) or not above.is_polynomial(k):
        return whole
    terms = Poly(above, k).terms()
    apart = Add(*(k**n * factor(cancel(c / below)) for (n,), c in terms))
    common = Add(*(k**n * factor(c) for (n,), c in terms)) / below
    return min((whole, common, apart), key=lambda e: (count_ops(e), len(str(e))))
