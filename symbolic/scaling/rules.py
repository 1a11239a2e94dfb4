"""The maximal-update parametrization of one weight matrix from its fans alone, in the gauge without multipliers.

Every layer is asked that its update moves its outputs by Theta(1), [Q] + i - c = 0, and that W_0 carries the change of
its inputs on, [W_0] + omega i = 0, with omega i = max(i/2, i - o/2) where the change went through W_0^T.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sympy import Expr, Integer, Max, expand

from symbolic.scaling.optimizers import HALF, ONE, ZERO, Optimizer, Signals


@dataclass(frozen=True)
class Exponents:
    """What a layer is drawn, multiplied and trained with, each proportional to width**exponent.

    weight_decay is that of w' = (1 - learning_rate*weight_decay) w. dampings holds epsilon, or rho_A and rho_B.
    """

    init_std: Expr
    multiplier: Expr
    learning_rate: Expr
    weight_decay: Expr
    dampings: Mapping[str, Expr] = field(default_factory=dict)

    @property
    def damping(self) -> Expr | tuple[Expr, ...] | None:
        """The exponent of the damping; a tuple (rho_A, rho_B) where there are two, None where there is none."""
        found = tuple(self.dampings.values())
        return found[0] if len(found) == 1 else found or None


def contraction(fan_in: Expr, fan_out: Expr, signal: str = "gradient") -> Expr:
    """omega i: W_0 times a vector that went through W_0^T gains the trace, n^(i - o/2); through an inverse nothing."""
    return fan_in / 2 if signal == "targets" else Max(fan_in / 2, fan_in - fan_out / 2)


def maximal(optimizer: Optimizer, fan_in_grows: bool, fan_out_grows: bool) -> Exponents:
    """The exponents of a matrix whose fan-in and fan-out grow, or not, in a network between finite inputs and outputs.

    >>> from symbolic.scaling.optimizers import optimizer
    >>> maximal(optimizer("adam"), True, True).learning_rate
    -1
    """
    i, o = Integer(fan_in_grows), Integer(fan_out_grows)
    readout = contraction(ONE, ZERO, optimizer.signal)
    delta = {"gradient": -readout, "inference": -readout, "targets": readout - HALF}[optimizer.signal] * o
    if optimizer.signal == "inference":
        delta += optimizer.energy - Max(0, optimizer.energy + 1 - 2 * readout)
    init_std = -contraction(i, o, optimizer.signal)
    s = Signals(ZERO, delta, init_std, ZERO, i, o)
    learning_rate = expand(-optimizer.update(s) - i)
    return Exponents(init_std, ZERO, learning_rate, -learning_rate, optimizer.dampings(s))
