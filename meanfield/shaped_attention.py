"""Shaped attention at depth in proportion to width: the Gram V = X X^T/n of m tokens obeys a stochastic equation.

X' = sqrt(1 - gamma^2) X + gamma A X W/sqrt(n), A = 1 + softmax(Y/tau) - 1/m, Y = X W_Q W_K^T X^T/n, weights N(0, 1),
tau = tau_0 sqrt(n n_k). As n, L -> infinity with T = L/n fixed, dV = b(V) dT + Sigma(V)^(1/2) dB, with b of the third
and Sigma of the fourth degree in V at most, so that paths may explode in finite T. Noci et al. 2023 (arXiv
2306.17759): model from memory; b and Sigma are derived here (`symbolic.shaped`) and checked numerically.
"""

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield.build import Array
from meanfield.finite.convolutions import finite
from meanfield.finite.networks import number, whole
from meanfield.finite.sample import Seed, stream
from solvers import shaped
from solvers.iterate import NotConverged
from symbolic.shaped import ShapedAttention

ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class ShapedPaths:
    """Paths V (paths, steps + 1, m, m) at `times` (steps + 1); NaN from the time on at which a path ended.

    ended (paths, 2): 0 ran to the end, 1 a step led out of the covariances, 2 exploded; and the last time's index.
    """

    times: Array
    V: Array = field(repr=False)
    ended: npt.NDArray[np.int64] = field(repr=False)

    @property
    def alive(self) -> Array:
        """The share of paths that go on, at each time."""
        return np.asarray(np.isfinite(self.V[:, :, 0, 0]).mean(axis=0))

    @property
    def correlations(self) -> Array:
        """V^(ab)/sqrt(V^(aa) V^(bb)), shaped as V."""
        deviations = np.sqrt(np.diagonal(self.V, axis1=2, axis2=3))
        return np.asarray(self.V / deviations[..., :, None] / deviations[..., None, :])

    def mean(self) -> Array:
        """The mean of V over the paths, (steps + 1, m, m); NotConverged where a path has ended.

        Where a share of the paths explodes E V_T is infinite. Few paths may miss that: see `standard_error`.
        """
        self._whole()
        return np.asarray(self.V.mean(axis=0))

    def standard_error(self) -> Array:
        """That of `mean`; large if the mean lives on few paths."""
        self._whole()
        return np.asarray(self.V.std(axis=0, ddof=1) / np.sqrt(len(self.V)))

    def _whole(self) -> None:
        left, exploded = (int(np.sum(self.ended[:, 0] == how)) for how in (shaped.LEFT, shaped.EXPLODED))
        if left or exploded:
            raise NotConverged(
                f"{exploded} of {len(self.V)} paths exploded and {left} left the covariances before T = "
                f"{self.times[-1]:g}: take a shorter T or a larger tau, more steps for the latter, or look at "
                ".alive and .correlations, since E V need not exist"
            )

    def __str__(self) -> str:
        _, times, m, _ = self.V.shape
        ran = f"{len(self.V)} paths of {m} tokens in {times - 1} steps to T = {self.times[-1]:g}"
        return f"{ran}; a share of {self.alive[-1]:.4g} arrived"

    __repr__ = __str__


@dataclass(frozen=True)
class ShapedSDE:
    """dV = b(V) dT + Sigma(V)^(1/2) dB of `layer`, for any number m of tokens."""

    layer: ShapedAttention
    gamma: float
    tau: float

    def drift(self, V: Any) -> Array:
        """b(V) (..., m, m) of covariances V (..., m, m): n E[V' - V] of one layer, to leading order."""
        return shaped.drift(_grams(V), self.gamma, self.tau)

    def diffusion(self, V: Any, *, packed: bool = False) -> Array:
        """Sigma(V) (..., m, m, m, m), n Cov(V'^(ab), V'^(cd)); packed: over a <= b, c <= d in the order of rows,
        (..., m (m + 1)/2, m (m + 1)/2)."""
        found = shaped.diffusion(_grams(V), self.gamma, self.tau)
        if not packed:
            return found
        a, b = np.triu_indices(found.shape[-1])
        return np.asarray(found[..., a[:, None], b[:, None], a, b])

    def sample_paths(self, V0: Any, T: float, *, steps: int, paths: int, seed: Seed = 0) -> ShapedPaths:
        """Paths from V0 (m, m), or one start for each path (paths, m, m), to T = L/n by Euler-Maruyama steps T/steps.

        Weak error of the order T/steps. Paths that explode (beyond 1e6 times their first variances) or that a coarse
        step leads out of the covariances end there. ValueError or TypeError for what is no covariance, T or number.
        """
        count, steps = whole("paths", paths), whole("steps", steps)
        start = _grams(V0)
        if start.ndim not in (2, 3) or (start.ndim == 3 and len(start) != count):
            raise ValueError(f"V0 is one covariance (m, m), or one for each of {count} paths, not {start.shape}")
        if isinstance(T, bool) or not (isfinite(T) and T > 0):
            raise ValueError(f"T is depth over width, finite and greater than 0, not {T!r}")
        V = np.empty((count, steps + 1, *start.shape[-2:]))
        V[:, 0], ended = start, np.zeros((count, 2), dtype=np.int64)
        shaped.walk(V, ended, self.gamma, self.tau, T / steps, stream(seed, steps))
        return ShapedPaths(np.linspace(0, T, steps + 1), V, ended)

    def __str__(self) -> str:
        return f"dV = b(V) dT + Sigma(V)^(1/2) dB of shaped attention with gamma = {self.gamma:g}, tau_0 = {self.tau:g}"

    __repr__ = __str__


def shaped_attention(*, gamma: float, tau: float) -> ShapedSDE:
    """The stochastic equation of the Gram of tokens in deep shaped attention, T = depth/width.

    gamma in [0, 1] weighs the branch, sqrt(1 - gamma^2) the skip connection; tau > 0 is tau_0 in the temperature
    tau_0 sqrt(n n_k) of the scores X W_Q W_K^T X^T/n. Raises ValueError or TypeError for others.

    >>> shaped_attention(gamma=0.6, tau=0.8).drift([[1.0, 0.0], [0.0, 1.0]])
    array([[0.140625, 0.      ],
           [0.      , 0.140625]])
    """
    layer = ShapedAttention(gamma, tau)
    return ShapedSDE(layer, number(layer, "gamma"), number(layer, "tau"))


def _grams(V: Any) -> Array:
    """V as covariances (..., m, m)."""
    array = finite(V, "V")
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or 0 in array.shape:
        raise ValueError(f"V holds covariances of m tokens in the shape (..., m, m), not {array.shape}")
    largest = np.abs(array).max(axis=(-2, -1))
    skew = np.abs(array - np.swapaxes(array, -2, -1)).max(axis=(-2, -1))
    smallest = np.linalg.eigvalsh(array)[..., 0]
    if (skew > ROUNDING * largest).any() or (smallest < -ROUNDING * largest).any():
        raise ValueError(
            f"V must be symmetric and positive semidefinite, but differs from its transpose by {skew.max():.3g} "
            f"and has the eigenvalue {smallest.min():.6g}"
        )
    return np.asarray((array + np.swapaxes(array, -2, -1)) / 2)
