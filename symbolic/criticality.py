"""On the edge of chaos everything settles by powers of the depth l, not exponentially: which powers, and why.

Correlations, at a length q that stays: C(1 - e) = 1 - e + C''(1) e^2/2 gives 1 - c_l ~ 2/(C''(1) l); where phi' jumps,
C''(1 - e) ~ s/sqrt(e) gives 1 - c_l ~ 9/(4 s^2 l^2) (ReLU: 9 pi^2/(2 l^2)).
Universality classes of phi >> Dense (Roberts, Yaida, Hanin 2021, arXiv 2106.10165, recalled): scale invariant, lengths
stay as they are; K* = 0, lengths shrink by K' = K + a K^m, a < 0, so K_l ~ (-a (m - 1) l)^(-1/(m - 1)), and squared
gradients by 1 + b K^(m - 1) per layer, in all by l^(b/(-a (m - 1))); half-stable, chi_1 = chi_q = 1 at a length K > 0.
The powers for kinks and half-integer m are derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import mpmath
from sympy import (
    DiracDelta,
    Expr,
    Float,
    Rational,
    S,
    Symbol,
    gamma,
    numer,
    pi,
    simplify,
    solve,
    sqrt,
    together,
)

from symbolic.atoms import density
from symbolic.critical import Curve, edge_of_chaos, shown
from symbolic.functions import X, taylor
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.landmarks import pieces, spikes
from symbolic.limits import derive
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Chain, Dense, Layer, Pointwise
from symbolic.rays import rays

DEPTH = Symbol("l", positive=True)
ORDER = 8  # powers of x that decide how lengths leave 0
LENGTHS = (-2, 4, 19)  # decades and points between which half-stable lengths are sought where chi_q has no formula


@dataclass(frozen=True)
class Criticality:
    """Laws in the depth l, at leading order, on the critical curve of a block.

    universality: "scale invariant", "K* = 0", "half-stable" or "none", and the variances of that point, else those
    along the curve. q: the length, K_l where it shrinks, a number where it is half-stable, else the symbol.
    one_minus_c: 1 - c_l where the length is q > 0, None for linear networks. gradient: r if squared gradients go as
    l^r.
    """

    universality: str
    curve: Curve
    weight_var: Expr
    bias_var: Expr
    q: Expr
    one_minus_c: Expr | None
    gradient: Expr

    def __str__(self) -> str:
        shown = [_readable(e) for e in (self.weight_var, self.bias_var, self.q, self.one_minus_c, self.gradient)]
        weight_var, bias_var, length, one_minus_c, power = shown
        lines = [f"universality class: {self.universality}", f"  weight_var = {weight_var}, bias_var = {bias_var}"]
        lines += [f"  q = {length}, squared gradients ~ l**({power})"]
        return "\n".join([*lines, "  correlations stay" if self.one_minus_c is None else f"  1 - c ~ {one_minus_c}"])


def _readable(expr: Expr | None) -> Expr | None:
    """Rounded where it holds long decimals."""
    if expr is None or (expr.is_Rational and len(str(expr)) < 20):
        return expr
    long = any(x.q > 10**6 or abs(x.p) > 10**6 for x in expr.atoms(Rational)) or (
        expr.is_number and len(str(expr)) > 60
    )
    return expr.evalf(12) if long else expr


def criticality(layer: Layer) -> Criticality:
    """How a critical block with free variances behaves in depth; NoEdge (a ValueError) where it has no critical curve.

    >>> from symbolic.activations import ACTIVATIONS as act
    >>> criticality(act["tanh"] >> Dense()).q
    1/(2*l)
    >>> criticality(act["relu"] >> Dense()).one_minus_c
    9*pi**2/(2*l**2)
    """
    curve = edge_of_chaos(layer)
    correlation = _correlation(layer, curve)

    def found(name: str, length: Expr = q, gradient: Expr = S.Zero) -> Criticality:
        return Criticality(name, curve, curve.weight_var, curve.bias_var, length, correlation, gradient)

    match layer:
        case Chain(layers=(Pointwise() as phi, Dense())):
            ends = rays(phi.formula)
        case _:
            return found("none")
    if ends is not None and ends.everywhere:
        return found("scale invariant")
    if ends is not None:
        power, a, b = _departure(phi.formula)
        if a.is_negative:
            rate = -a * (power - 1)
            at = found("K* = 0", (rate * DEPTH) ** (-1 / (power - 1)), simplify(b / rate))
            return replace(at, weight_var=1 / ends.moment(2), bias_var=S.Zero)
    points = half_stable(curve)
    if not points:
        return found("none")
    at = found("half-stable", points[0])
    return replace(at, weight_var=at.weight_var.subs(q, points[0]), bias_var=at.bias_var.subs(q, points[0]))


def half_stable(curve: Curve) -> tuple[Expr, ...]:
    """The lengths at which chi_q = 1 on the critical curve and bias_var is not negative: exact where chi_q has a
    formula that SymPy solves, else to 20 digits."""
    chi_q = curve.chi_q
    try:
        found = _searched(curve) if chi_q.has(Mean) else _solved(chi_q)
    except NotImplementedError:
        found = _searched(curve)
    return tuple(x for x in found if curve.raw[1].subs(q, x).evalf(20) >= 0)


def _solved(chi_q: Expr) -> list[Expr]:
    return [x for x in solve(numer(together(simplify(chi_q - 1))), q) if x.is_positive]


def _searched(curve: Curve) -> list[Expr]:
    """Zeros of chi_q - 1 between neighbours of opposite sign."""

    def excess(length: mpmath.mpf) -> mpmath.mpf:
        return mpmath.mpf((curve.raw[2] - 1).subs(q, Float(length, 30)).evalf(mpmath.mp.dps))

    low, high, count = LENGTHS
    with mpmath.workdps(15):
        at = [mpmath.mpf(10) ** (low + (high - low) * mpmath.mpf(i) / (count - 1)) for i in range(count)]
        values = [excess(x) for x in at]
        brackets = [(x, y) for x, y, one, two in zip(at, at[1:], values, values[1:], strict=False) if one * two < 0]
        roots = [mpmath.findroot(excess, b, solver="anderson", tol=1e-26) for b in brackets]
        slopes = [(excess(x * 1.001) - excess(x * 0.999)) / (0.002 * x) for x in roots]
    with mpmath.workdps(25):
        for _ in range(2):  # from 14 digits, a step gains 6 more
            roots = [x - excess(x) / slope for x, slope in zip(roots, slopes, strict=True)]
        return [Float(x, 20) for x in roots]


def _departure(body: Expr) -> tuple[Rational, Expr, Expr]:
    """m, a, b with E phi^2 ~ A_2 (q + a q^m), E phi'^2 ~ A_2 (1 + b q^(m-1)) as q -> 0; a = 0 where none is seen."""
    parts = pieces(body)
    below = next(part for low, high, part in parts if low < 0 <= high)
    above = next(part for low, high, part in parts if low <= 0 < high)

    def moments(f: Callable[[Expr], Expr]) -> list[Expr]:
        """Coefficients of q^(n/2) in E f(sqrt(q) z), half of z at a time."""
        left, right = (taylor(f(part), X, ORDER) for part in (below, above))
        half = [Rational(2) ** (Rational(n, 2) - 1) * gamma(Rational(n + 1, 2)) / sqrt(pi) for n in range(ORDER)]
        return [simplify(h * (r + (-1) ** n * s)) for n, (h, s, r) in enumerate(zip(half, left, right, strict=True))]

    square, gradient = moments(lambda f: f**2), moments(lambda f: f.diff(X) ** 2)
    for n in range(3, ORDER):
        if square[n] != 0:
            return Rational(n, 2), simplify(square[n] / square[2]), simplify(gradient[n - 2] / square[2])
    return Rational(2), S.Zero, S.Zero


