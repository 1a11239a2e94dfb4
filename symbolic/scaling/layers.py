"""Parameters and the axes that grow: a weight matrix has fan-in n^i and fan-out n^o, with i and o read off its axes.

(i, o) = (0, 1) is an input (also an embedding, a bias, a gain), (1, 1) hidden, (1, 0) an output, (0, 0) fixed. The
taps of a filter, the pixels of a picture, the features of the data and the classes are finite axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from sympy import Expr, Integer

from symbolic.networks import (
    Chain,
    Dense,
    Dropout,
    Identity,
    Layer,
    LayerNorm,
    Pointwise,
    Repeat,
    RMSNorm,
    Scale,
)
from symbolic.pictures import AvgPool, Conv, Flatten, GlobalAvgPool
from symbolic.signals import NoRule

KINDS = {(False, True): "input", (True, True): "hidden", (True, False): "output", (False, False): "fixed"}


@dataclass(frozen=True)
class Axis:
    """A dimension of size n^exponent."""

    name: str
    exponent: Expr = Integer(0)


WIDTH = Axis("width", Integer(1))
FEATURES, CLASSES, TAPS, POSITIONS = (Axis(name) for name in ("features", "classes", "taps", "positions"))


@dataclass(frozen=True)
class Parameter:
    """A weight matrix by the axes it sums over and those it gives."""

    name: str
    fan_in_axes: tuple[Axis, ...]
    fan_out_axes: tuple[Axis, ...]

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


def parameters(network: Layer) -> tuple[Parameter, ...]:
    """The weight matrices of a network, first to last; NoRule for a layer whose axes are not known.

    >>> [p.kind for p in parameters(Dense() >> Dense() >> Dense())]
    ['input', 'hidden', 'output']
    """
    found = [extra for layer in _in_order(network) for extra in finite_axes(layer)]
    matrices = [at for at, axes in enumerate(found) if axes is not POOLED]
    if len(matrices) < 2:
        raise NoRule(
            f"'{network}' has {len(matrices)} weight matrices, and a width lies between two: put at least two Dense "
            "or Conv layers behind each other"
        )
    result: list[Parameter] = []
    before: tuple[Axis, ...] = ()
    for at, axes in enumerate(found):
        if axes is POOLED:
            before = (POSITIONS,)
            continue
        first, last = at == matrices[0], at == matrices[-1]
        name = "input" if first else "output" if last else f"hidden {len(result)}"
        source = (FEATURES if first else WIDTH, *before, *axes)
        result.append(Parameter(name, source, (CLASSES if last else WIDTH,)))
        before = ()
    return tuple(result)


def _in_order(network: Layer) -> Sequence[Layer]:
    if isinstance(network, Chain):
        return [part for layer in network.layers for part in _in_order(layer)]
    if isinstance(network, Repeat):
        return list(_in_order(network.block)) * network.times
    if isinstance(network, Scale):
        return _in_order(network.layer)
    return [network]


POOLED = (POSITIONS,)


@singledispatch
def finite_axes(layer: Any) -> Sequence[tuple[Axis, ...]]:
    """For each weight matrix of the layer the finite axes that it sums over besides the channels."""
    known = sorted(c.__name__ for c in finite_axes.registry if c is not object)
    raise NoRule(
        f"the layer '{layer}' ({type(layer).__name__}) cannot be classified: which of its axes grow with width is not "
        f"known; known are {', '.join(known)}"
    )


finite_axes.register(Dense)(lambda layer: [()])
finite_axes.register(Conv)(lambda layer: [(TAPS,)])
finite_axes.register(Flatten)(lambda layer: [POOLED])
for _passive in (Identity, Pointwise, Dropout, LayerNorm, RMSNorm, AvgPool, GlobalAvgPool):
    finite_axes.register(_passive)(lambda layer: [])
