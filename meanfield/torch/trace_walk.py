"""From the nodes of torch.fx to steps: each node by the rule of its module or its function."""

from typing import Any

import torch
from torch import fx, nn

from meanfield.torch import trace_products, trace_transformer
from meanfield.torch.graph import Graph, Input, Slot
from meanfield.torch.operators import is_spectral
from meanfield.torch.trace_functions import MOVES, rule_of
from meanfield.torch.trace_modules import steps_of
from meanfield.torch.trace_shapes import Values
from meanfield.torch.trace_values import Build, Call, Held, Signal, signals

RULES = (trace_products, trace_transformer)  # imported for the rules they register
SIZES = ("size", "dim", "numel", "len", "ndimension", "is_floating_point", "element_size", "nelement", "sym_size")
TRANSPOSED = ("T", "mT", "H", "mH")


def is_leaf(module: Any) -> bool:
    """Is it called as a whole?"""
    return is_spectral(module) or (
        type(module).__module__.startswith(("torch.nn.", "torch.ao.nn."))
        and not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
    )


class Walk:
    """From the nodes of torch.fx to steps."""

    def __init__(self, model: Any, values: Values) -> None:
        self.model, self.values, self.build = model, values, Build()
        self.found: dict[fx.Node, Any] = {}

    def run(self, graph: fx.Graph) -> Graph:
        """The steps of all nodes that the output depends on."""
        rules = {
            "placeholder": self._input,
            "get_attr": self._attribute,
            "call_module": self._module,
            "call_method": self._function,
            "call_function": self._function,
        }
        for node in graph.nodes:
            if node.op == "output":
                return self.build.graph(self._output(node))
            self.found[node] = rules[node.op](node)
        raise AssertionError("a graph of torch.fx ends in its output")

    def _call(self, node: fx.Node, name: str, layer: str) -> Call:
        args, kwargs = (
            fx.node.map_aggregate(given, lambda each: self.found[each] if isinstance(each, fx.Node) else each)
            for given in (node.args, node.kwargs)
        )
        return Call(self.build, name, layer, tuple(args), dict(kwargs), self.values.shape(node))

    def _input(self, node: fx.Node) -> Any:
        return self.build.step(node.name, "input", Input(), shape=self.values.shape(node))

    def _attribute(self, node: fx.Node) -> Any:
        """A parameter, or a buffer: its value with an example, else held as parameters are, if it is no mask."""
        path, _, name = str(node.target).rpartition(".")
        known = self.values.of.get(node)
        if isinstance(known, torch.Tensor) and not isinstance(known, nn.Parameter):
            return known
        module = self.model.get_submodule(path)
        value = getattr(module, name)
        kept = name in module._parameters or name in module._buffers  # others are fx's own, gone after the trace
        if kept and value.is_floating_point() and bool(value.isfinite().all()):
            return Held(str(node.target), Slot(module, name))
        return value

    def _module(self, node: fx.Node) -> Any:
        module = self.model.get_submodule(str(node.target))
        call = self._call(node, str(node.target), type(module).__name__)
        found = steps_of(module, call)
        if getattr(module, "inplace", False):
            self._overwrite(node, found)
        return found

    def _overwrite(self, node: fx.Node, found: Any) -> None:
        """What works in place changes what it was called with, for all that follows."""
        if node.args and isinstance(node.args[0], fx.Node):
            self.found[node.args[0]] = found

    def _function(self, node: fx.Node) -> Any:
        name = name_of(node.target)
        call = self._call(node, node.name, name)
        if not call.signals:
            return self._constant(node, call)
        first = call.args[0] if call.args else None
        if name == "getitem" and isinstance(first, tuple | list | dict):
            return first[call.args[1]]
        if name in SIZES or (name == "getattr" and call.args[1] not in TRANSPOSED):
            return self.values.number(node)
        rule = rule_of("transpose" if name == "getattr" else name)
        found = call.opaque(f"{name} is no function that a theory knows") if rule is None else rule(call)
        if name.endswith("_") or call.kwargs.get("inplace"):
            self._overwrite(node, found)
        return found

    def _constant(self, node: fx.Node, call: Call) -> Any:
        """What no signal is in: a parameter in another shape, or a value that the example tells."""
        held = [each for each in call.args if isinstance(each, Held)]
        if len(held) == 1 and call.args[0] is held[0]:
            if call.layer in ("t", "transpose", "getattr", "swapaxes"):
                return Held(held[0].name, held[0].slot, not held[0].swapped)
            if call.layer in MOVES:
                return held[0]
        return self.values.number(node)

    def _output(self, node: fx.Node) -> Signal:
        """The first signal of what forward returns."""
        found = self._call(node, "output", "output")
        first = next(signals(found.args), None)
        if first is None:
            raise ValueError(f"{type(self.model).__name__}.forward returns nothing that depends on its input")
        return first


def name_of(target: Any) -> str:
    """The name of a function, a method, or an operator of aten."""
    if isinstance(target, str):
        return target
    schema = getattr(target, "_schema", None)
    return schema.name.split("::")[1] if schema is not None else getattr(target, "__name__", str(target))
