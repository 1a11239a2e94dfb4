"""From a table of exponents to networks of a width: what they are drawn, multiplied and trained with.

Each number is a constant times width**exponent. The constants, of the order of one at any width, move no slope: RATES
make the first steps change pre-activations by about a tenth, DAMPINGS are a part of what they are added to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meanfield.finite.training.gradients import Gradient
from meanfield.finite.training.mlp import Activation, Array, LayerNumbers, activation
from meanfield.finite.training.optimizers import Optimizer, backpropagation, optimizer
from meanfield.finite.training.updates import Update
from meanfield.scaling import ScalingTable
from symbolic.activations import activation as named
from symbolic.networks import Chain, Dense, Layer, Pointwise, Repeat, flat

RATES = {
    "sgd": 0.2,
    "momentum": 0.2,
    "adam": 0.03,
    "adamw": 0.03,
    "rmsprop": 0.003,
    "sign": 0.03,
    "lion": 0.03,
    "shampoo": 0.05,
    "foof": 0.2,
    "predictive_coding": 0.3,
}
RATE, DAMPING = 0.1, 0.01
DAMPINGS = {"kfac": 0.1, "foof": 0.1}

Direction = Callable[..., Array]  # (gradient, weights, *dampings) to what the weights move against


@dataclass(frozen=True)
class Shape:
    """A network Dense >> (phi >> Dense) ** k: its layer, its activation, and the gain of each of its k + 1 matrices."""

    network: Layer
    phi: Activation
    gains: tuple[float, ...]


def shape(architecture: Any) -> Shape:
    """Of "mlp" (four matrices, tanh) or of Dense layers with one activation between; ValueError or TypeError else."""
    network = Dense() >> (named("tanh") >> Dense()) ** 3 if architecture == "mlp" else architecture
    if not isinstance(network, Layer):
        raise TypeError(f"networks are trained from 'mlp' or a network of Dense layers, not from {architecture!r}")
    parts = _flat(network)
    dense, between = parts[::2], parts[1::2]
    fits = all(isinstance(d, Dense) for d in dense) and all(isinstance(p, Pointwise) for p in between)
    if not fits or len(dense) != len(between) + 1 or len(dense) < 2 or len(set(between)) > 1:
        raise ValueError(
            f"'{network}' is not trained here: give Dense() >> (phi >> Dense()) ** k with one activation phi"
        )
    if any(d.bias_var.is_number and d.bias_var != 0 for d in dense):
        raise ValueError(f"networks are trained without biases: leave bias_var of '{network}' out, or 0")
    gains = tuple(float(d.weight_var) ** 0.5 if d.weight_var.is_number else 1.0 for d in dense)
    return Shape(network, activation(between[0].formula), gains)


def _flat(network: Layer) -> list[Any]:
    if isinstance(network, Repeat):
        return _flat(network.block) * network.times
    if isinstance(network, Chain):
        return [part for layer in flat(Chain, network) for part in _flat(layer)]
    return [network]


def numbers(
    table: ScalingTable, width: int, gains: Sequence[float], inputs: int, rate: float | None, damping: float | None
) -> list[LayerNumbers]:
    """Those of each layer at a width; rate and damping are the constants of learning rate and damping."""
    name, size = table.chain.optimizer.name, float(width)
    rate = RATES.get(name, RATE) if rate is None else rate
    damping = DAMPINGS.get(name, DAMPING) if damping is None else damping
    found = []
    for parameter, gain in zip(table.chain.layers, gains, strict=True):
        row = table[parameter.name]
        fixed = inputs**-0.5 if parameter.kind == "input" else 1.0
        powers = () if row.damping is None else row.damping if isinstance(row.damping, tuple) else (row.damping,)
        dampings = (damping,) if _split(table) else tuple(damping * size ** float(p) for p in powers)
        std, multiplier, grown = (size ** float(e) for e in (row.init_std, row.multiplier, row.learning_rate))
        found.append(LayerNumbers(gain * fixed * std, multiplier, rate * grown, dampings))
    return found


def trainer(table: ScalingTable, powers: Mapping[str, Any], width: int, own: Direction | None = None) -> Optimizer:
    """The optimizer of a table at a width, its exponents given as keywords; or one of the user's own directions."""
    if own is not None:
        return Optimizer(backpropagation, _update(own))
    name = table.chain.optimizer.name
    if name == "predictive_coding":
        return optimizer(name, gamma_L=float(width) ** float(powers.get("gamma", 0)))
    options = {key: value if isinstance(value, str) else float(value) for key, value in powers.items()}
    return optimizer(name, **options, **({"pi": True} if _split(table) else {}))


def _update(own: Direction) -> Update:
    def update(g: Gradient, w: Array, damping: tuple[float, ...], memory: Any) -> tuple[Array, Any]:
        direction = np.asarray(own(g.dense, w, *damping), dtype=np.float64)
        if direction.shape != w.shape:
            raise ValueError(f"update must give an array of the shape {w.shape} of its gradient, not {direction.shape}")
        return direction, None

    return update


def _split(table: ScalingTable) -> bool:
    """Whether one damping is split by the pi-heuristic as training goes, instead of following exponents."""
    return isinstance(table.chain.damping, str) and table.chain.damping == "pi"
