"""The initialization of any torch.nn.Module that a trace understands, in place, layer by layer, all or nothing.

The module is traced (meanfield/torch/graph.py), what every parameter is drawn with is planned from the input to the
output (initialize_plan.py), all is checked and drawn, and then written. Rules and their derivation: docs/torch_init.md.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from math import inf
from typing import Any

try:
    import torch
except ImportError as error:
    raise ImportError("init_ needs PyTorch: pip install 'meanfield-calculator[torch]'") from error

from torch import nn

from meanfield.init import CRITERIA
from meanfield.torch.graph import Function, Graph, Input
from meanfield.torch.initialize_notes import notes
from meanfield.torch.initialize_plan import Planned, Walk, walk
from meanfield.torch.initialize_point import Wish
from meanfield.torch.initialize_report import LayerRow, ModelInit
from meanfield.torch.initialize_write import check, draws, parts, write
from meanfield.torch.operators import label
from meanfield.torch.trace import trace

Skip = str | type


def init_(
    model: Any,
    example: Any = None,
    *,
    criterion: str = "edge_of_chaos",
    bias_var: float | None = None,
    depth_scale: float | None = None,
    skip: Iterable[Skip] = (),
    seed: int | None = None,
    generator: Any = None,
) -> ModelInit:
    """Draw the parameters of a torch.nn.Module anew, in place, layer by layer, for its own activations, residual depth
    and normalization: `mf.torch.init_(model, example)`.

    Weights are N(0, weight_var/fan_in), biases N(0, bias_var), 0 in all but a few cases. Behind an activation both are
    those of mf.init_scale(phi, criterion=...); with "edge_of_chaos" (default), where that fixed point has length 0
    (tanh), weight_var = 1/E phi'^2 at the length that arrives at each layer, and where lengths run away from it (GELU,
    SiLU, Mish), its half-stable point. The first layer takes inputs of the mean square of `example` (1 without one) to
    that point, the last gives outputs of mean square 1, each of L residual branches 1/L of its stream. Gains are 1,
    shifts 0. docs/torch_init.md has all rules; they are derived here.

    example: inputs as the model is called with, a tensor or a tuple; without one, convolutions count as unpadded.
    criterion: as in mf.init_scale, but "isometry", which wants orthogonal weights. bias_var, depth_scale: as there.
    skip: names of modules or parameters, or classes of modules, to leave as they are. seed: of a generator of its own;
    or generator=, a torch.Generator; without both PyTorch's own. Types, devices and requires_grad stay.

    All or nothing: whatever is raised, the model is untouched. Raises TypeError for modules and parameters that are not
    understood, ValueError for numbers, names and what cannot be drawn, NoEdge (a ValueError) where an activation has
    no such point. Sources: those of mf.init_scale; residual scaling and the rest derived here.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"init_ initializes a torch.nn.Module, not {model!r}")
    _check_options(criterion, bias_var, depth_scale)
    source = _generator(seed, generator)
    left = _skipped(model, skip)
    graph = trace(model, example)
    found = walk(graph, Wish(criterion, bias_var, depth_scale), _squares(graph, example), left)
    names = {id(held): name for name, held in model.named_parameters()}
    check(found.planned, names)
    _check_all(model, graph, found, left)
    drawn = draws(found.planned, source)
    write(drawn)
    return _report(model, found, criterion)


def _check_options(criterion: str, bias_var: float | None, depth_scale: float | None) -> None:
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; known are {', '.join(CRITERIA)}")
    if criterion == "isometry":
        raise ValueError(
            "criterion 'isometry' wants orthogonal weights, and init_ draws Gaussian ones: call "
            "torch.nn.init.orthogonal_ with gain=mf.init_scale(phi, criterion='isometry', depth=...).gain, or choose "
            "another criterion"
        )
    if bias_var is not None and not 0 <= bias_var < inf:
        raise ValueError(f"bias_var must be finite and at least 0, not {bias_var}")
    if depth_scale is not None and (criterion != "edge_of_chaos" or not 0 < depth_scale < inf):
        raise ValueError(
            f"depth_scale is a finite number of layers above 0, for criterion 'edge_of_chaos' alone, not {depth_scale} "
            f"for {criterion!r}"
        )


