"""A deep network without biases, its two passes, and how it is drawn.

h_l = a_l w_l x_{l-1},  x_l = phi(h_l),  f = h_D;  w_l has entries N(0, std_l^2) and x_0 is the input, a column each.
delta_D = df,  delta_l = phi'(h_l) a_{l+1} w_{l+1}^T delta_{l+1}; the gradient of w_l is a_l delta_l x_{l-1}^T.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield.finite.formulas import evaluate, slope

Array = npt.NDArray[np.float64]
Function = Callable[[Array], Array]


@dataclass(frozen=True)
class LayerNumbers:
    """What a layer is drawn, multiplied and trained with.

    `damping`: none, one number (Adam's epsilon, that of Shampoo, ...), or the two of K-FAC, (rho_A, rho_B).
    """

    init_std: float
    multiplier: float = 1.0
    learning_rate: float = 1.0
    damping: tuple[float, ...] = ()


@dataclass(frozen=True)
class Activation:
    """A function and its slope, entry by entry."""

    value: Function
    slope: Function


TANH = Activation(np.tanh, lambda h: 1 - np.tanh(h) ** 2)
IDENTITY = Activation(lambda h: h, np.ones_like)


def activation(formula: Any) -> Activation:
    """Of a SymPy formula in x; ValueError if it jumps, for then nothing is learned through it."""
    derivative = slope(formula)
    return Activation(lambda h: evaluate(formula, h), lambda h: evaluate(derivative, h))


@dataclass(frozen=True)
class States:
    """Pre-activations h_1..h_D and the inputs x_0..x_{D-1} of the layers, samples in columns."""

    h: tuple[Array, ...]
    x: tuple[Array, ...]


@dataclass(frozen=True)
class Network:
    """Weights w_l (outputs, inputs) and multipliers a_l of layers 1..D."""

    weights: tuple[Array, ...]
    multipliers: tuple[float, ...]
    phi: Activation = TANH

    def apply(self, layer: int, x: Array) -> Array:
        """a_l w_l x, layers counted from 0."""
        return self.multipliers[layer] * (self.weights[layer] @ x)

    def back(self, layer: int, delta: Array) -> Array:
        """a_l w_l^T delta, for deltas (outputs, ...)."""
        return self.multipliers[layer] * np.tensordot(self.weights[layer], delta, (0, 0))

    def forward(self, x: Array) -> States:
        inputs, h = [x], [self.apply(0, x)]
        for layer in range(1, len(self.weights)):
            inputs.append(self.phi.value(h[-1]))
            h.append(self.apply(layer, inputs[-1]))
        return States(tuple(h), tuple(inputs))

    def backward(self, h: Sequence[Array], delta: Array) -> tuple[Array, ...]:
        """delta_1..delta_D at pre-activations h, from delta_D (outputs, ..., samples)."""
        deltas = [delta]
        for layer in range(len(self.weights) - 1, 0, -1):
            slopes = self.phi.slope(h[layer - 1])
            between = (1,) * (delta.ndim - 2)
            deltas.append(slopes.reshape(len(slopes), *between, -1) * self.back(layer, deltas[-1]))
        return tuple(reversed(deltas))

    def moved(self, weights: Sequence[Array]) -> "Network":
        return replace(self, weights=tuple(weights))


def draw(
    numbers: Sequence[LayerNumbers],
    width: int,
    inputs: int,
    outputs: int,
    rng: np.random.Generator,
    phi: Activation = TANH,
) -> Network:
    """A network of len(numbers) layers, at least two; equal seeds give equal standard normals in every gauge."""
    if len(numbers) < 2:
        raise ValueError(f"a network has an input layer and a readout, so at least 2 layers, not {len(numbers)}")
    sizes = [inputs, *[width] * (len(numbers) - 1), outputs]
    weights = tuple(
        n.init_std * rng.standard_normal((after, before))
        for n, before, after in zip(numbers, sizes[:-1], sizes[1:], strict=True)
    )
    return Network(weights, tuple(n.multiplier for n in numbers), phi)
