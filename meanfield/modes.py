"""The variance of each Fourier mode of a Spectral layer, as a linear map of real functions: s_k on the whole DFT grid.

Drawn are the modes of the box with a last k >= 0. Inside, R_-k is the conjugate of R_k. In the plane where the last k
is 0 or Nyquist, "real" does the same; "complex" leaves all R_k free, of which a real function keeps (R_k + conj
R_-k)/2: s = (s_k + s_-k)/4, half for a pair and for k = -k, a quarter where -k is not kept. Derived here, checked by
simulation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield.build import Array
from solvers.lattice import mirrored
from symbolic.fourier import Spectral, modes_on

Shape = tuple[int, ...]


def frequencies(shape: Sequence[int]) -> list[npt.NDArray[np.intp]]:
    """The integers k of each axis in the order of the DFT, -N/2 for Nyquist."""
    return [np.rint(np.fft.fftfreq(n) * n).astype(np.intp) for n in shape]


def mode_shares(layer: Spectral, shape: Shape) -> Array:
    """s_k/weight_var of every mode of a grid, in the order of the DFT, (*shape); ValueError for modes it has not."""
    box = box_shares(layer, shape)
    other = mirrored(box)
    last = frequencies(shape)[-1]
    plane = (last == 0) | (2 * last == -shape[-1])
    own = np.where(last > 0, box, other)
    within = np.maximum(box, other) if layer.dc == "real" else (box + other) / 4
    return np.where(plane, within, own)


def box_shares(layer: Spectral, shape: Shape) -> Array:
    """The share of each mode of the box, |k| <= K - 1 and -K where half_open, last k >= 0 and < 0 alike; 0 outside."""
    modes, axes = modes_on(layer, shape), len(shape)
    sizes = [count + (layer.half_open and axis < axes - 1) for axis, count in enumerate(modes)]
    shares = _spectrum(layer, tuple(sizes))
    found = np.zeros(shape)
    kept, read = [], []
    for axis, (k, count) in enumerate(zip(frequencies(shape), modes, strict=True)):
        inside = np.abs(k) < count
        if layer.half_open and axis < axes - 1:
            inside |= k == -count
        at = np.flatnonzero(inside)
        kept.append(at)
        read.append(np.abs(k)[at])
    found[np.ix_(*kept)] = shares[np.ix_(*read)]
    return found


def _spectrum(layer: Spectral, sizes: Shape) -> Array:
    if layer.spectrum is None:
        return np.ones(sizes)
    given: Any = layer.spectrum
    try:
        shares = np.asarray(given, dtype=np.float64)
    except ValueError:
        shares = np.empty(())
    if shares.shape != sizes:
        raise ValueError(
            f"spectrum of '{layer}' must have a number for each |k| that is kept, in the shape {sizes}, not "
            f"{shares.shape or 'nested unevenly'}"
        )
    return shares
