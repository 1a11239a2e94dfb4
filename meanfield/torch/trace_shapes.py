"""What an example tells about the nodes of a trace; nothing of it stays in the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from meanfield.torch.trace_values import UNKNOWN, Shape


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Whatever runs inside, the model has its attributes, its buffers' entries and its mode afterwards, and the random
    state is what it was."""
    kept = [(module, dict(vars(module))) for module in model.modules()]
    tables = [(held, dict(held)) for _, own in kept for held in own.values() if type(held) is dict]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    devices = {each.device.index for each in model.parameters() if each.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            yield
    finally:
        for module, own in kept:
            vars(module).clear()
            vars(module).update(own)
        for held, before in tables:
            held.clear()
            held.update(before)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@dataclass(frozen=True)
class Values:
    """What nodes returned for an example; nothing is known without one."""

    of: dict[fx.Node, Any] = field(default_factory=dict)

    def shape(self, node: fx.Node) -> Shape:
        found = self.of.get(node)
        return tuple(found.shape) if isinstance(found, torch.Tensor) else None

    def number(self, node: fx.Node) -> Any:
        """The value itself: a size, a number, an array that no signal is in."""
        return self.of.get(node, UNKNOWN)


class _Recorder(fx.Interpreter):
    def __init__(self, model: Any, graph: fx.Graph) -> None:
        super().__init__(model, garbage_collect_values=False, graph=graph)

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        return found


def values_of(model: Any, graph: fx.Graph, example: Any) -> Values:
    """Run the graph once on the example, in eval mode and without gradients."""
    if example is None:
        return Values()
    args = example if isinstance(example, tuple) else (example,)
    for module in model.modules():
        module.training = False
    recorder = _Recorder(model, graph)
    with torch.no_grad():
        recorder.run(*args)
    return Values(dict(recorder.env))
