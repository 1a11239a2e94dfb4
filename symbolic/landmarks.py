"""Where an activation is not smooth, or turns: the points at which quadrature has to be split or refined.

A kink or jump of Max, Min, Abs, sign, Heaviside, Piecewise sits at a root of its argument; a transition of tanh(a x +
b), erf, sigmoid, exp, ... is centred where its argument vanishes. Both are found in the formula, never by sampling.
"""

from collections.abc import Iterator
from itertools import combinations

from sympy import (
    Abs,
    Add,
    DiracDelta,
    Expr,
    FiniteSet,
    Function,
    Max,
    Min,
    Piecewise,
    Poly,
    PolynomialError,
    S,
    real_roots,
    simplify,
    solveset,
)
from sympy.core.relational import Relational

from symbolic.functions import X


def landmarks(body: Expr) -> tuple[Expr, ...]:
    """All landmarks of a formula in x, ascending.

    >>> from sympy import Max, tanh
    >>> landmarks(Max(X, 0) + tanh(3*X - 1) + Max(-1, X))
    (-1, 0, 1/3)
    """
    turns = {r for e in _turns(body) for r in _roots(e, all_of_them=False)}
    return tuple(sorted(turns.union(kinks(body)), key=float))


def kinks(body: Expr) -> tuple[Expr, ...]:
    """The landmarks at which the formula or a derivative jumps; ValueError if they cannot all be found.

    >>> from sympy import tanh
    >>> kinks(tanh(X)), kinks(abs(X - 2))
    ((), (2,))
    """
    return tuple(sorted({r for e in _breaks(body) for r in _roots(e)}, key=float))


def slope(body: Expr, weight: Expr = S.One) -> Expr:
    """weight * d/dx of the formula, with the delta that SymPy forgets wherever a Piecewise jumps.

    >>> slope(Piecewise((3, X > 0), (X, True)))
    Piecewise((0, x > 0), (1, True)) + 3*DiracDelta(x)
    """
    jumps = ((c, _branch(body, right) - _branch(body, left)) for left, c, right in _boundaries(body))
    deltas = (simplify((weight * jump).subs(X, c)) * DiracDelta(X - c) for c, jump in jumps)
    return weight * body.diff(X) + Add(*deltas)


def _boundaries(body: Expr) -> Iterator[tuple[Expr, Expr, Expr]]:
    """Each boundary between pieces, with a point on its left and one on its right before the next."""
    relations = (r for node in body.atoms(Piecewise) for _, c in node.args for r in c.atoms(Relational))
    cuts = sorted({root for r in relations for root in _roots(r.lhs - r.rhs)}, key=float)
    for i, c in enumerate(cuts):
        yield (
            (c + (cuts[i - 1] if i else c - 2)) / 2,
            c,
            (c + (cuts[i + 1] if i + 1 < len(cuts) else c + 2)) / 2,
        )


def _branch(body: Expr, x: Expr) -> Expr:
    """The formula that holds around x."""
    holds = body.atoms(Relational)
    return body.xreplace({r: r.subs(X, x) for r in holds}) if holds else body


def _breaks(body: Expr) -> Iterator[Expr]:
    for node in body.atoms(Max, Min):
        yield from (a - b for a, b in combinations(node.args, 2))
    for node in body.atoms(Piecewise):
        conditions = (c for _, c in node.args)
        yield from (r.lhs - r.rhs for c in conditions for r in c.atoms(Relational))
    for node in body.atoms(Function):
        if type(node).__name__ in {"Abs", "sign", "Heaviside", "DiracDelta"}:
            yield node.args[0]


def _turns(body: Expr) -> Iterator[Expr]:
    for node in body.atoms(Function):
        if not isinstance(node, Piecewise | Max | Min):
            yield node.args[0]


def _roots(expr: Expr, *, all_of_them: bool = True) -> list[Expr]:
    """Where the expression can vanish: the roots of what it is on either side of each switch inside it."""
    switch = next(iter(expr.atoms(Max, Min, Abs, Piecewise)), None)
    if switch is not None:
        pieces = [value for value, _ in switch.args] if isinstance(switch, Piecewise) else switch.args
        pieces = [*pieces, -pieces[0]] if isinstance(switch, Abs) else pieces
        return [r for piece in pieces for r in _roots(expr.xreplace({switch: piece}), all_of_them=all_of_them)]
    if not expr.has(X):
        return []
    try:
        return [r for r in real_roots(Poly(expr, X), multiple=True) if r.is_finite]
    except (PolynomialError, NotImplementedError):
        found = solveset(expr, X, S.Reals) if all_of_them else S.EmptySet
    if not isinstance(found, FiniteSet) and found is not S.EmptySet:
        raise ValueError(f"a kink lies where {expr} = 0, which has no finite list of solutions: quadrature needs one")
    return list(found)
