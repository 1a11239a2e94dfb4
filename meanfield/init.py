"""What to initialize with: weight and bias variances from a criterion, and what they were derived from.

edge_of_chaos: chi_1 = 1 at the length q* = V(q*); second_moment and he: weight_var = 1/E phi(u)^2 at q = 1, so that
lengths stay (ReLU: 2, He et al. 2015); gradient: weight_var = 1/E phi'(u)^2 at q = 1, so that gradients do. gain =
sqrt(weight_var) multiplies the standard deviation sqrt(1/fan_in).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import sqrt
from typing import Any

from meanfield.build import Block
from meanfield.edge import edge_of_chaos
from symbolic.activations import activation
from symbolic.networks import Dense, Layer


@dataclass(frozen=True)
class InitScale:
    """Weights N(0, weight_var/fan_in), biases N(0, bias_var); slopes are those at the length q."""

    weight_var: float
    bias_var: float
    gain: float
    criterion: str
    q: float
    chi_1: float
    chi_q: float
    activation: str = field(default="")

    def __str__(self) -> str:
        return (
            f"{self.activation} ({self.criterion}): weights N(0, {self.weight_var:.12g}/fan_in), "
            f"biases N(0, {self.bias_var:.12g}), gain {self.gain:.12g}\n"
            f"  at length q = {self.q:.6g}: chi_1 = {self.chi_1:.6g}, chi_q = {self.chi_q:.6g}"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def init_scale(phi: Any, *, criterion: str = "edge_of_chaos", bias_var: float | None = None) -> InitScale:
    """Initialization scales of an activation (name, formula or layer), or of a block with free variances.

    criterion: "edge_of_chaos" (bias_var default 0), "second_moment" (also "he") or "gradient", at unit length; then
    bias_var must be left out, for it is 0. Raises NoEdge (a ValueError) where the edge of chaos does not exist.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; known are {', '.join(CRITERIA)}")
    return CRITERIA[criterion](phi, criterion, bias_var)


def _critical(phi: Any, criterion: str, bias_var: float | None) -> InitScale:
    point = edge_of_chaos(phi, bias_var=0.0 if bias_var is None else bias_var)
    return InitScale(
        point.weight_var,
        point.bias_var,
        sqrt(point.weight_var),
        criterion,
        point.q,
        1.0,
        point.chi_q,
        point.activation,
    )


def _preserving(question: str) -> Callable[[Any, str, float | None], InitScale]:
    """weight_var = 1/(what one unit of it makes of the length, or of the gradient, at q = 1)."""

    def scale(phi: Any, criterion: str, bias_var: float | None) -> InitScale:
        if bias_var not in (None, 0):
            raise ValueError(
                f"criterion {criterion!r} keeps unit length without bias: leave bias_var out, not {bias_var}"
            )
        if isinstance(phi, Layer) and not hasattr(phi, "formula"):
            raise TypeError(f"criterion {criterion!r} is one of an activation; '{phi}' is a block: use 'edge_of_chaos'")
        act = activation(phi)
        unit = Block(act >> Dense(1, 0))
        weight_var = 1 / float(unit(question, [1.0])[0, 0])
        slopes = (
            weight_var * float(unit("gradient", [1.0])[0, 0]),
            weight_var * float(unit("length", [1.0])[0, 1]),
        )
        return InitScale(weight_var, 0.0, sqrt(weight_var), criterion, 1.0, *slopes, str(act))

    return scale


CRITERIA: dict[str, Callable[[Any, str, float | None], InitScale]] = {
    "edge_of_chaos": _critical,
    "second_moment": _preserving("length"),
    "he": _preserving("length"),
    "gradient": _preserving("gradient"),
}
