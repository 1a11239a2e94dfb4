"""A PyTorch module as a graph of steps: torch.fx calls its forward once on placeholders, and each call is a step.

Modules of torch.nn and Fourier layers are called as a whole, their rules know what they do inside. An example tells the
shapes: how much of a filter lies inside the image, how many positions a mean is over.
"""

from typing import Any

from torch import fx, nn

from meanfield.torch.graph import Graph, Input, Slot
from meanfield.torch.operators import is_spectral
from meanfield.torch.trace_functions import MOVES, rule_of
from meanfield.torch.trace_modules import steps_of
from meanfield.torch.trace_shapes import Values, untouched, values_of
from meanfield.torch.trace_values import Build, Call, Held, Signal, signals


class Leaves(fx.Tracer):
    """Calls modules of torch.nn and Fourier layers as a whole."""

    def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
        return is_spectral(m) or super().is_leaf_module(m, module_qualified_name)


def trace(model: Any, example: Any = None) -> Graph:
    """The steps of a torch.nn.Module, in the order they run."""
    with untouched(model):
        graph = Leaves().trace(model)
        values = values_of(model, graph, example)
        return Walk(model, values).run(graph)


class Walk:
    """From the nodes of torch.fx to steps."""

    def __init__(self, model: Any, values: Values) -> None:
        self.model, self.values, self.build = model, values, Build()
        self.found: dict[fx.Node, Any] = {}

    def run(self, graph: fx.Graph) -> Graph:
        for node in graph.nodes:
            if node.op == "output":
                return self.build.graph(self._output(node))
            self.found[node] = getattr(self, f"_{node.op}")(node)
        raise AssertionError("a graph of torch.fx ends in its output")

    def _given(self, value: Any) -> Any:
        """What a node is called with, nodes replaced by what was found for them."""
        return fx.node.map_aggregate(value, lambda each: self.found[each] if isinstance(each, fx.Node) else each)

    def _call(self, node: fx.Node, name: str, layer: str) -> Call:
        args, kwargs = self._given(node.args), self._given(node.kwargs)
        return Call(self.build, name, layer, args, kwargs, self.values.shape(node))

    def _placeholder(self, node: fx.Node) -> Any:
        return self.build.step(node.name, "input", Input(), shape=self.values.shape(node))

    def _get_attr(self, node: fx.Node) -> Any:
        path, _, name = str(node.target).rpartition(".")
        module = self.model.get_submodule(path)
        value = getattr(module, name)
        return Held(str(node.target), Slot(module, name)) if isinstance(value, nn.Parameter) else value

    def _call_module(self, node: fx.Node) -> Any:
        module = self.model.get_submodule(node.target)
        return steps_of(module, self._call(node, str(node.target), type(module).__name__))

    def _call_method(self, node: fx.Node) -> Any:
        return self._function(node, str(node.target))

    def _call_function(self, node: fx.Node) -> Any:
        return self._function(node, getattr(node.target, "__name__", str(node.target)))

    def _function(self, node: fx.Node, name: str) -> Any:
        call = self._call(node, node.name, name)
        if not call.signals:
            return self._without_signals(node, call)
        if name in ("getattr", "size", "dim", "numel", "len") and not _is_transpose(node):
            return self.values.number(node)
        rule = rule_of(name)
        return call.opaque(f"{name} is no function that a theory knows") if rule is None else rule(call)

    def _without_signals(self, node: fx.Node, call: Call) -> Any:
        held = [each for each in call.args if isinstance(each, Held)]
        if len(held) == 1 and call.layer in MOVES:
            return held[0]
        return self.values.number(node)

    def _output(self, node: fx.Node) -> Signal:
        return next(signals(self._given(node.args)))


def _is_transpose(node: fx.Node) -> bool:
    return node.target is getattr and node.args[1] in ("T", "mT")
