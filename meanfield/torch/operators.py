"""Fourier layers as their parameters: the weight R_k of each mode k, the matrix beside them, biases.

SpectralConv of this package holds k in the order of the DFT, an array for each corner of the box. SpectralConv of
neuraloperator 1 and 2 holds one array, whose place j on an axis of n is k = j - n//2, on the last k = j: read in
2.0.0, which on odd grids puts k of the axes before the last at k - 1, so that they are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from meanfield.torch.reference import CONVOLUTIONS, SpectralConv

FUNCTIONS: dict[Any, str] = {
    torch.relu: "relu", nn.functional.relu: "relu", nn.ReLU: "relu",
    torch.tanh: "tanh", nn.functional.tanh: "tanh", nn.Tanh: "tanh",
    torch.sigmoid: "sigmoid", nn.functional.sigmoid: "sigmoid", nn.Sigmoid: "sigmoid",
    nn.functional.silu: "silu", nn.SiLU: "silu", nn.functional.mish: "mish", nn.Mish: "mish",
    nn.functional.gelu: "gelu", torch.erf: "erf", torch.sin: "sin", torch.cos: "cos",
}  # fmt: skip


@dataclass(frozen=True)
class Matrix:
    """A matrix that acts on each position: weight (channels_out, channels_in, 1, ...), bias or None."""

    name: str
    weight: Any
    bias: Any


@dataclass(frozen=True)
class FourierLayer:
    """`weights` are the arrays at `places` of R (channels_in, channels_out, *modes), its k those of `frequencies`.

    phi names the activation between two such layers, None where the module does not tell it, applied `times` times;
    `even` says that the axes of the grid before the last need an even number of points.
    """

    name: str
    weights: tuple[Any, ...]
    places: tuple[Any, ...]
    frequencies: tuple[tuple[int, ...], ...]
    channels: tuple[int, int]
    bias: Any
    matrix: Matrix | None = None
    phi: str | None = None
    times: int = 1
    even: bool = False


def named(function: Any) -> str | None:
    """The name of an activation, a function of PyTorch or a module of it; None if it is another."""
    if isinstance(function, nn.GELU):
        return "gelu" if function.approximate == "none" else None
    return FUNCTIONS.get(type(function) if isinstance(function, nn.Module) else function)


def label(name: str, module: Any) -> str:
    return f"{name!r} ({type(module).__name__})" if name else f"the {type(module).__name__}"


def is_neuralop(module: Any, kind: str) -> bool:
    """Is it of a class of neuraloperator? That package is not imported for it."""
    return type(module).__name__ == kind and type(module).__module__.split(".")[0] == "neuralop"


def is_spectral(module: Any) -> bool:
    return type(module) is SpectralConv or is_neuralop(module, "SpectralConv")


def spectral_layer(name: str, conv: Any) -> FourierLayer:
    """A SpectralConv that stands alone."""
    return _of_reference(name, conv) if type(conv) is SpectralConv else _of_neuralop(name, conv)


def join(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def matrix(name: str, module: Any) -> Matrix:
    """A convolution of size 1, or a linear layer on channels that are the last axis."""
    linear = isinstance(module, nn.Linear)
    if not linear and not isinstance(module, CONVOLUTIONS):
        raise TypeError(f"{label(name, module)} is no matrix at each position: a convolution of size 1 or nn.Linear")
    if not linear and ({*module.kernel_size, *module.stride, module.groups} != {1} or any(module.padding)):
        raise ValueError(f"{label(name, module)} acts on more than one position, or on groups of channels: {module}")
    return Matrix(name, module.weight, module.bias)


def _of_reference(name: str, conv: SpectralConv) -> FourierLayer:
    *others, last = conv.modes
    frequencies = (*((*range(m), *range(-m, 0)) for m in others), tuple(range(last)))
    first = conv.weights[0]
    return FourierLayer(
        name, tuple(conv.weights), tuple(conv._corners()), frequencies, (first.shape[0], first.shape[1]), conv.bias
    )


def _of_neuralop(name: str, conv: Any) -> FourierLayer:
    _refuse_variants(name, conv)
    held = [*conv.weight.parameters()] if isinstance(conv.weight, nn.Module) else [conv.weight]
    sizes = conv.max_n_modes
    frequencies = (*(tuple(j - n // 2 for j in range(n)) for n in sizes[:-1]), tuple(range(sizes[-1])))
    channels = (conv.in_channels, conv.out_channels)
    return FourierLayer(name, tuple(held), (...,), frequencies, channels, conv.bias, even=True)


def _refuse_variants(name: str, conv: Any) -> None:
    kind = type(conv.weight).__name__
    if kind not in ("DenseTensor", "ComplexDenseTensor", "Parameter"):
        raise TypeError(
            f"the weights of {label(name, conv)} are a {kind}, not one array with a matrix for each mode: build it "
            f"with factorization=None, or leave it as it is with skip=({name!r},)"
        )
    if conv.separable:
        raise TypeError(
            f"{label(name, conv)} is separable, so that channels are not mixed: build it with separable=False"
        )
    if conv.complex_data:
        raise TypeError(f"{label(name, conv)} is one of complex functions: real ones are known, complex_data=False")
    if conv.resolution_scaling_factor is not None:
        raise TypeError(f"{label(name, conv)} changes the grid: build it with resolution_scaling_factor=None")
    if [*conv.n_modes] != [*conv.max_n_modes]:
        raise ValueError(
            f"{label(name, conv)} uses {_sizes(conv.n_modes)} of its {_sizes(conv.max_n_modes)} modes, and others are "
            "the unpaired ones then: set its n_modes to all of them, initialize, and set them back"
        )


def _sizes(modes: Sequence[int]) -> str:
    return " x ".join(str(n) for n in modes)
