"""Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington 2018, Dynamical isometry and a mean field theory of CNNs, arXiv
1806.05393.

In wide circular convolutional networks with weights of variance weight_var v_b/channels at tap b, covariances of
positions obey Sigma'_aa' = sum_b v_b [weight_var E phi(u) phi(v) + bias_var], (u, v) ~ N(0, Sigma at a + b, a' + b).
Recalled and checked numerically, not re-read in the paper.
"""

from dataclasses import dataclass

import numpy as np

from meanfield.build import Array
from meanfield.convolution import convolved, spatial_covariance
from meanfield.finite.convolutions import position_covariances
from meanfield.theory import Case, Prediction, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Dense, Layer

_TANH, _ERF = ACTIVATIONS["tanh"], ACTIVATIONS["erf"]
_UNIFORM, _DELTA, _LOPSIDED = (1 / 3, 1 / 3, 1 / 3), (0.0, 1.0, 0.0), (0.1, 0.2, 0.7)
POSITIONS, INPUTS = 4, 16
FIRST, SECOND = np.triu_indices(POSITIONS)


@dataclass(frozen=True)
class Convolved(Case):
    """A case with a kernel of three taps."""

    kernel: tuple[float, ...] = _UNIFORM


def first_covariance(case: Case) -> Array:
    """Variances p on one half of the circle and q on the other, correlations (k/sqrt(pq))^distance."""
    p, q, k = case.start
    at = np.arange(POSITIONS)
    steps = np.abs(at[:, None] - at)
    scale = np.sqrt(np.where(at < POSITIONS // 2, p, q))
    return np.asarray(np.outer(scale, scale) * (k / np.sqrt(p * q)) ** np.minimum(steps, POSITIONS - steps))


def _kernel(case: Case) -> tuple[float, ...]:
    if not isinstance(case, Convolved):
        raise TypeError(f"a convolution needs a kernel: write Convolved(..., kernel=...), not {case!r}")
    return case.kernel


def solve(block: Layer, case: Case) -> Prediction:
    found = spatial_covariance(block, first_covariance(case), kernel=_kernel(case), depth=case.depth)
    labels = tuple(f"Sigma[{a}, {b}] at layer {case.depth}" for a, b in zip(FIRST, SECOND, strict=True))
    deviations = np.sqrt(np.diag(found))
    return Prediction(labels, found[FIRST, SECOND], deviations[FIRST] * deviations[SECOND])


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """The same in one network of `width` channels, as a mean over inputs."""
    before, dense = convolved(block)
    found = position_covariances(
        before,
        dense,
        _kernel(case),
        first_covariance(case),
        channels=width,
        depth=case.depth,
        rng=rng,
        inputs=INPUTS,
    )
    return np.asarray(found[0, -1, FIRST, SECOND])


THEORY = Theory(
    name="xiao2018",
    title="Signals through the positions of deep convolutional networks",
    cite="arXiv 1806.05393",
    claim="Sigma'_aa' = sum_b v_b [sigma_w^2 E phi phi + sigma_b^2 at a + b, a' + b], whatever the kernel v_b.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={
        "uniform tanh": Convolved(
            _TANH >> Dense(2.25, 0.09), _TANH >> Dense(2.475, 0.09), 2, (2.0, 0.5, 0.6), _UNIFORM
        ),
        "delta tanh": Convolved(_TANH >> Dense(2.25, 0.09), _TANH >> Dense(2.475, 0.09), 2, (2.0, 0.5, 0.6), _DELTA),
        "lopsided erf": Convolved(_ERF >> Dense(2.25, 0.09), _ERF >> Dense(2.025, 0.09), 2, (2.0, 0.5, 0.6), _LOPSIDED),
    },
)
