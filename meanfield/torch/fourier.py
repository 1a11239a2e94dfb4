"""The initialization of Fourier neural operators at the edge of chaos, in place.

v' = (1/N) sum_k e^(2 pi i k.a/N) R_k phi(v)hat_k + W phi(v) + b, with E|R_k,ij|^2 = sigma_R^2/channels as a map of real
functions for every kept k, and E W_ij^2 = sigma_W^2/channels: the kept modes have the slope (sigma_R^2 + sigma_W^2)
E phi'(u)^2 of a dense network with that weight_var. The layer is that of Li et al. 2021 (arXiv:2010.08895), its edge of
chaos that of Koshizuka et al. 2024 (arXiv:2310.06379), both as recalled; the sum, and the draws of draws.py, derived
here and checked by simulation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from meanfield.show import text

try:
    import torch
except ImportError as error:
    raise ImportError("init_fno_ needs PyTorch: pip install 'meanfield-calculator[torch]'") from error

from meanfield.torch.draws import ties
from meanfield.torch.operators import join
from meanfield.torch.plan import Plan, between, check_parameters, plan, scale_of
from meanfield.torch.search import fourier_layers


@dataclass(frozen=True)
class LayerInit:
    """What one Fourier layer was drawn with: sigma_R^2, sigma_W^2 (None without a matrix beside it), how many modes
    have weights, and how many of these are real, the conjugate of another, or doubled as their -k is not kept."""

    name: str
    spectral_var: float
    pointwise_var: float | None
    modes: int
    real: int
    tied: int
    doubled: int


@dataclass(frozen=True)
class OperatorInit:
    """What init_fno_ drew, sigma_R^2 + sigma_W^2 = weight_var; `left` are the modules it did not touch."""

    layers: tuple[LayerInit, ...]
    activation: str
    criterion: str
    weight_var: float
    bias_var: float
    grid: tuple[int, ...] | None
    left: tuple[str, ...]

    def __str__(self) -> str:
        table = Table(box=None, pad_edge=False)
        for name in ("layer", "sigma_R^2", "sigma_W^2", "modes", "real", "conjugate", "doubled"):
            table.add_column(name, justify="left" if name == "layer" else "right")
        for layer in self.layers:
            pointwise = "-" if layer.pointwise_var is None else f"{layer.pointwise_var:.6g}"
            sizes = (layer.modes, layer.real, layer.tied, layer.doubled)
            table.add_row(layer.name, f"{layer.spectral_var:.6g}", pointwise, *map(str, sizes))
        grid = "any larger than its modes need" if self.grid is None else " x ".join(map(str, self.grid))
        head = (
            f"{self.activation} ({self.criterion}): sigma_R^2 + sigma_W^2 = {self.weight_var:.12g}, "
            f"biases N(0, {self.bias_var:.12g})\ngrid: {grid}"
        )
        return text(head, table, f"left as they are: {', '.join(self.left) or 'none'}", width=120)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def init_fno_(
    module: Any,
    activation: Any = None,
    *,
    criterion: str = "edge_of_chaos",
    bias_var: float | None = None,
    split: float | None = None,
    grid: int | Sequence[int] | None = None,
    pointwise: Mapping[str, str] | None = None,
    skip: Iterable[str] = (),
    generator: Any = None,
) -> OperatorInit:
    """Draw the Fourier layers of a torch.nn.Module anew, in place, so that the effective variance of every kept mode is
    sigma_R^2/channels_in, and that of the matrix beside it sigma_W^2/channels_in.

    sigma_R^2 + sigma_W^2 and the variance of biases are what mf.init_scale gives for the activation, `criterion` and
    bias_var (ReLU 2, tanh 1). `split` is the share of sigma_R^2: 1/2 where a matrix acts on each position, else 1.
    Known are FNO and SpectralConv of meanfield.torch, and FNOBlocks (hence FNO) and dense SpectralConv of
    neuraloperator 1 and 2; lifting, projection and all else are left as they are, which the report says.

    activation: a name or formula, wanted where the module does not tell it. grid: points of each axis, where a kept
    mode may be Nyquist; left out, the grid is larger than all kept modes. pointwise: names of the matrices beside
    layers that stand alone, {layer: matrix}. skip: names of modules to leave though they are not understood.
    generator: a torch.Generator; left out, PyTorch's own. Weights are drawn on its device (the CPU) and keep their
    type. Everything is checked and drawn before anything is written.

    Raises TypeError for modules, parameters and other arguments that are not understood, ValueError for numbers, NoEdge
    (a ValueError) where the activation has no such point or lengths run away from it, ParseError for unknown
    activations. Source: Koshizuka et al. 2024, arXiv:2310.06379 (recalled); the values derived here.
    """
    layers = fourier_layers(module, _names(skip), pointwise)
    check_parameters(layers)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator is a torch.Generator, not {generator!r}: torch.Generator().manual_seed(0)")
    scale = scale_of(between(layers, activation), criterion, bias_var)
    plans = [plan(layer, scale, split, grid) for layer in layers]
    drawn = [draw for each in plans for draw in each.draws(generator)]
    with torch.no_grad():
        for parameter, values in drawn:
            parameter.copy_(values)
    return OperatorInit(
        layers=tuple(_row(each) for each in plans),
        activation=scale.activation,
        criterion=scale.criterion,
        weight_var=scale.weight_var,
        bias_var=scale.bias_var,
        grid=plans[0].box.grid,
        left=tuple(_untouched("", module, {id(parameter) for parameter, _ in drawn})),
    )


def _names(skip: Iterable[str]) -> tuple[str, ...]:
    if isinstance(skip, str):
        raise TypeError(f"skip is a tuple of names of modules, not {skip!r}: skip=({skip!r},)")
    return tuple(skip)


def _row(each: Plan) -> LayerInit:
    found = ties(each.box)
    return LayerInit(
        name=each.layer.name,
        spectral_var=each.spectral_var,
        pointwise_var=None if each.layer.matrix is None else each.pointwise_var,
        modes=each.box.size,
        real=found.real,
        tied=found.tied,
        doubled=found.doubled,
    )


def _untouched(name: str, module: Any, drawn: set[int]) -> list[str]:
    """The largest modules with parameters none of which was drawn."""
    parameters = {id(parameter) for parameter in module.parameters()}
    if not parameters or not parameters & drawn:
        return [name] if parameters else []
    return [at for child, part in module.named_children() for at in _untouched(join(name, child), part, drawn)]
