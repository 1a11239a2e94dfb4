"""Positions of tokens in a sequence: random vectors P_i added to the tokens x_i, fixed when a network is drawn.

Each feature of P is a Gaussian function of the position, of covariance var R(|i - j|), the same for all points, so that
k'_ij(x, x') = k_ij(x, x') + var R(|i - j|); it is not trained, so that t' = t.
"""

from dataclasses import dataclass
from typing import Any

from symbolic.networks import quantity
from symbolic.pictures import Shape, Spatial, shape_after
from symbolic.signals import kind_after, odd


@dataclass(frozen=True, repr=False)
class PositionalEncoding(Spatial):
    """x_i -> x_i + P_i for token i of a sequence (points, tokens, features), P_i ~ N(0, var) fixed random vectors.

    Their covariance is var R(|i - j|) for each feature: R = exp(-(|i - j|/length)^power), or independent positions
    where length is left out; power lies above 0 and up to 2, beyond which R is no covariance. At infinite width
    k'_ij(x, x') = k_ij(x, x') + var R(|i - j|), also between two points, and the tangent kernel is left as it is, for P
    is not trained. Put it behind a Dense layer: added to few features, P varies from network to network.
    Raises TypeError or ValueError for other numbers. Hron et al. 2020 (arXiv 2006.10540): recalled and checked
    numerically, not re-read.
    """

    var: Any = 1
    length: Any = None
    power: Any = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "var", quantity("var", self.var, low=0))
        if self.length is not None:
            object.__setattr__(self, "length", quantity("length", self.length, low=0, open_low=True))
        object.__setattr__(self, "power", quantity("power", self.power, low=0, high=2, open_low=True))


@shape_after.register
def _(layer: PositionalEncoding, shape: Shape) -> Shape:
    if len(shape) != 1:
        given = f"pictures of shape {shape}" if shape else "flat signals"
        raise ValueError(f"'{layer}' reads sequences (points, tokens, features), not {given}")
    return shape


kind_after.register(PositionalEncoding)(lambda layer, kind: kind)
odd.register(PositionalEncoding)(lambda layer: True)  # P and -P have one law
