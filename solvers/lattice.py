"""Functions of the lags r of a periodic lattice Z_N1 x ... x Z_Nd, filtered in Fourier space and swept over depth.

(S x)_r = (1/N) sum_k s_k e^(2 pi i k.r/N) xhat_k, s_k = s_-k >= 0. A function with x_-r = x_r is carried on one lag of
each pair {r, -r} and one mode of each pair {k, -k}: with multiplicities w_r, w_k (1 or 2) S x = outward^T (inward x),
inward = (w_k s_k/N) cos(2 pi k.r/N) w_r, outward = cos(2 pi k.r/N): two small matrices where few modes are kept. Where
they are many it is carried on the rows 0 .. N1//2 of the first axis, since Fourier sums over the other axes turn row -r
into the conjugate of row r, and FFTs are cut to the modes that are kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
DENSE = 2**19  # entries of inward, up to which both matrices stay in the second-level cache


def mirrored(values: npt.NDArray[Any], axes: Iterable[int] | None = None) -> npt.NDArray[Any]:
    """values at -r in place of r along the axes (all)."""
    for axis in range(values.ndim) if axes is None else axes:
        values = np.roll(np.flip(values, axis), 1, axis)
    return values


def mirror(shape: Sequence[int]) -> Index:
    """The flat index of -r for the flat index of r."""
    return mirrored(np.arange(prod(shape)).reshape(tuple(shape))).ravel()


def half(shape: Sequence[int]) -> tuple[Index, Array, Index]:
    """One flat index of each pair {r, -r}, 0 first; how many of the pair there are; for every r the place of its pair.

    >>> [x.tolist() for x in half((4,))]
    [[0, 1, 2], [1.0, 2.0, 1.0], [0, 1, 2, 1]]
    """
    other = mirror(shape)
    every = np.arange(len(other))
    kept = every[every <= other]
    place = np.empty(len(other), dtype=np.intp)
    place[kept] = np.arange(len(kept))
    place[other[kept]] = np.arange(len(kept))
    return kept, np.where(other[kept] == kept, 1.0, 2.0), place


def rows(x: Array) -> Array:
    """The rows 0 .. N1//2 of a function on a lattice."""
    return x[: x.shape[0] // 2 + 1]


def unfolded(x: Array, shape: tuple[int, ...]) -> Array:
    """The functions x_-r = x_r on a lattice whose rows 0 .. N1//2 are given, (functions, *rows) -> (functions,
    *shape)."""
    out = np.empty((len(x), *shape))
    middle = x.shape[1]
    rest = mirrored(np.flip(x[:, 1 : shape[0] - middle + 1], 1), range(2, x.ndim))
    out[:, :middle], out[:, middle:] = x, rest
    return out


def angles(shape: Sequence[int], modes: Index, points: Index) -> Array:
    """2 pi k.r/N for flat indices of modes k and of points r: (modes, points)."""
    turns = np.zeros((modes.size, points.size))
    for k, r, n in zip(*(np.unravel_index(at, tuple(shape)) for at in (modes, points)), shape, strict=True):
        turns += np.outer(k, r) % n / n  # in whole numbers, so that no digit of the phase is lost
    return np.asarray(2 * np.pi * turns)


@dataclass(frozen=True, eq=False)
class Filter:
    """S of the variances s_k on a whole lattice, in the order of the DFT and with s_-k = s_k."""

    variances: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.variances.shape

    def __call__(self, x: Array) -> Array:
        """S x of any real x (..., *shape)."""
        if self.white is not None:
            return self.white * x
        last = self._cut[-1]
        axes = tuple(range(-len(self.shape), -1))
        modes = fft.rfft(x, axis=-1)[..., :last]
        modes = fft.fftn(modes, axes=axes) * self.variances[..., :last] if axes else modes * self.variances[:last]
        modes = fft.ifftn(modes, axes=axes) if axes else modes
        return np.asarray(fft.irfft(modes, n=self.shape[-1], axis=-1))

    def on_rows(self, x: Array) -> Array:
        """S x of a real function with x_-r = x_r, of which the rows 0 .. N1//2 of the first axis come and go."""
        if self.white is not None:
            return self.white * x
        if len(self.shape) == 1:
            return self._on_line(x)
        others, last = tuple(range(1, len(self.shape) - 1)), self._cut[-1]
        modes = fft.fftn(fft.rfft(x, axis=-1)[..., :last], axes=others)
        powers = fft.hfft(modes, n=self.shape[0], axis=0) * self.variances[..., :last]
        modes = fft.ifftn(fft.ihfft(powers, axis=0), axes=others)
        return np.asarray(fft.irfft(modes, n=self.shape[-1], axis=-1))

    def _on_line(self, x: Array) -> Array:
        n = self.shape[0]
        if n % 2 or n < 4:
            return np.asarray(fft.ihfft(fft.hfft(x, n=n) * self.variances).real)
        # The DFT of an even function with an even number of points is a cosine transform of half of it.
        return np.asarray(fft.dct(fft.dct(x, type=1) * (rows(self.variances) / n), type=1))

    @cached_property
    def white(self) -> float | None:
        """The variance of all modes, if they have one: then no lag touches another, nor does the rounding of an FFT."""
        first = float(self.variances.flat[0])
        return first if bool((self.variances == first).all()) else None

    def plus(self, variance: float) -> "Filter":
        """S + variance."""
        return Filter(self.variances + variance)

    def root(self) -> "Filter":
        """The filter whose square is this one."""
        return Filter(np.sqrt(self.variances))

    @cached_property
    def _cut(self) -> tuple[int, ...]:
        """How many non-negative modes of each axis there are up to the last one that is kept."""
        found = []
        for axis, n in enumerate(self.shape):
            others = tuple(a for a in range(len(self.shape)) if a != axis)
            kept = np.flatnonzero(self.variances.max(axis=others)[: n // 2 + 1])
            found.append(int(kept[-1]) + 1 if kept.size else 1)
        return tuple(found)

    @cached_property
    def matrices(self) -> tuple[Array, Array] | None:
        """inward and outward (modes, lags) on halves of the lattice, zeros if S is white; None where they are too large
        to be worth it."""
        lags, weights, _ = half(self.shape)
        if self.white is not None:
            return np.zeros((1, lags.size)), np.zeros((1, lags.size))
        kept = lags[self.variances.ravel()[lags] > 0]
        if not kept.size or kept.size * lags.size > DENSE:
            return None
        outward = np.cos(angles(self.shape, kept, lags))
        powers = weights[np.searchsorted(lags, kept)] * self.variances.ravel()[kept] / prod(self.shape)
        return np.ascontiguousarray(powers[:, None] * outward * weights), np.ascontiguousarray(outward)
