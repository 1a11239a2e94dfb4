"""Deep Fourier neural operators: their uniform and chaotic states, trajectories and gradients, one layer as a block.

Uniform state Sigma_r = q, q = (s_0 + w) E phi^2 + bias_var + a^2 q for pointwise_var w and skip a, whatever N and K. A
deviation in mode k != 0 grows by lambda_k = (s_k + w) E phi'^2 + a^2 a layer, one in the mean by chi_q, a difference of
two inputs in the mean by lambda_0. At any state two inputs part by rho, the largest eigenvalue of J = (S + w) Cdot +
a^2, Cdot_r = E phi'(u) phi'(v), and so do gradients, St_r = Cdot_r ((S + w) St')_r + a^2 St'_r backwards. Derived here
and checked by simulation; Koshizuka et al. 2024 (arXiv 2310.06379), Kim 2025 (2507.21833) not read for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, eigsh

from meanfield.build import Array, Block
from meanfield.finite.networks import whole
from meanfield.finite.sample import Seed
from meanfield.fourier_states import LatticeShape, LatticeState, settled
from meanfield.fourier_vertex import FourierVertex, fourier_vertex
from meanfield.lag_covariance import stationary
from meanfield.lattice import behind, filter_of, numbers_of, orbit, pair_map
from meanfield.phase import SMALL
from meanfield.phase import phase as dense_phase
from solvers.iterate import HUGE, NotConverged
from solvers.lattice import Filter
from solvers.spectra import depth_scale
from solvers.spectra import phase as phase_of
from symbolic.fourier_block import FourierForm, fourier_form
from symbolic.networks import Dense, Identity, Layer
from symbolic.rays import rays

Shape = tuple[int, ...]
FEW = 256  # points up to which an operator on lags is a matrix


@dataclass(frozen=True, eq=False)
class UniformState:
    """The state Sigma_r = q: chi_q of the mean, `rates` lambda_k and depth scales xi of all modes of the grid in the
    order of the DFT, chi_1 the largest lambda_k of a mode that is kept; inf where lengths grow without bound."""

    q: float
    chi_1: float
    chi_q: float
    xi_q: float
    rates: Array
    xi: Array
    phase: str

    def __str__(self) -> str:
        return (
            f"uniform state: {self.phase}, q = {self.q:.12g}, chi_1 = {self.chi_1:.12g} "
            f"(xi = {depth_scale(self.chi_1):.6g} layers), chi_q = {self.chi_q:.12g} (xi = {self.xi_q:.6g})"
        )

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class FourierOperator:
    """A layer of a Fourier neural operator on a grid, with all its numbers."""

    block: Layer
    grid: Shape
    form: FourierForm = field(repr=False)

    @cached_property
    def _filter(self) -> Filter:
        """S + w."""
        return filter_of(self.form.spectral, self.grid).plus(self._numbers[0])

    @cached_property
    def _numbers(self) -> tuple[float, float, float]:
        return numbers_of(self.form)

    @cached_property
    def _phi(self) -> Block:
        return Block(self.form.phi)

    @cached_property
    def uniform(self) -> UniformState:
        """The uniform state that one input is drawn to from length 1, and what modes do around it."""
        _, skip, bias_var = self._numbers
        variances, kept = self._filter.variances, filter_of(self.form.spectral, self.grid).variances > 0
        own = float(variances.flat[0])
        branch = self.form.phi >> Dense(own or SMALL, bias_var)
        dense = dense_phase(branch if skip == 0 else float(self.form.skip) * Identity() + branch)
        at = HUGE if dense.q == np.inf else max(dense.q, SMALL)
        slope = float(Block(self.form.phi >> Dense(1, 0))("slope_at_one", [at])[0, 0])
        rates = variances * slope + skip
        chi_1 = float(rates[kept].max(initial=rates.flat[0]))
        shown = rates.copy()
        shown.flat[0] = dense.chi_q
        xi = np.array([depth_scale(rate) for rate in shown.flat]).reshape(shown.shape)
        return UniformState(dense.q, chi_1, dense.chi_q, depth_scale(dense.chi_q), shown, xi, phase_of(chi_1))

    def trajectory(self, depth: int, initial: Any) -> Array:
        """Covariances over lags of pre-activations at layers 0 .. depth, (depth + 1, *grid); `initial` at layer 0."""
        return _finite(orbit(self.form, self._initial(initial), whole("depth", depth)), str(self.block))

    def gradients(self, depth: int, initial: Any, head: Any = None) -> Array:
        """E dL/dg_b+r dL/dg_b at layers 0 .. depth, (depth + 1, *grid): filtered first, then multiplied by Cdot.

        head: the same at layer `depth`, white of size 1 if left out. Backward weights count as independent of the
        forward pass, as at infinite width they may.
        """
        forward, (_, skip, _) = self.trajectory(depth, initial), self._numbers
        found = np.empty_like(forward)
        found[-1] = self._white() if head is None else self._initial(head, "head")
        for layer in range(len(forward) - 2, -1, -1):
            found[layer] = self._slopes(forward[layer]) * self._filter(found[layer + 1]) + skip * found[layer + 1]
        return _finite(found, str(self.block))

    def weight_gradients(self, depth: int, initial: Any, head: Any = None) -> Array:
        """E (dL/dRe R_k)^2 + (dL/dIm R_k)^2 of one entry at each layer, (depth, *grid) in the order of the DFT.

        (4/N^2) P^H_k P^delta_k, a quarter of it for modes k = -k (real); 0 for modes that are not kept. P^H_k = E
        |Hhat_k|^2 of what enters the layer, P^delta_k = E |deltahat_k|^2 of the gradient that leaves it.
        """
        forward, back = self.trajectory(depth, initial), self.gradients(depth, initial, head)
        axes = tuple(range(1, forward.ndim))
        met = np.stack([self._met(before) for before in forward[:-1]])
        powers = [np.real(np.fft.fftn(x, axes=axes)) for x in (met, back[1:])]
        twice = np.all(np.meshgrid(*((2 * np.arange(n)) % n == 0 for n in self.grid), indexing="ij"), axis=0)
        kept = filter_of(self.form.spectral, self.grid).variances > 0
        return np.where(kept, np.where(twice, 1.0, 4.0), 0.0) * powers[0] * powers[1]

    def vertex(self, depth: int, initial: Any, *, draws: int = 2**16, seed: Seed = 0) -> FourierVertex:
        """Fluctuations at finite width: V_rs = D Cov(Ghat_r, Ghat_s) at layers 0 .. depth to leading order in 1/D.

        Ghat is the covariance of the channels of a layer given the layers before, averaged over positions. The channels
        of layer 0 are Gaussian with the covariance `initial` exactly, so V = 0 there; for one fixed input layer 0 is
        what the first layer of weights puts out. Uniform states are exact; otherwise the covariance of one channel is
        sampled, by `draws` fields in each layer (rounded up to 16 2^n). Raises NotConverged where a mean diverges,
        ValueError for more modes and layers than fit into memory.
        """
        return fourier_vertex(self.block, self.form, self.trajectory(depth, initial), draws, seed)

    def growth(self, covariance: Any) -> float:
        """rho(J) at a state: the factor per layer by which two near inputs part, and gradients grow."""
        return self._rho(self._initial(covariance, "covariance"))

    def fixed_point(self, initial: Any = None) -> LatticeState:
        """The state that `initial` (a flat spectrum over the kept modes of variance 1, if left out) is drawn to.

        Iterates layers until the change, continued as a geometric series, is below 1e-13 of q. Raises NotConverged with
        the error where 200,000 layers are not enough, as at criticality, or where lengths grow without bound.
        """
        start = self._flat() if initial is None else self._initial(initial)

        def walk(state: Array, layers: int) -> Array:
            return _finite(orbit(self.form, state, layers), str(self.block))

        state, layers, error = settled(walk, start, str(self.block))
        chi_0 = float(self._filter.variances.max() * self._slopes(state).flat[0]) + self._numbers[1]
        return LatticeState(state, float(state.flat[0]), self._rho(state), chi_0, layers, error)

    def deep_shape(self, initial: Any = None) -> LatticeShape:
        """The shape Sigma_r/Sigma_0 that `initial` (as for fixed_point) is drawn to, and how lengths and gradients grow
        in it, for a scale-invariant activation (ReLU, leaky ReLU, ...) without biases.

        Raises ValueError for other blocks; NotConverged where 200,000 layers are not enough: with all modes or dc =
        "real" ReLU is drawn to the uniform shape too slowly, as 1/layers^2.
        """
        slopes = rays(self.form.phi.formula)
        if slopes is None or not slopes.everywhere or self._numbers[2]:
            raise ValueError(
                f"'{self.block}' has no shape that lengths leave alone: that takes an activation with phi(a x) = a "
                "phi(x), a > 0, such as mf.relu, and bias_var = 0; for others see .fixed_point()"
            )

        def walk(state: Array, layers: int) -> Array:
            states = [state / state.flat[0]]
            for _ in range(layers):
                after = behind(self.form, states[-1], 1)
                states.append(after / after.flat[0])
            return np.stack(states)

        start = self._flat() if initial is None else self._initial(initial)
        found, layers, error = settled(walk, start, str(self.block))
        return LatticeShape(found, float(behind(self.form, found, 1).flat[0]), self._rho(found), layers, error)

    def __str__(self) -> str:
        return f"{self.block} on a grid of {' x '.join(map(str, self.grid))} points\n  {self.uniform}"

    __repr__ = __str__

    def _met(self, covariance: Array) -> Array:
        q = float(covariance.flat[0])
        return pair_map(self._phi, "nngp", q, q, covariance)

    def _slopes(self, covariance: Array) -> Array:
        """Cdot_r."""
        q = float(covariance.flat[0])
        return pair_map(self._phi, "pullback", q, q, covariance)

    def _rho(self, covariance: Array) -> float:
        """S^(1/2) Cdot S^(1/2) is symmetric and has the eigenvalues of S Cdot."""
        slopes, root, skip = self._slopes(covariance), self._filter.root(), self._numbers[1]
        size = prod(self.grid)

        def apply(x: npt.NDArray[Any]) -> Array:
            y = root(slopes * root(x.reshape(-1, *self.grid)))
            return y.reshape(x.shape)

        if size <= FEW:
            values = np.linalg.eigvalsh(apply(np.eye(size)))
            return float(max(abs(values[0] + skip), abs(values[-1] + skip)))
        operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)
        start = np.cos(np.arange(size))  # any, but always the same
        ends = eigsh(operator, k=2, which="BE", v0=start, return_eigenvectors=False)
        return float(np.abs(ends + skip).max())

    def _white(self) -> Array:
        white = np.zeros(self.grid)
        white.flat[0] = 1.0
        return white

    def _flat(self) -> Array:
        kept = Filter((self._filter.variances > 0).astype(np.float64))(self._white())
        return kept / kept.flat[0]

    def _initial(self, values: Any, name: str = "initial") -> Array:
        array = stationary(values, name)
        if array.shape != self.grid:
            raise ValueError(f"{name} must have the shape of the grid {self.grid}, not {array.shape}")
        return array


def fourier_operator(block: Layer, grid: int | Sequence[int]) -> FourierOperator:
    """A layer of a Fourier neural operator with all its numbers, mf.tanh >> mf.Spectral(modes=12, weight_var=1.5,
    bias_var=0.05) or mf.FourierBlock(...), on a periodic grid of `grid` points, or of (N1, N2) or (N1, N2, N3).

    .uniform is its uniform state with the rate of each mode; .trajectory, .gradients, .weight_gradients walk depth;
    .fixed_point finds the chaotic state, .growth the factor by which near inputs part there.
    Raises TypeError or ValueError for another block or grid, symbols without a value and modes that the grid has not.
    """
    form, shape = fourier_form(block), grid_sizes(grid)
    found = FourierOperator(block, shape, form)
    filter_of(form.spectral, shape)
    numbers_of(form)
    return found


def grid_sizes(grid: Any) -> Shape:
    """The numbers of points of a periodic grid of 1, 2 or 3 axes; TypeError or ValueError else."""
    sizes = (grid,) if np.ndim(grid) == 0 else tuple(grid)
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in sizes):
        raise TypeError(
            f"grid is the number of points of a periodic, uniform grid, or one for each axis, not {grid!r}: positions "
            "themselves are not asked for, and others than uniform ones over one period are not covered"
        )
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"grid has 1, 2 or 3 axes, not {len(sizes)}: {grid!r}")
    return tuple(whole("grid", n) for n in sizes)


def _finite(values: Array, name: str) -> Array:
    if not np.isfinite(values).all():
        layer = int(np.argwhere(~np.isfinite(values))[0][0])
        raise NotConverged(
            f"layer {layer} of '{name}' is not finite: lengths grow without bound, or a mean could not be integrated"
        )
    return values