def _correlation(layer: Layer, curve: Curve) -> Expr | None:
    """1 - c_l at the length q, from the second derivative of the correlation map at 1."""
    second = derive(layer, "nngp").raw[2].diff(k, 2).subs(WEIGHT_VAR, curve.raw[0]).subs(BIAS_VAR, curve.raw[1])
    pairs = [mean for mean in second.atoms(PairMean) if mean.has(DiracDelta)]
    same = {p: q, k: q}
    if not pairs:
        curvature = shown(q * second.subs(same, simultaneous=True))
        return None if curvature == 0 else shown(2 / (curvature * DEPTH))
    singular = {mean: _meeting(mean) for mean in pairs}
    strength = sum(second.coeff(mean) * height for mean, height in singular.items()).subs(same, simultaneous=True)
    return shown(9 / (4 * (q * strength) ** 2 * DEPTH**2))


def _meeting(mean: PairMean) -> Expr:
    """E delta(u - x) delta(v - x) ~ density(x)/(2 sqrt(pi q e)) at correlation 1 - e: its factor of 1/sqrt(e), summed
    over the common places x."""
    f, g, variance = mean.args[0].expr, mean.args[1].expr, mean.args[2]
    left, right = ({at: weight for weight, at in spikes(h)[1]} for h in (f, g))
    return sum(
        (left[x] * right[x]).subs(X, x) * density(x, S.Zero, variance) / (2 * sqrt(pi * variance))
        for x in left.keys() & right.keys()
    )
