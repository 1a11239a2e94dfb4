"""Directions Q of an optimizer, w <- w - learning_rate Q, one rule each from the gradient g of a layer.

sgd g | momentum v = .9 v + g | sign | adam m/(sqrt v + eps) with corrected means of .9 and .999 | rmsprop, mean of .99
lion sign(.9 m + .1 g), m = .99 m + .01 g | adafactor RMS(w) u, u = sign g, or factored g/sqrt(r c^T/mean r) cut at
RMS 1 | lamb |w| u/|u| of Adam's u | lars |w| g/|g| | normalized_sgd g/|g| (Frobenius).
Recalled from the optimizers' papers, not re-read; weight decay (so adamw is adam), warm-up and schedules are left out.
A damping is heard by adam, rmsprop, lamb, lars and normalized_sgd.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from meanfield.finite.training.gradients import Gradient
from meanfield.finite.training.mlp import Array

Memory = Any
Update = Callable[[Gradient, Array, tuple[float, ...], Memory], tuple[Array, Memory]]


def only(damping: tuple[float, ...]) -> float:
    """The one damping of a layer, 0 if it has none."""
    (found,) = damping or (0.0,)
    return found


def quotient(top: Array, bottom: Array) -> Array:
    """top/bottom, and 0 for 0/0: an entry without a gradient does not move."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)


def unit(x: Array, damping: float = 0.0) -> Array:
    """x over its Frobenius norm plus a damping, 0 for 0."""
    norm = float(np.linalg.norm(x)) + damping
    return x / norm if norm else np.zeros_like(x)


def rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x**2)))


def sgd(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    return g.dense, None


def momentum(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    velocity = g.dense if memory is None else 0.9 * memory + g.dense
    return velocity, velocity


def sign(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    return np.sign(g.dense), None


def adam(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    first, second, steps = memory or (0.0, 0.0, 0)
    steps += 1
    first = 0.9 * first + 0.1 * g.dense
    second = 0.999 * second + 0.001 * g.dense**2
    scale = np.sqrt(second / (1 - 0.999**steps)) + only(damping)
    return quotient(first / (1 - 0.9**steps), scale), (first, second, steps)


def rmsprop(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    second = 0.01 * g.dense**2 if memory is None else 0.99 * memory + 0.01 * g.dense**2
    return quotient(g.dense, np.sqrt(second) + only(damping)), second


def lion(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    mean = np.zeros_like(w) if memory is None else memory
    return np.sign(0.9 * mean + 0.1 * g.dense), 0.99 * mean + 0.01 * g.dense


def adafactor(factored: bool = False) -> Update:
    """RMS(w) times the sign of g, or times g over the root of its factored second moment."""

    def update(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
        if not factored:
            return rms(w) * np.sign(g.dense), None
        square = g.dense**2
        rows, columns = square.mean(axis=1), square.mean(axis=0)
        found = quotient(g.dense * np.sqrt(rows.mean()), np.sqrt(np.outer(rows, columns)))
        return rms(w) * found / max(1.0, rms(found)), None

    return update


def lamb(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    found, memory = adam(g, w, damping, memory)
    return float(np.linalg.norm(w)) * unit(found), memory


def lars(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    return float(np.linalg.norm(w)) * unit(g.dense, only(damping)), None


def normalized_sgd(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    return unit(g.dense, only(damping)), None
