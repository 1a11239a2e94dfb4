"""What cannot be traced or initialized, each refused in a sentence that names the place; nothing is written.

check_model needs no trace; refuse_shared reads one, since whether a module is called twice only forward knows.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from meanfield.torch.graph import Affine, Constant, Graph, Norm, Operation, Scale, Shift, Slot, Spectral, Table
from meanfield.torch.operators import is_spectral, label


def check_model(model: Any) -> None:
    """TypeError or ValueError for what is no module, and for parameters that are not there, lazy, on the meta device,
    on several devices, not floating-point, or of several data types."""
    check_module(model)
    held = [*model.named_parameters()]
    if not held:
        raise ValueError(f"{type(model).__name__} has no parameters: there is nothing to analyze or initialize")
    check_lazy(model)
    check_floating(model)
    check_one("devices", {name: parameter.device for name, parameter in held}, "model.to(device)")
    real = [(name, parameter) for name, parameter in held if not parameter.is_complex()]
    check_one("data types", {name: parameter.dtype for name, parameter in real}, "model.to(torch.float32)")


def check_module(model: Any) -> None:
    """TypeError for what is no nn.Module, or one that hides its modules."""
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise TypeError(f"a torch.nn.Module is wanted, and {model.__name__} is the class: call it first")
    if not isinstance(model, nn.Module):
        raise TypeError(f"a torch.nn.Module is wanted, not {model!r}")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"{type(model).__name__} is TorchScript, which hides its code: give the module from before")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise TypeError(f"{type(model).__name__} spreads a module over devices: give that module, model.module")
    if type(model).__name__ == "OptimizedModule":
        raise TypeError("the module was compiled by torch.compile: give the module it was made from, model._orig_mod")
    for name, module in model.named_modules():
        if ".nn.quantized" in type(module).__module__:
            raise TypeError(f"{label(name, module)} is quantized: give the model from before the quantization")


def check_lazy(model: Any) -> None:
    """ValueError for parameters without a shape, or without memory."""
    for name, module in model.named_modules():
        for own, parameter in module.named_parameters(recurse=False):
            if isinstance(parameter, nn.parameter.UninitializedParameter):
                raise ValueError(f"{label(name, module)} has no shape yet: run one forward pass first, model(example)")
            if parameter.is_meta:
                raise ValueError(
                    f"{own!r} of {label(name, module)} is on the meta device, without memory: call "
                    "model.to_empty(device='cpu') first, and initialize it"
                )


def check_floating(model: Any) -> None:
    """TypeError for parameters of whole numbers, and for complex ones outside Fourier layers."""
    fourier = tuple(name for name, module in model.named_modules() if is_spectral(module))
    for name, parameter in model.named_parameters():
        inside = any(not place or name.startswith(f"{place}.") for place in fourier)
        if parameter.is_floating_point() or (parameter.is_complex() and inside):
            continue
        hint = (
            "complex ones are known in SpectralConv of meanfield.torch and neuraloperator alone"
            if parameter.is_complex()
            else "keep whole numbers as buffers (register_buffer)"
        )
        raise TypeError(f"the parameter {name!r} is {parameter.dtype}, not a real floating-point one: {hint}")


def check_one(what: str, kinds: dict[str, Any], remedy: str) -> None:
    """ValueError where parameters are not all of one kind."""
    for name, kind in kinds.items():
        first, wanted = next(iter(kinds.items()))
        if kind != wanted:
            raise ValueError(
                f"the parameters have several {what}: {first!r} has {wanted}, {name!r} has {kind}; bring them "
                f"together with {remedy}"
            )


def shared(graph: Graph) -> list[tuple[str, str]]:
    """Pairs of steps that read the same parameter, or the same rows of one: a module called twice, tied weights."""
    found: list[tuple[str, str]] = []
    owners: dict[Any, str] = {}
    for step in graph.steps:
        for key in _keys(step.operation):
            if key in owners and owners[key] != step.name:
                found.append((owners[key], step.name))
            owners.setdefault(key, step.name)
    return list(dict.fromkeys(found))


def refuse_shared(graph: Graph) -> None:
    """ValueError naming two steps that share a parameter, so that they are not independent."""
    for one, other in shared(graph):
        raise ValueError(
            f"{one!r} and {other!r} share a parameter, so that their weights are not independent, which every formula "
            "of the theory assumes: give each its own"
        )


def shared_parameters(model: Any) -> list[tuple[str, str]]:
    """Pairs of names of the same parameter, without a trace: tied weights, a module that is held twice."""
    found: list[tuple[str, str]] = []
    owners: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        first = owners.setdefault(id(parameter), name)
        if first != name:
            found.append((first, name))
    return found


def _keys(operation: Operation) -> Iterable[Any]:
    if isinstance(operation, Spectral):
        return [id(parameter) for parameter in operation.module.parameters()]
    return [_key(slot) for slot in _slots(operation) if slot is not None]


def _key(slot: Slot) -> Any:
    rows = slot.rows
    return id(getattr(slot.module, slot.name)), rows and (rows.start, rows.stop)


def _slots(operation: Operation) -> tuple[Slot | None, ...]:
    if isinstance(operation, Affine):
        return operation.weight, operation.bias
    if isinstance(operation, Norm):
        return operation.gain, operation.shift
    if isinstance(operation, Table):
        return (operation.weight,)
    if isinstance(operation, Scale | Shift | Constant):
        return (operation.parameter,)
    return ()
