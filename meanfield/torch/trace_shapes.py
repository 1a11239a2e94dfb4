"""What an example tells about the nodes of a trace; nothing of it stays in the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import fx

from meanfield.torch.trace_values import UNKNOWN, Shape, holds


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Whatever runs inside, the model has its attributes, the entries of its buffers and its mode afterwards, and the
    random state is what it was."""
    kept = [(module, dict(vars(module))) for module in model.modules()]
    tables = [(held, dict(held)) for _, own in kept for held in own.values() if isinstance(held, dict)]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    devices = {each.device.index for each in model.parameters() if each.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            yield
    finally:
        for held, before in [*((vars(module), own) for module, own in kept), *tables]:
            held.clear()
            held.update(before)
        with torch.no_grad():
            for buffer, entries in buffers:
                buffer.copy_(entries)


@dataclass(frozen=True)
class Example:
    """What a model is called with: arguments in order, and by name."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def given(self, model: Any) -> dict[str, Any]:
        """By the names of the arguments of forward."""
        return dict(signature(model.forward).bind(*self.args, **self.kwargs).arguments)


def example_of(given: Any) -> Example | None:
    """A tensor, a tuple of arguments, or a dictionary of them by name; TypeError for anything else."""
    if given is None:
        return None
    args = given if isinstance(given, tuple) else () if isinstance(given, dict) else (given,)
    kwargs = given if isinstance(given, dict) else {}
    if not all(isinstance(name, str) for name in kwargs) or isinstance(given, list) or not holds(given, torch.Tensor):
        raise TypeError(
            "an example is a tensor, a tuple of the arguments of forward or a dictionary of them by name, with a "
            f"tensor among them, not {_shown(given)}"
        )
    return Example(args, kwargs)


def _copy(given: Any) -> Any:
    """So that what works in place leaves the example as it is."""
    return fx.node.map_aggregate(given, lambda e: e.detach().clone() if isinstance(e, torch.Tensor) else e)


def _shown(given: Any) -> str:
    text = repr(given)
    return f"{type(given).__name__} {text[:60]}{'...' if len(text) > 60 else ''}"


def check_example(model: Any, example: Example) -> None:
    """ValueError with what forward raised on the example."""
    try:
        with measuring(model):
            model(*map(_copy, example.args), **{name: _copy(each) for name, each in example.kwargs.items()})
    except Exception as error:
        given = [*example.args, *example.kwargs.values()]
        shapes = ", ".join(f"{tuple(e.shape)} {e.dtype}" for e in given if isinstance(e, torch.Tensor))
        raise ValueError(
            f"{type(model).__name__} cannot be called with this example ({shapes}): its forward raised "
            f"{type(error).__name__}: {error}"
        ) from error


@contextmanager
def measuring(model: Any) -> Iterator[None]:
    """Eval mode without gradients; use inside `untouched`."""
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@dataclass(frozen=True)
class Values:
    """What nodes returned for an example, and arrays that are like it in shape; nothing is known without one."""

    of: dict[fx.Node, Any] = field(default_factory=dict)
    like: dict[fx.Node, Any] = field(default_factory=dict)

    def shape(self, node: fx.Node) -> Shape:
        """That of the tensor, or of the first one in a tuple."""
        found = self.of.get(node, self.like.get(node))
        first = found[0] if isinstance(found, tuple | list) and found else found
        return tuple(first.shape) if isinstance(first, torch.Tensor) else None

    def number(self, node: fx.Node) -> Any:
        """The value itself: a size, a number, an array that no signal is in."""
        return self.of.get(node, UNKNOWN)


class Runner(fx.Interpreter):
    """Keeps what each node returned."""

    def fetch_attr(self, target: str) -> Any:
        """The model itself has the empty path."""
        return super().fetch_attr(target) if target else self.module


def values_of(model: Any, graph: fx.Graph, example: Example | None) -> Values:
    """Run the graph once on the example."""
    if example is None:
        return Values()
    recorder = Runner(model, garbage_collect_values=False, graph=graph)
    with measuring(model):
        recorder.run(*map(_copy, placeholders(model, graph, example)))
    return Values(dict(recorder.env))


def placeholders(model: Any, graph: fx.Graph, example: Example) -> list[Any]:
    """What each placeholder stands for: an argument, or the default of one that is left out."""
    given = example.given(model)
    defaults = {name: each.default for name, each in signature(model.forward).parameters.items()}
    found: list[Any] = []
    for node in graph.nodes:
        name = str(node.target).lstrip("*")
        if node.op == "placeholder":
            value = given.get(name, defaults.get(name))
            found.extend(value or () if node.target == f"*{name}" else (value,))
    return found
