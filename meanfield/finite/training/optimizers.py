"""Optimizers by name: which signals reach a layer, and which direction it takes from them.

w_l <- w_l - learning_rate_l Q_l(G_l, w_l, damping_l); the loss is E |f - y|^2/2 over the batch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import repeat
from typing import Any

from meanfield.finite.training import preconditioners, updates
from meanfield.finite.training.gradients import Gradient
from meanfield.finite.training.mlp import Array, LayerNumbers, Network
from meanfield.finite.training.predictive import Signals, predictive_coding
from meanfield.finite.training.targets import target_propagation
from meanfield.finite.training.updates import Update

PLAIN: dict[str, Update] = {
    "sgd": updates.sgd,
    "momentum": updates.momentum,
    "adam": updates.adam,
    "adamw": updates.adam,
    "rmsprop": updates.rmsprop,
    "sign": updates.sign,
    "lion": updates.lion,
    "lamb": updates.lamb,
    "lars": updates.lars,
    "normalized_sgd": updates.normalized_sgd,
    "muon": preconditioners.muon,
    "foof": preconditioners.kfac(1.0, 0.0),
}
WITH_OPTIONS: dict[str, Callable[..., Update]] = {
    "adafactor": updates.adafactor,
    "shampoo": preconditioners.shampoo,
    "soap": preconditioners.soap,
    "kfac": preconditioners.kfac,
}
LOCAL: dict[str, Callable[..., Signals]] = {
    "predictive_coding": predictive_coding,
    "target_propagation": target_propagation,
}
OPTIMIZERS = (*PLAIN, *WITH_OPTIONS, *LOCAL)


@dataclass(frozen=True)
class Optimizer:
    signals: Signals
    update: Update


def backpropagation(network: Network, x: Array, y: Array) -> list[Gradient]:
    """a_l delta_l and x_{l-1} of each sample."""
    states = network.forward(x)
    deltas = network.backward(states.h, states.h[-1] - y)
    return [Gradient(a * d, v) for a, d, v in zip(network.multipliers, deltas, states.x, strict=True)]


def optimizer(name: str, **options: Any) -> Optimizer:
    """By name, with exponents and other options as keywords; ValueError for an unknown name, TypeError for options
    that it does not have."""
    if name in LOCAL:
        return Optimizer(LOCAL[name](**options), updates.sgd)
    if name in WITH_OPTIONS:
        return Optimizer(backpropagation, WITH_OPTIONS[name](**options))
    if name not in PLAIN:
        near = get_close_matches(name, OPTIMIZERS)
        raise ValueError(
            f"unknown optimizer {name!r}; {'nearest' if near else 'known'}: {', '.join(near or OPTIMIZERS)}"
        )
    if options:
        raise TypeError(f"{name} has no options, given {', '.join(options)}")
    return Optimizer(backpropagation, PLAIN[name])


def train(
    network: Network, numbers: Sequence[LayerNumbers], chosen: Optimizer, x: Array, y: Array
) -> Iterator[Network]:
    """The network after 1, 2, ... steps on one batch."""
    return train_on(network, numbers, chosen, repeat((x, y)))


def train_on(
    network: Network, numbers: Sequence[LayerNumbers], chosen: Optimizer, batches: Iterable[tuple[Array, Array]]
) -> Iterator[Network]:
    """The network after a step on each of the batches x (inputs, samples), y (outputs, samples)."""
    memories: list[Any] = [None] * len(numbers)
    for x, y in batches:
        moved = []
        for layer, gradient in enumerate(chosen.signals(network, x, y)):
            w, n = network.weights[layer], numbers[layer]
            direction, memories[layer] = chosen.update(gradient, w, n.damping, memories[layer])
            moved.append(w - n.learning_rate * direction)
        network = network.moved(moved)
        yield network
