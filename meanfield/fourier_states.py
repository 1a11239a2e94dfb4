"""States that deep Fourier neural operators are drawn to: covariances over lags that repeat themselves, or their shape.

A fixed point Sigma = F(Sigma) of one layer is found by iterating it. A scale-invariant activation without biases has
none to be drawn to, but a shape, Sigma_r/Sigma_0, and a factor per layer, Sigma' = factor Sigma: factor is proportional
to the weights' variances, so that lengths stay at the variances divided by it. Derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from meanfield.build import Array
from solvers.iterate import NotConverged

LAYERS, PATIENCE, SETTLED = 500, 200_000, 1e-13
Walk = Callable[[Array, int], Array]  # a state and a number of layers -> the states of all of them


@dataclass(frozen=True, eq=False)
class LatticeState:
    """A state that repeats itself over layers: covariance over lags, q = Sigma_0, growth rho of differences and
    gradients per layer, chi_0 = (max s_k + w) E phi'^2 + a^2 that lag 0 alone would have, layers it took, the error."""

    covariance: Array
    q: float
    rho: float
    chi_0: float
    layers: int
    error: float

    def __str__(self) -> str:
        return (
            f"state: q = {self.q:.12g}, rho = {self.rho:.12g}, lag 0 alone would have {self.chi_0:.12g} "
            f"(after {self.layers} layers, to {self.error:.1e})"
        )

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class LatticeShape:
    """A shape that repeats itself, covariance over lags with Sigma_0 = 1, while Sigma_0 is multiplied by `factor` per
    layer, and differences of inputs and gradients by `rho`; `critical` = 1/factor is what the variances of all weights
    must be multiplied by for lengths to stay, at which rho is `rho_critical`."""

    covariance: Array
    factor: float
    rho: float
    layers: int
    error: float

    @property
    def critical(self) -> float:
        return 1 / self.factor

    @property
    def rho_critical(self) -> float:
        return self.rho / self.factor

    def __str__(self) -> str:
        return (
            f"shape: lengths grow by {self.factor:.12g} per layer, gradients by {self.rho:.12g}; lengths stay at "
            f"{self.critical:.12g} times these variances, where gradients grow by {self.rho_critical:.12g}"
        )

    __repr__ = __str__


def settled(walk: Walk, start: Array, name: str) -> tuple[Array, int, float]:
    """The state that `start` is drawn to, after how many layers, and its error; NotConverged where it is not met."""
    now, done, error = start, 0, np.inf
    while done < PATIENCE:
        states = walk(now, LAYERS)
        now, done, error = states[-1], done + LAYERS, _remaining(states)
        if error <= SETTLED * now.flat[0]:
            return now, done, error
    raise NotConverged(f"'{name}' has not settled after {done} layers: its covariance may still change by {error:.2g}")


def _remaining(states: Array) -> float:
    """How far the last state may be from the limit, if changes go on to fall as they do."""
    steps = np.abs(np.diff(states, axis=0)).reshape(len(states) - 1, -1).max(axis=1)
    middle = len(steps) // 2
    last, before = float(steps[-1]), float(steps[middle])
    if last <= 4e-16 * float(np.abs(states[-1]).max()):
        return last
    ratio = (last / before) ** (1 / (len(steps) - 1 - middle))
    return last / (1 - ratio) if ratio < 1 else np.inf
