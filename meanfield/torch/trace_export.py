"""torch.export where torch.fx does not get through forward: operators of aten on an example, put back into modules.

The operators that ran inside one call of a module of torch.nn become that call again, so that the rules for modules
hold here as well; the others go by the names of their functions. It runs in eval mode.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import torch
from torch import fx

from meanfield.torch.trace_shapes import Example, Values, measuring
from meanfield.torch.trace_walk import is_leaf


def exported(model: Any, example: Example) -> tuple[fx.Graph, Values]:
    """A graph with calls of modules, and the shapes of its nodes; what torch.export raises is left to the caller."""
    with measuring(model), _quiet():
        program = torch.export.export(model, example.args, example.kwargs, strict=False)
    return _Fold(model, program).run()


@contextmanager
def _quiet() -> Iterator[None]:
    """torch.export prints and logs what it cannot do, which is raised as well."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)


@dataclass
class _Fold:
    """From a graph of aten to one with calls of modules."""

    model: Any
    program: Any
    graph: fx.Graph = field(default_factory=fx.Graph)
    new: dict[fx.Node, fx.Node] = field(default_factory=dict)
    like: dict[fx.Node, Any] = field(default_factory=dict)
    known: dict[fx.Node, Any] = field(default_factory=dict)

    def run(self) -> tuple[fx.Graph, Values]:
        nodes = list(self.program.graph.nodes)
        at = 0
        while at < len(nodes):
            call = self._module_call(nodes[at])
            end = at + 1
            while call is not None and end < len(nodes) and self._module_call(nodes[end]) == call:
                end += 1
            if call is None:
                self._copy(nodes[at])
            else:
                self._fold(call[1], nodes[at:end])
            at = end
        return self.graph, Values({self.new[node]: value for node, value in self.known.items()}, self.like)

    def _module_call(self, node: fx.Node) -> tuple[str, str] | None:
        """The call of a leaf module in which an operator ran: its key, another for each call, and its path."""
        if node.op != "call_function":
            return None
        for key, (path, _) in node.meta.get("nn_module_stack", {}).items():
            plain = path.partition("@")[0]
            if plain and is_leaf(self.model.get_submodule(plain)):
                return f"{key} {path}", plain
        return None

    def _fold(self, path: str, nodes: list[fx.Node]) -> None:
        """One call for these operators, with what they read from outside that is no parameter of theirs."""
        inside = set(nodes)
        read = dict.fromkeys(each for node in nodes for each in node.all_input_nodes if each not in inside)
        args = [self.new[each] for each in read if self.new[each].op != "get_attr"]
        call = self.graph.call_module(path, tuple(args))
        for node in nodes:
            if any(user not in inside for user in node.users):
                self.new[node] = call
                self.like[call] = node.meta.get("val")

    def _copy(self, node: fx.Node) -> None:
        if node.op == "output":
            wanted = self.program.graph_signature.user_outputs
            outputs = [self.new[each] for each in node.all_input_nodes if each.name in wanted]
            self.graph.output(tuple(outputs))
            return
        held = self._held(node)
        made = self.graph.get_attr(held[0]) if held else self.graph.node_copy(node, lambda each: self.new[each])
        self.new[node], self.like[made] = made, node.meta.get("val")
        if held:
            self.known[node] = held[1]
        elif node.op == "call_function" and all(each in self.known for each in node.all_input_nodes):
            args, kwargs = (fx.node.map_arg(each, lambda n: self.known[n]) for each in (node.args, node.kwargs))
            self.known[node] = node.target(*args, **kwargs)

    def _held(self, node: fx.Node) -> tuple[str, Any] | None:
        """The path and the value of the parameter, buffer or array that a placeholder stands for."""
        signature = self.program.graph_signature
        if node.op != "placeholder":
            return None
        for table in (signature.inputs_to_parameters, signature.inputs_to_buffers):
            if node.name in table:
                name = str(table[node.name])
                return name, getattr(self.model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])
        name = signature.inputs_to_lifted_tensor_constants.get(node.name)
        return None if name is None else (name, self.program.constants[name])
