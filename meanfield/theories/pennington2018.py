"""Pennington, Schoenholz, Ganguli 2018, The emergence of spectral universality in deep networks, arXiv 1802.09979.

The squared singular values lambda of the input-output Jacobian have E lambda = chi^L and E lambda^2/(E lambda)^2 - 1 =
L (mu_2/mu_1^2 - 1 - s_1), s_1 = -1 for Gaussian weights, 0 for orthogonal ones. Recalled and checked numerically, not
re-read in the paper.
"""

from dataclasses import dataclass

import numpy as np

from meanfield.build import Array
from meanfield.finite.jacobians import factors, two_moments
from meanfield.isometry import Ensemble, singular_values
from meanfield.theory import Case, Prediction, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Chain, Dense, Layer, Pointwise

_TANH, _RELU = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]
PROBES = 16


@dataclass(frozen=True)
class WeightCase(Case):
    """A case with the law of its weight matrices."""

    ensemble: Ensemble = "gaussian"


def _ensemble(case: Case) -> Ensemble:
    return case.ensemble if isinstance(case, WeightCase) else "gaussian"


def solve(block: Layer, case: Case) -> Prediction:
    found = np.array(singular_values(block, depth=case.depth, ensemble=_ensemble(case)).moments(2))
    return Prediction(("E lambda", "E lambda^2"), found, found)


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    match block:
        case Chain(layers=(Pointwise() as phi, Dense() as dense)):
            law = singular_values(block, depth=case.depth, ensemble=_ensemble(case))
            parts = factors(phi, dense, depth=case.depth, width=width, ensemble=law.ensemble, q=law.q, rng=rng)
            return two_moments(parts, PROBES, rng)
    raise ValueError(f"Jacobians are drawn of blocks such as mf.tanh >> mf.Dense(1.5, 0.05), not of '{block}'")


THEORY = Theory(
    name="pennington2018",
    title="Singular values of Jacobians",
    cite="arXiv 1802.09979",
    claim="E lambda = chi^L and Var lambda/(E lambda)^2 = L (mu_2/mu_1^2 - 1 - s_1), s_1 = -1 Gaussian, 0 orthogonal.",
    derive=lambda block: derive(block, "gradient"),
    solve=solve,
    sample=sample,
    cases={
        "gaussian relu": WeightCase(_RELU >> Dense(2, 0), _RELU >> Dense(2.2, 0), depth=2),
        "orthogonal tanh": WeightCase(
            _TANH >> Dense(1.5, 0.05), _TANH >> Dense(1.65, 0.05), depth=2, ensemble="orthogonal"
        ),
    },
)
