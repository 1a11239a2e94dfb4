"""Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, A mean field theory of batch normalization, arXiv 1902.08129.

Batch normalization before the activation makes squared gradients grow by a factor per layer that no weight_var changes.
For ReLU and batch B: ((B-1+J_0)/(1-J_1) - 1)/(B-3), J_0 = (pi - acos r)/pi, J_1 = (sqrt(1-r^2) + r (pi - acos r))/pi,
r = -1/(B-1). Derived here from first principles, not read; its limit pi/(pi-1) is that of the paper as recalled.
"""

import numpy as np

from meanfield.batchnorm import batchnorm
from meanfield.build import Array
from meanfield.finite.batches import batch_gradients
from meanfield.theory import Case, Prediction, Theory
from symbolic.activations import ACTIVATIONS, activation
from symbolic.limits import derive
from symbolic.networks import Chain, Dense, Layer, Pointwise

BATCH = 8


def _parts(block: Layer) -> tuple[Pointwise, Dense]:
    match block:
        case Chain(layers=(Pointwise() as phi, Dense() as dense)):
            return phi, dense
    raise ValueError(f"batches are normalized in blocks such as mf.relu >> mf.Dense(2, 0), not in '{block}'")


def solve(block: Layer, case: Case) -> Prediction:
    growth = np.array([batchnorm(_parts(block)[0], batch=BATCH).growth])
    return Prediction((f"growth per layer at batch {BATCH}",), growth, growth)


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """From layer 2 on, since the first meets another kernel; the step from the noise to the last layer is none."""
    phi, dense = _parts(block)
    found = batch_gradients(phi, dense, batch=BATCH, width=width, depth=case.depth + 2, rng=rng)[1:]
    return np.array([np.mean(found[:-1] / found[1:])])


THEORY = Theory(
    name="yang2019",
    title="Gradients through batch normalization",
    cite="arXiv 1902.08129; the growth at finite batch derived here",
    claim="Squared gradients grow by ((B-1+J_0)/(1-J_1) - 1)/(B-3) per ReLU layer, whatever the weights' variance.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={
        "relu": Case(ACTIVATIONS["relu"] >> Dense(2, 0), activation("Max(x, x/10)") >> Dense(2, 0), depth=3),
    },
)
