"""Spectral layers as steps of a kernel of functions on a periodic grid.

Of covariances C_ab between the positions of two functions the layer reads the average along translations alone,
    Cbar_s = (1/N) sum_a C_a,a+s,   Sigma'_ab = (1/N) sum_k s_k e^(2 pi i k.(a - b)/N) Chat_k + bias_var,
Chat the DFT of Cbar (that of two functions is complex: Cbar_s is not Cbar_-s), s_k = weight_var mode_shares. Outputs
are linear in the weights, so the tangent kernel is t' = Sigma' + the same filter of t. Koshizuka et al. 2024 (arXiv
2310.06379): the layer as recalled; kernels derived here, checked by brute force and by Jacobians of real networks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import irfftn, rfftn

from meanfield.build import Array
from meanfield.finite.networks import number
from meanfield.modes import mode_shares
from meanfield.pixels import Own, Place, Step, Walk, steps_of
from solvers.lattice import mirrored
from symbolic.fourier import Spectral
from symbolic.pictures import Shape


@dataclass(frozen=True, eq=False)
class Filtered:
    """A Spectral layer at one place of a network, with its numbers; behind it all lags are followed, or lag 0."""

    shape: Shape
    variances: Array  # s_k, (*grid)
    bias: float
    wanted: bool

    def __call__(self, walk: Walk, state: Array) -> Array:
        axes = tuple(range(-len(self.shape), 0))
        modes = rfftn(lag_means(state, len(axes)), axes=axes)
        if isinstance(walk, Own):  # power of one function: real and >= 0 but for rounding
            modes = np.maximum(modes.real, 0.0)
        modes *= self.variances[..., : modes.shape[-1]]
        lags = irfftn(modes, s=self.shape, axes=axes)
        if isinstance(walk, Own):
            lags = (lags + mirrored(lags, axes)) / 2
        k, *tangent = lags
        k += self.bias
        for t in tangent:
            t += k
        return spread(lags, len(axes)) if self.wanted else self._constant(lags)

    def _constant(self, lags: Array) -> Array:
        """Each position with itself, (*grid, components, n1, n2): lag 0 everywhere."""
        alike = lags.reshape(*lags.shape[:3], -1)[..., 0]
        return np.broadcast_to(alike, (*self.shape, *alike.shape)).copy()


def lag_means(state: Array, axes: int) -> Array:
    """(components, n1, *grid, n2, *grid) -> (components, n1, n2, *grid): at lag s the mean over a of a, a + s."""
    for axis in range(-axes, 0):
        n = state.shape[2]
        total = np.zeros(state.shape[:2] + state.shape[3:])
        for a in range(n):
            total += np.roll(state[:, :, a], -a, axis)
        state = total / n
    return state


def spread(lags: Array, axes: int) -> Array:
    """(components, n1, n2, *grid) -> (components, n1, *grid, n2, *grid): at a, b what is at lag b - a."""
    shape = lags.shape[-axes:]
    twice = np.tile(lags, (1, 1, 1, *(2,) * axes))
    # The window that starts at N - a holds the lags -a .. N - 1 - a: one copy where rolling makes three.
    starts = (slice(None),) * 3 + tuple(slice(n, 0, -1) for n in shape)
    rows = sliding_window_view(twice, shape, axis=tuple(range(-axes, 0)))[starts]
    return np.moveaxis(rows, 2, 2 + axes).copy()


@steps_of.register
def _(layer: Spectral, place: Place, wanted: bool) -> Iterator[Step]:
    variances = number(layer, "weight_var") * mode_shares(layer, place.shape)
    yield Filtered(place.shape, variances, number(layer, "bias_var"), wanted)
