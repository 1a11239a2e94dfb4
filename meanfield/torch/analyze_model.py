"""The diagnosis of a PyTorch module: predicted and measured signals and gradients, layer by layer, and the culprit.

The module is traced to a graph of steps (trace.py), measured (measure.py) and predicted (walk.py) with the variances
that its parameters have; units.py and findings.py say which layers are at fault.
"""

from collections.abc import Callable
from math import nan
from typing import Any

from meanfield.torch.analysis import Analysis, Row, figures, root_ratio
from meanfield.torch.findings import Flow, findings
from meanfield.torch.graph import Affine, Graph
from meanfield.torch.units import units
from meanfield.torch.walk import walk

try:
    import torch
except ImportError as error:
    raise ImportError("analyze needs PyTorch: pip install 'meanfield-calculator[torch]'") from error

from meanfield.torch.measure import measure
from meanfield.torch.trace import trace
from meanfield.torch.trace_checks import shared
from meanfield.torch.trace_shapes import example_of


def analyze(
    model: Any, example_input: Any, *, passes: int = 4, loss: Callable[[Any], Any] | None = None, seed: int = 0
) -> Analysis:
    """What happens to signals and gradients in a torch.nn.Module, layer by layer: predicted, measured, and the culprit.

    example_input is a batch (batch, ...) of what the model is called with, or a tuple of arguments, or a
    dictionary of them by name; two inputs or more tell the correlation between them (that of the first eight is
    followed). Of each step's output: the mean square of
    its entries, the mean over entries of (dL/dx)^2, and the correlation sum x_a x_b/sqrt(sum x_a^2 sum x_b^2) averaged
    over pairs of inputs. L is the sum of all outputs with independent N(0, 1) factors, drawn anew in each of `passes`
    passes, unless loss(output), a scalar tensor, is given. Predicted is the limit of infinite width for independent
    weights of the variances that the parameters have; measured are passes in training mode (dropout, batch statistics).

    Nothing of the model changes: parameters, their .grad, buffers, modes, hooks and the random state are as before.
    What the theory is silent about (attention, maxima, Fourier layers, own functions) goes on from the measurement.

    Raises TypeError for what is no module or no tensor, for passes that are no whole number; ValueError for passes < 1,
    an empty batch, a loss that is no scalar; what mf.torch cannot trace is refused by trace with the reason.
    Poole et al. 2016 (arXiv:1606.05340), Schoenholz et al. 2017 (arXiv:1611.01232), both recalled; norms, sums,
    convolutions and the scatter at finite width derived here.
    """
    _check(model, example_input, passes)
    graph = trace(model, example_input)
    measured = measure(model, example_input, graph, passes=passes, loss=loss, seed=seed)
    predicted = walk(graph, measured)
    flow = Flow(graph, predicted, measured)
    rows = tuple(
        Row(step.name, step.layer, type(step.operation).__name__, **figures(p, m))
        for step, p, m in zip(graph.steps, predicted, measured, strict=True)
    )
    return Analysis(rows, findings(flow, units(graph)), _ratio(flow), passes, _notes(graph))


def _notes(graph: Graph) -> tuple[str, ...]:
    return tuple(
        f"{one!r} and {other!r} share a parameter: the prediction takes them for independent"
        for one, other in shared(graph)
    )


def _check(model: Any, example_input: Any, passes: int) -> None:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"analyze reads a torch.nn.Module, not {model!r}")
    given = example_of(example_input)
    if given is None:
        raise TypeError("example_input is a batch of what the model is called with, not None")
    first = next(each for each in (*given.args, *given.kwargs.values()) if isinstance(each, torch.Tensor))
    if first.ndim < 1 or not first.shape[0]:
        raise ValueError(f"example_input is a batch of at least one input, not of shape {tuple(first.shape)}")
    if isinstance(passes, bool) or not isinstance(passes, int):
        raise TypeError(f"passes is a whole number, not {passes!r}")
    if passes < 1:
        raise ValueError(f"passes must be at least 1, not {passes}")


def _ratio(flow: Flow) -> float:
    """Root mean square gradients behind the first affine step over those behind the last but one."""
    places = [i for i, step in enumerate(flow.graph.steps) if isinstance(step.operation, Affine)]
    if len(places) < 3:
        return nan
    return root_ratio(flow.gradient(places[0]), flow.gradient(places[-2]))
