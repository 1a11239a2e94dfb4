"""Layers of Fourier neural operators: random linear maps of the Fourier modes of functions on a periodic grid.

Functions are pictures (points, *grid, channels), hat_k = sum_a e^(-2 pi i k.a/N) the DFT on a grid of N = N_1 ... N_d
points. Each kept mode is multiplied by its own matrix, E|R_k,ij|^2 = s_k/channels, R_-k = conj(R_k). Modes are counted
as `modes` = K non-negative ones per axis, |k| <= K - 1: K = N//2 + 1 keeps all, K = 1 the mean alone. Koshizuka et al.
2024 (arXiv 2310.06379): the layer as recalled, every formula about it derived here and checked by simulation.
"""

from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Self

from symbolic.networks import BIAS_VAR, WEIGHT_VAR, quantity, short
from symbolic.pictures import Shape, Spatial, pairs_before, shape_after, sizes
from symbolic.signals import GAUSSIAN, fresh, kind_after

DC, GRID = ("real", "complex"), "the grid"


@dataclass(frozen=True, repr=False)
class Spectral(Spatial):
    """y_a = (1/N) sum_k e^(2 pi i k.a/N) xhat_k R_k + b over the kept modes k of functions on a periodic grid.

    modes: K, the number of non-negative modes kept on each axis (|k| <= K - 1), or a tuple of one for each axis; with
    half_open also k = -K on every axis but the last, as code with 2 K rows of weights keeps it. R_k = A + iB with
    entries N(0, s_k/(2 channels)), b ~ N(0, bias_var) one per channel; s_k = weight_var, or weight_var times
    `spectrum`, one number >= 0 for each (|k_1|, ..., |k_d|), nested as the axes are.
    dc: "real" draws the modes k = -k (mean, Nyquist) real with the variance s_k/channels, and R_-k = conj(R_k) in the
    plane where the last k is 0 or Nyquist; "complex" draws every R_k of that plane freely and independently, as code
    with irfft does, which keeps the Hermitian part alone: half of s_k, a quarter for an unpaired k = -K.
    Raises TypeError or ValueError for other numbers. Koshizuka et al. 2024 (arXiv 2310.06379): recalled, not re-read.
    """

    modes: Any
    weight_var: Any = WEIGHT_VAR
    bias_var: Any = BIAS_VAR
    dc: str = "real"
    spectrum: Any = None
    half_open: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "modes", sizes("modes", self.modes, GRID))
        object.__setattr__(self, "weight_var", quantity("weight_var", self.weight_var, low=0, open_low=True))
        object.__setattr__(self, "bias_var", quantity("bias_var", self.bias_var, low=0))
        if self.dc not in DC:
            near = get_close_matches(str(self.dc), DC, 1, 0.5)
            hint = f", did you mean {near[0]!r}?" if near else ";"
            raise ValueError(f"unknown dc {self.dc!r}{hint} known are 'real' and 'complex'")
        if not isinstance(self.half_open, bool):
            raise TypeError(f"half_open is True or False, not {self.half_open!r}")
        if self.spectrum is not None:
            object.__setattr__(self, "spectrum", _nested(self.spectrum))

    def __str__(self) -> str:
        given = [
            f"modes={self.modes}",
            *(f"{name}={short(getattr(self, name))}" for name in ("weight_var", "bias_var")),
        ]
        given += [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self)[3:] if getattr(self, f.name) != f.default]
        return f"Spectral({', '.join(given)})"

    __repr__ = __str__

    @classmethod
    def from_reference(cls, modes: Any, **options: Any) -> Self:
        """With `modes` as in the code of Li et al. 2021 (arXiv 2010.08895): M on an axis keeps k = 0 .. M - 1 on the
        last and k = -M .. M - 1 on the others, weights drawn complex. Other options as those of Spectral.

        >>> Spectral.from_reference((12, 12), weight_var=1, bias_var=0).half_open
        True
        """
        given = sizes("modes", modes, GRID)
        options.setdefault("dc", "complex")
        options.setdefault("half_open", isinstance(given, tuple) and len(given) > 1)
        return cls(given, **options)

    @classmethod
    def from_neuralop(cls, n_modes: Any, **options: Any) -> Self:
        """With `n_modes` as in the package neuraloperator: n on the last axis keeps k = 0 .. n//2, on another k =
        -(n//2) .. (n - 1)//2, weights drawn complex. Other options as those of Spectral.

        Raises ValueError for even and odd n together on the axes before the last, which no one K describes.

        >>> Spectral.from_neuralop((24, 24), weight_var=1, bias_var=0).modes
        (12, 13)
        """
        given = sizes("n_modes", n_modes, GRID)
        *others, last = given if isinstance(given, tuple) else (given,)
        if len({n % 2 for n in others}) > 1:
            raise ValueError(
                f"n_modes before the last axis must be all even or all odd, not {n_modes}: an even n keeps the mode "
                "-n/2 without n/2"
            )
        halves = [(n + 1) // 2 for n in others]
        modes = (*halves, last // 2 + 1) if isinstance(given, tuple) else last // 2 + 1
        options.setdefault("dc", "complex")
        options.setdefault("half_open", any(n % 2 == 0 for n in others))
        return cls(modes, **options)


def _nested(value: Any) -> Any:
    """Shares of a variance, nested as lists, arrays or tuples are, as tuples of floats."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(_nested(part) for part in value)
    return float(quantity("an entry of spectrum", value, low=0))


def modes_on(layer: Spectral, shape: Shape) -> tuple[int, ...]:
    """How many non-negative modes the layer keeps on each axis of a grid; ValueError where the grid has not as many."""
    if not shape:
        raise ValueError(f"'{layer}' reads functions on a grid (points, *grid, channels), not flat signals")
    modes = layer.modes if isinstance(layer.modes, tuple) else (layer.modes,) * len(shape)
    if len(modes) != len(shape):
        raise ValueError(f"modes of '{layer}' has {len(modes)} axes, but its grid has {len(shape)}: {shape}")
    last = len(shape) - 1
    for axis, (count, n) in enumerate(zip(modes, shape, strict=True)):
        most = n // 2 if layer.half_open and axis < last else n // 2 + 1
        if count > most:
            kind = f"N/2 + 1 = {most}" if most == n // 2 + 1 and n % 2 == 0 else f"(N + 1)/2 = {most}"
            kind = f"N/2 = {most} with half_open" if most == n // 2 else kind
            raise ValueError(
                f"'{layer}' keeps {count} non-negative modes, but axis {axis} of the grid {shape} has N = {n} points: "
                f"at most {kind}"
            )
    return modes


@shape_after.register
def _(layer: Spectral, shape: Shape) -> Shape:
    modes_on(layer, shape)
    return shape


pairs_before.register(Spectral)(lambda layer, after: True)
kind_after.register(Spectral)(lambda layer, kind: GAUSSIAN)
fresh.register(Spectral)(lambda layer: True)
