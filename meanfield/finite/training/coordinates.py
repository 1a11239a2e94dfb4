"""How far each part of each layer moves in training: the coordinates of a coordinate check.

On test inputs x' correlated with those trained on, with D = change since initialization:
    own_l = D w_l x_{l-1}(0),   prop_l = w_l(0) D x_{l-1},   cross_l = D w_l D x_{l-1},   dh_l = their sum,
times the multiplier; df = dh_D. Each is reported as the root mean square of its entries; the sum alone would hide
which part moved (Yang and Hu, arXiv:2011.14522; the split as in Everett et al., arXiv:2407.05872, recalled).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from meanfield.finite.training.mlp import TANH, Activation, Array, LayerNumbers, Network, draw
from meanfield.finite.training.optimizers import Optimizer, train
from meanfield.finite.training.updates import rms

ALIKE = 0.8  # correlation of a test input with the training input it belongs to
MANY = 64  # inputs at which the output is measured before training: a Gaussian each, so that few are noisy
PARTS = ("own", "prop", "cross", "dh")


@dataclass(frozen=True)
class Coordinates:
    """Root mean squares (steps, layers) of own, prop, cross and dh after each step; f0 of the output before any, at
    inputs of their own."""

    own: Array
    prop: Array
    cross: Array
    dh: Array
    f0: float

    @property
    def df(self) -> Array:
        return np.asarray(self.dh[:, -1])


@dataclass(frozen=True)
class Task:
    """`batch` inputs of independent N(0, 1) entries with independent N(0, 1) targets, drawn from a seed."""

    inputs: int = 8
    outputs: int = 2
    batch: int = 4

    def draw(self, seed: int) -> tuple[Array, Array, Array]:
        """x (inputs, batch), y (outputs, batch), and test inputs of correlation 0.8 with x; the same at every width."""
        rng = np.random.default_rng([seed, 0])
        x = rng.standard_normal((self.inputs, self.batch))
        apart = np.sqrt(1 - ALIKE**2) * rng.standard_normal(x.shape)
        return x, rng.standard_normal((self.outputs, self.batch)), ALIKE * x + apart


def coordinates(
    numbers: Sequence[LayerNumbers],
    width: int,
    steps: int,
    chosen: Optimizer,
    seed: int,
    task: Task | None = None,
    phi: Activation = TANH,
) -> Coordinates:
    """Draw a network of this width from a seed, train it, and measure after each step."""
    task = task or Task()
    x, y, at = task.draw(seed)
    start = draw(numbers, width, task.inputs, task.outputs, np.random.default_rng([seed, width]), phi)
    moves = [_moves(start, now, at) for now in islice(train(start, numbers, chosen, x, y), steps)]
    own, prop, cross, dh = np.array(moves).transpose(1, 0, 2)
    many = np.random.default_rng([seed, 0, 1]).standard_normal((task.inputs, MANY))
    return Coordinates(own, prop, cross, dh, rms(start.forward(many).h[-1]))


def _moves(start: Network, now: Network, at: Array) -> list[list[float]]:
    """Root mean squares: a row for each of own, prop, cross, dh, a column for each layer."""
    before, after = start.forward(at), now.forward(at)
    found: list[list[float]] = [[], [], [], []]
    for layer, (x, later) in enumerate(zip(before.x, after.x, strict=True)):
        own = now.apply(layer, x) - before.h[layer]
        prop = start.apply(layer, later - x)
        cross = now.apply(layer, later - x) - prop
        for row, part in zip(found, (own, prop, cross, after.h[layer] - before.h[layer]), strict=True):
            row.append(rms(part))
    return found
