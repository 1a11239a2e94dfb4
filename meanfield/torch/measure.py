"""What really flows through a network: mean products of a few inputs' signals and mean squared gradients at each step.

The model runs as in training, but nothing of it changes: parameters keep their .grad, buffers, modes and the random
state are put back. Gradients are those of the sum of the outputs with independent N(0, 1) factors, which the theory
means, or of the loss given. Steps are found by the names of modules and of the nodes of torch.fx.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import nan, sqrt
from typing import Any

import numpy as np
import torch
from torch import fx

from meanfield.torch.graph import Attend, Graph
from meanfield.torch.trace import placed
from meanfield.torch.trace_shapes import Example, Runner, example_of, placeholders, untouched
from meanfield.torch.walk_state import Array, Measured

INPUTS = 8  # of the batch, whose products are kept


@dataclass
class _Pass:
    """What one forward and backward pass showed, by name of step."""

    grams: dict[str, Array] = field(default_factory=dict)
    means: dict[str, Array] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    unevenness: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)

    def record(self, name: str, value: Any, batch: int) -> None:
        """Keep the moments of a value at once, as later steps may write into it; its gradient when it comes."""
        value = value[0] if isinstance(value, tuple) and value else value
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
            return
        if name in self.grams or value.ndim == 0 or value.shape[0] != batch:
            return
        rows = value.detach()[:INPUTS].flatten(1).double()
        self.grams[name] = (rows @ rows.T / rows.shape[1]).cpu().numpy()
        self.means[name] = rows.mean(dim=1).cpu().numpy()
        self.sizes[name] = float(rows.shape[1])
        if value.ndim > 1:
            channels = value.detach().double().transpose(0, 1).flatten(1)
            self.shares[name] = float(channels.mean(dim=1).square().mean() / channels.square().mean().clamp(min=1e-300))
            spreads = value.detach()[:INPUTS].double().var(dim=-1, correction=0).clamp(min=1e-300)
            self.unevenness[name] = float(spreads.mean() * (1 / spreads).mean())
        if value.requires_grad:
            value.register_hook(lambda g: self.gradients.update({name: _mean_square(g[:INPUTS])}))


def _mean_square(values: Any) -> float:
    return float(values.detach().double().square().mean())


class _Watched(Runner):
    """Runs a traced module, and shows the value of each node that calls no module."""

    def __init__(self, model: Any, graph: fx.Graph, see: Callable[[str, Any], None]) -> None:
        super().__init__(model, graph=graph)
        self.see = see

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if n.op not in ("output", "call_module"):
            self.see(n.name, found)
        return found


def measure(
    model: Any, example: Any, graph: Graph, *, passes: int, loss: Callable[[Any], Any] | None, seed: int
) -> list[Measured | None]:
    """What each step of `graph` gives, averaged over passes; None where it cannot be seen."""
    given = example_of(example)
    assert given is not None
    with untouched(model):
        model.train()
        nodes = None
        with suppress(Exception):  # placeholders do not get through: it runs as it is, seen through its modules alone
            nodes = placed(model, given)
        found = []
        for each in range(passes):
            torch.manual_seed(seed + each)
            found.append(_run(model, nodes, given, loss))
    return [_average(name, found) for name in _names(model, graph, found[0])]


def _names(model: Any, graph: Graph, seen: _Pass) -> list[str]:
    """Under which name each step was seen: its own, or the input of a module that reads it alone. The module of an
    attention gives what its last projection does."""
    modules = dict(model.named_modules())
    whole = {name for name, module in modules.items() if isinstance(module, torch.nn.MultiheadAttention)}
    names = [step.name for step in graph.steps]
    for place, step in enumerate(graph.steps):
        name, _, last = step.name.rpartition(".")
        if step.name in whole and isinstance(step.operation, Attend):
            names[place] = ""
        elif name in whole and last == "out_proj":
            names[place] = name
        elif len(step.inputs) == 1 and step.name in modules and names[step.inputs[0]] not in seen.grams:
            names[step.inputs[0]] = f"into {step.name}"
    return names


def _run(model: Any, nodes: fx.Graph | None, example: Example, loss: Callable[[Any], Any] | None) -> _Pass:
    seen = _Pass()
    args, kwargs = [_fresh(each) for each in example.args], {n: _fresh(each) for n, each in example.kwargs.items()}
    tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor)]
    batch = tensors[0].shape[0]
    with torch.enable_grad(), _hooks(model, lambda name, value: seen.record(name, value, batch)):
        if nodes is None:
            output = model(*args, **kwargs)
        else:
            run = _Watched(model, nodes, lambda name, value: seen.record(name, value, batch))
            output = run.run(*placeholders(model, nodes, Example(tuple(args), kwargs)))
        first = output[0] if isinstance(output, tuple | list) else output
        value = (first * torch.randn_like(first)).sum() if loss is None else _scalar(loss(output))
        wanted = [each for each in (*tensors, *model.parameters()) if each.requires_grad]
        if value.requires_grad:
            torch.autograd.grad(value, wanted, allow_unused=True)
    return seen


def _scalar(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"loss gives a scalar tensor, not {value!r}")
    if value.numel() != 1:
        raise ValueError(f"loss gives a scalar tensor, not one of shape {tuple(value.shape)}: take its mean")
    return value


def _fresh(value: Any) -> Any:
    """A copy that gradients reach, and that a step may write into."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().clone().requires_grad_(True).clone()
    return value


@contextmanager
def _hooks(model: Any, see: Callable[[str, Any], None]) -> Iterator[None]:
    """Show what each module gives, under its name and the number of the call, and what goes into it."""
    calls: Counter[str] = Counter()

    def entered(name: str) -> Callable[[Any, Any], None]:
        return lambda _module, given: see(f"into {name}", given)

    def shown(name: str) -> Callable[[Any, Any, Any], None]:
        def keep(_module: Any, _given: Any, output: Any) -> None:
            calls[name] += 1
            see(name if calls[name] == 1 else f"{name} (call {calls[name]})", output)

        return keep

    named = [(name, module) for name, module in model.named_modules() if name]
    hooks = [module.register_forward_hook(shown(name)) for name, module in named]
    hooks += [module.register_forward_pre_hook(entered(name)) for name, module in named]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def _average(name: str, found: list[_Pass]) -> Measured | None:
    if any(name not in each.grams for each in found):
        return None
    grams = np.stack([each.grams[name] for each in found])
    gradients = np.array([each.gradients.get(name, nan) for each in found])
    one = [Measured(gram, each.means[name], 1) for gram, each in zip(grams, found, strict=True)]
    return Measured(
        gram=grams.mean(axis=0),
        mean=np.mean([each.means[name] for each in found], axis=0),
        size=found[0].sizes[name],
        share=float(np.mean([each.shares.get(name, nan) for each in found])),
        unevenness=float(np.mean([each.unevenness.get(name, nan) for each in found])),
        gradient=float(gradients.mean()),
        q_error=_error(np.array([each.q for each in one])),
        correlation_error=_error(np.array([each.correlation for each in one])),
        gradient_error=_error(gradients),
    )


def _error(values: Array) -> float:
    return float(values.std(ddof=1)) / sqrt(len(values)) if len(values) > 1 else 0.0