def _generator(seed: int | None, generator: Any) -> Any:
    if seed is not None and generator is not None:
        raise ValueError("seed makes a generator of its own: give seed or generator, not both")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator is a torch.Generator, not {generator!r}: torch.Generator().manual_seed(0)")
    if seed is None:
        return generator
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed is a whole number, not {seed!r}")
    return torch.Generator().manual_seed(seed)


def _skipped(model: Any, skip: Iterable[Skip]) -> frozenset[int]:
    """The parameters that stay as they are."""
    if isinstance(skip, str | type):
        raise TypeError(f"skip is a tuple of names or classes of modules, not {skip!r}: skip=({skip!r},)")
    modules = dict(model.named_modules(remove_duplicate=False))
    held = dict(model.named_parameters(remove_duplicate=False))
    found: set[int] = set()
    for each in skip:
        if isinstance(each, str) and each in held:
            found.add(id(held[each]))
            continue
        chosen = [module for name, module in modules.items() if each == name or _is(module, each)]
        if not chosen:
            raise ValueError(_unknown(model, each, [*modules, *held]))
        found.update(id(parameter) for module in chosen for parameter in module.parameters())
    return frozenset(found)


def _is(module: Any, each: Skip) -> bool:
    return isinstance(each, type) and isinstance(module, each)


def _unknown(model: Any, each: Skip, names: list[str]) -> str:
    if isinstance(each, type):
        return f"skip names the class {each.__name__}, of which {type(model).__name__} has no module"
    near = get_close_matches(str(each), [name for name in names if name], 3)
    hint = f"near are {', '.join(near)}" if near else "names are those of named_modules() and named_parameters()"
    return f"skip names {each!r}, which is no module or parameter of {type(model).__name__}: {hint}"


def _squares(graph: Graph, example: Any) -> tuple[float, ...]:
    """The mean square of each input, 1 where there is no example or where its entries are no real numbers."""
    names = [step.name for step in graph.steps if isinstance(step.operation, Input)]
    given = example if isinstance(example, dict) else dict(zip(names, _tuple(example), strict=False))
    return tuple(_square(name, given.get(name)) for name in names)


def _tuple(example: Any) -> tuple[Any, ...]:
    return tuple(example) if isinstance(example, tuple | list) else (example,)


def _square(name: str, given: Any) -> float:
    if not isinstance(given, torch.Tensor) or not given.is_floating_point():
        return 1.0
    found = float(given.detach().double().square().mean())
    if not 0 < found < inf:
        what = "zero everywhere" if found == 0 else "not finite everywhere"
        raise ValueError(f"the input {name!r} of example is {what}: give inputs as the model will see them")
    return found


def _check_all(model: Any, graph: Graph, found: Walk, left: frozenset[int]) -> None:
    """TypeError for a parameter that no step of the plan explains."""
    known = {id(part.parameter) for part in parts(found.planned)} | left
    slopes = {step.name.split(" (call")[0] for step in graph.steps if isinstance(step.operation, Function)}
    for name, module in model.named_modules(remove_duplicate=False):
        for own, held in module.named_parameters(recurse=False):
            if id(held) not in known and name not in slopes:
                reason = _opaque(graph, name)
                whole = f"{name}.{own}" if name else own
                raise TypeError(
                    f"{whole!r} {tuple(held.shape)} of {label(name, module)} is not understood{reason}: initialize it "
                    f"yourself, and leave it as it is with skip=({(name or own)!r},)"
                )


def _opaque(graph: Graph, name: str) -> str:
    reasons = [getattr(step.operation, "reason", "") for step in graph.steps if step.name == name]
    return f" ({reasons[0]})" if reasons and reasons[0] else ", or has no part in the output"


def _report(model: Any, found: Walk, criterion: str) -> ModelInit:
    touched = {id(part.parameter) for part in parts(found.planned)}
    left = tuple(name for name, held in model.named_parameters() if id(held) not in touched)
    return ModelInit(tuple(_row(each) for each in found.planned), criterion, left, notes(found))


def _row(each: Planned) -> LayerRow:
    return LayerRow(
        name=each.name,
        role=each.role,
        activation=each.activation,
        weight_var=each.weight_var,
        std=each.std,
        value=each.value,
        bias_std=None if each.bias is None else each.bias_var**0.5,
        reason=each.reason,
    )
