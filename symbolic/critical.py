"""The edge of chaos of a block act >> Dense as a curve in the length q of its fixed point.

chi_1 = dk'/dk at k = p = q, V = q'; the curve solves chi_1 = 1 for weight_var and V = q for bias_var: for phi >>
Dense: weight_var = 1/E phi'(u)^2, bias_var = q - weight_var E phi(u)^2 (a point of the curve only where >= 0), and a
length fixed point there is stable if chi_q = dV/dq < 1.  Poole et al. 2016, Schoenholz et al. 2017.
"""

from dataclasses import dataclass

from sympy import Dummy, Expr, S, simplify, solve

from symbolic.closing import close, formula
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.limits import derive
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Layer


class NoEdge(ValueError):
    """This block has no edge of chaos; the message says why."""


@dataclass(frozen=True)
class Curve:
    """weight_var(q), bias_var(q) at criticality and the slope chi_q(q) of the length map there, means left open."""

    raw: tuple[Expr, Expr, Expr]

    @property
    def weight_var(self) -> Expr:
        return shown(self.raw[0])

    @property
    def bias_var(self) -> Expr:
        return shown(self.raw[1])

    @property
    def chi_q(self) -> Expr:
        return shown(self.raw[2])


def shown(expr: Expr) -> Expr:
    """Closed and simplified; SymPy would take minutes to look for something to simplify inside an integral."""
    found = formula(expr)
    return found if found.has(Mean, PairMean) else simplify(found)


def edge_of_chaos(layer: Layer, chi_1: Expr = S.One) -> Curve:
    """The critical curve of a block whose weight_var and bias_var are left as symbols; for another chi_1 than 1 the
    curve on which correlations near 1 change by that factor per layer.

    Raises NoEdge (a ValueError) if they are not, or if correlation 1 is no fixed point (dropout).

    >>> from symbolic.activations import ACTIVATIONS as act
    >>> from symbolic.networks import Dense
    >>> curve = edge_of_chaos(act["erf"] >> Dense())
    >>> curve.weight_var
    pi*sqrt(4*q + 1)/4
    >>> edge_of_chaos(act["relu"] >> Dense()).weight_var
    2
    """
    pair, length = derive(layer, "nngp"), derive(layer, "length")
    unknown = [s for s in (WEIGHT_VAR, BIAS_VAR) if s not in length.params and s not in pair.params]
    if unknown:
        names = " and ".join(s.name for s in unknown)
        raise NoEdge(
            f"the edge of chaos is sought in weight_var and bias_var, "
            f"but {names} of '{layer}' is not free: write Dense()"
        )
    together = {p: q, k: q}
    variance, slope = length.raw[0], pair.raw[2].diff(k).subs(together, simultaneous=True)
    if close(pair.raw[2].subs(together, simultaneous=True) - variance) != 0:
        raise NoEdge(
            f"'{layer}' has no edge of chaos: two equal inputs do not stay equal, so correlation 1 is no fixed point"
        )
    weight_var = solved(slope - chi_1, WEIGHT_VAR, layer)
    bias_var = solved((variance - q).subs(WEIGHT_VAR, weight_var), BIAS_VAR, layer)
    chi_q = length.slopes()[0, 0].subs(WEIGHT_VAR, weight_var).subs(BIAS_VAR, bias_var)
    return Curve((weight_var.subs(BIAS_VAR, bias_var), bias_var, chi_q))


def keeping(layer: Layer, limit: str) -> Expr:
    """The weight_var(q), without bias, at which a block keeps its length q (limit "length"), or its mean squared
    gradients at that length ("gradient"). Raises NoEdge (a ValueError) if none does, or weight_var is not free.

    >>> from symbolic.activations import ACTIVATIONS as act
    >>> from symbolic.closing import formula
    >>> from symbolic.networks import Dense
    >>> formula(keeping(act["relu"] >> Dense(), "length"))
    2
    """
    map_ = derive(layer, limit)
    if WEIGHT_VAR not in map_.params:
        raise NoEdge(f"weight_var of '{layer}' is not free: write Dense()")
    kept = map_.raw[0] - q if limit == "length" else map_.slopes()[1, 1] - 1
    try:
        return solved(kept.subs(BIAS_VAR, 0), WEIGHT_VAR, layer)
    except NoEdge:
        raise NoEdge(
            f"no weight_var > 0 keeps the {limit} of '{layer}' without bias: the squares of its branches must add to "
            "1, as in 0.6 * Identity() + 0.8 * block"
        ) from None


def solved(equation: Expr, unknown: Expr, layer: Layer) -> Expr:
    """The solution of an equation whose means are constants."""
    means = {m: Dummy(positive=True) for m in equation.atoms(Mean)}
    if any(m.has(unknown) for m in means):
        raise NoEdge(
            f"{unknown} of '{layer}' sits before an activation as well: "
            "the edge of chaos is that of a block with one free Dense"
        )
    found = solve(equation.xreplace(means), unknown)
    if len(found) != 1:
        raise NoEdge(f"'{layer}' has no edge of chaos in {unknown}: its equation has {len(found)} solutions")
    back = {d: m for m, d in means.items()}
    return found[0].xreplace(back)
