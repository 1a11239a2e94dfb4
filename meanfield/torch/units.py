"""The layers of a network as people count them, what each does to signals and gradients, and which of them is at fault.

A step is on the trunk if every path from input to output passes it. Units lie between two boundaries on the trunk: sums
of branches with what passes them by without weights, and activations behind weights. Units of the same make (classes
and weight_var) form a group; what is wrong is laid to the group whose logarithms sum to most of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log, nan
from typing import Any

from meanfield.torch.graph import (
    Add,
    Affine,
    Attend,
    Constant,
    Drop,
    Function,
    Graph,
    Move,
    Norm,
    Scale,
    Shift,
    Spectral,
)

SAME = 0.1  # of log weight_var


@dataclass(frozen=True)
class Unit:
    """From behind step `first` to behind step `last`: indices of its affine maps, Fourier layers, activations, norms;
    residual if it ends in a sum with its input."""

    first: int
    last: int
    affine: tuple[int, ...]
    spectral: tuple[int, ...]
    functions: tuple[int, ...]
    norms: tuple[int, ...]
    residual: bool

    def make(self, graph: Graph) -> tuple[Any, ...]:
        """What units of one make have in common, besides weight_var."""
        parts = (*self.affine, *self.spectral, *self.functions, *self.norms)
        layers = (graph.steps[i].layer for i in parts)
        return (self.residual, *layers, *(_phi(graph, i) for i in self.functions))

    def weight_var(self, graph: Graph) -> float:
        """fan_in E w^2 of the last affine map; NaN without one."""
        return weight_var(graph, self.affine[-1]) if self.affine else nan


def _phi(graph: Graph, index: int) -> str:
    operation = graph.steps[index].operation
    return operation.phi.name if isinstance(operation, Function) else ""


def weight_var(graph: Graph, index: int) -> float:
    """fan_in E w^2 of an affine step."""
    operation = graph.steps[index].operation
    return operation.fan_in * operation.weight.mean_square() if isinstance(operation, Affine) else nan


def trunk(graph: Graph) -> list[int]:
    """Steps that no edge passes by, edges of parameters aside."""
    alive: set[int] = set()
    for place, step in enumerate(graph.steps):
        if not isinstance(step.operation, Constant) and (not step.inputs or alive & set(step.inputs)):
            alive.add(place)
    reach = [max((b for b, step in enumerate(graph.steps) if a in step.inputs), default=a) for a in sorted(alive)]
    found, farthest = [], 0
    for place, far in zip(sorted(alive), reach, strict=True):
        if farthest <= place:
            found.append(place)
        farthest = max(farthest, far)
    return found


def units(graph: Graph) -> list[Unit]:
    """Those between the first and the last boundary; weights of more than one layer in front of the first begin a unit
    behind the first of them."""
    marks: list[int] = []
    passed = trunk(graph)
    start = next((i for i in passed if isinstance(graph.steps[i].operation, Affine)), -1)
    for place in passed:
        activation = isinstance(graph.steps[place].operation, Function)
        since = _between(graph, marks[-1] if marks else -1, place, Affine | Spectral)
        if _is_residual(graph, place) or (activation and since):
            marks += [start, place] if not marks and _between(graph, start, place, Affine | Spectral) else [place]
    return [_unit(graph, a, b) for a, b in pairwise(marks)]


def _unit(graph: Graph, first: int, last: int) -> Unit:
    affine, spectral, functions, norms = (
        _between(graph, first, last, kind) for kind in (Affine, Spectral, Function, Norm)
    )
    return Unit(first, last, affine, spectral, functions, norms, _is_residual(graph, last))


def _is_residual(graph: Graph, place: int) -> bool:
    """Is it a sum, one of whose inputs comes from before the others' weights without any?"""
    step = graph.steps[place]
    if not isinstance(step.operation, Add):
        return False
    sources = [_source(graph, each) for each in step.inputs]
    return len(set(sources)) > 1 and any(
        isinstance(graph.steps[other].operation, Affine | Spectral | Function | Attend) and a < other
        for a in sources
        for other in sources
        if a in graph.before[other]
    )


def _source(graph: Graph, place: int) -> int:
    """The last step on the way that is more than a move, a scale or a norm."""
    step = graph.steps[place]
    while isinstance(step.operation, Move | Scale | Drop | Norm | Shift) and len(step.inputs) == 1:
        place = step.inputs[0]
        step = graph.steps[place]
    return place


def _between(graph: Graph, first: int, last: int, kind: Any) -> tuple[int, ...]:
    return tuple(i for i in range(first + 1, last + 1) if isinstance(graph.steps[i].operation, kind))


def groups(graph: Graph, found: Sequence[Unit]) -> list[list[Unit]]:
    """Units of one make, whose weight_var differ by no gap of more than SAME in logarithm."""
    out: list[list[Unit]] = []
    for make in dict.fromkeys(unit.make(graph) for unit in found):
        alike = sorted((u for u in found if u.make(graph) == make), key=lambda u: u.weight_var(graph))
        last = None
        for unit in alike:
            at = unit.weight_var(graph)
            near = last is not None and (at == last or (at > 0 and last > 0 and log(at / last) < SAME) or at != at)
            if not near:
                out.append([])
            out[-1].append(unit)
            last = at
    return [sorted(group, key=lambda u: u.first) for group in out]


Factor = Callable[[Unit], float]


def blame(graph: Graph, found: Sequence[Unit], factor: Factor) -> tuple[list[Unit], float] | None:
    """The group to which most of log(product of factors) is due, and the mean factor of its units."""
    logs = {unit: log(value) for unit in found if 0 < (value := factor(unit)) < float("inf")}
    total = sum(logs.values())
    scored = [([u for u in group if u in logs], group) for group in groups(graph, found)]
    parts = [(sum(logs[u] for u in known), known) for known, _ in scored if known]
    if not parts:
        return None
    score, group = max(parts, key=lambda part: part[0] * (1 if total >= 0 else -1))
    return group, exp(score / len(group))


def product(found: Sequence[Unit], factor: Factor) -> float:
    """The product of factors, those without a value left out."""
    logs = [log(value) for unit in found if 0 < (value := factor(unit)) < float("inf")]
    return exp(max(-700.0, min(700.0, sum(logs))))
