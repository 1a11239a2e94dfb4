"""What a practitioner sets, read off a solved chain: exponents of the initialization, multiplier, learning rate, decay
and damping of each layer; and the maximal update of one matrix, of which only the fans are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sympy import Expr

from symbolic.scaling.conditions import mup
from symbolic.scaling.equations import Chain, dampings, first_step
from symbolic.scaling.layers import mlp
from symbolic.scaling.optimizers import ZERO, Optimizer
from symbolic.scaling.solve import solve, unknown_chain


@dataclass(frozen=True)
class Exponents:
    """What a layer is drawn, multiplied and trained with, each proportional to width**exponent.

    weight_decay is that of w' = (1 - learning_rate*weight_decay) w, so that their product does not depend on width.
    dampings holds epsilon, or rho_A and rho_B of K-FAC, and nothing for rules without.
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


def exponents(chain: Chain) -> tuple[Exponents, ...]:
    """Those of each layer of the chain."""
    rows = zip(chain.a, chain.b, chain.c, dampings(chain), strict=True)
    return tuple(Exponents(-b, -a, -c, c, damping) for a, b, c, damping in rows)


@lru_cache(maxsize=64)
def maximal(optimizer: Optimizer, fan_in_grows: bool, fan_out_grows: bool) -> Exponents:
    """The maximal update of a matrix without a multiplier, whose fan-in and fan-out grow with width or not.

    >>> from symbolic.scaling.optimizers import optimizer
    >>> maximal(optimizer("adam"), True, True).learning_rate
    -1
    """
    layers = mlp()
    chain = unknown_chain(layers, optimizer, a=(ZERO,) * len(layers))
    solved = solve(chain, mup(chain)).chain
    grows = [(p.fan_in != 0, p.fan_out != 0) for p in layers]
    if (fan_in_grows, fan_out_grows) in grows:
        return exponents(solved)[grows.index((fan_in_grows, fan_out_grows))]
    # finite on both sides: what a bias of the output meets, a delta of the output's
    meets = replace(first_step(solved).signals[-1], weight=ZERO, fan_in=ZERO, fan_out=ZERO)
    rate = -optimizer.update(meets)
    return Exponents(ZERO, ZERO, rate, -rate, optimizer.dampings(meets))
