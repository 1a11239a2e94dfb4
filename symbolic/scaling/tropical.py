"""Max-plus forms: a sum of terms n^(e_1) + n^(e_2) has the exponent Max(e_1, e_2), a product the sum of exponents.

Every exponent is min_A max_B of linear forms (a division by a sum brings the minimum). "<= 0" is then a choice among
conjunctions of linear inequalities, one for each A, and nothing is lost.
"""

from collections.abc import Iterable, Sequence
from itertools import product

from sympy import Add, Expr, Max, Mul, S, expand

Forms = tuple[Expr, ...]


def most(*exprs: Expr) -> Expr:
    """Max of forms, of which those remain that no other exceeds by a number; SymPy's own compares all pairs first.

    >>> from sympy.abc import b
    >>> most(b, b - 1, S(2), S.NegativeInfinity)
    Max(2, b)
    """
    found: dict[Expr, Expr] = {}
    for expr in exprs:
        for form in expr.args if isinstance(expr, Max) else (expr,):
            number, rest = form.as_coeff_Add()
            if form != S.NegativeInfinity and not (rest in found and number <= found[rest]):
                found[rest] = number
    forms = [number + rest for rest, number in found.items()]
    return forms[0] if len(forms) == 1 else Max(*forms, evaluate=False)


def choices(expr: Expr) -> tuple[Forms, ...]:
    """The linear forms f with expr = min over the tuples of the max within each.

    >>> from sympy.abc import b, c
    >>> choices(1 - Max(b, c))
    ((1 - b,), (1 - c,))
    """
    expr = expand(expr)
    if not expr.has(Max):
        return ((expr,),)
    if isinstance(expr, Max):
        return _joined(tuple(sum(parts, ())) for parts in product(*(choices(a) for a in expr.args)))
    if isinstance(expr, Add):
        total: tuple[Forms, ...] = ((S.Zero,),)
        for term in expr.args:
            total = _joined(tuple(u + v for u in left for v in right) for left, right in product(total, choices(term)))
        return total
    if isinstance(expr, Mul):
        factor, rest = expr.as_independent(Max)
        if isinstance(rest, Max) and factor.is_nonnegative:
            return tuple(tuple(factor * f for f in forms) for forms in choices(rest))
        if isinstance(rest, Max) and factor.is_nonpositive:
            return _joined(tuple(factor * f for f in picked) for picked in product(*choices(rest)))
    raise ValueError(f"'{expr}' is no sum of linear forms and maxima of such; give the exponents in it as numbers")


def _joined(groups: Iterable[Sequence[Expr]]) -> tuple[Forms, ...]:
    """Each form once, and no choice that asks all that another asks, and more."""
    sets = {frozenset(group): tuple(dict.fromkeys(group)) for group in groups}
    return tuple(group for key, group in sets.items() if not any(other < key for other in sets))


def regions(exprs: Iterable[Expr]) -> tuple[Forms, ...]:
    """The conjunctions of linear f <= 0, one of which must hold so that all exprs are <= 0."""
    found: tuple[Forms, ...] = ((),)
    for expr in exprs:
        found = _joined(left + right for left, right in product(found, choices(expr)))
    return found
