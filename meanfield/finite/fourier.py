"""Finite Fourier layers with real random weights on pictures (points, *grid, channels), and their gradients.

y = sum_k e^(2 pi i k.a/N) z_k + b, z_k = xhat_k R_k, xhat_k = (1/N) sum_a e^(-2 pi i k.a/N) x_a, through rfftn and
irfftn; E|R_k,ij|^2 = s_k/channels, b one per channel. Back: dL/dz_k = c_k sum_a e^(-2 pi i k.a/N) g_a, c_k = 2 where
z_k stands for -k too and else 1, dL/dR_k = xhat_k^H dL/dz_k, dL/dxhat_k = dL/dz_k R_k^H. As real matrices A, B of R = A
+ iB they act on the two rows (Re, -Im), (Im, Re) of xhat: passages of the tape are those of a filter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from scipy.fft import irfftn, rfftn

from meanfield.finite.networks import Array, Draw, Passage, Passed, forward, number
from meanfield.finite.products import Entries, Multiply, by_law, by_weights
from meanfield.modes import box_shares, frequencies, mode_shares
from solvers.lattice import mirrored
from symbolic.fourier import Spectral
from symbolic.pictures import Shape, shape_after

Index = npt.NDArray[np.intp]
Complex = npt.NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Modes:
    """The M modes of a grid that have weights of their own, the mean first, in the order of rfftn."""

    shape: Shape
    at: Index  # place among all of rfftn, row by row
    mirror: Index  # place where the conjugate of z_k stands as well; its own if nowhere
    variances: Array  # s_k
    twice: Array  # c_k
    within: Array  # how often irfftn reads z_k: 2 inside, 1 where the last k is 0 or Nyquist
    real: npt.NDArray[np.bool_]  # R_k is real

    @property
    def half(self) -> Shape:
        return (*self.shape[:-1], self.shape[-1] // 2 + 1)

    def analysed(self, x: Array, norm: str) -> Complex:
        """(..., points, *grid, channels) -> (..., M, points, channels)."""
        every = rfftn(x, axes=self._axes, norm=norm)
        flat = every.reshape(*every.shape[: -1 - len(self.shape)], -1, every.shape[-1])
        return np.asarray(flat[..., self.at, :].swapaxes(-2, -3))

    def summed(self, z: Complex, mirror: bool) -> Array:
        """sum_k z_k e^(2 pi i k.a/N) as irfftn does, (..., M, points, channels) -> (..., points, *grid, channels)."""
        rows = z.swapaxes(-2, -3)
        flat = np.zeros((*rows.shape[:-2], prod(self.half), rows.shape[-1]), dtype=np.complex128)
        if mirror:
            flat[..., self.mirror, :] = rows.conj()
        flat[..., self.at, :] = rows
        every = flat.reshape(*rows.shape[:-2], *self.half, rows.shape[-1])
        return np.asarray(irfftn(every, s=self.shape, axes=self._axes, norm="forward"))

    @property
    def _axes(self) -> range:
        return range(-1 - len(self.shape), -1)

    def entries(self, rng: np.random.Generator) -> Entries:
        """Standard complex matrices (M, rows, columns), real ones where R_k is."""

        def draw(rows: int, columns: int) -> Complex:
            a, b = rng.standard_normal((2, len(self.at), rows, columns))
            real = self.real[:, None, None]
            return np.asarray(np.where(real, a, (a + 1j * b) / np.sqrt(2)))

        return draw


def modes_drawn(layer: Spectral, shape: Shape) -> Modes:
    """What the layer draws on a grid; ValueError for one with fewer modes, or for a weight_var without a value."""
    half = shape[-1] // 2 + 1
    last = np.abs(frequencies(shape)[-1][:half])
    plane = np.broadcast_to((last == 0) | (2 * last == shape[-1]), (*shape[:-1], half)).ravel()
    places = np.arange(plane.size, dtype=np.intp)
    # In the plane -k has the same last k, so that the other axes alone are mirrored.
    other = mirrored(places.reshape(*shape[:-1], half), range(len(shape) - 1)).ravel()
    real = plane & (layer.dc == "real")
    shares = (mode_shares if layer.dc == "real" else box_shares)(layer, shape)[..., :half].ravel()
    has = (shares > 0) & ~(real & (other < places))
    has[0] = True  # the bias is in the mean, whose weights may have no variance
    at = np.flatnonzero(has)
    paired = (real & (other != places))[at]
    within = np.where(plane, 1.0, 2.0)[at]
    return Modes(
        shape,
        at,
        np.where(paired, other[at], at),
        number(layer, "weight_var") * shares[at],
        np.where(paired, 2.0, within),
        within,
        (real & (other == places))[at],
    )


def spectral(
    modes: Modes, x: Array, width: int, rng: np.random.Generator, multiply: Multiply
) -> tuple[Complex, Complex, Callable[[Complex], Array]]:
    """xhat and z (M, points, channels), without the bias, and the way back from dL/dz to x."""
    read = modes.analysed(x, "forward")
    scale = np.sqrt(modes.variances / x.shape[-1])[:, None, None]
    z, back = multiply(scale * read, width, modes.entries(rng))

    def pullback(gradient: Complex) -> Array:
        share = scale / modes.within[:, None, None] / prod(modes.shape)
        return modes.summed(share * back(gradient), mirror=False)

    return read, z, pullback


def to_modes(modes: Modes, g: Array) -> Complex:
    """dL/dz (..., M, points, channels) from dL/dy."""
    return np.asarray(modes.twice[:, None, None] * modes.analysed(g, "backward"))


@forward.register
def _(layer: Spectral, x: Array, draw: Draw) -> Passed:
    shape_after(layer, x.shape[1:-1])
    modes, bias_var = modes_drawn(layer, x.shape[1:-1]), number(layer, "bias_var")
    read, z, back = spectral(modes, x, draw.width, draw.rng, by_law if draw.conditional else by_weights)
    passages = [] if draw.tape is None else _passages(modes, read, bias_var)
    if draw.tape is not None:
        draw.tape.passages.extend(passages)

    def pullback(g: Array) -> Array:
        if draw.conditional:
            raise ValueError("a conditional draw has no weights to go back through: draw with conditional=False")
        gradient = to_modes(modes, g)
        for i, passage in enumerate(passages):
            parts = gradient[..., i, :, :].real, gradient[..., i, :, :].imag
            passage.gradient = np.stack(parts[: passage.x.shape[1]], axis=-2)
        return back(gradient)

    return modes.summed(z, mirror=True) + np.sqrt(bias_var) * draw.rng.standard_normal(draw.width), pullback


def _passages(modes: Modes, read: Complex, bias_var: float) -> list[Passage]:
    """One for each mode; the bias goes with the mean, as the real part of z_0."""
    found = []
    for i, (mode, variance, real) in enumerate(zip(read, modes.variances, modes.real, strict=True)):
        a, b = mode.real, mode.imag
        x = a[:, None] if real else np.stack([np.concatenate([a, -b], -1), np.concatenate([b, a], -1)], axis=1)
        found.append(Passage(x, float(variance), x.shape[-1], 0.0 if i else bias_var))
    return found
