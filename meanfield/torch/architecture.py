"""A traced module as one of our expressions, such as Dense(1, 0) >> (tanh >> Dense(0.33, 0)) ** 49.

From the output one goes back to the input; at a sum, branches reach to the last step that all of them have passed.
weight_var is fan_in E w^2, less the share of taps outside the image, bias_var is E b^2. Consecutive blocks of one form
are one block to a power where their variances are equal, those measured within four standard errors of their draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meanfield.torch.architecture_blocks import joined, pooled
from meanfield.torch.architecture_layers import Draws, layer_of, written
from meanfield.torch.graph import Add, Drop, Graph, Input, Move, Scale, Step
from symbolic.networks import Identity, Layer, chain
from symbolic.networks import Scale as Scaled
from symbolic.signals import NoRule


def architecture(graph: Graph, *, symbols: bool = False, digits: int = 2) -> Layer:
    """The graph as an expression that every verb of this package takes.

    Variances are those of the present weights, averaged over the blocks that are joined and rounded to `digits`
    digits; with symbols=True they are the symbols weight_var and bias_var, the same for all layers. Weights count as
    independent with mean zero, dropout as in training. Raises ValueError naming the step that no expression has
    (attention, batch normalization, a parameter that is added, gains other than 1, ...), or that no rule follows.
    """
    inputs = [step.name for step in graph.steps if isinstance(step.operation, Input)]
    if len(inputs) != 1:
        raise ValueError(f"an expression has one input, this graph has {len(inputs)}: {', '.join(inputs) or 'none'}")
    if symbols:
        return _Writer(graph, None, joined).whole()
    draws: Draws = {}
    groups: list[Sequence[str]] = []
    _Writer(graph, draws, lambda parts: pooled(parts, draws, groups)).whole()
    return _Writer(graph, written(draws, groups, digits), joined).whole()


@dataclass
class _Writer:
    """draws: variances by their symbols; filled in where it is empty at first, and symbols alone where it is None."""

    graph: Graph
    draws: Any
    join: Any

    def whole(self) -> Layer:
        start = next(at for at, step in enumerate(self.graph.steps) if isinstance(step.operation, Input))
        parts = self.between(start, len(self.graph.steps) - 1)
        return chain(self.join(parts)) if parts else Identity()

    def between(self, start: int, end: int) -> list[Layer]:
        """The layers from the output of a step to that of another."""
        at, pieces = end, []
        while at != start:
            step = self.graph.steps[at]
            source = _meeting(self.graph.steps, step.inputs)
            if source is None:
                raise ValueError(f"{step.name!r} ({step.layer}) reads what does not come from the input alone")
            pieces.append((at, source))
            at = source
        parts: list[Layer] = []
        for at, source in reversed(pieces):
            self._append(parts, at, source)
        return parts

    def _append(self, parts: list[Layer], at: int, source: int) -> None:
        step = self.graph.steps[at]
        operation = step.operation
        if isinstance(operation, Scale) and operation.parameter is None:
            last = parts.pop() if parts else Identity()
            parts.append(Scaled(operation.factor, last))
        elif isinstance(operation, Add):
            parts.append(self._sum(step, operation, source))
        elif not (isinstance(operation, Move) and len(step.inputs) == 1 and self._flat) and not _nothing(operation):
            parts.append(layer_of(operation, step, self.draws))
        try:
            chain(parts) if parts else None
        except NoRule as error:
            raise ValueError(f"no rule follows {step.name!r} ({step.layer}) here: {error}") from error

    def _sum(self, step: Step, operation: Add, source: int) -> Layer:
        branches: list[Layer] = []
        for coefficient, index in zip(operation.coefficients, step.inputs, strict=True):
            parts = self.between(source, index)
            branch = chain(self.join(parts)) if parts else Identity()
            branches.append(branch if coefficient == 1 else Scaled(coefficient, branch))
        try:
            total = branches[0]
            for branch in branches[1:]:
                total = total + branch
        except NoRule as error:
            raise ValueError(f"no rule follows the sum {step.name!r}: {error}") from error
        return total

    @property
    def _flat(self) -> bool:
        """Are there no positions, so that moving entries changes nothing?"""
        kinds = {step.layer for step in self.graph.steps}
        return not any("Conv" in kind or kind in ("Embedding", "MultiheadAttention") for kind in kinds)


def _nothing(operation: Any) -> bool:
    return isinstance(operation, Drop) and operation.rate == 0


def _meeting(steps: Sequence[Step], inputs: Sequence[int]) -> int | None:
    """The last step that every path into these inputs has passed; None if there is none."""
    fronts = set(inputs)
    while len(fronts) > 1:
        latest = max(fronts)
        behind = _meeting(steps, steps[latest].inputs)
        if behind is None:
            return None
        fronts = fronts - {latest} | {behind}
    return next(iter(fronts), None)
