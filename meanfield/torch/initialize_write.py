"""From a plan to numbers: every parameter is checked and drawn before the first is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import nn

from meanfield.torch.draws import Box
from meanfield.torch.graph import Slot
from meanfield.torch.initialize_plan import Planned
from meanfield.torch.operators import spectral_layer
from meanfield.torch.plan import Plan, check_parameters

Draw = tuple[Any, Any]  # a parameter, or some of its rows, and new values


@dataclass(frozen=True)
class Part:
    """A parameter, or some of its rows, that step `step` of a plan is drawn into."""

    step: str
    parameter: Any
    rows: slice | None = None


def parts(plan: Sequence[Planned]) -> list[Part]:
    """All that a plan draws."""
    found: list[Part] = []
    for each in plan:
        if isinstance(each.weight, nn.Module):
            found += [Part(each.name, held) for held in each.weight.parameters()]
        given = (each.weight, None) if isinstance(each.weight, nn.Module) else (each.weight, each.bias)
        slots = [slot for slot in given if isinstance(slot, Slot)]
        found += [Part(each.name, getattr(slot.module, slot.name), slot.rows) for slot in slots]
    return found


def check(plan: Sequence[Planned], names: dict[int, str]) -> None:
    """ValueError or TypeError for parameters that cannot be drawn, or that two steps of a plan share."""
    owners: dict[int, list[tuple[str, range]]] = {}
    for part in parts(plan):
        held = part.parameter
        name = names.get(id(held), "a weight")
        _check_one(name, part.step, held)
        rows = range(held.shape[0] if held.ndim else 1)[part.rows or slice(None)]
        for other, taken in owners.setdefault(id(held), []):
            if range(max(rows.start, taken.start), min(rows.stop, taken.stop)):
                raise ValueError(
                    f"{other!r} and {part.step!r} share {name!r}: layers of one weight are not independent, and what "
                    "serves one may not serve the other; give each its own, or leave it as it is with "
                    f"skip=({name!r},)"
                )
        owners[id(held)].append((part.step, rows))
    for each in plan:
        if isinstance(each.weight, nn.Module):
            check_parameters([spectral_layer(each.name, each.weight)])


def _check_one(name: str, step: str, held: Any) -> None:
    if not isinstance(held, nn.Parameter):
        raise TypeError(
            f"{name!r} of {step!r} is computed from other parameters and is none itself: remove its parametrization "
            "first, as torch.nn.utils.parametrize.remove_parametrizations does"
        )


def draws(plan: Sequence[Planned], generator: Any) -> list[Draw]:
    """New values of every parameter of the plan, in its order; generator None is PyTorch's own."""
    found: list[Draw] = []
    for each in plan:
        if isinstance(each.weight, nn.Module):
            found += _spectral(each, generator)
        elif each.weight is not None:
            found.append((each.weight.tensor(), _values(each, each.weight.tensor(), generator)))
        if each.bias is not None and not isinstance(each.weight, nn.Module):
            tensor = each.bias.tensor()
            found.append((tensor, _normal(tensor, sqrt(each.bias_var), generator)))
    return found


def _values(each: Planned, tensor: Any, generator: Any) -> Any:
    return torch.full_like(tensor, each.value) if each.std is None else _normal(tensor, each.std, generator)


def _normal(tensor: Any, std: float, generator: Any) -> Any:
    if std == 0:
        return torch.zeros_like(tensor)
    dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    device = "cpu" if generator is None else generator.device
    return std * torch.randn(tensor.shape, dtype=dtype, generator=generator, device=device)


def _spectral(each: Planned, generator: Any) -> list[Draw]:
    """Modes of whole variance behind the inverse FFT, as init_fno_ draws them."""
    layer = spectral_layer(each.name, each.weight)
    whole = Plan(layer, Box(layer.frequencies), float(each.weight_var or 0), 0.0, each.bias_var)
    return whole.draws(generator)


def write(drawn: Sequence[Draw]) -> None:
    """Copy the values in; types, devices and requires_grad stay."""
    with torch.no_grad():
        for tensor, values in drawn:
            tensor.copy_(values)
