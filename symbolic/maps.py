"""A map from state to state, the one object every limit derives and every solver iterates.

`raw` holds the update with its means open, because a mean must be differentiated first and closed afterwards (the
closed ReLU dual differentiated twice gives NaN at correlation 1); `update` shows it closed, as a paper would print
it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sympy import Eq, Expr, Matrix, Symbol, latex, log

from symbolic.closing import formula
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Layer

if TYPE_CHECKING:
    from symbolic.critical import Curve
    from symbolic.criticality import Criticality

LETTERS = {WEIGHT_VAR: r"\sigma_w^2", BIAS_VAR: r"\sigma_b^2"}


@dataclass(frozen=True)
class Map:
    """state -> raw(state), derived of the block `layer`; `limit` says what the state means."""

    layer: Layer
    limit: str
    state: tuple[Symbol, ...]
    raw: tuple[Expr, ...]

    @property
    def name(self) -> str:
        return str(self.layer)

    @cached_property
    def update(self) -> tuple[Expr, ...]:
        """The new state as SymPy, every mean closed that has a formula."""
        return tuple(formula(e) for e in self.raw)

    @cached_property
    def params(self) -> tuple[Symbol, ...]:
        """The symbols besides the state, by name."""
        free = set().union(*(e.free_symbols for e in self.raw)) - set(self.state)
        return tuple(sorted(free, key=lambda s: s.name))

    @property
    def closed(self) -> bool:
        """Has every mean a formula?"""
        return not any(e.has(Mean, PairMean) for e in self.update)

    def slopes(self) -> Matrix:
        """The Jacobian with its means open."""
        return Matrix([[e.diff(s) for s in self.state] for e in self.raw])

    def jacobian(self) -> Matrix:
        """d update_i/d state_j by Price's theorem, closed where a formula exists."""
        return self.slopes().applyfunc(lambda e: formula(e))

    def edge_of_chaos(self) -> "Curve":
        """The critical curve weight_var(q), bias_var(q), exactly; NoEdge (a ValueError) where there is none."""
        from symbolic.critical import edge_of_chaos

        return edge_of_chaos(self.layer)

    def criticality(self) -> "Criticality":
        """Universality class and power laws in depth on the critical curve; NoEdge where there is none."""
        from symbolic.criticality import criticality

        return criticality(self.layer)

    def depth_scales(self) -> tuple[Expr, Expr]:
        """xi_q = -1/log chi_q and xi_c = -1/log chi_1 at a fixed point of length q where correlations go to 1.

        chi_q = dq'/dq, chi_1 = dk'/dk at p = q = k; both scales are negative where the fixed point is unstable.
        """
        from symbolic.limits import derive

        pair, length = derive(self.layer, "nngp"), derive(self.layer, "length")
        chi_1 = pair.raw[2].diff(k).subs({p: q, k: q}, simultaneous=True)
        return -1 / log(formula(length.slopes()[0, 0])), -1 / log(formula(chi_1))

    def __rshift__(self, other: "Map") -> "Map":
        """First this map, then the other."""
        if not isinstance(other, Map) or self.limit != other.limit:
            given = f"'{other.name}' is a map of {other.limit}" if isinstance(other, Map) else f"{other!r} is no map"
            raise TypeError(f"only maps of the same limit compose: this one is of {self.limit}, and {given}")
        inner = dict(zip(other.state, self.raw, strict=True))
        after = tuple(e.subs(inner, simultaneous=True) for e in other.raw)
        return Map(self.layer >> other.layer, self.limit, self.state, after)

    def __str__(self) -> str:
        lines = (f"  {s}' = {e}" for s, e in zip(self.state, self.update, strict=True))
        return "\n".join((f"{self.name}   [{self.limit}]", *lines))

    __repr__ = __str__

    def latex(self) -> str:
        """The update as an aligned block of equations."""
        rows = (
            latex(Eq(Symbol(f"{s}'"), e, evaluate=False), symbol_names=LETTERS).replace("=", "&=", 1)
            for s, e in zip(self.state, self.update, strict=True)
        )
        return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"
