"""One layer of an expression for each operation of a graph, with the variances that its weights have at present."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from math import sqrt
from typing import Any

from sympy import Expr, Integer, Rational, Symbol

from meanfield.torch.graph import Affine, Drop, Function, Norm, Operation, Slot, Spectral, Step
from meanfield.torch.reference import SpectralConv
from symbolic.fourier import Spectral as SpectralLayer
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Dense, Dropout, Layer, LayerNorm, RMSNorm
from symbolic.pictures import Conv


@dataclass(frozen=True)
class Draw:
    """A variance as measured, with the standard error that its draw has."""

    variance: float
    error: float


Draws = dict[str, Any]


@singledispatch
def layer_of(operation: Operation, step: Step, draws: Draws | None) -> Layer:
    """The layer of a step; ValueError for one that no expression has."""
    raise ValueError(f"{step.name!r} ({step.layer}) has no expression: {_reason(operation)}")


def _reason(operation: Operation) -> str:
    return str(getattr(operation, "reason", f"{type(operation).__name__} is none of Dense, Conv, Spectral, a pointwise "
                       "function, LayerNorm, RMSNorm, Dropout, sums and scales"))  # fmt: skip


@layer_of.register
def _affine(operation: Affine, step: Step, draws: Draws | None) -> Layer:
    module = operation.weight.module
    size = getattr(module, "kernel_size", None)
    share = operation.fan_in * operation.reach
    filters = None if size is None else _filters(step, module)
    if filters is not None:
        share = operation.fan_in  # Conv counts the taps outside the image itself
    weight_var, bias_var = _variances(operation.weight, operation.bias, share, step, draws)
    return Dense(weight_var, bias_var) if filters is None else Conv(*filters, weight_var, bias_var)


def _filters(step: Step, module: Any) -> tuple[Any, Any, str]:
    """filter_shape, strides and padding of a convolution that Conv describes."""
    if module.transposed or module.groups != 1 or {*module.dilation} != {1}:
        raise ValueError(f"{step.name!r} ({step.layer}) has no expression: Conv has no groups and no dilation")
    size, stride, padding = tuple(module.kernel_size), tuple(module.stride), module.padding
    around = tuple(k // 2 for k in size)
    same = {*stride} == {1} and all(k % 2 for k in size) and padding in ("same", around)
    if module.padding_mode == "circular" and same:
        return _plain(size), _plain(stride), "CIRCULAR"
    if padding == "valid" or not any(padding):
        return _plain(size), _plain(stride), "SAME" if {*size, *stride} == {1} else "VALID"
    if module.padding_mode == "zeros" and same:
        return _plain(size), _plain(stride), "SAME"
    raise ValueError(
        f"{step.name!r} ({step.layer}) has no expression: Conv pads by zeros or in a circle to the same size, or not"
    )


def _plain(each: tuple[int, ...]) -> Any:
    return each[0] if len({*each}) == 1 else each


@layer_of.register
def _spectral(operation: Spectral, step: Step, draws: Draws | None) -> Layer:
    module = operation.module
    if not isinstance(module, SpectralConv):
        raise ValueError(f"{step.name!r} ({step.layer}) has no expression: SpectralConv of meanfield.torch has one")
    weights = [Slot(module.weights, str(place)) for place in range(len(module.weights))]
    bias = None if module.bias is None else Slot(module, "bias")
    channels = module.weights[0].shape[0]
    weight_var, bias_var = _variances(weights, bias, channels, step, draws)
    return SpectralLayer.from_reference(_plain(module.modes), weight_var=weight_var, bias_var=bias_var)


@layer_of.register
def _function(operation: Function, step: Step, draws: Draws | None) -> Layer:
    return operation.phi


@layer_of.register
def _drop(operation: Drop, step: Step, draws: Draws | None) -> Layer:
    return Dropout(1 - Rational(repr(operation.rate)))


@layer_of.register
def _norm(operation: Norm, step: Step, draws: Draws | None) -> Layer:
    kinds = {"layer": LayerNorm, "rms": RMSNorm}
    if operation.kind not in kinds:
        raise ValueError(f"{step.name!r} ({step.layer}) has no expression: normalization over a {operation.kind}")
    for slot, wanted in ((operation.gain, 1.0), (operation.shift, 0.0)):
        if slot is not None and not bool((slot.tensor().detach() == wanted).all()):
            raise ValueError(
                f"{step.name!r} ({step.layer}) has no expression: its {slot.name} is not {wanted:g} everywhere"
            )
    return kinds[operation.kind]()


def _variances(weight: Any, bias: Slot | None, share: float, step: Step, draws: Draws | None) -> tuple[Any, Any]:
    """Of a layer: symbols of its own that are to be measured, or what was written for them."""
    if draws is None:
        return WEIGHT_VAR, Integer(0) if bias is None else BIAS_VAR
    names = [f"{kind}<{step.name}>" for kind in ("weight", "bias")]
    if names[0] not in draws:
        held = weight if isinstance(weight, list) else [weight]
        draws[names[0]] = _measured([slot.tensor() for slot in held], share)
        draws[names[1]] = Draw(0.0, 0.0) if bias is None else _measured([bias.tensor()], 1.0)
    found = [draws[name] for name in names]
    if isinstance(found[0], Draw):
        if found[0].variance == 0:
            raise ValueError(f"the weights of {step.name!r} ({step.layer}) are all 0: a Dense layer has some variance")
        return Symbol(names[0], positive=True), Symbol(names[1], nonnegative=True)
    return found[0], found[1]


def _measured(tensors: Sequence[Any], factor: float) -> Draw:
    """factor E w^2 and its error, the spread of w^2 over the root of their number."""
    squares = [t.detach().abs().double().square().flatten() for t in tensors]
    count = sum(len(each) for each in squares)
    mean = sum(each.sum().item() for each in squares) / count
    spread = sum((each - mean).square().sum().item() for each in squares) / count
    return Draw(factor * mean, factor * sqrt(spread / count))


def written(draws: Mapping[str, Draw], groups: Sequence[Sequence[str]], digits: int) -> dict[str, Expr]:
    """What is written for each variance: the mean of those that are joined, rounded."""
    value = {name: draw.variance for name, draw in draws.items()}
    for names in groups:
        mean = sum(value[name] for name in names) / len(names)
        value |= dict.fromkeys(names, mean)
    return {name: Rational(f"{found:.{digits}g}") for name, found in value.items()}
