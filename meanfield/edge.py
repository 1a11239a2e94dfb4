"""The edge of chaos as numbers: the critical curve, parametrised by its length q, met with a given bias_var.

For phi >> Dense the curve is weight_var = 1/E phi'(u)^2, bias_var = q - weight_var E phi(u)^2, so a critical point is
a root in one variable, found even where its length is unstable (chi_q > 1: GELU, SiLU, Mish below their half-stable
points). Poole et al. 2016 (arXiv 1606.05340), Schoenholz et al. 2017 (1611.01232); the parametrisation is ours.
"""

from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from math import inf
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq

from meanfield.build import Array, compiled
from symbolic.activations import activation
from symbolic.critical import Curve, NoEdge
from symbolic.critical import edge_of_chaos as critical_curve
from symbolic.gaussian import q as length
from symbolic.networks import Dense, Layer, Pointwise

if TYPE_CHECKING:
    from meanfield.rigorous import CertifiedEdge

SMALL, LENGTHS = 1e-30, np.logspace(-8, 4, 241)


@dataclass(frozen=True)
class Critical:
    """A point of the edge of chaos; `stable` says whether lengths are drawn to q there (chi_q < 1)."""

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

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def edge_of_chaos(block: Any, *, bias_var: Any = 0.0, digits: int | None = None) -> Critical:
    """The critical weight_var for a given bias_var, of an activation (name, formula, layer) or of a block with free
    variances. With `digits`, of an activation, `.certified` holds balls that provably contain the critical point; a
    bias_var is then taken exactly, and as it reads where it is a str ("0.05").

    Raises NoEdge (a ValueError) where chi_1 = 1 asks for a negative bias_var at every length, or for another bias_var
    than the one given, with the nearest that has a critical point; NotCertified (a ValueError) where a proof fails.
    """
    given, bias_var = bias_var, float(bias_var)
    if not 0 <= bias_var < inf:
        raise ValueError(f"bias_var must be finite and at least 0, not {bias_var}")
    layer = block if isinstance(block, Layer) and not isinstance(block, Pointwise) else activation(block) >> Dense()
    name = str(block if isinstance(block, Layer | str) else layer)
    points = sorted(_points(layer, name, bias_var), key=lambda point: (point[2] > 1 + 1e-12, point[1]))
    (weight_var, q, chi_q), *others = points
    found = Critical(weight_var, bias_var, q, chi_q, chi_q < 1 - 1e-12, name, tuple(x[1] for x in others))
    return found if digits is None else replace(found, certified=_certified(block, given, q, digits))


def _certified(block: Any, bias_var: Any, q: float, digits: int) -> "CertifiedEdge":
    from meanfield.rigorous import NotCertified, certified_edge

    if isinstance(block, Layer) and not isinstance(block, Pointwise):
        raise NotCertified(f"digits are certified of an activation before a Dense, not of the block {block}: name it")
    return certified_edge(block, bias_var, near=q, digits=digits)


Point = tuple[float, float, float]  # weight_var, q, chi_q


@lru_cache(maxsize=64)
def _compiled(layer: Layer) -> tuple[Curve, ModuleType]:
    curve = critical_curve(layer)
    return curve, compiled({"curve": ([length], curve.raw)}, f"edge of chaos of {layer}")


def _points(layer: Layer, name: str, bias_var: float) -> list[Point]:
    """All points of the critical curve with this bias_var."""
    curve, module = _compiled(layer)

    def at(q: Any) -> Array:
        rows = np.ascontiguousarray(np.atleast_1d(np.asarray(q, dtype=np.float64))[:, None])
        out = np.empty((len(rows), 3))
        module.curve_rows(rows, out)
        return out

    if not curve.bias_var.has(length):
        return [_only_edge(float(curve.bias_var), at(1.0)[0], name, bias_var)]
    values = at(LENGTHS)
    gap = values[:, 1] - bias_var
    found = [SMALL] if abs(at(SMALL)[0, 1] - bias_var) <= 1e-25 else []
    for i in np.flatnonzero(np.sign(gap[:-1]) * np.sign(gap[1:]) < 0):
        found.append(brentq(lambda q: at(q)[0, 1] - bias_var, LENGTHS[i], LENGTHS[i + 1], xtol=1e-300, rtol=1e-15))
    if not found:
        raise NoEdge(_why_not(name, bias_var, values))
    return [(float(at(q)[0, 0]), 0.0 if q == SMALL else float(q), float(at(q)[0, 2])) for q in found]


def _only_edge(edge: float, values: Array, name: str, bias_var: float) -> Point:
    """A scale-invariant activation is critical at one bias_var alone, for every length."""
    if abs(edge - bias_var) > 1e-12:
        raise NoEdge(
            f"{name} is critical only at bias_var = {edge:g} (and weight_var = {values[0]:.12g}), not at {bias_var:g}"
        )
    return float(values[0]), 1.0, float(values[2])


def _why_not(name: str, bias_var: float, values: Array) -> str:
    reached = values[:, 1][np.isfinite(values[:, 1])]
    if not (reached >= 0).any():
        return (
            f"{name} has no edge of chaos: chi_1 = 1 asks for sigma_b^2 < 0 at every length q from {LENGTHS[0]:g} to "
            f"{LENGTHS[-1]:g}; use another activation, or another criterion of init_scale"
        )
    nearest = reached[reached >= 0][np.argmin(abs(reached[reached >= 0] - bias_var))]
    return f"{name} has no critical point at bias_var = {bias_var:g}; the nearest that has one is about {nearest:.3g}"
