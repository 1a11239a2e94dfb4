"""What each module of torch.nn that is called as a whole does: one rule for each class, which adds its steps.

A class without a rule is Opaque, whose reason names it.
"""

from functools import partial, singledispatch
from math import prod
from typing import Any

import torch
from torch import nn

from meanfield.torch.graph import Affine, Drop, Function, Move, Norm, Pool, Slot, Spectral, Table
from meanfield.torch.operators import is_spectral
from meanfield.torch.trace_activations import formula_of, pointwise
from meanfield.torch.trace_attention import Softmax
from meanfield.torch.trace_taps import convolution_reach, fan_in
from meanfield.torch.trace_values import Call, Signal


@singledispatch
def steps_of(module: Any, call: Call) -> Signal:
    """Add the steps of a module that is called, and return its output."""
    if is_spectral(module):
        return call.put(Spectral(module))
    formula = formula_of(module)
    if formula is not None:
        return call.put(Function(pointwise(formula)))
    return call.opaque(f"{type(module).__name__} is no module that a theory knows")


def slot(module: Any, name: str, rows: slice | None = None) -> Slot | None:
    """A parameter of a module, None where it has none."""
    return None if getattr(module, name, None) is None else Slot(module, name, rows)


def affine(module: Any, fan_in: int, fan_out: int, reach: float = 1.0) -> Affine:
    """An affine map by `weight` and `bias`."""
    return Affine(Slot(module, "weight"), slot(module, "bias"), fan_in, fan_out, reach)


@steps_of.register
def _linear(module: nn.Linear, call: Call) -> Signal:
    return call.put(affine(module, module.in_features, module.out_features))


@steps_of.register
def _convolution(module: nn.modules.conv._ConvNd, call: Call) -> Signal:
    size = call.signals[0].shape
    grid = None if size is None else size[len(size) - len(module.kernel_size) :]
    reach = convolution_reach(module, grid, call.shape)
    return call.put(affine(module, fan_in(module), module.out_channels, reach))


@steps_of.register(nn.Embedding)
def _embedding(module: nn.Embedding, call: Call) -> Signal:
    return call.put(Table(Slot(module, "weight")))


RMSNorm = getattr(nn, "RMSNorm", None)  # PyTorch 2.4 brought it
NORMS: dict[type, str] = {
    nn.LayerNorm: "layer",
    nn.GroupNorm: "group",
    nn.modules.batchnorm._BatchNorm: "batch",
    nn.modules.instancenorm._InstanceNorm: "instance",
    **({} if RMSNorm is None else {RMSNorm: "rms"}),
}


def _norm(kind: str, module: Any, call: Call) -> Signal:
    """An eps that is left out is that of the data type."""
    weight = slot(module, "weight")
    dtype = torch.get_default_dtype() if weight is None else weight.tensor().dtype
    eps = torch.finfo(dtype).eps if module.eps is None else module.eps
    return call.put(Norm(kind, float(eps), weight, slot(module, "bias")))


for _class, _kind in NORMS.items():
    steps_of.register(_class, partial(_norm, _kind))


@steps_of.register(nn.modules.dropout._DropoutNd)
def _dropout(module: Any, call: Call) -> Signal:
    if isinstance(module, nn.AlphaDropout | nn.FeatureAlphaDropout):
        return call.opaque(f"{type(module).__name__} sets entries to another value than 0")
    return call.put(Drop(float(module.p)))


@steps_of.register(nn.Identity)
@steps_of.register(nn.Flatten)
@steps_of.register(nn.Unflatten)
@steps_of.register(nn.PixelShuffle)
@steps_of.register(nn.PixelUnshuffle)
@steps_of.register(nn.ChannelShuffle)
def _move(module: Any, call: Call) -> Signal:
    return call.put(Move())


@steps_of.register(nn.modules.pooling._MaxPoolNd)
@steps_of.register(nn.modules.pooling._AvgPoolNd)
def _pool(module: Any, call: Call) -> Signal:
    kind = "max" if isinstance(module, nn.modules.pooling._MaxPoolNd) else "mean"
    axes = int(type(module).__name__[-2])
    size = module.kernel_size
    return call.put(Pool(kind, prod(size) if isinstance(size, tuple) else size**axes))


@steps_of.register(nn.modules.pooling._AdaptiveAvgPoolNd)
@steps_of.register(nn.modules.pooling._AdaptiveMaxPoolNd)
def _adaptive(module: Any, call: Call) -> Signal:
    kind = "max" if isinstance(module, nn.modules.pooling._AdaptiveMaxPoolNd) else "mean"
    return call.put(Pool(kind, taps(call.signals[0].shape, call.shape)))


def taps(before: tuple[int, ...] | None, after: tuple[int, ...] | None) -> int | None:
    """How many positions go into one, from the shapes; None where they are not known."""
    return None if before is None or after is None else max(1, round(prod(before) / prod(after)))


@steps_of.register(nn.Softmax)
def _softmax(module: Any, call: Call) -> Signal:
    size = call.signals[0].shape
    last = module.dim == -1 or (size is not None and module.dim == len(size) - 1)
    return call.put(Softmax("softmax")) if last else call.opaque("softmax over an axis other than the last")
