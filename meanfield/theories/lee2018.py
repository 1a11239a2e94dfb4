"""Lee, Bahri, Novak, Schoenholz, Pennington, Sohl-Dickstein 2018, Deep neural networks as Gaussian processes, arXiv
1711.00165.

A random network's outputs on any two inputs have the covariance k' = sigma_w^2 E phi(u) phi(v) + sigma_b^2 iterated
through its layers, closed by the arc-cosine kernel for ReLU. Recalled and checked numerically, not re-read in the
paper.
"""

from meanfield.observe import sample_pair, solve_pair
from meanfield.theory import Case, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Dense

_RELU, _GELU = ACTIVATIONS["relu"], ACTIVATIONS["gelu"]

THEORY = Theory(
    name="lee2018",
    title="The Gaussian-process kernel (NNGP) of a deep network",
    cite="arXiv 1711.00165",
    claim="Outputs have covariance k_L, k' = sigma_w^2 E phi(u) phi(v) + sigma_b^2, also for unequal norms.",
    derive=derive,
    solve=solve_pair,
    sample=sample_pair,
    cases={
        "relu": Case(_RELU >> Dense(1.6, 0.1), _RELU >> Dense(1.76, 0.1), depth=2, start=(1.0, 0.6, 0.3)),
        "gelu": Case(_GELU >> Dense(1.98, 0.17), _GELU >> Dense(1.782, 0.17), depth=2, start=(1.0, 1.4, 0.5)),
    },
)
