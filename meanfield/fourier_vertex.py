"""Finite width: how the covariance of pre-activations scatters in Fourier neural operators of D channels, to order 1/D.

Ghat_r, the covariance of one channel given the layers before, averaged over positions, is Sigma_r + O(D^(-1/2)), and
D Cov(Ghat_r, Ghat_s) = V_rs: V' = F (Phi + J V J^T) F^T, F = S + w, V = 0 at layer 0. Phi is the covariance of the lag
covariance f of phi(g) in one channel, J_rs = dC_r/dSigma_s = delta_rs E phi'(u) phi'(v) + delta_s0 E phi''(u) phi(v).
A skip a ties the layers: with f on one path of fields g, Y' = (a^2 + F J) Y + F (f - C), and V = Cov Y. Uniform states
are exact, other Phi and Y sampled by Sobol points. Kim 2025 (arXiv 2507.21833) treats it; derived here, simulated.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import ceil, log2, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield.build import Array, Block
from meanfield.dual import mean
from meanfield.finite.formulas import evaluate
from meanfield.finite.networks import whole
from meanfield.finite.sample import Seed, stream
from meanfield.lattice import filter_of, numbers_of, pair_map, through_length
from meanfield.modes import frequencies
from solvers.iterate import NotConverged
from solvers.lattice import angles, half
from solvers.normal_points import normal_points
from symbolic.fourier_block import FourierForm
from symbolic.networks import Layer

GROUPS = 16  # independent scramblings of the points, whose spread is the error
LARGEST = 2**26  # numbers in all V, or in the fields of one group
DIMENSIONS = 21201  # of Sobol points in SciPy
TINY = 1e-15  # of the variance: modes with less are left out of fields
FLAT = 1e-14


@dataclass(frozen=True, eq=False)
class FourierVertex:
    """Layers 0 .. depth: D Cov of the covariances of networks with D channels, as D grows.

    Ghat_r = sum_k a_k cos(2 pi k.r/N) + const over `modes`, one k of each kept pair {k, -k}, (modes, axes); V = D Cov
    (a_k, a_k'), (depth + 1, modes, modes), whose entries sum to V_00 of lag 0, `length`; `covariance` is Sigma_r at
    infinite width, (depth + 1, *grid). V_error and length_error are standard errors, 0 where nothing was sampled.
    """

    block: Layer
    covariance: Array = field(repr=False)
    modes: npt.NDArray[np.intp] = field(repr=False)
    groups: Array = field(repr=False)
    own: Array = field(repr=False)

    @cached_property
    def V(self) -> Array:
        return np.asarray(self.groups.mean(axis=0))

    @cached_property
    def V_error(self) -> Array:
        return _error(self.groups)

    @property
    def length(self) -> Array:
        """D Var Ghat_0, (depth + 1,)."""
        return np.asarray(self.V.sum(axis=(1, 2)))

    @property
    def length_error(self) -> Array:
        return _error(self.groups.sum(axis=(2, 3)))

    @property
    def measured(self) -> Array:
        """D Var of the mean of g^2 over positions and channels of one network, (depth + 1,): V_00, (2/N) sum_r
        Sigma_r^2 of its own D channels, and with a skip twice the covariance of the two."""
        return self.length + self.own

    def between(self, first: Any, second: Any) -> tuple[Array, Array]:
        """V_rs of two lags, each a number or one for each axis, and its standard error, (depth + 1,) each."""
        values = np.einsum("k,glkm,m->gl", self._waves(first), self.groups, self._waves(second))
        return np.asarray(values.mean(axis=0)), _error(values)

    def relative_std(self, width: int, *, measured: bool = False) -> Array:
        """The standard deviation of Ghat_0 over Sigma_0 at `width` channels, to first order, (depth + 1,); with
        measured=True that of the mean of g^2 over positions and channels."""
        variance = self.measured if measured else self.length
        return np.asarray(np.sqrt(variance / whole("width", width)) / self.covariance.reshape(len(variance), -1)[:, 0])

    def __str__(self) -> str:
        return (
            f"{self.block}: {len(self.modes)} modes, layer {len(self.covariance) - 1}: Sigma_0 = "
            f"{self.covariance[-1].flat[0]:.12g}, V_00 = {self.length[-1]:.6g} +- {self.length_error[-1]:.2g}"
        )

    __repr__ = __str__

    def _waves(self, lag: Any) -> Array:
        shape, r = self.covariance.shape[1:], np.atleast_1d(np.asarray(lag))
        if r.shape != (len(shape),) or not np.issubdtype(r.dtype, np.integer):
            raise ValueError(f"a lag is a whole number for each axis of the grid {shape}, not {lag!r}")
        return np.asarray(np.cos(2 * np.pi * (self.modes * r % shape / shape).sum(axis=1)))


def fourier_vertex(
    block: Layer, form: FourierForm, covariance: Array, draws: int = 2**16, seed: Seed = 0
) -> FourierVertex:
    """The vertex along the covariances over lags of layers 0 .. depth: see FourierOperator.vertex."""
    waves, log_points = _Waves(form, covariance.shape[1:]), max(0, ceil(log2(whole("draws", draws) / GROUPS)))
    depth, count, sites = len(covariance) - 1, len(waves.modes), prod(covariance.shape[1:])
    if max(GROUPS * (depth + 1) * count**2, sites << log_points) > LARGEST:
        raise ValueError(
            f"the vertex of {depth} layers over pairs of {count} modes, {GROUPS} times for its error, by {draws} draws "
            f"of {sites} points does not fit into memory: take fewer modes (a pointwise path has all), layers, draws"
        )
    steps = [_step(form, waves, *pair) for pair in pairwise(covariance)]
    walks = [_walk(form, waves, covariance, steps, log_points, stream(seed, group)) for group in range(GROUPS)]
    places = np.unravel_index(waves.modes, waves.shape)
    modes = np.stack([k[at] for k, at in zip(frequencies(waves.shape), places, strict=True)], axis=1)
    groups, cross = (np.stack(parts) for parts in zip(*walks, strict=True))
    if not np.isfinite(groups).all():
        raise NotConverged(f"the vertex of '{block}' is not finite: its numbers overflow, take fewer layers")
    own = 2 * (covariance**2).reshape(depth + 1, -1).mean(axis=1) + 2 * cross.mean(axis=0)
    return FourierVertex(block, covariance, modes, groups, own)


# -- one channel -------------------------------------------------------------------------------------------------------


class _Waves:
    """cos and sin 2 pi k.a/N of one k of each kept pair, and the factors w_k f_k/N of F, w_k = 2 or 1 for k = -k."""

    def __init__(self, form: FourierForm, shape: tuple[int, ...]) -> None:
        variances = filter_of(form.spectral, shape).plus(numbers_of(form)[0]).variances.ravel()
        self.shape, self.size = shape, prod(shape)
        self.lags, self.pairs, _ = half(shape)
        self.kept = variances[self.lags] > 0
        self.modes = self.lags[self.kept]
        self.factors = self.pairs[self.kept] * variances[self.modes] / self.size
        turned = angles(shape, self.modes, np.arange(self.size))
        self.cos, self.sin = np.cos(turned), np.sin(turned)

    def amplitudes(self, x: Array) -> Array:
        """a_k of x_r = sum_k a_k cos(2 pi k.r/N), over all pairs."""
        return np.asarray(self.pairs * np.fft.fftn(x.reshape(self.shape)).real.ravel()[self.lags] / self.size)

    def powers(self, h: Array) -> Array:
        """The same of F applied to the lag covariances of the rows of h, over the kept pairs."""
        return np.asarray(self.factors / self.size * ((h @ self.cos.T) ** 2 + (h @ self.sin.T) ** 2))

    def fields(self, covariance: Array) -> Array:
        """What standard normals are multiplied by, cos + sin of each mode, large ones first: (normals, N)."""
        variances = np.fft.fftn(covariance).real.ravel() / self.size
        large = np.flatnonzero(variances > TINY * covariance.flat[0])
        large = large[np.argsort(-variances[large], kind="stable")]
        turned = angles(self.shape, large, np.arange(self.size))
        return np.asarray(np.sqrt(variances[large])[:, None] * (np.cos(turned) + np.sin(turned)))


@dataclass(frozen=True, eq=False)
class _Step:
    """One layer on the kept amplitudes: its slope a^2 + F J, E F f, and F Phi F^T where it is known exactly."""

    slope: Array
    mean: Array
    exact: Array | None


def _step(form: FourierForm, waves: _Waves, before: Array, after: Array) -> _Step:
    _, skip, bias_var = numbers_of(form)
    phi, q, lags = Block(form.phi), float(before.flat[0]), before.ravel()[waves.lags]
    slopes = pair_map(phi, "pullback", q, q, lags) if q > 0 else lags
    if not (q > 0 and np.isfinite(slopes[1:]).all()):
        raise NotConverged(
            f"the vertex is not finite where Sigma_0 = {q:.6g}: lengths are 0, or E phi'(u) phi'(v) of {form.phi} "
            "diverges, as it does at u = v where phi jumps"
        )
    cosines, slopes[0] = waves.cos[:, waves.lags], 0.0
    J = slopes * cosines + through_length(phi, q, lags)
    J[:, 0] = phi("length", [[q]])[0, 1]
    slope = waves.factors[:, None] * ((waves.pairs * cosines) @ J.T) + skip * np.eye(len(cosines))
    met = waves.amplitudes(after - skip * before - bias_var)[waves.kept]
    return _Step(slope, met, _uniform(form, waves, before) if skip == 0 else None)


def _uniform(form: FourierForm, waves: _Waves, covariance: Array) -> Array | None:
    """f_0^2 Var phi(u)^2 of the mean alone, where all of a field is one number u."""
    q = float(covariance.flat[0])
    if np.ptp(covariance) > FLAT * q:
        return None
    square, fourth = (float(mean(form.phi.formula**n)(q)) for n in (2, 4))
    found = np.zeros((len(waves.modes),) * 2)
    if waves.modes[0] == 0:
        found[0, 0] = (waves.factors[0] * waves.size) ** 2 * (fourth - square**2)
    return found


def _walk(
    form: FourierForm, waves: _Waves, covariance: Array, steps: list[_Step], log_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """V of each layer by one scrambling, and Cov(Y_0, g_0^2), which is 0 without a skip."""
    skip, count = float(form.skip), len(waves.modes)
    if skip:
        return _tied(form, waves, covariance, steps, log_points, rng)
    V = np.zeros((len(covariance), count, count))
    for layer, step in enumerate(steps):
        Phi = step.exact
        if Phi is None:
            rows = waves.fields(covariance[layer])
            x = waves.powers(evaluate(form.phi.formula, _normals(len(rows), log_points, rng) @ rows)) - step.mean
            Phi = x.T @ x / len(x)
        V[layer + 1] = step.slope @ V[layer] @ step.slope.T + Phi
    return V, np.zeros(len(covariance))


def _tied(
    form: FourierForm, waves: _Waves, covariance: Array, steps: list[_Step], log_points: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The same by Y along paths g' = a g + fresh fields, one channel of a network without end."""
    skip, rows = float(form.skip), [waves.fields(covariance[0])]
    rows += [waves.fields(after - skip**2 * before) for before, after in pairwise(covariance)]
    ends = np.cumsum([len(part) for part in rows])
    z = np.split(_normals(int(ends[-1]), log_points, rng), ends[:-1], axis=1)
    g, Y = z[0] @ rows[0], np.zeros((1 << log_points, len(waves.modes)))
    V, cross = [Y.T @ Y], [0.0]
    for step, fresh, row, after in zip(steps, z[1:], rows[1:], covariance[1:], strict=True):
        Y = Y @ step.slope.T + waves.powers(evaluate(form.phi.formula, g)) - step.mean
        g = skip * g + fresh @ row
        V.append(Y.T @ Y / len(Y))
        cross.append(float((Y.sum(axis=1) * ((g**2).mean(axis=1) - after.flat[0])).mean()))
    return np.stack(V), np.array(cross)


def _normals(size: int, log_points: int, rng: np.random.Generator) -> Array:
    if size > DIMENSIONS or size << log_points > LARGEST:
        raise ValueError(
            f"{1 << log_points} paths of {size} normal numbers, in all layers together where a skip ties them, are "
            f"more than Sobol points of {DIMENSIONS} dimensions or the memory allow: take fewer modes, layers or draws"
        )
    return normal_points(size, log_points, rng)


def _error(values: Array) -> Array:
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(len(values)))
