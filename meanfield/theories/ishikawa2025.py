"""Ishikawa, Yokota, Karakida 2025, Local loss optimization in the infinite width, arXiv 2411.02001.

Predictive coding at its fixed point: e_L = (I + C)^-1 (y - f), C = gamma_L sum_(i >= 2) W_(L:i) W_(L:i)^T (Theorem 4.2
in a reading note); with gamma_L = n^g and a readout of n^-b the sum is n^(g + 1 - 2 b), so that it turns from the
gradient (C -> 0) to Gauss-Newton, in between C -> (D - 1) S^2 for a readout of rows S. Target propagation carries no
change of hidden layers on by its readout's ancestry, W Q = I: b = 1/2 learns features where SGD has a kernel.
The paper's tables were not read: exponents and limits are derived here. Twins: b = 1/2, g = 1/2, SGD.
"""

from dataclasses import dataclass, replace

import numpy as np
from sympy import Rational

from meanfield.finite.training.coordinates import Task
from meanfield.finite.training.mlp import IDENTITY, Array, draw
from meanfield.finite.training.predictive import equilibrium, errors
from meanfield.growth import MANY, Point, TrainedCase, Training, derive, parts
from meanfield.growth import sample as slopes
from meanfield.growth import solve as exponents
from meanfield.theory import Case, Prediction, Theory
from meanfield.trained import numbers
from symbolic.networks import Layer

_HALF = Rational(1, 2)
ROWS = np.array([1.5, 0.5])  # an isotropic readout would not tell the gradient from Gauss-Newton


@dataclass(frozen=True)
class FixedPoint(TrainedCase):
    """Of a linear network, whose readout has one row larger than the other: what is left of y - f in e_L."""


def solve(block: Layer, case: Case) -> Prediction:
    """Exponents; or the diagonal of (I + C)^-1 at infinite width."""
    if not isinstance(case, FixedPoint):
        return exponents(block, case)
    chain = parts(block, case)[0].table.chain
    spread = chain.optimizer.energy + 1 + 2 * chain.weight(-1)
    C = (len(chain.layers) - 1) * ROWS**2 if spread == 0 else np.zeros(2) if spread < 0 else np.full(2, np.inf)
    return Prediction(("e_L/(y - f), large row", "e_L/(y - f), small row"), 1 / (1 + C), np.ones(2))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """The same of one network: slopes, or the regression of e_L on y - f."""
    if not isinstance(case, FixedPoint):
        return slopes(block, case, width, rng)
    training, task = parts(block, case)[0], Task()
    x, y, _ = task.draw(int(rng.integers(2**31)))
    layers = numbers(training.table, width, [1.0] * 3, task.inputs, training.rate, training.damping_size)
    drawn = draw(layers, width, task.inputs, task.outputs, rng, IDENTITY)
    network = replace(drawn, weights=(*drawn.weights[:-1], ROWS[:, None] * drawn.weights[-1]))
    gamma_L = float(width) ** float(training.table.chain.optimizer.energy)
    left = errors(network, equilibrium(network, x, y, gamma_L), x)[-1]
    apart = y - network.forward(x).h[-1]
    return np.asarray((left * apart).sum(axis=1) / (apart**2).sum(axis=1))


def coding(gamma: Rational) -> Training:
    return Training("predictive_coding", powers=(("gamma", gamma),))


CRITICAL = coding(Rational(1))
KERNEL_READOUT = Point("predictive_coding", powers=CRITICAL.powers, b=(0, _HALF, _HALF), c=(0, 1, 2))

THEORY = Theory(
    name="ishikawa2025",
    title="Predictive coding and target propagation at infinite width",
    cite="arXiv 2411.02001; fixed point second-hand, exponents and limits derived here",
    claim="Predictive coding turns from the gradient to Gauss-Newton at g = 2 b - 1; target propagation has no kernel.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={
        "predictive coding, fixed point": FixedPoint(CRITICAL, coding(_HALF)),
        "predictive coding, exponents": TrainedCase(CRITICAL, KERNEL_READOUT, linear=True),
        "target propagation": TrainedCase(
            Training("target_propagation"), Training("sgd", "ntk", gauge="a=0"), task=MANY
        ),
    },
    widths=(16, 64),
)
