"""A PyTorch module as a graph of steps: torch.fx calls its forward once on placeholders, and each call is a step.

Modules of torch.nn and Fourier layers are called as a whole; their rules know what they do inside. An example tells the
shapes: how much of a filter lies inside the image, how many positions a mean is over. Where placeholders do not get
through forward, torch.export follows the example.
"""

import operator
import warnings
from inspect import signature
from typing import Any

from torch import fx

from meanfield.torch.graph import Graph
from meanfield.torch.trace_checks import check_model
from meanfield.torch.trace_export import exported
from meanfield.torch.trace_places import place_of, untraceable
from meanfield.torch.trace_shapes import Example, check_example, example_of, untouched, values_of
from meanfield.torch.trace_walk import Walk, is_leaf


class Leaves(fx.Tracer):
    """Calls modules of torch.nn and Fourier layers as a whole. Placeholders may cut buffers that are placeholders too,
    and branches may depend on buffers that are not."""

    def __init__(self, buffers: bool) -> None:
        super().__init__()
        self.proxy_buffer_attributes = buffers

    def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
        return is_leaf(m)


def trace(model: Any, example: Any = None) -> Graph:
    """The steps of a torch.nn.Module, in the order they run; what no theory knows is an Opaque step, with the reason.

    example: a tensor, a tuple of the arguments of forward or a dictionary of them by name. Without one, `reach` of a
    filter is that far from the edges, `taps` of a global mean are None, and numbers and masks that follow from shapes
    make their steps Opaque. Branches on self.training are followed in the mode that the model is in. The model, its
    buffers and the random state stay as they are. Raises TypeError or ValueError, naming the place: for what is no
    module, lazy, quantized, complex or integer parameters, the meta device, several devices or data types, no
    parameters, an example that forward does not take, control flow that depends on data.
    """
    check_model(model)
    given = example_of(example)
    with untouched(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if given is not None:
            check_example(model, given)
        try:
            graph = placed(model, given)
            values = values_of(model, graph, given)
        except Exception as error:
            return _exported(model, given, error)
        return Walk(model, values).run(graph)


def placed(model: Any, example: Example | None) -> fx.Graph:
    """The calls of forward on placeholders for what the example gives; raises what forward raises on them."""
    defaults = _defaults(model, example)
    if is_leaf(model):
        return _alone(model, defaults)
    try:
        return _without_asserts(Leaves(True).trace(model, defaults))
    except Exception:
        return _without_asserts(Leaves(False).trace(model, defaults))


def _without_asserts(graph: fx.Graph) -> fx.Graph:
    """torch.fx asserts that arguments left out have their defaults, and has placeholders for that alone."""
    for node in reversed(graph.nodes):
        name = getattr(node.target, "__name__", "")
        compared = node.target is operator.eq and not node.users
        if name in ("_assert", "_assert_is_none") or compared or (node.op == "placeholder" and not node.users):
            graph.erase_node(node)
    return graph


def _defaults(model: Any, example: Example | None) -> dict[str, Any]:
    """Arguments of forward that are left out keep their defaults, `mask=None` for one, and are no inputs."""
    given = {} if example is None else example.given(model)
    left = {n: p.default for n, p in signature(model.forward).parameters.items() if n not in given}
    return {name: value for name, value in left.items() if isinstance(value, bool | int | float | str | None)}


def _alone(model: Any, defaults: dict[str, Any]) -> fx.Graph:
    """One call of a model that is called as a whole."""
    graph = fx.Graph()
    inputs = {name: graph.placeholder(name) for name in signature(model.forward).parameters if name not in defaults}
    graph.output(graph.call_module("", kwargs={**defaults, **inputs}))
    return graph


def _exported(model: Any, example: Example | None, error: Exception) -> Graph:
    if example is None:
        raise untraceable(model, place_of(error), tried=False) from error
    try:
        graph, values = exported(model, example)
    except Exception as second:
        raise untraceable(model, place_of(second) or place_of(error), tried=True) from second
    return Walk(model, values).run(graph)
