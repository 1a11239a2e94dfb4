"""What each step of a graph is wanted to give, from what follows it.

In front of an activation that is the length q of the criterion's point (with its bias_var), in front of all else mean
square 1. Where k parallel maps are added each has 1/k of it; where positions are added, they have half.
"""

from dataclasses import dataclass
from functools import cached_property

from meanfield.torch.graph import (
    Add,
    Affine,
    Attend,
    Drop,
    Function,
    Graph,
    Input,
    Move,
    Norm,
    Pool,
    Scale,
    Shift,
    Spectral,
)
from meanfield.torch.initialize_point import Point, Wish, point
from meanfield.torch.initialize_shares import Shares, shares
from meanfield.torch.initialize_sums import Sums
from symbolic.networks import Pointwise

PASSED = (Move, Drop, Pool, Scale, Shift)


@dataclass(frozen=True)
class Aim:
    """What weights are drawn with, and why."""

    role: str
    weight_var: float
    bias_var: float
    reason: str
    activation: str


@dataclass(frozen=True)
class Wanted:
    """The mean square that what follows wants, of which biases give bias_var."""

    q: float = 1.0
    bias_var: float = 0.0
    reason: str = "to mean square 1"


@dataclass(frozen=True)
class Aims:
    """A graph, what was asked for, and what follows from both."""

    graph: Graph
    wish: Wish

    @cached_property
    def sums(self) -> Sums:
        return Sums(self.graph)

    @cached_property
    def shares(self) -> Shares:
        return shares(self.sums)

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """The steps that mix features."""
        kinds = (Affine, Spectral, Attend)
        return tuple(at for at, step in enumerate(self.sums.steps) if isinstance(step.operation, kinds))

    def is_first(self, at: int) -> bool:
        """Does this step read an input of the module, moved at most?"""
        return isinstance(self._source(at), Input)

    def _source(self, at: int) -> object:
        source = self.sums.steps[at].inputs[0]
        while isinstance(self.sums.steps[source].operation, PASSED):
            source = self.sums.steps[source].inputs[0]
        return self.sums.steps[source].operation

    def role(self, at: int) -> str:
        """query, key or value in front of attention, else hidden."""
        for names, inputs in ((self._attended(at, place), place) for place in range(3)):
            if names:
                return ("query", "key", "value")[inputs]
        return "hidden"

    def _attended(self, at: int, place: int) -> bool:
        """Does it give the queries, keys or values of an attention, and no other of them?"""
        steps = self.sums.steps
        found = [
            tuple(self._comes_from(source, at) for source in step.inputs)
            for step in steps[at + 1 :]
            if isinstance(step.operation, Attend)
        ]
        return any(each[place] and sum(each) == 1 for each in found)

    def _comes_from(self, step: int, at: int) -> bool:
        while step > at and isinstance(self.sums.steps[step].operation, PASSED):
            step = self.sums.steps[step].inputs[0]
        return step == at

    def part(self, at: int) -> float:
        """The part of a step among parallel maps that are added, and beside positions."""
        found = 1.0
        while True:
            following = self.sums.consumers[at]
            if len(following) != 1:
                return found
            (at,) = following
            operation = self.sums.steps[at].operation
            if isinstance(operation, Add) and not self.sums.found[at].branches:
                found /= len(operation.coefficients)
            elif self.sums.halves(at):
                found /= 2
            elif not isinstance(operation, Move | Drop | Shift):
                return found

    def carries_bias(self, at: int) -> bool:
        """Biases of parallel maps add: the first that has one carries it."""
        following = self.sums.consumers[at]
        if len(following) != 1 or following[0] not in self.sums.found:
            return True
        total = following[0]
        if self.sums.found[total].branches:
            return True
        having = [place for place in self.sums.steps[total].inputs if self._has_bias(place)]
        return at == (having or [self.sums.steps[total].inputs[0]])[0]

    def _has_bias(self, at: int) -> bool:
        operation = self.sums.steps[at].operation
        if isinstance(operation, Affine):
            return operation.bias is not None
        return isinstance(operation, Spectral) and operation.module.bias is not None

    def behind(self, at: int, phi: Pointwise) -> Point:
        """What the criterion asks of weights at a step behind phi."""
        anchored = at in self.sums.inside or self._from_norm(at)
        return point(phi, self.wish, anchored, self.sums.steps[at].name)

    def _from_norm(self, at: int) -> bool:
        """Is the activation in front of a step that of a normalization?"""
        while not isinstance(self.sums.steps[at].operation, Norm):
            if not self.sums.steps[at].inputs:
                return False
            at = self.sums.steps[at].inputs[0]
            if isinstance(self.sums.steps[at].operation, Affine | Spectral | Attend | Add):
                return False
        return True

    def normalized(self, at: int) -> bool:
        """Is a normalization all that reads this step?"""
        following = self.sums.consumers[at]
        while len(following) == 1 and isinstance(self.sums.steps[following[0]].operation, Move):
            following = self.sums.consumers[following[0]]
        return bool(following) and all(isinstance(self.sums.steps[each].operation, Norm) for each in following)

    def wanted(self, at: int) -> Wanted:
        """What follows a step wants of it: the first activation that reads it, through sums and moves."""
        open_, factor = [(at, 1.0)], 1.0
        while open_:
            here, factor = open_.pop()
            for reader in self.sums.consumers[here]:
                operation = self.sums.steps[reader].operation
                if isinstance(operation, Function):
                    return self._in_front(reader, operation.phi, factor)
                if isinstance(operation, Scale) and operation.parameter is None and operation.factor:
                    open_.append((reader, factor / operation.factor**2))
                elif isinstance(operation, Move | Drop | Pool | Shift | Add | Scale) and reader not in self.sums.count:
                    open_.append((reader, factor))
        return Wanted(factor)

    def _in_front(self, reader: int, phi: Pointwise, factor: float) -> Wanted:
        if not any(reader in self.sums.before[later] for later in self.weights):
            return Wanted(factor)
        found = point(phi, self.wish, reader in self.sums.inside, self.sums.steps[reader].name)
        return Wanted(found.q * factor, found.bias_var * factor, f"to q = {found.q:.4g}: {found.reason}")
