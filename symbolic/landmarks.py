"""Where an activation is not smooth, or turns: the points at which quadrature has to be split or refined.

A kink or jump of Max, Min, Abs, sign, Heaviside, Piecewise sits at a root of its argument; a transition of tanh(a x +
b), erf, sigmoid, exp, ... is centred where its argument vanishes. Both are found in the formula, never by sampling.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

from sympy import (
    Abs,
    Add,
    DiracDelta,
    Expr,
    FiniteSet,
    Function,
    Heaviside,
    Max,
    Min,
    Mul,
    Piecewise,
    Poly,
    PolynomialError,
    S,
    expand,
    oo,
    real_roots,
    sign,
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


Piece = tuple[Expr, Expr, Expr]  # low, high, the formula in between


def pieces(body: Expr) -> tuple[Piece, ...]:
    """The formula without its switches on each interval between kinks; ValueError if a switch cannot be decided.

    >>> from sympy import Max
    >>> pieces(Max(X, 0) + abs(X - 1))
    ((-oo, 0, 1 - x), (0, 1, 1), (1, oo, 2*x - 1))
    """
    out: list[Piece] = []
    for low, high in pairwise((-oo, *kinks(body), oo)):
        smooth = _resolved(body, _between(low, high))
        if out and out[-1][2] == smooth:
            low = out.pop()[0]
        out.append((low, high, smooth))
    return tuple(out)


def spikes(body: Expr) -> tuple[Expr, list[tuple[Expr, Expr]]]:
    """The formula without its deltas, and those as (weight, place); ValueError for other than weight * delta(line).

    >>> spikes(X + X**2 * DiracDelta(2 * X - 1))
    (x, [(x**2/2, 1/2)])
    """
    if not body.has(DiracDelta):
        return body, []
    rest, found = [], []
    for addend in Add.make_args(expand(body)):
        deltas = [f for f in Mul.make_args(addend) if f.has(DiracDelta)]
        if not deltas:
            rest.append(addend)
            continue
        delta = deltas[0]
        if len(deltas) > 1 or not isinstance(delta, DiracDelta) or len(delta.args) > 1:
            raise ValueError(f"{addend} is no weight times a delta")
        found += [(addend / delta / abs(slope), at) for at, slope in _crossings(delta.args[0])]
    return Add(*rest), found


def _crossings(line: Expr) -> Iterator[tuple[Expr, Expr]]:
    """Where a formula crosses 0, with its slope; ValueError where it only touches it or bends there."""
    parts = pieces(line)
    for at in dict.fromkeys(_roots(line)):
        slopes = {part.diff(X).subs(X, at) for low, high, part in parts if low <= at <= high and part.subs(X, at) == 0}
        if len(slopes) != 1 or slopes == {S.Zero}:
            raise ValueError(f"{line} does not cross 0 at {at} on a slope")
        yield at, slopes.pop()


def _between(low: Expr, high: Expr) -> Expr:
    if low == -oo and high == oo:
        return S.Zero
    return high - 1 if low == -oo else low + 1 if high == oo else (low + high) / 2


def _resolved(body: Expr, at: Expr) -> Expr:
    """The formula that holds around a point at which nothing switches."""

    def positive(e: Expr) -> bool:
        value = e.subs(X, at)
        if not (value.is_positive or value.is_negative):
            raise ValueError(f"which side of 0 {e} is on for x = {at} depends on what its parameters are")
        return bool(value.is_positive)

    def highest(args: tuple[Expr, ...], up: bool) -> Expr:
        best = args[0]
        for e in args[1:]:
            best = e if positive(simplify(e - best)) == up else best
        return best

    body = _branch(body, at)
    body = body.replace(Abs, lambda e: e if positive(e) else -e)
    body = body.replace(sign, lambda e: S.One if positive(e) else S.NegativeOne)
    body = body.replace(Heaviside, lambda e, *_: S.One if positive(e) else S.Zero)
    body = body.replace(Max, lambda *args: highest(args, True))
    return body.replace(Min, lambda *args: highest(args, False))


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
