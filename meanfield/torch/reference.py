"""A Fourier neural operator in PyTorch (extra `torch`), small and with the conventions of the authors' code.

v^0 = P x, v^{l+1} = R_l phi(v^l) + W_l phi(v^l) + b_l (no phi before the first), y = Q v^depth on a periodic grid;
(R h)_a = irfftn(sum_i R_kij rfftn(h)_ki), R free complex numbers at k = 0 .. M - 1 on the last axis of the grid and
k = -M .. M - 1 on the others, 0 elsewhere; P, W, Q act on each position. Li et al. 2021, arXiv:2010.08895; the code as
recalled, not re-read: it projects by two layers, here Q is one matrix.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

from meanfield.finite.networks import whole
from symbolic.fourier import GRID, Spectral, modes_on
from symbolic.pictures import sizes

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("FNO needs PyTorch: pip install 'meanfield-calculator[torch]'") from error

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
    "erf": torch.erf,
}
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class SpectralConv(nn.Module):
    """y = irfftn(R rfftn(x)) + b, x (batch, channels_in, *grid) to y (batch, channels_out, *grid), grids of any size.

    modes: M, or a tuple of one for each axis of the grid (one to three): k = 0 .. M - 1 on the last, k = -M .. M - 1 on
    the others, as mf.Spectral.from_reference counts them. `weights` are complex parameters (channels_in, channels_out,
    *modes), one for each corner of the box: k >= 0 everywhere first, then k < 0 on the first axis, ... They start as
    U(0, 1) + i U(0, 1) over channels_in channels_out, as in the authors' code. `bias` (channels_out,), 0 at first, is
    None with bias=False. dtype is that of x, PyTorch's default if left out; `module.double()` leaves complex parameters
    as they are. Raises TypeError or ValueError for other numbers, and for grids with fewer modes.
    Li et al. 2021, arXiv:2010.08895, Fig. 2: recalled, not re-read.
    """

    def __init__(self, channels_in: int, channels_out: int, modes: Any, bias: bool = True, dtype: Any = None) -> None:
        super().__init__()
        self.modes = axes_of(modes)
        size, scale = (channels_in, channels_out, *self.modes, 2), 1 / (channels_in * channels_out)
        corners = (torch.view_as_complex(scale * torch.rand(size, dtype=dtype)) for _ in self._corners())
        self.weights = nn.ParameterList(nn.Parameter(corner) for corner in corners)
        self.bias = nn.Parameter(torch.zeros(channels_out, dtype=dtype)) if bias else None
        self._layer = Spectral.from_reference(self.modes, weight_var=1, bias_var=0)

    def forward(self, x: Any) -> Any:
        """(batch, channels_out, *grid) of x (batch, channels_in, *grid)."""
        grid = tuple(x.shape[2:])
        modes_on(self._layer, grid)
        axes = tuple(range(2, x.ndim))
        hat = torch.fft.rfftn(x, dim=axes)
        found = hat.new_zeros(len(x), self.weights[0].shape[1], *hat.shape[2:])
        for corner, weight in zip(self._corners(), self.weights, strict=True):
            found[corner] = torch.einsum("bi...,io...->bo...", hat[corner], weight)
        y = torch.fft.irfftn(found, s=grid, dim=axes)
        return y if self.bias is None else y + self.bias.reshape(-1, *(1 for _ in grid))

    def _corners(self) -> list[tuple[Any, ...]]:
        """Where the modes of each array of weights lie among those of rfftn."""
        *others, last = self.modes
        sides = [(slice(0, m), slice(-m, None)) for m in reversed(others)]
        return [(..., *reversed(corner), slice(0, last)) for corner in product(*sides)]


class FNO(nn.Module):
    """A Fourier neural operator from (batch, channels_in, *grid) to (batch, channels_out, *grid).

    A lifting to `width` channels, `depth` layers SpectralConv(width, width, modes), each with a matrix at each position
    beside it (`pointwise=True`, the original; False, the simplified one of Koshizuka et al. 2024, arXiv:2310.06379),
    the activation before each layer but the first, and a projection. The bias is that of the matrix where there is
    one, as in the authors' code, else that of SpectralConv. skip=True adds the input of each layer, before its
    activation, to its output. activation: "relu", "gelu", "silu", "tanh", "erf", or a function of tensors. Submodules:
    lift, spectral[l], pointwise[l], project; matrices start as PyTorch's convolutions of size 1 do, spectral weights as
    SpectralConv says. Raises TypeError or ValueError for other arguments. Li et al. 2021, arXiv:2010.08895.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        width: int,
        modes: Any,
        depth: int,
        activation: Any = "relu",
        pointwise: bool = True,
        skip: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        numbers = {"channels_in": channels_in, "channels_out": channels_out, "width": width, "depth": depth}
        for name, value in numbers.items():
            whole(name, value)
        self.activation, self.skip = _activation(activation), skip
        modes = axes_of(modes)
        matrix = CONVOLUTIONS[len(modes) - 1]
        self.lift = matrix(channels_in, width, 1, dtype=dtype)
        self.spectral = nn.ModuleList(SpectralConv(width, width, modes, not pointwise, dtype) for _ in range(depth))
        beside = [matrix(width, width, 1, dtype=dtype) for _ in range(depth)] if pointwise else []
        self.pointwise = nn.ModuleList(beside)
        self.project = matrix(width, channels_out, 1, dtype=dtype)

    def forward(self, x: Any) -> Any:
        """(batch, channels_out, *grid) of x (batch, channels_in, *grid)."""
        v = self.lift(x)
        for place in range(len(self.spectral)):
            v = self.layer(place, v)
        return self.project(v)

    def layer(self, place: int, v: Any) -> Any:
        """The pre-activations (batch, width, *grid) after layer `place`, of those before it."""
        h = self.activation(v) if place else v
        found = self.spectral[place](h)
        if self.pointwise:
            found = found + self.pointwise[place](h)
        return v + found if self.skip else found


def axes_of(modes: Any) -> tuple[int, ...]:
    """M of each axis of the grid; TypeError or ValueError for other than one to three whole numbers >= 1."""
    given = sizes("modes", modes, GRID)
    each = given if isinstance(given, tuple) else (given,)
    if len(each) > len(CONVOLUTIONS):
        raise ValueError(f"grids have one to three axes, but modes={modes} has {len(each)}")
    return each


def _activation(given: Any) -> Callable[[Any], Any]:
    found = ACTIVATIONS.get(given) if isinstance(given, str) else given
    if not callable(found):
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, or a function of tensors, not {given!r}")
    return found
