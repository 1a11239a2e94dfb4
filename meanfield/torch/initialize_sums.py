"""Where signals fork and are added again: residual branches, and sums of parallel maps.

The inputs of a sum have a nearest common ancestor, the fork. An input that it reaches without weights and activations
is the stream, the others are branches; where each passes weights, those without an activation (a projection) are the
stream. Where all are alike they are parallel maps (R h + W h), which share the variance that one would have. Sums whose
streams run into each other without a matrix between them count their branches together.
"""

from dataclasses import dataclass
from functools import cached_property

from meanfield.torch.graph import (
    Add,
    Affine,
    Attend,
    Constant,
    Drop,
    Function,
    Graph,
    Input,
    Move,
    Opaque,
    Operation,
    Pool,
    Shift,
    Spectral,
    Step,
    Table,
)

WEIGHTS = (Affine, Spectral, Attend, Opaque)
STARTS = (Input, Table, Constant)


@dataclass(frozen=True)
class Sum:
    """An Add step: its fork, and the places of its inputs that are stream and branches; without branches all are
    parallel."""

    coefficients: tuple[float, ...]
    fork: int | None
    stream: tuple[int, ...]
    branches: tuple[int, ...]


@dataclass(frozen=True)
class Sums:
    """The sums of a graph, and what lies before and behind each step."""

    graph: Graph

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.graph.steps

    @cached_property
    def consumers(self) -> list[list[int]]:
        """The steps that read each step."""
        found: list[list[int]] = [[] for _ in self.steps]
        for at, step in enumerate(self.steps):
            for source in dict.fromkeys(step.inputs):
                found[source].append(at)
        return found

    @property
    def before(self) -> list[frozenset[int]]:
        """Each step with all its ancestors."""
        return self.graph.before

    @cached_property
    def found(self) -> dict[int, Sum]:
        """Every Add step by its index."""
        return {
            at: self._sum(step, step.operation.coefficients)
            for at, step in enumerate(self.steps)
            if isinstance(step.operation, Add)
        }

    def _sum(self, step: Step, coefficients: tuple[float, ...]) -> Sum:
        common = frozenset.intersection(*(self.before[source] for source in step.inputs))
        fork, places = max(common, default=None), range(len(step.inputs))
        for crossed in ((*WEIGHTS, Function), (Attend, Function)):
            stream = [at for at in places if fork is not None and self._reaches(fork, step.inputs[at], crossed)]
            if stream and len(stream) < len(step.inputs):
                return Sum(coefficients, fork, tuple(stream), tuple(at for at in places if at not in stream))
        return Sum(coefficients, fork, tuple(places), ())

    def _reaches(self, fork: int, end: int, without: tuple[type[Operation], ...]) -> bool:
        """Is there a way from fork to end without such steps?"""
        seen, open_ = {end}, [end]
        while open_:
            at = open_.pop()
            if at == fork:
                return True
            if at > fork and not isinstance(self.steps[at].operation, without):
                fresh = [source for source in self.steps[at].inputs if source not in seen]
                seen.update(fresh)
                open_.extend(fresh)
        return False

    @cached_property
    def inside(self) -> frozenset[int]:
        """The steps of residual branches."""
        return frozenset(
            at
            for index, each in self.found.items()
            for place in each.branches
            for at in self.before[self.steps[index].inputs[place]] - self.before[each.fork or 0]
        )

    @cached_property
    def count(self) -> dict[int, int]:
        """For each residual sum, how many branches its stream has in all."""
        chain: dict[int, int] = {}
        for index, each in self.found.items():
            if each.branches:
                earlier = [self._previous(index, place) for place in each.stream]
                chain[index] = next((chain[at] for at in earlier if at is not None), index)
        totals: dict[int, int] = {}
        for index, first in chain.items():
            totals[first] = totals.get(first, 0) + len(self.found[index].branches)
        return {index: totals[first] for index, first in chain.items()}

    def _previous(self, index: int, place: int) -> int | None:
        """The residual sum that the stream of this one comes from."""
        fork, at = self.found[index].fork or 0, self.steps[index].inputs[place]
        while True:
            operation = self.steps[at].operation
            if isinstance(operation, Add):
                return at if self.found[at].branches else None
            matrix = isinstance(operation, WEIGHTS) and at <= fork
            if matrix or isinstance(operation, STARTS) or not self.steps[at].inputs:
                return None
            at = self.steps[at].inputs[0]

    def repeats(self, at: int) -> bool:
        """Is this the activation of a stream that has passed it before, as relu(relu(u) + branch)?"""
        (source,) = self.steps[at].inputs
        if source not in self.count:
            return False
        before = self.found[source].fork
        while before is not None and isinstance(self.steps[before].operation, Move | Pool | Drop):
            before = self.steps[before].inputs[0]
        return before is not None and self.steps[before].operation == self.steps[at].operation

    @cached_property
    def readouts(self) -> frozenset[int]:
        """The matrices outside of branches behind which no other stands."""
        weights = [at for at, step in enumerate(self.steps) if isinstance(step.operation, Affine | Spectral | Attend)]
        return frozenset(
            at
            for at in weights
            if isinstance(self.steps[at].operation, Affine | Spectral)
            and at not in self.inside
            and not any(at in self.before[later] for later in weights if later != at)
            and not any(at in self.before[index] for index in self.count)
        )

    def halves(self, at: int) -> bool:
        """Does this step add a parameter that differs from position to position?"""
        operation = self.steps[at].operation
        return isinstance(operation, Shift) and sum(n > 1 for n in operation.parameter.tensor().shape) > 1
