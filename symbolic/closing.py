"""Closing a mean into a formula: derived, compared with quadrature, and put into the form that a paper would print.

`close` gives the stable form, for numbers: its atoms (symbolic/atoms.py) stay whole; `formula` the form to show. What
no rule covers stays an open mean, and is integrated numerically by whoever needs its value. Each mean is derived once,
in its own p, q, k, and remembered.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache

from sympy import Expr, Symbol

from symbolic.atoms import Bvn, Tail
from symbolic.display import printed
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.line import line_mean
from symbolic.pairs import pair_mean
from symbolic.proof import check
from symbolic.real import real
from symbolic.terms import Open


def close(expr: Expr) -> Expr:
    """Replace every mean that has a formula which computes without loss, innermost first.

    >>> from sympy import erf
    >>> from symbolic.functions import X
    >>> close(PairMean(erf(X), erf(X), p, q, k))
    2*Arcsine(2*k, 2*p + 2*q + 4*Area(p, q, k) + 1)/pi
    """
    return _replaced(expr, _computable)


def formula(expr: Expr) -> Expr:
    """The form to show: proved and in elementary functions; an open mean stays inside as it was written.

    Raises Disproved if quadrature contradicts a derivation.

    >>> from symbolic.functions import X
    >>> from sympy import Max
    >>> formula(PairMean(Max(X, 0), Max(X, 0), p, q, k))
    (k*(pi - acos(k/(sqrt(p)*sqrt(q)))) + sqrt(-k**2 + p*q))/(2*pi)
    """
    return _replaced(expr, _shown)


def prove(exprs: Iterable[Expr]) -> None:
    """Compare the formula of every mean inside with quadrature; Disproved if one is wrong."""
    for expr in exprs:
        for mean in expr.atoms(Mean, PairMean):
            _proved(_template(*mean.args)[0])


def _template(*args: Expr) -> tuple[Expr, tuple[Symbol, ...], tuple[Expr, ...]]:
    """The mean of these functions in q or in p, q, k, those symbols, and what stood there."""
    if len(args) == 2:
        return Mean(args[0], q), (q,), args[1:]
    return PairMean(args[0], args[1], p, q, k), (p, q, k), args[2:]


def _replaced(expr: Expr, form: Callable[[Expr], Expr | None]) -> Expr:
    """Each mean by the form of its template, if it has one."""

    def replaced(*args: Expr) -> Expr:
        template, symbols, law = _template(*args)
        found = form(template)
        if found is None:
            return Mean(*args) if len(args) == 2 else PairMean(*args)
        return found if law == symbols else found.subs(dict(zip(symbols, law, strict=True)), simultaneous=True)

    return expr.replace(Mean, replaced).replace(PairMean, replaced)


def _computable(template: Expr) -> Expr | None:
    """Tails of different steepness cancel at small variances (E elu^2 is a sum of terms of size 1), and a bivariate
    normal has no word: the integral over one variable is as fast and has all its digits."""
    found = _derived(template)
    return None if found is None or found.has(Bvn, Tail) else found


@lru_cache(maxsize=4096)
def _derived(template: Expr) -> Expr | None:
    """The formula in atoms, or None."""
    f, g = template.args[0].expr, getattr(template.args[1], "expr", None)
    try:
        raw = line_mean(f, q) if g is None else pair_mean(f, g, p, q, k)
    except Open:
        return None
    return real(raw)


@lru_cache(maxsize=4096)
def _proved(template: Expr) -> Expr | None:
    found = _derived(template)
    return found if found is not None and check(template, found) else None


@lru_cache(maxsize=4096)
def _shown(template: Expr) -> Expr | None:
    found = _proved(template)
    if found is None:
        return None
    shown = printed(found)
    return shown if check(template, shown) else None
