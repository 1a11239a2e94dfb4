"""Layers of pictures: convolutions and pooling over positions, and what every layer does to the grid of positions.

A window of `size` positions, `stride` apart, reads x[stride i + d - low], d = 0 .. size - 1, for each output i:
VALID low = 0, out = floor((n - size)/stride) + 1;  SAME out = ceil(n/stride), low = floor(max((out - 1) stride + size
- n, 0)/2), zeros outside;  CIRCULAR as SAME, around the circle.  Flat signals are pictures without axes,
sequences of tokens pictures with one, where Dense acts on each token.
Whether all pairs of positions must be followed, or each position alone, is decided from the output backwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import reduce, singledispatch
from typing import Any

from symbolic.networks import (
    BIAS_VAR,
    WEIGHT_VAR,
    Chain,
    Dense,
    Dropout,
    Identity,
    Layer,
    LayerNorm,
    Pointwise,
    Repeat,
    RMSNorm,
    Scale,
    Sum,
    quantity,
)
from symbolic.signals import FEATURES, GAUSSIAN, NoRule, fresh, kind_after, odd

PADDINGS = ("SAME", "VALID", "CIRCULAR")
Shape = tuple[int, ...]
Sizes = int | tuple[int, ...]


def sizes(name: str, value: Any, of: str = "the picture") -> Sizes:
    """A whole number >= 1 for every axis, or one for each; TypeError or ValueError else."""
    each = tuple(value) if isinstance(value, tuple | list) else (value,)
    for size in each:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(f"{name} is a whole number, or a tuple of one for each axis of {of}, not {value!r}")
        if size < 1:
            raise ValueError(f"{name} must be at least 1 on each axis, not {value!r}")
    if not each:
        raise ValueError(f"{name} must have a number for each axis of {of}, not {value!r}")
    whole = tuple(size.__index__() for size in each)
    return whole if isinstance(value, tuple | list) else whole[0]


def _padding(value: Any) -> str:
    if value in PADDINGS:
        return str(value)
    near = get_close_matches(str(value).upper(), PADDINGS, 1, 0.5)
    hint = f", did you mean {near[0]!r}?" if near else ";"
    raise ValueError(f"unknown padding {value!r}{hint} known are {', '.join(PADDINGS)}")


@dataclass(frozen=True, repr=False)
class Spatial(Layer):
    """A layer that mixes positions, so that it is no map of one pair of signals."""


@dataclass(frozen=True, repr=False)
class Conv(Spatial):
    """h(i) = sum_d W_d x(stride i + d - low) + b: one filter for all positions of pictures (*positions, channels).

    W_d ~ N(0, weight_var/(channels * area)) for each of the `area` positions of the filter, b ~ N(0, bias_var) one per
    channel out, so that k'(i, j) = weight_var/area sum_d k(stride i + d - low, stride j + d - low) + bias_var; a
    variance left out stays a symbol. filter_shape and strides: a whole number, or one for each axis; padding: "SAME"
    (zeros), "VALID" or "CIRCULAR". Novak et al. 2019 (arXiv 1810.05148), Garriga-Alonso et al. 2019 (arXiv
    1808.05587): recalled and checked numerically, not re-read.
    Raises TypeError or ValueError for other sizes, paddings and variances.
    """

    filter_shape: Any
    strides: Any = 1
    padding: str = "SAME"
    weight_var: Any = WEIGHT_VAR
    bias_var: Any = BIAS_VAR

    def __post_init__(self) -> None:
        object.__setattr__(self, "filter_shape", sizes("filter_shape", self.filter_shape))
        object.__setattr__(self, "strides", sizes("strides", self.strides))
        object.__setattr__(self, "padding", _padding(self.padding))
        object.__setattr__(self, "weight_var", quantity("weight_var", self.weight_var, low=0, open_low=True))
        object.__setattr__(self, "bias_var", quantity("bias_var", self.bias_var, low=0))


@dataclass(frozen=True, repr=False)
class AvgPool(Spatial):
    """y(i) = sum_d x(stride i + d - low)/area over windows of `area` positions, each channel by itself.

    k'(i, j) = sum_de k(stride i + d - low, stride j + e - low)/area^2, the tangent kernel alike. window: a whole
    number, or one for each axis; strides as well, left out they are the window. At the edges of a SAME picture the sum
    is divided by the whole area all the same, the zeros outside counted: the default of PyTorch and of
    neural-tangents. Raises TypeError or ValueError for other sizes and paddings.
    """

    window: Any
    strides: Any = None
    padding: str = "VALID"

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", sizes("window", self.window))
        given = self.window if self.strides is None else self.strides
        object.__setattr__(self, "strides", sizes("strides", given))
        object.__setattr__(self, "padding", _padding(self.padding))


@dataclass(frozen=True, repr=False)
class GlobalAvgPool(Spatial):
    """The mean over all positions: k' = mean_ij k(i, j), the tangent kernel alike."""


@dataclass(frozen=True, repr=False)
class Flatten(Spatial):
    """All positions and channels side by side: k' = mean_i k(i, i), the tangent kernel alike."""


def layers_in(layer: Layer) -> Iterator[Layer]:
    """The layer and all that it is made of."""
    yield layer
    for f in fields(layer):
        value = getattr(layer, f.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Layer):
                yield from layers_in(part)


def is_spatial(layer: Layer) -> bool:
    """Does the layer, or one inside it, mix positions?"""
    return any(isinstance(part, Spatial) for part in layers_in(layer))


