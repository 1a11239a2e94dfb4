"""What flows through a trace: signals (outputs of steps), parameters on their way to a step, and the rest.

The rest are numbers, sizes, masks and the like; UNKNOWN is one that only an example would tell.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from meanfield.torch.graph import Constant, Graph, Opaque, Operation, Slot, Step


@dataclass(frozen=True)
class Unknown:
    """A number or an array that follows from the shape of the input, of which there is no example."""


UNKNOWN = Unknown()
Shape = tuple[int, ...] | None


@dataclass(frozen=True)
class Signal:
    """The output of step `index`; shape is None without an example."""

    index: int
    shape: Shape = None


@dataclass(frozen=True)
class Held:
    """A parameter, perhaps reshaped or repeated; `swapped` says that its last two axes have changed places."""

    name: str
    slot: Slot
    swapped: bool = False


@dataclass(frozen=True)
class Array:
    """A holder of a fixed array, so that it has a Slot as parameters have."""

    value: Any


def fixed(array: Any) -> Slot:
    return Slot(Array(array), "value")


@dataclass
class Build:
    """The steps found so far."""

    steps: list[Step] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)

    def step(self, name: str, layer: str, operation: Operation, *inputs: Signal, shape: Shape = None) -> Signal:
        """One more step; a name that was there before, as of a module called again, is numbered."""
        name = name or layer
        self.used[name] += 1
        again = self.used[name]
        shown = name if again == 1 else f"{name} (call {again})"
        self.steps.append(Step(shown, layer, operation, tuple(signal.index for signal in inputs)))
        self.shapes.append(shape)
        return self.at(len(self.steps) - 1)

    def at(self, index: int) -> Signal:
        """The output of a step."""
        return Signal(index, self.shapes[index])

    def graph(self, output: Signal) -> Graph:
        """The steps that the output depends on."""
        wanted = {output.index}
        for index in range(output.index, -1, -1):
            if index in wanted:
                wanted.update(self.steps[index].inputs)
        place = {index: at for at, index in enumerate(sorted(wanted))}
        kept = [self.steps[index] for index in sorted(wanted)]
        return Graph(tuple(Step(s.name, s.layer, s.operation, tuple(place[i] for i in s.inputs)) for s in kept))


@dataclass(frozen=True)
class Call:
    """A module or a function that is called: its place, what it is called with, the shape of what it returns."""

    build: Build
    name: str
    layer: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: Shape = None

    @property
    def signals(self) -> list[Signal]:
        """The signals it is called with, in order."""
        return [*signals((self.args, self.kwargs))]

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """What was given at a place, or by a name."""
        return self.args[place] if place < len(self.args) else self.kwargs.get(name, default)

    def put(self, operation: Operation, *inputs: Signal, name: str | None = None, layer: str | None = None) -> Signal:
        """A step of this call; inputs are all its signals where none are given."""
        read = inputs or tuple(self.signals)
        return self.build.step(name or self.name, layer or self.layer, operation, *read, shape=self.shape)

    def opaque(self, reason: str) -> Signal:
        return self.put(Opaque(reason))

    def signal(self, value: Any) -> Signal:
        """The value as a signal: a parameter becomes one of its own."""
        if not isinstance(value, Held):
            return value
        return self.build.step(value.name, "parameter", Constant(value.slot))


def signals(value: Any) -> Iterator[Signal]:
    """Those in nested tuples, lists and dictionaries."""
    if isinstance(value, Signal):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from signals(each)
    elif isinstance(value, dict):
        yield from signals([*value.values()])
    elif isinstance(value, slice):
        yield from signals((value.start, value.stop, value.step))


def holds(value: Any, kind: type) -> bool:
    """Is something of that kind in nested tuples, lists and dictionaries?"""
    if isinstance(value, tuple | list):
        return any(holds(each, kind) for each in value)
    if isinstance(value, dict):
        return holds([*value.values()], kind)
    return isinstance(value, kind)
