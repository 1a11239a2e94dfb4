"""Parameters and the axes that grow: a weight matrix has fan-in n^i and fan-out n^o, with i and o read off its axes.

(i, o) = (0, 1) is an input (also an embedding, a bias, a gain), (1, 1) hidden, (1, 0) an output, (0, 0) fixed. The
taps of a filter, the pixels of a picture, the features of the data and the classes are finite axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

from sympy import Expr, Integer, S

from symbolic.networks import Dense, Dropout, Identity, LayerNorm, Pointwise, RMSNorm
from symbolic.pictures import AvgPool, Conv, Flatten, GlobalAvgPool
from symbolic.sequences import PositionalEncoding
from symbolic.signals import NoRule

KINDS = {(False, True): "input", (True, True): "hidden", (True, False): "output", (False, False): "fixed"}


@dataclass(frozen=True)
class Axis:
    """A dimension of size n^exponent."""

    name: str
    exponent: Expr = S.Zero


WIDTH = Axis("width", Integer(1))
FEATURES, CLASSES, TAPS, POSITIONS = (Axis(name) for name in ("features", "classes", "taps", "positions"))


@dataclass(frozen=True)
class Parameter:
    """A weight matrix by the axes it sums over and those it gives; does it lie in a residual branch?"""

    name: str
    fan_in_axes: tuple[Axis, ...]
    fan_out_axes: tuple[Axis, ...]
    block: bool = False

    @property
    def fan_in(self) -> Expr:
        """i: the exponent of the fan-in."""
        return sum((axis.exponent for axis in self.fan_in_axes), Integer(0))

    @property
    def fan_out(self) -> Expr:
        """o: the exponent of the fan-out."""
        return sum((axis.exponent for axis in self.fan_out_axes), Integer(0))

    @property
    def kind(self) -> str:
        """input, hidden, output or fixed: which of fan-in and fan-out grow."""
        return KINDS[self.fan_in != 0, self.fan_out != 0]


def mlp(hidden: int = 1, width: Axis = WIDTH) -> tuple[Parameter, ...]:
    """Input, hidden matrices, output of a multi-layer perceptron."""
    names = ["hidden"] if hidden == 1 else [f"hidden {k}" for k in range(1, hidden + 1)]
    return (
        Parameter("input", (FEATURES,), (width,)),
        *(Parameter(name, (width,), (width,)) for name in names),
        Parameter("output", (width,), (CLASSES,)),
    )


def merged(layers: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """One layer for each run of layers of the same kind, which hand on what they get: named by the kind."""
    kinds = [p.kind for p in layers]
    first = [k for k in range(len(layers)) if k == 0 or kinds[k] != kinds[k - 1]]
    return tuple(replace(layers[k], name=kinds[k]) for k in first)


@singledispatch
def finite_axes(layer: Any) -> tuple[Axis, ...]:
    """The finite axes over which the next weight matrix sums because of this layer, besides the channels."""
    known = sorted(c.__name__ for c in finite_axes.registry if c is not object)
    raise NoRule(
        f"the layer '{layer}' ({type(layer).__name__}) cannot be classified: which of its axes grow with the width is "
        f"not known; known are {', '.join(known)}"
    )


finite_axes.register(Conv)(lambda layer: (TAPS,))
finite_axes.register(Flatten)(lambda layer: (POSITIONS,))
for _plain in (Dense, Identity, Pointwise, Dropout, LayerNorm, RMSNorm, AvgPool, GlobalAvgPool, PositionalEncoding):
    finite_axes.register(_plain)(lambda layer: ())