kind_after.register(Conv)(lambda layer, kind: GAUSSIAN)
kind_after.register(AvgPool)(lambda layer, kind: kind)
kind_after.register(GlobalAvgPool)(lambda layer, kind: kind)
# Positions may differ in variance, and a mixture of Gaussians is none.
kind_after.register(Flatten)(lambda layer, kind: FEATURES)
fresh.register(Conv)(lambda layer: True)
for _linear in (AvgPool, GlobalAvgPool, Flatten):
    odd.register(_linear)(lambda layer: True)


# -- the grid of positions -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Output i of `out` reads the positions stride i + d - low, d = 0 .. size - 1, zeros outside unless circular."""

    size: int
    stride: int
    low: int
    out: int
    circular: bool


def windows(layer: Conv | AvgPool, shape: Shape) -> tuple[Window, ...]:
    """The window on each axis of pictures of this shape; ValueError where it does not fit."""
    name = "filter_shape" if isinstance(layer, Conv) else "window"
    if not shape:
        raise ValueError(
            f"'{layer}' reads pictures (points, *positions, channels), but its input is flat: "
            "put it before Flatten() or GlobalAvgPool()"
        )
    sizes, strides = _each(layer, name, shape), _each(layer, "strides", shape)
    for n, size in zip(shape, sizes, strict=True):
        if layer.padding == "VALID" and size > n:
            raise ValueError(
                f"the {name} {sizes} of '{layer}' is larger than its picture {shape}: a VALID window lies inside it; "
                "take a smaller one, or padding='SAME'"
            )
    return tuple(_window(layer.padding, *each) for each in zip(shape, sizes, strides, strict=True))


def _window(padding: str, n: int, size: int, stride: int) -> Window:
    if padding == "VALID":
        return Window(size, stride, 0, (n - size) // stride + 1, False)
    out = -(-n // stride)
    return Window(size, stride, max((out - 1) * stride + size - n, 0) // 2, out, padding == "CIRCULAR")


def _each(layer: Layer, name: str, shape: Shape) -> tuple[int, ...]:
    value = getattr(layer, name)
    found = value if isinstance(value, tuple) else (value,) * len(shape)
    if len(found) != len(shape):
        raise ValueError(
            f"{name} of '{layer}' has {len(found)} axes, but its picture has {len(shape)}: {shape}; give one number "
            "for each axis, or one for all"
        )
    return found


@singledispatch
def shape_after(layer: Layer, shape: Shape) -> Shape:
    """The positions behind a layer that reads pictures of this shape, () if flat; ValueError where it cannot."""
    if not shape:
        return shape
    known = ", ".join(sorted(c.__name__ for c in shape_after.registry if c is not object))
    raise NoRule(f"nothing is known of '{layer}' ({type(layer).__name__}) in pictures; known are {known}")


@shape_after.register(Identity)
@shape_after.register(Pointwise)
@shape_after.register(Dropout)
@shape_after.register(LayerNorm)
@shape_after.register(RMSNorm)
def _(layer: Layer, shape: Shape) -> Shape:
    return shape


@shape_after.register
def _(layer: Dense, shape: Shape) -> Shape:
    if len(shape) > 1:
        raise ValueError(
            f"'{layer}' reads flat signals or tokens of sequences, but its input is a picture of shape {shape}: put "
            "Flatten() or GlobalAvgPool() before it, or use Conv(1), which acts on each position by itself"
        )
    return shape


@shape_after.register(Conv)
@shape_after.register(AvgPool)
def _(layer: Conv | AvgPool, shape: Shape) -> Shape:
    return tuple(window.out for window in windows(layer, shape))


@shape_after.register(Flatten)
@shape_after.register(GlobalAvgPool)
def _(layer: Layer, shape: Shape) -> Shape:
    if not shape:
        raise ValueError(f"'{layer}' reads pictures, but its input is already flat: leave it out")
    return ()


@shape_after.register
def _(layer: Chain, shape: Shape) -> Shape:
    return reduce(lambda now, part: shape_after(part, now), layer.layers, shape)


@shape_after.register
def _(layer: Repeat, shape: Shape) -> Shape:
    for _ in range(layer.times):
        before, shape = shape, shape_after(layer.block, shape)
        if shape == before:
            break
    return shape


@shape_after.register
def _(layer: Scale, shape: Shape) -> Shape:
    return shape_after(layer.layer, shape)


@shape_after.register
def _(layer: Sum, shape: Shape) -> Shape:
    found = [shape_after(branch, shape) for branch in layer.branches]
    if len(set(found)) > 1:
        listed = " and ".join(f"{s or 'flat'} ('{b}')" for s, b in zip(found, layer.branches, strict=True))
        raise ValueError(f"the branches of a sum give pictures of different shapes, {listed}: let their strides agree")
    return found[0]


@singledispatch
def pairs_before(layer: Layer, after: bool) -> bool:
    """Must all pairs of positions be followed before the layer, given whether they must be behind it?"""
    return after


pairs_before.register(AvgPool)(lambda layer, after: True)
pairs_before.register(GlobalAvgPool)(lambda layer, after: True)
pairs_before.register(Flatten)(lambda layer, after: False)
pairs_before.register(Scale)(lambda layer, after: pairs_before(layer.layer, after))
pairs_before.register(Sum)(lambda layer, after: any(pairs_before(b, after) for b in layer.branches))


@pairs_before.register(Chain)
@pairs_before.register(Repeat)
def _(layer: Chain | Repeat, after: bool) -> bool:
    parts = layer.layers if isinstance(layer, Chain) else (layer.block,) * layer.times
    return reduce(lambda now, part: pairs_before(part, now), reversed(parts), after)
