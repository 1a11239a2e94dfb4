"""Exact solutions: linear elimination, vertices of the polyhedron of stable exponents, and why conditions contradict.

If no exponents meet f_k = 0 and g_k <= 0 there are weights, >= 0 for the g_k, with sum w f = a positive constant
(Farkas); it is given for a subset from which no condition can be left out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from sympy import QQ, Eq, Expr, Matrix, Max, Symbol, diff, expand, ilcm
from sympy.polys.matrices import DomainMatrix
from sympy.polys.matrices.exceptions import DMNonInvertibleMatrixError
from sympy.solvers.simplex import InfeasibleLPError, lpmin

from symbolic.scaling.conditions import Condition
from symbolic.scaling.equations import Chain, Damping, first_step
from symbolic.scaling.layers import Parameter
from symbolic.scaling.optimizers import ZERO, Optimizer
from symbolic.scaling.tropical import Forms, most, regions

Values = dict[Symbol, Expr]


class Contradiction(ValueError):
    """No exponents meet the conditions; `conditions` are the ones that cannot hold together, with their weights."""

    def __init__(self, conditions: Sequence[Condition], weights: Sequence[Expr], total: Expr) -> None:
        self.conditions, self.weights, self.total = tuple(conditions), tuple(weights), total
        lines = [
            f"  {c.words}: {c.form} {'<=' if c.upper else '='} 0 (x {w})"
            for c, w in zip(conditions, weights, strict=True)
        ]
        ends = "<=" if any(c.upper for c in conditions) else "="
        text = "\n".join(["no exponents meet these conditions at once; give one of them up:", *lines])
        super().__init__(f"{text}\nadded up they say {total} {ends} 0")


@dataclass(frozen=True)
class Solution:
    """The exponents; where `free` is not empty they are a family in those symbols."""

    chain: Chain
    free: tuple[Symbol, ...]


def unknown_chain(
    layers: Sequence[Parameter], optimizer: Optimizer, *, a: Sequence[Expr] | None = None, damping: Damping = "matched"
) -> Chain:
    """A chain with symbols b_l, c_l for its exponents, and multipliers a; a None: symbols a_l, and b = 0."""
    rows = [tuple(Symbol(f"{row}_{p.name.replace(' ', '_')}", real=True) for p in layers) for row in "abc"]
    known = (ZERO,) * len(layers)
    given = (rows[0], known) if a is None else (tuple(a), rows[1])
    return Chain(tuple(layers), *given, rows[2], optimizer, damping)


def unknowns(chain: Chain) -> tuple[Symbol, ...]:
    """The symbols among the chain's own exponents, learning rates first, from the input on."""
    return tuple(e for row in (chain.c, chain.b, chain.a) for e in row if isinstance(e, Symbol))


def solve(chain: Chain, conditions: Sequence[Condition]) -> Solution:
    """The exponents that meet all conditions; Contradiction if there are none."""
    values = solution(conditions, unknowns(chain))
    at = {x: values.get(x, x) for x in unknowns(chain)}
    a, b, c = (tuple(expand(e.xreplace(at)) for e in row) for row in (chain.a, chain.b, chain.c))
    free = tuple(x for x in unknowns(chain) if x not in values)
    return Solution(replace(chain, a=a, b=b, c=c), free)


def solution(conditions: Sequence[Condition], over: Sequence[Symbol]) -> Values:
    """Those of the unknowns that the equations fix, in the ones they leave free; Contradiction if there are none."""
    values, left = _eliminated(conditions, over)
    if any(form != 0 for form in left):
        raise _explain([c for c in conditions if not c.upper], values, over)
    return values


def _eliminated(conditions: Sequence[Condition], over: Sequence[Symbol]) -> tuple[Values, list[Expr]]:
    """Gauss, one unknown with each equation in which it stands outside every maximum; and what is left of the rest."""
    values: Values = {}
    pending = [expand(c.form) for c in conditions if not c.upper]
    while True:
        found = next(((f, x) for f in pending for x in over if _linear(f, x)), None)
        if found is None:
            return values, pending
        form, x = found
        value = expand(x - form / diff(form, x))
        pending = [expand(f.xreplace({x: value})) for f in pending if f is not form]
        values = {**{y: expand(v.xreplace({x: value})) for y, v in values.items()}, x: value}


