"""Powers of the width that trained networks follow, as cases of a theory: what is trained, predicted and measured.

A size s(n) = Theta(n^e) has log(s(4n)/s(n))/log 4 -> e. One draw trains one network at n and one at 4n on the same data
and reports that slope for each size; its mean over networks has a bias of order 1/n, which `check` extrapolates away.
e is exact, from the first step of the chain (symbolic.scaling.equations). Scales are 4, and 6 for the output, so that
a margin of 2 % is 0.08 and 0.12: what finite widths need (measured on networks of widths 128 to 2048).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from sympy import sympify

from meanfield.finite.training.coordinates import Task, coordinates
from meanfield.finite.training.mlp import IDENTITY, TANH, Array
from meanfield.scaling import ScalingTable, scaling
from meanfield.theory import Case, Prediction
from meanfield.trained import numbers, trainer
from symbolic.networks import Layer
from symbolic.scaling.equations import Step, first_step

FACTOR = 4
SCALE, SCALE_OUTPUT = 4.0, 6.0
Claim = tuple[str, str]
Row = tuple[Any, ...]
UPDATES: tuple[Claim, ...] = (("own", "input"), ("own", "hidden"), ("own", "output"))
EFFECT: Claim = ("prop", "output")
FEW = Task()
MANY = Task(inputs=32, outputs=8)  # where f is Theta(1) when drawn, y - f scatters: with more outputs less


@dataclass(frozen=True, repr=False)
class Training(Layer):
    """A perceptron (input, hidden, output matrix) under an optimizer, its numbers following a table of `mf.scaling`.

    rate and damping_size: constants of learning rate and damping, None for suitable ones.
    """

    optimizer: str
    parametrization: str = "mup"
    gauge: str = "a=0"
    damping: str = "matched"
    powers: tuple[tuple[str, Any], ...] = ()
    rate: float | None = None
    damping_size: float | None = None

    @cached_property
    def table(self) -> ScalingTable:
        return _table(self, self.parametrization, self.gauge)


@dataclass(frozen=True, repr=False)
class Point(Training):
    """The same with exponents of its own: multipliers n^-a, weights of standard deviation n^-b, learning rates n^-c."""

    a: Row = (0, 0, 0)
    b: Row = (0, 0, 0)
    c: Row = (0, 0, 0)

    @cached_property
    def table(self) -> ScalingTable:
        table = _table(self, "standard", "a=0")
        a, b, c = (tuple(map(sympify, row)) for row in (self.a, self.b, self.c))
        chain = replace(table.chain, a=a, b=b, c=c)
        return replace(table, parametrization="given", solved=replace(table.solved, chain=chain))


def _table(training: Training, parametrization: str, gauge: str) -> ScalingTable:
    given = {"optimizer": training.optimizer, **dict(training.powers)}
    return scaling("mlp", parametrization=parametrization, gauge=gauge, damping=training.damping, **given)


@dataclass(frozen=True)
class TrainedCase(Case):
    """A case whose block is a Training; claims: the sizes (part, layer), part one of own, prop, cross, dh."""

    claims: tuple[Claim, ...] = (*UPDATES, EFFECT)
    linear: bool = False
    task: Task = FEW


def parts(block: Layer, case: Case) -> tuple[Training, TrainedCase]:
    if not isinstance(block, Training) or not isinstance(case, TrainedCase):
        raise ValueError(
            f"powers of the width are measured of a Training in a TrainedCase, not of '{block}' in {case!r}"
        )
    return block, case


def derive(block: Layer) -> Step:
    """The exponents of everything in the first step."""
    if not isinstance(block, Training):
        raise ValueError(f"exponents of the width are derived for a Training, not for '{block}'")
    return first_step(block.table.chain)


def solve(block: Layer, case: Case) -> Prediction:
    """The exponents claimed."""
    block, case = parts(block, case)
    values = [float(getattr(block.table.slopes[layer], part)) for part, layer in case.claims]
    labels = tuple(f"exponent of {part}, {layer}" for part, layer in case.claims)
    scales = [SCALE_OUTPUT if layer == "output" else SCALE for _, layer in case.claims]
    return Prediction(labels, np.array(values), np.array(scales))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """Their slopes between networks of `width` and of four times that."""
    block, case = parts(block, case)
    seed = int(rng.integers(2**31))
    return slope(*(_sizes(block, case, n, seed) for n in (width, FACTOR * width)))


def slope(near: Array, far: Array) -> Array:
    """The exponents of sizes at a width and at FACTOR times that."""
    return np.asarray(np.log(far / near) / np.log(FACTOR))


def _sizes(block: Training, case: TrainedCase, width: int, seed: int) -> Array:
    task, names = case.task, [p.name for p in block.table.chain.layers]
    layers = numbers(block.table, width, [1.0] * len(names), task.inputs, block.rate, block.damping_size)
    chosen, phi = trainer(block.table, dict(block.powers), width), IDENTITY if case.linear else TANH
    found = coordinates(layers, width, 1, chosen, seed, task, phi)
    return np.array([getattr(found, part)[-1, names.index(layer)] for part, layer in case.claims])
