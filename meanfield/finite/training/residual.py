"""A stack of L residual branches, h_b = h_{b-1} + L^-alpha w_b tanh(h_{b-1}), whose branches are trained for one step.

Before it h_0 = w_in x, behind it f = w_out h_L with weights of std 1/width; both are held, for what they move has no
power of L and would hide that of the branches. The gradient of w_b is L^-alpha delta_b tanh(h_{b-1})^T.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meanfield.finite.training.coordinates import Task
from meanfield.finite.training.gradients import Gradient
from meanfield.finite.training.mlp import TANH, Array
from meanfield.finite.training.updates import Update, rms


@dataclass(frozen=True)
class Stack:
    """Weights (width, width) of each branch, and what each branch is multiplied by."""

    branches: Sequence[Array]
    scale: float

    def forward(self, h: Array) -> tuple[list[Array], list[Array]]:
        """h_0..h_L, and tanh(h_0)..tanh(h_{L-1})."""
        states, inputs = [h], []
        for w in self.branches:
            inputs.append(TANH.value(states[-1]))
            states.append(states[-1] + self.scale * (w @ inputs[-1]))
        return states, inputs

    def gradients(self, states: Sequence[Array], inputs: Sequence[Array], delta: Array) -> list[Gradient]:
        """Of each branch, from delta_L."""
        found = []
        for w, h, x in zip(reversed(self.branches), states[-2::-1], reversed(inputs), strict=True):
            left = self.scale * delta
            found.append(Gradient(left, x))
            delta = delta + TANH.slope(h) * (w.T @ left)
        return found[::-1]


def branch_sizes(
    depth: int, alpha: float, rate: float, update: Update, rng: np.random.Generator, width: int = 32
) -> Array:
    """Root mean squares, on test inputs, of h_L - h_0 as drawn, of D w_b x_b over all branches, of D h_L by a step."""
    task = Task()
    x, y, at = task.draw(int(rng.integers(2**31)))
    first = rng.standard_normal((width, task.inputs)) / np.sqrt(task.inputs)
    last = rng.standard_normal((task.outputs, width)) / width
    drawn = Stack(rng.standard_normal((depth, width, width)) / np.sqrt(width), depth**-alpha)
    states, inputs = drawn.forward(first @ x)
    gradients = drawn.gradients(states, inputs, last.T @ (last @ states[-1] - y))
    steps = [-rate * update(g, w, (), None)[0] for g, w in zip(gradients, drawn.branches, strict=True)]
    before, seen = drawn.forward(first @ at)
    after, _ = Stack([w + s for w, s in zip(drawn.branches, steps, strict=True)], drawn.scale).forward(first @ at)
    own = np.array([s @ v for s, v in zip(steps, seen, strict=True)])
    return np.array([rms(before[-1] - before[0]), rms(own), rms(after[-1] - before[-1])])
