"""What Fourier layers shall be drawn with, checked before anything is written.

sigma_R^2 + sigma_W^2 = weight_var and sigma_b^2 = bias_var are those of a dense network whose activation is the one
between two layers: phi(phi(x)) where it is applied twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import nn

from meanfield.init import InitScale, init_scale
from meanfield.torch.draws import Box, spectral_weights
from meanfield.torch.operators import FourierLayer
from symbolic.activations import activation as parsed
from symbolic.critical import NoEdge
from symbolic.fourier import GRID
from symbolic.functions import X
from symbolic.networks import Pointwise
from symbolic.pictures import sizes

Draw = tuple[Any, Any]  # a parameter and its new values


@dataclass(frozen=True)
class Plan:
    """One layer with its variances sigma_R^2, sigma_W^2 (0 without a matrix) and sigma_b^2."""

    layer: FourierLayer
    box: Box
    spectral_var: float
    pointwise_var: float
    bias_var: float

    def draws(self, generator: Any) -> list[Draw]:
        """The parameters of the layer with their new values, on the device of the generator."""
        layer, fan_in = self.layer, self.layer.channels[0]
        precise = layer.weights[0].dtype in (torch.complex128, torch.float64)
        dtype = torch.complex128 if precise else torch.complex64
        weights = spectral_weights(layer.channels, self.box, self.spectral_var / fan_in, dtype, generator)
        found: list[Draw] = []
        for parameter, place in zip(layer.weights, layer.places, strict=True):
            part = weights[place]
            found.append((parameter, part if parameter.is_complex() else torch.view_as_real(part)))
        if layer.matrix is not None:
            matrix = layer.matrix.weight
            found.append((matrix, _normal(matrix, self.pointwise_var / fan_in, generator)))
        variance = self.bias_var
        for bias in biases(layer):
            found.append((bias, _normal(bias, variance, generator)))
            variance = 0.0
        return found


def _normal(parameter: Any, variance: float, generator: Any) -> Any:
    dtype = torch.float64 if parameter.dtype == torch.float64 else torch.float32
    device = "cpu" if generator is None else generator.device
    return sqrt(variance) * torch.randn(parameter.shape, dtype=dtype, generator=generator, device=device)


def biases(layer: FourierLayer) -> list[Any]:
    """Those of both paths; the first is drawn, another is set to 0, since they add."""
    found = (layer.bias, None if layer.matrix is None else layer.matrix.bias)
    return [bias for bias in found if bias is not None]


def plan(layer: FourierLayer, scale: InitScale, split: float | None, grid: int | Sequence[int] | None) -> Plan:
    """The variances of one layer; ValueError or TypeError for a split or grid that it cannot have."""
    share = _share(layer, split)
    if scale.bias_var > 0 and not biases(layer):
        raise ValueError(
            f"{layer.name!r} has no bias, but {scale.activation} ({scale.criterion}) wants biases of variance "
            f"{scale.bias_var:.6g}: build it with a bias, or choose a criterion without"
        )
    spectral = share * scale.weight_var
    return Plan(layer, _box(layer, grid), spectral, scale.weight_var - spectral, scale.bias_var)


def _share(layer: FourierLayer, split: float | None) -> float:
    if split is None:
        return 1.0 if layer.matrix is None else 0.5
    if isinstance(split, bool) or not isinstance(split, int | float):
        raise TypeError(f"split is the share of the spectral path, a number in (0, 1], not {split!r}")
    if not 0 < split <= 1:
        raise ValueError(f"split is the share of the spectral path, in (0, 1], not {split}")
    if split < 1 and layer.matrix is None:
        raise ValueError(
            f"split={split} leaves {1 - split:g} of the variance to a matrix at each position, but {layer.name!r} has "
            "none beside it: leave split out"
        )
    return float(split)


def _box(layer: FourierLayer, grid: int | Sequence[int] | None) -> Box:
    if grid is None:
        return Box(layer.frequencies)
    given = sizes("grid", tuple(grid) if isinstance(grid, Sequence) else grid, GRID)
    points = given if isinstance(given, tuple) else (given,)
    axes = layer.frequencies
    if len(points) != len(axes):
        raise ValueError(f"grid has {len(points)} axes, {points}, but {layer.name!r} has modes on {len(axes)}")
    for at, (axis, n) in enumerate(zip(axes, points, strict=True)):
        least = 2 * max(axis) if at == len(axes) - 1 else len(axis)
        if n < least:
            raise ValueError(
                f"axis {at} of grid {points} has {n} points, too few for the modes k = {min(axis)} .. {max(axis)} of "
                f"{layer.name!r}: at least {least}"
            )
        if layer.even and at < len(axes) - 1 and n % 2:
            raise ValueError(
                f"axis {at} of grid {points} has {n} points: on an odd axis before the last neuraloperator puts k at "
                f"k - 1, so that {layer.name!r} has no mode of its own k there; give it an even grid"
            )
    return Box(axes, points)


def between(layers: Sequence[FourierLayer], given: Any) -> Pointwise:
    """The activation between two layers; ValueError or TypeError where it is unknown, or not the same everywhere."""
    wanted = None if given is None else parsed(given)
    names = {layer.phi for layer in layers}
    times = {layer.times for layer in layers}
    if len(names) > 1 or len(times) > 1:
        raise ValueError(
            f"Fourier layers with several activations, {', '.join(sorted(str(name) for name in names))}, want several "
            "variances: initialize the parts of the module one by one"
        )
    name, count = names.pop(), times.pop()
    if wanted is None and name is None:
        raise ValueError(
            "the module does not tell the activation between its Fourier layers: give its name or formula, as in "
            "init_fno_(module, 'gelu')"
        )
    if wanted is not None and name is not None and wanted.formula != parsed(name).formula:
        raise ValueError(f"the module applies {name}, not {wanted}: leave activation out")
    phi = parsed(name) if wanted is None else wanted
    formula = phi.formula
    for _ in range(count - 1):
        formula = formula.subs(X, phi.formula)
    return phi if formula == phi.formula else Pointwise(f"{phi} applied twice", formula)


def scale_of(phi: Pointwise, criterion: str, bias_var: float | None) -> InitScale:
    """mf.init_scale; NoEdge where lengths run away from the point, ValueError for orthogonal weights."""
    if criterion == "isometry":
        raise ValueError("criterion 'isometry' wants orthogonal weights, those of Fourier layers are Gaussian")
    found = init_scale(phi, criterion=criterion, bias_var=bias_var)
    if criterion == "edge_of_chaos" and runs_away(phi, found):
        raise NoEdge(
            f"at the edge of chaos of {phi} with bias_var={found.bias_var:g} (weight_var = {found.weight_var:.6g}) "
            f"lengths leave q = {found.q:.6g} and grow with depth: use criterion='half_stable', which has a bias_var "
            "of its own"
        )
    return found


def runs_away(phi: Pointwise, found: InitScale) -> bool:
    """Do lengths grow away from q? At q = 0, where chi_q is 1, ask whether q = 1 grows."""
    if found.q > 0:
        return found.chi_q > 1 + 1e-9
    return found.weight_var > init_scale(phi, criterion="second_moment").weight_var


def check_parameters(layers: Sequence[FourierLayer]) -> None:
    """TypeError or ValueError for parameters that cannot be drawn anew, or that two layers share."""
    owners: dict[int, str] = {}
    for layer in layers:
        shape = (*layer.channels, *(len(axis) for axis in layer.frequencies))
        for weight, place in zip(layer.weights, layer.places, strict=True):
            _check(layer.name, weight)
            _check_weight(layer.name, weight, torch.empty(shape, device="meta")[place].shape)
        matrix = layer.matrix
        rest = biases(layer) if matrix is None else [matrix.weight, *biases(layer)]
        for parameter in rest:
            _check(layer.name if matrix is None or parameter is layer.bias else matrix.name, parameter)
            if not parameter.is_floating_point():
                raise TypeError(f"{layer.name!r} has parameters of {parameter.dtype}, not real floating-point ones")
        if matrix is not None and (matrix.weight.shape[:2] != layer.channels[::-1] or matrix.weight[0, 0].numel() != 1):
            raise ValueError(
                f"{matrix.name!r} has weights of shape {tuple(matrix.weight.shape)}, beside {layer.name!r} from "
                f"{layer.channels[0]} to {layer.channels[1]} channels"
            )
        for parameter in (*layer.weights, *rest):
            other = owners.setdefault(id(parameter), layer.name)
            if other != layer.name:
                raise ValueError(
                    f"{other!r} and {layer.name!r} share weights, so that they are not independent: give each its own"
                )


def _check(name: str, parameter: Any) -> None:
    if not isinstance(parameter, nn.Parameter):
        raise TypeError(f"a weight of {name!r} is computed from others, no parameter: remove its parametrization first")
    if isinstance(parameter, nn.parameter.UninitializedParameter):
        raise ValueError(f"{name!r} has no shape yet: call the module once on data first")
    if parameter.is_meta:
        raise ValueError(f"{name!r} is on the meta device, without memory: call module.to_empty(device=...) first")


def _check_weight(name: str, weight: Any, shape: Any) -> None:
    pairs = weight.is_floating_point() and tuple(weight.shape) == (*shape, 2)
    if not pairs and not (weight.is_complex() and weight.shape == shape):
        raise TypeError(
            f"the weights of {name!r} are {weight.dtype} of shape {tuple(weight.shape)}, not complex of shape "
            f"{tuple(shape)}, or pairs of real numbers"
        )