def _linear(form: Expr, x: Symbol) -> bool:
    return form.has(x) and not any(m.has(x) for m in form.atoms(Max)) and diff(form, x).is_number


def _explain(conditions: Sequence[Condition], values: Values, over: Sequence[Symbol]) -> Contradiction:
    """The contradiction among conditions of which elimination found that they have no solution."""
    needed = [replace(c, form=_branch(c.form, values)) for c in conditions]
    for c in tuple(needed):
        rest = [d for d in needed if d is not c]
        if not feasible(rest, over):
            needed = rest
    rows, constants = _matrix(needed, over)
    weights = rows.T.nullspace()[0]
    total = (weights.T * constants)[0]
    scale = ilcm(*(w.q for w in weights)) * (-1 if total.is_negative else 1)
    return Contradiction(needed, tuple(scale * weights), expand(scale * total))


def _branch(form: Expr, values: Values) -> Expr:
    """The linear form with each maximum at the value that it takes."""
    return expand(form.replace(lambda e: isinstance(e, Max), lambda e: expand(e.xreplace(values))))


def _matrix(conditions: Sequence[Condition], over: Sequence[Symbol]) -> tuple[Matrix, Matrix]:
    """The coefficients of the forms, and their constants."""
    forms = [c.form for c in conditions]
    rows = Matrix([[diff(f, x) for x in over] for f in forms])
    return rows, Matrix([expand(f.xreplace(dict.fromkeys(over, ZERO))) for f in forms])


def feasible(conditions: Sequence[Condition], over: Sequence[Symbol]) -> bool:
    """Is there a point at which all conditions, linear ones, hold? Exact."""
    if not any(c.upper for c in conditions):
        rows, constants = _matrix(conditions, over) if conditions else (Matrix(), Matrix())
        return bool(rows.rank() == rows.row_join(constants).rank())
    bounds = [c.form <= 0 if c.upper else Eq(c.form, 0) for c in conditions]
    if any(b == False for b in bounds):  # noqa: E712 - a relation without unknowns is a SymPy truth value
        return False
    try:
        lpmin(ZERO, [b for b in bounds if b != True])  # noqa: E712
    except InfeasibleLPError:
        return False
    return True


def vertices(chain: Chain, conditions: Callable[[Chain], Sequence[Condition]]) -> tuple[tuple[Expr, ...], ...]:
    """The vertices of the set where all conditions hold, sorted: values of the unknowns that no equation fixes.

    Where the conditions are a choice among polyhedra, the vertices of each. Exact: every set of tight forms is solved.
    ValueError for predictive coding and target propagation, whose stable exponents fall into too many polyhedra.
    """
    if chain.optimizer.signal != "gradient":
        raise ValueError(
            f"the stable exponents of {chain.optimizer.name} are no polyhedron but many; ask classify() for a point"
        )
    there = solve(chain, conditions(chain)).chain
    parts = regions(c.form for c in conditions(there) if c.upper)
    return tuple(sorted({corner for part in parts for corner in _corners(_strongest(part), unknowns(there))}))


def _strongest(forms: Forms) -> Forms:
    """Without the forms that another exceeds by a number; none is left of a part that a number forbids."""
    strongest = most(*forms)
    return tuple(strongest.args) if isinstance(strongest, Max) else (strongest,)


def _corners(forms: Forms, over: Sequence[Symbol]) -> Iterable[tuple[Expr, ...]]:
    rows, constants = _matrix([Condition("", f, True) for f in forms], over)
    A, c = (DomainMatrix.from_Matrix(m).convert_to(QQ) for m in (rows, constants))
    for tight in combinations(range(len(forms)), len(over)):
        try:
            corner = A.extract(tight, range(len(over))).lu_solve(-c.extract(tight, [0]))
        except DMNonInvertibleMatrixError:
            continue
        if all(value <= 0 for (value,) in (A * corner + c).to_list()):
            yield tuple(QQ.to_sympy(x) for (x,) in corner.to_list())


def largest_rates(chain: Chain) -> tuple[Expr, ...]:
    """The c_l at which each layer's own update moves what it gives by Theta(1), at the alignment of the chain."""
    still = replace(chain, c=(ZERO,) * len(chain.layers))
    return first_step(still).own
