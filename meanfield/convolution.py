"""Deep circular convolutions: how the covariance Sigma of the positions a, a' of a wide CNN evolves with depth.

Sigma'_aa' = sum_b v_b [weight_var E phi(u) phi(v) + bias_var], (u, v) ~ N(0, Sigma at a + b, a' + b), sum_b v_b = 1.
Around variances q and covariances c q, Fourier modes e^{ifa} of the common shift obey, with v^(f) = sum_b v_b e^{ifb},
    dS'_aa = v^(f) chi_q dS_aa,    dS'_aa' = v^(f) [chi_c dS_aa' + kappa (dS_aa + dS_a'a')] for a != a', kappa = dk'/dp:
a triangle, with the rates chi_q |v^(f)| of variances and chi_c |v^(f)| of covariances. Xiao et al. 2018 (arXiv
1806.05393): from memory, checked numerically; the rates of variances are derived here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import isfinite, pi
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield import layers
from meanfield.build import Array, Block
from meanfield.depth import Stage
from meanfield.finite.convolutions import Taps, finite, shifted, taps
from meanfield.finite.jacobians import haar
from meanfield.finite.networks import whole
from meanfield.finite.sample import Seed, stream
from meanfield.phase import checked_block, phase
from solvers import gram
from solvers.iterate import NotConverged
from solvers.spectra import depth_scale
from symbolic.networks import Chain, Dense, Layer, flat

ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class SpatialModes:
    """Modes e^{ifa} on a circle of positions around the fixed point q, c of a block: one v_hat for each frequency.

    `frequencies` holds one array for each axis of positions; v_hat, rates and depth scales xi = -1/log(rate) have one
    axis for each. rates and xi are of covariances between positions, diagonal_rates and diagonal_xi of variances; in
    each layer a mode also turns by the phase of v_hat, which is 0 or pi for symmetric kernels.
    """

    q: float
    c: float
    chi_q: float
    chi_c: float
    frequencies: tuple[Array, ...]
    v_hat: npt.NDArray[np.complex128]
    block: Layer = field(repr=False)

    @property
    def surviving(self) -> npt.NDArray[np.bool_]:
        """The modes with |v_hat| = 1, which no kernel shortens: they live as long as the uniform mode."""
        return np.abs(self.v_hat) > 1 - ROUNDING

    @property
    def rates(self) -> Array:
        """chi_c |v_hat|: the factor of a deviation of covariances in one layer."""
        return abs(self.chi_c) * self._modulus

    @property
    def diagonal_rates(self) -> Array:
        """chi_q |v_hat|: the factor of a deviation of variances, of which covariances take a share."""
        return abs(self.chi_q) * self._modulus

    @property
    def xi(self) -> Array:
        return _depth_scales(self.rates)

    @property
    def diagonal_xi(self) -> Array:
        return _depth_scales(self.diagonal_rates)

    @property
    def _modulus(self) -> Array:
        # An exact 1, because xi is infinite at criticality and 1e16 for the rounding beside it.
        return np.where(self.surviving, 1.0, np.abs(self.v_hat))

    def to_dict(self) -> dict[str, Any]:
        names = ("q", "c", "chi_q", "chi_c", "rates", "xi", "diagonal_rates", "diagonal_xi", "surviving")
        found = {name: np.asarray(getattr(self, name)).tolist() for name in names}
        parts = {"v_hat_real": self.v_hat.real.tolist(), "v_hat_imag": self.v_hat.imag.tolist()}
        return found | parts | {"frequencies": [f.tolist() for f in self.frequencies], "block": str(self.block)}

    def __str__(self) -> str:
        alive, others = self.surviving, self.xi[~self.surviving]
        note = f"{alive.sum()} of {alive.size} modes live xi = {self.xi.flat[0]:.6g} layers"
        if others.size:
            note += f", the others {others.max():.6g} and less"
        return "\n".join(
            [
                f"{self.block}, convolved over {' x '.join(map(str, alive.shape))} positions",
                f"  q = {self.q:.12g}   c = {self.c:.12g}   chi_c = {self.chi_c:.12g}   chi_q = {self.chi_q:.12g}",
                f"  covariances: {note}",
                f"  variances: the longest lives xi = {self.diagonal_xi.flat[0]:.6g} layers",
            ]
        )

    __repr__ = __str__


def spatial_covariance(block: Layer, start: Any, *, kernel: Any, depth: int) -> Array:
    """The covariance of the pre-activations at all positions behind `depth` circular convolutions, as `start`.

    block: layers that act on each position, then a Dense layer, which is taken for the convolution: its weights at tap
    b have the variance weight_var v_b/fan_in, with v the `kernel` (odd sizes, at least 0, sum 1), one axis for each
    axis of positions. start: the covariance of the first pre-activations, (*positions, *positions), or that of several
    inputs, (points, *positions, points, *positions).

    Raises ValueError or TypeError for what is no kernel, no covariance or no such block; NotConverged where a mean
    diverges, cannot be integrated, or could not be interpolated to 1e-8 (as `mf.kernel` does for many positions).
    """
    before, dense = convolved(block)
    built, shifts = Block(Chain((*before, dense)) if before else dense), taps(kernel)
    sigma, shape = covariance(start, len(shifts[0][0]))
    for layer in range(1, whole("depth", depth) + 1):
        sigma = _averaged(_pointwise(built, sigma), shape, shifts)
        if not np.isfinite(sigma).all():
            raise NotConverged(
                f"the covariance behind layer {layer} of '{block}' is not finite: a mean diverges, or could not be "
                "integrated; take fewer layers or a smaller weight_var"
            )
    return sigma.reshape(shape + shape)


def spatial_modes(block: Layer, kernel: Any, *, positions: int | Sequence[int]) -> SpatialModes:
    """Depth scales of the Fourier modes of the positions around the fixed point of a block, convolved by a kernel.

    block and kernel as for `spatial_covariance`; positions: how many there are on each axis of the kernel.
    Raises ValueError or TypeError for other blocks, kernels and positions, and for a block whose lengths grow without
    bound; NotConverged where there is no fixed point.
    """
    convolved(block)
    shifts, sizes = taps(kernel), _each(positions)
    axes = len(shifts[0][0])
    if len(sizes) != axes:
        raise ValueError(f"positions is one number for each of the {axes} axes of the kernel, not {positions!r}")
    grid, found = tuple(whole("positions", n) for n in sizes), phase(block)
    if not isfinite(found.q):
        raise ValueError(f"the lengths of '{block}' grow without bound, so that nothing settles: lower weight_var")
    wrapped = np.zeros(grid)
    for shift, v in shifts:
        wrapped[tuple(b % n for b, n in zip(shift, grid, strict=True))] += v
    frequencies = tuple((2 * pi * np.fft.fftfreq(n)).astype(np.float64) for n in grid)
    v_hat = np.conj(np.fft.fftn(wrapped))  # e^{+ifb}, where NumPy has e^{-ifb}
    return SpatialModes(found.q, found.c, found.chi_q, found.chi_c, frequencies, v_hat, block)


def delta_orthogonal(
    channels_out: int, channels_in: int, kernel_size: int | Sequence[int], *, weight_var: float = 1.0, seed: Seed
) -> Array:
    """Weights (channels_out, channels_in, *kernel_size) that are zero but for the middle tap, sqrt(weight_var) Q.

    Q is drawn uniformly (Haar) from the matrices with Q^T Q = 1, so that the convolution multiplies the norm of every
    signal by sqrt(weight_var) exactly; the variance per neuron also by channels_in/channels_out. kernel_size: odd, one
    for each axis of positions; seed: an integer, a Generator, or None for fresh entropy. Xiao et al. 2018 (arXiv
    1806.05393), from memory; Haar by QR with signs, Mezzadri 2007.
    Raises ValueError for channels_out < channels_in, even sizes and weight_var <= 0; TypeError for no whole numbers.
    """
    rows, columns = whole("channels_out", channels_out), whole("channels_in", channels_in)
    sizes = tuple(whole("kernel_size", size) for size in _each(kernel_size))
    if rows < columns:
        raise ValueError(
            f"delta-orthogonal weights keep every signal apart, so that {columns} input channels need at least as many "
            f"output channels, not {rows}"
        )
    if not sizes or any(size % 2 == 0 for size in sizes):
        raise ValueError(f"kernel_size must be odd on each axis, so that one tap is in the middle, not {kernel_size}")
    if not 0 < weight_var < np.inf:
        raise ValueError(f"weight_var must be finite and greater than 0, not {weight_var}")
    weights = np.zeros((rows, columns, *sizes))
    middle: tuple[Any, ...] = (slice(None), slice(None), *(size // 2 for size in sizes))
    weights[middle] = np.sqrt(weight_var) * haar(stream(seed).standard_normal((rows, columns)))
    return weights


def convolved(block: Any) -> tuple[tuple[Layer, ...], Dense]:
    """The layers that act on each position, and the one that becomes a convolution; ValueError for other blocks."""
    *before, last = flat(Chain, checked_block(block))
    if not isinstance(last, Dense) or any(_has_weights(layer) for layer in before):
        raise ValueError(
            f"a convolution takes the place of the one Dense layer at the end of a block such as "
            f"mf.tanh >> mf.Dense(1.5, 0.05), which '{block}' is not"
        )
    return tuple(before), last


def covariance(start: Any, axes: int) -> tuple[Array, tuple[int, ...]]:
    """`start` as a matrix (n, n), and the shape of the n; TypeError or ValueError unless it is a covariance."""
    array = finite(start, "start")
    shape = array.shape[: array.ndim // 2]
    if array.ndim not in (2 * axes, 2 * axes + 2) or array.shape != shape + shape or 0 in shape:
        raise ValueError(
            f"start has {axes} axes of positions, in the shape (*positions, *positions) or (points, *positions, "
            f"points, *positions), not {array.shape}"
        )
    matrix = array.reshape(int(np.prod(shape)), -1)
    skew = float(np.abs(matrix - matrix.T).max())
    if skew > ROUNDING * np.abs(matrix).max():
        raise ValueError(f"start must be symmetric, but differs from its transpose by {skew:.3g}")
    symmetric = (matrix + matrix.T) / 2
    values = np.linalg.eigvalsh(symmetric)
    if values[0] < -ROUNDING * len(values) * max(values[-1], 0.0):
        raise ValueError(f"start must be positive semidefinite, but has the eigenvalue {values[0]:.6g}")
    return symmetric, shape


def _has_weights(layer: Layer) -> bool:
    parts = (getattr(layer, f.name) for f in fields(layer))
    inner = (p for part in parts for p in (part if isinstance(part, tuple) else (part,)) if isinstance(p, Layer))
    return isinstance(layer, Dense) or any(map(_has_weights, inner))


def _pointwise(built: Block, sigma: Array) -> Array:
    """What the block makes of the covariance (n, n) of n signals."""
    variances, state = np.ascontiguousarray(np.diag(sigma)), sigma[None].copy()
    layers.walk([Stage(built, variances[None], variances[None])], state, "nngp", True, lambda *_: None)
    gram.complete(state, built("nngp_diagonal", variances[:, None]).T)
    return np.asarray(state[0])


def _averaged(sigma: Array, shape: tuple[int, ...], kernel: Taps) -> Array:
    """sum_b v_b sigma at a + b, a' + b."""
    axes = len(kernel[0][0])
    half = len(shape)
    both = (*range(half - axes, half), *range(2 * half - axes, 2 * half))
    moved = (v * shifted(sigma.reshape(shape + shape), (*b, *b), both) for b, v in kernel)
    return np.asarray(sum(moved)).reshape(sigma.shape)


def _each(sizes: Any) -> tuple[Any, ...]:
    return (sizes,) if np.ndim(sizes) == 0 else tuple(sizes)


def _depth_scales(rates: Array) -> Array:
    return np.array([depth_scale(rate) for rate in rates.flat]).reshape(rates.shape)
