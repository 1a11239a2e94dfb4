"""Checked covariances over the lags of a periodic grid, of functions whose law no shift changes.

Sigma_r = Cov(g_b+r, g_b) is even, Sigma_-r = Sigma_r, and its DFT is not negative; the cross-covariance of two inputs
X_r = Cov(g_b+r(x), g_b(x')) need not be even, |Xhat_k|^2 <= Shat_k(x) Shat_k(x').
"""

from typing import Any, overload

import numpy as np

from meanfield.build import Array
from meanfield.finite.convolutions import finite
from meanfield.lattice import Lags, passed
from solvers.iterate import NotConverged
from solvers.lattice import mirrored
from symbolic.networks import Layer
from symbolic.pictures import shape_after
from symbolic.signals import GAUSSIAN, kinds_through

ROUNDING, AXES = 1e-10, 3


@overload
def lag_covariance(network: Layer, initial: Any) -> Array: ...


@overload
def lag_covariance(network: Layer, initial: Any, *, second: Any, cross: Any) -> tuple[Array, Array, Array]: ...


def lag_covariance(
    network: Layer, initial: Any, *, second: Any = None, cross: Any = None
) -> Array | tuple[Array, Array, Array]:
    """The covariance over lags behind a network, of pre-activations with the covariance `initial` over the lags.

    initial: Sigma_r = Cov(g_b+r, g_b) on a periodic grid of 1, 2 or 3 axes, (N,), (N1, N2) or (N1, N2, N3), lag 0
    first and lag -r at place N - r, as DFTs have it; the result has its shape. With second, that of another input, and
    cross, X_r = Cov(g_b+r(x), g_b(x')), all three behind the network. network: layers with numbers that start from
    Gaussian pre-activations, e.g. (mf.relu >> mf.Spectral(modes=12, weight_var=2, bias_var=0)) ** 32: Spectral layers,
    matrices at each position (Dense, Conv(1)), activations and layers without weights, sums, scales, repetitions.

    Raises TypeError or ValueError for what is no such covariance (not even: the grid is not periodic, or the law not
    stationary; a negative DFT), no such network and modes that the grid has not; NoRule (a TypeError) for layers that
    no lattice knows; NotConverged where a mean diverges or cannot be integrated. Derived here (see mf.fourier_map).
    """
    if (second is None) != (cross is None):
        raise ValueError("two inputs have second= and cross= beside initial: give both, or neither")
    first = stationary(initial, "initial")
    check_network(network, first.shape)
    if second is None:
        return _finite(network, passed(network, Lags(first))).first
    other = stationary(second, "second")
    found = _finite(network, passed(network, Lags(first, other, _between(first, other, cross))))
    return found.arrays[0], found.arrays[1], found.arrays[2]


def check_network(network: Any, shape: tuple[int, ...]) -> None:
    """A network that reads Gaussian functions on this grid; TypeError or ValueError else."""
    if not isinstance(network, Layer):
        raise TypeError(
            f"a network is made of layers such as mf.relu >> mf.Spectral(modes=12, ...), not of {network!r}"
        )
    if GAUSSIAN not in kinds_through(network):
        raise ValueError(f"'{network}' does not start from Gaussian pre-activations, whose covariance this is")
    if shape_after(network, shape) != shape:
        raise ValueError(
            f"behind '{network}' there is no lattice: leave out what ends it, Flatten() or GlobalAvgPool()"
        )


def stationary(values: Any, name: str) -> Array:
    """The values as a covariance over the lags of a periodic grid; TypeError or ValueError else."""
    array = finite(values, name)
    if not 1 <= array.ndim <= AXES or 0 in array.shape:
        raise ValueError(
            f"{name} is a covariance over the lags of a periodic grid, of shape (N,), (N1, N2) or (N1, N2, N3), not "
            f"{array.shape}"
        )
    skew = np.abs(array - mirrored(array))
    if skew.max() > ROUNDING * np.abs(array).max():
        at = tuple(int(i) for i in np.unravel_index(int(skew.argmax()), skew.shape))
        other = tuple(-i % n for i, n in zip(at, array.shape, strict=True))
        raise ValueError(
            f"{name} must be even on a periodic grid, the covariance at lag r that at lag -r, but {name}{list(at)} is "
            f"{array[at]:.6g} and {name}{list(other)} is {array[other]:.6g}: on a grid that is not periodic, or for a "
            "law that is not stationary, use mf.grid_covariance"
        )
    powers = np.real(np.fft.fftn(array))
    if powers.min() < -ROUNDING * max(np.abs(powers).max(), np.abs(array).max() * array.size):
        at = tuple(int(i) for i in np.unravel_index(int(powers.argmin()), powers.shape))
        raise ValueError(
            f"{name} must be positive semidefinite, but its DFT at mode {at if len(at) > 1 else at[0]} is "
            f"{powers.min():.6g}, less than 0"
        )
    return (array + mirrored(array)) / 2


def _between(first: Array, second: Array, cross: Any) -> Array:
    array = finite(cross, "cross")
    if not first.shape == second.shape == array.shape:
        raise ValueError(
            f"initial, second and cross are of one shape, not {first.shape}, {second.shape} and {array.shape}"
        )
    most, met = (np.abs(np.fft.fftn(x)) for x in (first, second)), np.abs(np.fft.fftn(array))
    bound = np.sqrt(np.prod(list(most), axis=0))
    if (met - bound).max() > ROUNDING * bound.max():
        raise ValueError(
            "initial, second and cross must be positive semidefinite together, but at some mode the DFT of cross is "
            f"{met.flat[int((met - bound).argmax())]:.6g}, more than {bound.flat[int((met - bound).argmax())]:.6g}"
        )
    return array


def _finite(network: Layer, found: Lags) -> Lags:
    if not all(np.isfinite(x).all() for x in found.arrays):
        raise NotConverged(
            f"the covariance behind '{network}' is not finite: a mean diverges, or could not be integrated; take fewer "
            "layers or a smaller weight_var"
        )
    return found
