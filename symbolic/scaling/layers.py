"""Parameters and the axes that grow: a weight matrix has fan-in n^i and fan-out n^o, with i and o read off its axes.

(i, o) = (0, 1) is an input (also an embedding, a bias, a gain), (1, 1) hidden, (1, 0) an output, (0, 0) fixed. The
taps of a filter, the pixels of a picture, the features of the data and the classes are finite axes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

from sympy import Expr, Integer, S

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
    exponent: Expr = S.Zero


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


ARCHITECTURES: dict[str, Callable[[], tuple[Parameter, ...]]] = {"mlp": mlp}


def architecture(given: Any) -> tuple[Parameter, ...]:
    """The weight matrices of a network, or of an architecture by its name; ValueError, TypeError or NoRule else."""
    if isinstance(given, Layer):
        return parameters(given)
    if not isinstance(given, str):
        raise TypeError(f"an architecture is a network or one of {', '.join(map(repr, ARCHITECTURES))}, not {given!r}")
    if given not in ARCHITECTURES:
        raise ValueError(
            f"unknown architecture {given!r}; known are {', '.join(map(repr, ARCHITECTURES))}, or a network"
        )
    return ARCHITECTURES[given]()


def merged(layers: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """One layer for each run of layers of the same kind, which hand on what they get: named by the kind."""
    kinds = [p.kind for p in layers]
    first = [k for k in range(len(layers)) if k == 0 or kinds[k] != kinds[k - 1]]
    return tuple(replace(layers[k], name=kinds[k]) for k in first)


def parameters(network: Layer) -> tuple[Parameter, ...]:
    """The weight matrices of a network, first to last; NoRule for a layer whose axes are not known.

    >>> [p.kind for p in parameters(Dense() >> Dense() >> Dense())]
    ['input', 'hidden', 'output']
    """
    pending: tuple[Axis, ...] = ()
    sources: list[tuple[Axis, ...]] = []
    for layer in _in_order(network):
        axes = finite_axes(layer)
        pending += axes
        if isinstance(layer, Dense | Conv):
            sources.append(pending)
            pending = ()
    if len(sources) < 2:
        raise NoRule(
            f"'{network}' has {len(sources)} weight matrices, and a width lies between two: put at least two Dense or "
            "Conv layers behind each other"
        )
    inner = ["hidden"] if len(sources) == 3 else [f"hidden {k}" for k in range(1, len(sources) - 1)]
    ends = [FEATURES, *[WIDTH] * (len(sources) - 1), CLASSES]
    names = ["input", *inner, "output"]
    return tuple(
        Parameter(name, (ends[k], *axes), (ends[k + 1],))
        for k, (name, axes) in enumerate(zip(names, sources, strict=True))
    )


def _in_order(network: Layer) -> Sequence[Layer]:
    if isinstance(network, Chain):
        return [part for layer in network.layers for part in _in_order(layer)]
    if isinstance(network, Repeat):
        return list(_in_order(network.block)) * network.times
    if isinstance(network, Scale):
        return _in_order(network.layer)
    return [network]


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
for _plain in (Dense, Identity, Pointwise, Dropout, LayerNorm, RMSNorm, AvgPool, GlobalAvgPool):
    finite_axes.register(_plain)(lambda layer: ())
