"""What to expect of a block at a given depth and width: iterated maps, not asymptotics.

From a length q_0: forward = q_L/q_0; gradient = the factor of mean squared gradients over the depth, the product of the
factors at the lengths passed; correlation = c_L of two inputs that start with c_0; fluctuation = Var K/K^2 of the
length of one input over networks, to first order in L/n (phi >> Dense only).
"""

from dataclasses import dataclass
from math import inf, nan

import numpy as np

from meanfield.build import Block
from meanfield.finite.networks import whole
from meanfield.width import finite_width
from symbolic.networks import Chain, Dense, Layer, Pointwise

START = 0.5  # the correlation of two inputs


@dataclass(frozen=True)
class Outlook:
    """Ratios over `depth` layers; fluctuation and scale (L/n) are None without a width."""

    depth: int
    forward: float
    gradient: float
    correlation: float
    width: int | None = None
    scale: float | None = None
    fluctuation: float | None = None

    def __str__(self) -> str:
        lines = [
            f"  over {self.depth} layers: lengths x {self.forward:.6g}, squared gradients x {self.gradient:.6g}, "
            f"correlation {START:g} -> {self.correlation:.6g}"
        ]
        if self.width is not None:
            spread = "" if self.fluctuation is None else f", Var K/K^2 = {self.fluctuation:.6g}"
            lines.append(f"  at width {self.width}: L/n = {self.scale:.6g}{spread}")
        return "\n".join(lines)

    __repr__ = __str__


def outlook(block: Layer, *, depth: int, width: int | None = None, q0: float = 1.0) -> Outlook:
    """What a block with numbers does to lengths, gradients and correlations over a depth, and to first order in 1/n."""
    built, state, gradient = Block(block), q0 * np.array([[1.0, 1.0, START]]), 1.0
    for _ in range(whole("depth", depth)):
        gradient *= float(built("gradient", state[:, 0])[0, 0])
        state = built("orbit", state)
        if not (np.isfinite(state).all() and state[0, 0] > 0):
            return Outlook(depth, inf if state[0, 0] > 0 else nan, gradient, nan, width)
    q, _, k = (float(x) for x in state[0])
    found = Outlook(depth, q / q0, gradient, k / q)
    if width is None:
        return found
    size, spread = whole("width", width), None
    match block:
        case Chain(layers=(Pointwise(), Dense())):
            spread = float(finite_width(block, depth=depth, width=size, q0=q0).relative[-1])
    return Outlook(depth, q / q0, gradient, k / q, size, depth / size, spread)
