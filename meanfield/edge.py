"""The edge of chaos as numbers: the critical curve, parametrised by its length q, met with a given bias_var.

For phi >> Dense the curve is weight_var = 1/E phi'(u)^2, bias_var = q - weight_var E phi(u)^2, so a critical point is
a root in one variable, found even where its length is unstable (chi_q > 1: GELU, SiLU, Mish below their half-stable
points). Poole et al. 2016 (arXiv 1606.05340), Schoenholz et al. 2017 (1611.01232); the parametrisation is ours.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq
from sympy import Expr, Symbol

from meanfield.build import Array, tabulated
from meanfield.uniform import uniform_twin
from solvers.spectra import depth_scale
from symbolic.activations import activation
from symbolic.critical import Curve, NoEdge
from symbolic.critical import edge_of_chaos as critical_curve
from symbolic.gaussian import q as length
from symbolic.networks import Dense, Layer, Pointwise

if TYPE_CHECKING:
    from meanfield.rigorous import CertifiedEdge

SMALL, LENGTHS = 1e-30, np.logspace(-8, 4, 241)
CHI = Symbol("chi_1", positive=True)
Point = tuple[float, float, float]  # weight_var, q, chi_q


@dataclass(frozen=True)
class Critical:
    """A point of the edge of chaos: at weight_var and bias_var, and the length q = V(q), chi_1 = 1.

    chi_q = V'(q); `stable` says whether lengths are drawn to q (chi_q < 1). `others`: the lengths of other critical
    points at this bias_var; `certified`: balls of Arb, if digits were asked for; `activation`: what it is the edge of.
    """

    weight_var: float
    bias_var: float
    q: float
    chi_q: float
    stable: bool
    activation: str = field(repr=False, default="")
    others: tuple[float, ...] = field(repr=False, default=())
    certified: "CertifiedEdge | None" = field(repr=False, default=None)

    def __str__(self) -> str:
        lines = [f"{self.activation}: critical at weight_var = {self.weight_var:.16g}, bias_var = {self.bias_var:.16g}"]
        lines.append(f"  q = {self.q:.12g}   chi_q = {self.chi_q:.12g}")
        if not self.stable and self.chi_q > 1:
            lines.append("  chi_q > 1: this length fixed point is unstable, and a deep network drifts away from it")
        elif not self.stable:
            lines.append("  chi_q = 1: lengths are drawn to this fixed point slower than exponentially, or not at all")
        if self.others:
            lines.append(
                f"  other critical points with this bias_var at q = {', '.join(f'{x:.6g}' for x in self.others)}"
            )
        if self.certified:
            lines[:2] = str(self.certified).splitlines()
        return "\n".join(lines)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def edge_of_chaos(block: Any, *, bias_var: Any = 0.0, chi_1: float = 1.0, digits: int | None = None) -> Critical:
    """The critical weight_var for a given bias_var, of an activation (name, formula, layer) or of a block with free
    variances; with chi_1 < 1 the point in the ordered phase at which correlations have the depth scale -1/log chi_1
    (chi_1 > 1: in the chaotic phase, for gradients).

    With `digits`, of an activation, `.certified` holds balls that provably contain the critical point; a bias_var is
    then taken exactly, and as it reads where it is a str ("0.05").

    Raises NoEdge (a ValueError) where chi_1 = 1 asks for a negative bias_var at every length, or for another bias_var
    than the one given, with the nearest that has a critical point; NotCertified (a ValueError) where a proof fails.
    """
    given, bias_var = bias_var, _number(bias_var)
    if not 0 < chi_1 < inf:
        raise ValueError(f"chi_1 is a factor per layer, greater than 0 and finite, not {chi_1}")
    if digits is not None and chi_1 != 1:
        raise ValueError("digits are certified of the edge of chaos itself: leave chi_1 out")
    layer, name = subject(block)
    points = sorted(_points(layer, name, bias_var, chi_1), key=lambda point: (point[2] > 1 + 1e-12, point[1]))
    positive = [point for point in points if point[0] > 0]
    if not positive:
        raise NoEdge(
            f"{name} asks for weight_var = {points[0][0]:.6g} at bias_var = {bias_var:g}: other weights of the block, "
            "whose variance is a number, leave none: lower that number"
        )
    (weight_var, q, chi_q), *others = positive
    found = Critical(weight_var, bias_var, q, chi_q, chi_q < 1 - 1e-12, name, tuple(x[1] for x in others))
    return found if digits is None else replace(found, certified=_certified(block, given, q, digits))


def _number(bias_var: Any) -> float:
    try:
        number = float(bias_var)
    except (TypeError, ValueError):
        number = nan
    if not 0 <= number < inf:
        raise ValueError(f"bias_var must be a number, finite and at least 0, not {bias_var!r}")
    return number


def subject(block: Any) -> tuple[Layer, str]:
    """The block with free variances that an activation or a block stands for (a dense one for a layer of a Fourier
    neural operator), and its name."""
    layer = block if isinstance(block, Layer) and not isinstance(block, Pointwise) else activation(block) >> Dense()
    layer = uniform_twin(layer)
    return layer, str(block if isinstance(block, Layer | str) else layer)


def half_stable(block: Any) -> Critical:
    """The point of the critical curve at which chi_q = chi_1 = 1; for a scale-invariant block, any: that of q = 1.

    Raises NoEdge (a ValueError) where chi_q is 1 at no length, with the chi_q that is nearest.
    """
    layer, name = subject(block)
    at = _numbers(layer)
    if not _bias_var(layer, 1.0).has(length):
        weight_var, bias_var, chi_q = at(1.0)[0]
        return Critical(float(weight_var), float(bias_var), 1.0, float(chi_q), False, name)
    values = at(LENGTHS)
    real = (values[:, 1] >= 0) & np.isfinite(values).all(axis=1)
    found = [
        brentq(lambda q: at(q)[0, 2] - 1, LENGTHS[i], LENGTHS[i + 1], xtol=1e-300, rtol=1e-15)
        for i in range(len(LENGTHS) - 1)
        if real[i] and real[i + 1] and (values[i, 2] - 1) * (values[i + 1, 2] - 1) < 0 and abs(values[i, 2] - 1) > 1e-9
    ]
    if not found:
        raise NoEdge(_none_half_stable(name, values[real & (LENGTHS >= 0.01)]))
    weight_var, bias_var, chi_q = at(found[0])[0]
    return Critical(float(weight_var), float(bias_var), found[0], float(chi_q), False, name, tuple(found[1:]))


def _none_half_stable(name: str, values: Array) -> str:
    if not len(values):
        return f"{name} has no edge of chaos at lengths from 0.01 on, and so no half-stable point"
    nearest = values[np.argmin(abs(values[:, 2] - 1)), 2]
    which = "stable: use criterion 'edge_of_chaos'" if nearest < 1 else "unstable"
    return (
        f"{name} has no half-stable point: on its edge of chaos chi_q is at nearest {nearest:.6g}, lengths are {which}"
    )


def _certified(block: Any, bias_var: Any, q: float, digits: int) -> "CertifiedEdge":
    from meanfield.rigorous import NotCertified, certified_edge

    if isinstance(block, Layer) and not isinstance(block, Pointwise):
        raise NotCertified(f"digits are certified of an activation before a Dense, not of the block {block}: name it")
    return certified_edge(block, bias_var, near=q, digits=digits)


@lru_cache(maxsize=64)
def _compiled(layer: Layer) -> tuple[Curve, Callable[..., Array]]:
    """The curve as formulas in q and chi_1, and as numbers."""
    curve = critical_curve(layer, CHI)
    return curve, tabulated([length, CHI], curve.raw, f"edge of chaos of {layer}")


@lru_cache(maxsize=64)
def _bias_var(layer: Layer, chi_1: float) -> Expr:
    """The bias_var along the curve, in q."""
    if chi_1 == 1:  # derived by itself, since a curve in chi_1 may end there: a residual block has weight_var = 0
        return critical_curve(layer).bias_var
    return Curve(tuple(e.subs(CHI, chi_1) for e in _compiled(layer)[0].raw)).bias_var


def _numbers(layer: Layer, chi_1: float = 1.0) -> Callable[[Any], Array]:
    """Rows weight_var, bias_var, chi_q for lengths."""
    table = _compiled(layer)[1]
    return lambda q: table(q, chi_1).T


def _points(layer: Layer, name: str, bias_var: float, chi_1: float) -> list[Point]:
    """All points of the critical curve with this bias_var."""
    at, along = _numbers(layer, chi_1), _bias_var(layer, chi_1)
    if not along.has(length):
        return [_only_edge(float(along), at(1.0)[0], name, bias_var)]
    found = meeting(at, bias_var)
    if not found:
        raise NoEdge(_why_not(layer, name, bias_var, chi_1, at(LENGTHS)))
    return [(float(at(q)[0, 0]), 0.0 if q == SMALL else float(q), float(at(q)[0, 2])) for q in found]


def meeting(at: Callable[[Any], Array], bias_var: float) -> list[float]:
    """The lengths at which a curve (rows weight_var, bias_var, ... for lengths) has this bias_var; SMALL is 0."""
    gap = at(LENGTHS)[:, 1] - bias_var
    (weight_var, bias), (before, _) = at([SMALL, 1e6 * SMALL])[:, :2]
    # A weight variance that vanishes with q is that of a block that normalizes; one that diverges, of no slope.
    has_limit = weight_var > 1e-12 and abs(weight_var - before) <= 1e-3 * weight_var
    found = [SMALL] if abs(bias - bias_var) <= 1e-25 and has_limit else []
    for i in np.flatnonzero(np.sign(gap[:-1]) * np.sign(gap[1:]) < 0):
        found.append(brentq(lambda q: at(q)[0, 1] - bias_var, LENGTHS[i], LENGTHS[i + 1], xtol=1e-300, rtol=1e-15))
    return found


def _only_edge(edge: float, values: Array, name: str, bias_var: float) -> Point:
    """A scale-invariant activation is critical at one bias_var alone, for every length."""
    if abs(edge - bias_var) > 1e-12:
        raise NoEdge(
            f"{name} is critical only at bias_var = {edge:g} (and weight_var = {values[0]:.12g}), not at {bias_var:g}"
        )
    return float(values[0]), 1.0, float(values[2])


def _why_not(layer: Layer, name: str, bias_var: float, chi_1: float, values: Array) -> str:
    reached = values[:, 1][np.isfinite(values[:, 1])]
    what = "edge of chaos" if chi_1 == 1 else f"point with chi_1 = {chi_1:.6g}"
    if not (reached >= 0).any():
        best = _largest_slope(layer, chi_1)
        return (
            f"{name} has no {what}: chi_1 = {chi_1:g} asks for sigma_b^2 < 0 at every length q from {LENGTHS[0]:g} to "
            f"{LENGTHS[-1]:g}; the largest chi_1 that it reaches is {best:.6g}, a depth scale of "
            f"{depth_scale(best):.3g} layers: ask for less, use another activation, or another criterion of init_scale"
        )
    nearest = reached[reached >= 0][np.argmin(abs(reached[reached >= 0] - bias_var))]
    point = "critical point" if chi_1 == 1 else what
    return f"{name} has no {point} at bias_var = {bias_var:g}; the nearest that has one is about {nearest:.3g}"


def _largest_slope(layer: Layer, beyond: float) -> float:
    """The largest chi_1 below `beyond` whose curve has a bias_var that is not negative, at the lengths searched."""
    low, high = 0.0, beyond
    while high - low > 1e-9 * beyond:
        middle = (low + high) / 2
        biases = _numbers(layer, middle)(LENGTHS)[:, 1]
        low, high = (middle, high) if (biases >= 0).any() else (low, middle)
    return low
