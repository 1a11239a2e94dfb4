"""What a criterion asks of the weights behind an activation, at the length q at which it is met.

edge_of_chaos asks for chi_1 = weight_var E phi'(sqrt(q) z)^2 = 1. Where the fixed point of mf.init_scale is q = 0
(tanh), q decays as a power of the depth, and weight_var = 1/E phi'^2 at each layer's own q keeps chi_1 = 1 all the way;
where lengths run away from it (chi_q > 1: GELU), its half-stable point has a bias_var of its own. Where lengths are set
anew (behind a normalization, inside a residual branch), any q will do, and no bias is needed. Derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import exp
from typing import Any

from meanfield.build import Array, tabulated
from meanfield.init import InitScale, init_scale
from meanfield.torch.plan import runs_away
from symbolic.critical import NoEdge
from symbolic.gaussian import Mean
from symbolic.gaussian import q as length
from symbolic.landmarks import slope
from symbolic.networks import Pointwise


@dataclass(frozen=True)
class Wish:
    """What the user asked for: a criterion of mf.init_scale and its numbers."""

    criterion: str = "edge_of_chaos"
    bias_var: float | None = None
    depth_scale: float | None = None


@dataclass(frozen=True)
class Point:
    """Variances behind `phi`, whose inputs shall have length q; weight_var None is chi_1/E phi'^2 at any length."""

    phi: Pointwise
    q: float
    bias_var: float
    reason: str
    weight_var: float | None = None
    chi_1: float = 1.0

    def at(self, q: float) -> float:
        """weight_var where the activation's inputs have the mean square q."""
        return self.chi_1 / slope_square(self.phi, q) if self.weight_var is None else self.weight_var


@lru_cache(maxsize=64)
def _table(phi: Pointwise) -> Callable[[Any], Array]:
    f = phi.formula
    means = [Mean(g, length) for g in (f, f**2, slope(f) ** 2)]
    return tabulated([length], means, f"initialization behind {phi}")


def average(phi: Pointwise, q: float) -> float:
    """E phi(sqrt(q) z)."""
    return float(_table(phi)(q)[0, 0])


def square(phi: Pointwise, q: float) -> float:
    """E phi(sqrt(q) z)^2."""
    return float(_table(phi)(q)[1, 0])


def slope_square(phi: Pointwise, q: float) -> float:
    """E phi'(sqrt(q) z)^2."""
    return float(_table(phi)(q)[2, 0])


def point(phi: Pointwise, wish: Wish, anchored: bool, layer: str) -> Point:
    """What the criterion asks of weights behind phi; `anchored` where lengths are set anew, so that none can run away.

    Raises NoEdge (a ValueError) where there is no such point, naming the layer and what to do.
    """
    try:
        return _point(phi, wish, anchored)
    except NoEdge as error:
        raise NoEdge(
            f"{layer!r}: {error}. Here: give init_ another criterion, as 'he', or depth_scale=, the number of layers "
            "that must be crossed, or leave the layers around it as they are with skip=, a tuple of their names"
        ) from error


def _point(phi: Pointwise, wish: Wish, anchored: bool) -> Point:
    if wish.criterion == "edge_of_chaos" and anchored and wish.bias_var is None:
        chi_1 = 1.0 if wish.depth_scale is None else exp(-1 / wish.depth_scale)
        return Point(phi, 1.0, 0.0, f"chi_1 = {chi_1:.4g} behind {phi} at its own length", None, chi_1)
    if wish.criterion == "edge_of_chaos":
        return _edge(phi, wish)
    found = init_scale(phi, criterion=wish.criterion, bias_var=wish.bias_var)
    return _fixed(phi, found, f"{wish.criterion} of {phi}, q = {found.q:.4g}")


def _edge(phi: Pointwise, wish: Wish) -> Point:
    found = init_scale(phi, bias_var=wish.bias_var, depth_scale=wish.depth_scale)
    if wish.depth_scale is None and runs_away(phi, found):
        if wish.bias_var is not None:
            raise NoEdge(
                f"at the edge of chaos of {phi} with bias_var={wish.bias_var:g} lengths leave q = {found.q:.6g} and "
                "grow with depth: leave bias_var out, for the half-stable point, which has its own"
            )
        half = init_scale(phi, criterion="half_stable")
        return _fixed(phi, half, f"half-stable point of the edge of {phi}, q = {half.q:.4g}: at q = 0 lengths run away")
    if found.q > 0:
        return _fixed(phi, found, f"edge of chaos of {phi}, q = {found.q:.4g}")
    return Point(
        phi, 1.0, found.bias_var, f"chi_1 = {found.chi_1:.4g} behind {phi} at its own length", None, found.chi_1
    )


def _fixed(phi: Pointwise, found: InitScale, reason: str) -> Point:
    return Point(phi, found.q, found.bias_var, reason, found.weight_var)
