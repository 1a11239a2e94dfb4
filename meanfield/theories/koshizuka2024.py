"""Koshizuka, Fujisawa, Tanaka, Sato 2024, Understanding the expressivity and trainability of Fourier neural operator: a
mean-field perspective, arXiv 2310.06379.

In wide layers g' = K phi(g) + W phi(g) + b on N periodic points covariances at lag r obey Sigma'_r = (S C)_r +
sigma_W^2 C_r + sigma_b^2, C_r = E phi(g_0) phi(g_r), gradients Sigmatilde_r = Cdot_r [(S + sigma_W^2) Sigmatilde']_r,
Cdot_r = E phi'(g_0) phi'(g_r); S keeps K modes, s_k = sigma^2. Edge of chaos where (sigma^2 + sigma_W^2) E phi'^2 = 1,
whatever N and K. Model recalled, formulas derived here. Networks are drawn from their exact law, not from weights.
"""

from dataclasses import dataclass

import numpy as np

from meanfield.build import Array
from meanfield.finite.fields import gradient_walk
from meanfield.fourier_operator import fourier_operator
from meanfield.theory import Case, Prediction, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.fourier import Spectral
from symbolic.fourier_block import FourierBlock
from symbolic.fourier_map import fourier_map
from symbolic.networks import Layer

_TANH, _ERF, _RELU, _GELU = (ACTIVATIONS[name] for name in ("tanh", "erf", "relu", "gelu"))


@dataclass(frozen=True)
class OnGrid(Case):
    """A case on a periodic grid; start[0] is the variance of its first pre-activations, start[2] their covariance at
    neighbours."""

    points: int = 8


def points_of(case: Case) -> int:
    if not isinstance(case, OnGrid):
        raise TypeError(f"a Fourier neural operator needs a grid: write OnGrid(..., points=...), not {case!r}")
    return case.points


def first_covariance(case: Case) -> Array:
    """p (k/p)^distance at each lag."""
    (p, _, k), n = case.start, points_of(case)
    at = np.arange(n)
    return np.asarray(p * (k / p) ** np.minimum(at, n - at))


def solve(block: Layer, case: Case) -> Prediction:
    """Sigma at lags 0, 1 and N/2 behind the last layer, and Sigmatilde at lags 0 and 1 before the first, of a white
    gradient of size 1 behind the last."""
    n = points_of(case)
    operator, start, lags = fourier_operator(block, n), first_covariance(case), [0, 1, n // 2]
    ahead, back = operator.trajectory(case.depth, start)[-1], operator.gradients(case.depth, start)[0]
    labels = (*(f"Sigma_{r} at layer {case.depth}" for r in lags), "Sigmatilde_0 at layer 0", "Sigmatilde_1 at layer 0")
    scales = np.repeat([ahead[0], back[0]], [len(lags), 2])
    return Prediction(labels, np.concatenate([ahead[lags], back[:2]]), scales)


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator, conditional: bool = True) -> Array:
    """The same in one network of `width` channels, from the exact law or with real weights, which cost 20 times it."""
    n, start = points_of(case), first_covariance(case)
    found = gradient_walk(block, start, channels=width, depth=case.depth, rng=rng, conditional=conditional)
    return np.concatenate([found.forward[-1][[0, 1, n // 2]], found.backward[0][:2]])


THEORY = Theory(
    name="koshizuka2024",
    title="Order and chaos in Fourier neural operators",
    cite="arXiv 2310.06379; formulas derived here",
    claim="Sigma'_r = sigma^2 (C without dropped modes)_r + sigma_W^2 C_r + sigma_b^2; the edge needs no N and no K.",
    derive=fourier_map,
    solve=solve,
    sample=sample,
    cases={
        "critical tanh, modes dropped": OnGrid(
            _TANH >> Spectral(3, 1.7609546396067392, 0.05), _TANH >> Spectral(3, 1.9370501035674133, 0.05), 2
        ),
        "critical erf, modes dropped beside a pointwise path": OnGrid(
            FourierBlock(3, _ERF, weight_var=0.8758390073466776, pointwise_var=0.5, bias_var=0.05),
            FourierBlock(3, _ERF, weight_var=0.9634229080813454, pointwise_var=0.55, bias_var=0.05),
            2,
        ),
        "critical relu, all modes": OnGrid(
            _RELU >> Spectral(9, 2, 0), _RELU >> Spectral(9, 2.2, 0), 2, (1, 1, 0.2), 16
        ),
        "relu, complex mean, modes dropped": OnGrid(
            _RELU >> Spectral(3, 2, 0, dc="complex"), _RELU >> Spectral(3, 2, 0), 2
        ),
        "gelu, all modes": OnGrid(_GELU >> Spectral(5, 2, 0.1), _GELU >> Spectral(5, 2.2, 0.1), 2, (1, 1, 0.3)),
    },
    widths=(256, 1024),  # draws from the law cost channels alone, and wide networks spread less
)
