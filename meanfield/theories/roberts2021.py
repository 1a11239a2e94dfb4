"""Roberts, Yaida, Hanin 2021, The principles of deep learning theory, arXiv 2106.10165.

At width n lengths scatter with n Var K_l = V_l to first order in 1/n, V' = (dK'/dK)^2 V + weight_var^2 (E phi^4 -
(E phi^2)^2). A draw is the variance over many networks, each layer from its exact law given the length before it.
Formulas recalled and checked numerically, not re-read in the book.
"""

import numpy as np

from meanfield.build import Array
from meanfield.finite.lengths import lengths
from meanfield.theory import Case, Prediction, Theory
from meanfield.width import finite_width
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Chain, Dense, Layer, Pointwise

_TANH, _RELU = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]
TOGETHER = 500


def solve(block: Layer, case: Case) -> Prediction:
    found = finite_width(block, depth=case.depth, width=1, q0=case.start[1])
    labels = tuple(f"V at layer {layer}" for layer in range(1, case.depth + 1))
    return Prediction(labels, found.V[1:], found.V[1:])


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    match block:
        case Chain(layers=(Pointwise() as phi, Dense() as dense)):
            start, widths = case.start[1], (width,) * case.depth
            found = lengths(phi, dense, widths, networks=TOGETHER, rng=rng, start=start)
            return width * found[:, 1:].var(axis=0, ddof=1)
    raise ValueError(f"lengths are drawn for blocks such as mf.tanh >> mf.Dense(1, 0), not for '{block}'")


THEORY = Theory(
    name="roberts2021",
    title="Fluctuations of lengths at finite width",
    cite="arXiv 2106.10165",
    claim="n Var K = V: V' = (dK'/dK)^2 V + sigma_w^4 (E phi^4 - (E phi^2)^2), V = 0 at the input.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={
        "critical tanh": Case(_TANH >> Dense(1, 0), _TANH >> Dense(1.1, 0), depth=2),
        "critical relu": Case(_RELU >> Dense(2, 0), _RELU >> Dense(2.2, 0), depth=3),
    },
)
