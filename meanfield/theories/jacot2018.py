"""Jacot, Gabriel, Hongler 2018, Neural tangent kernel, arXiv 1806.07572; Lee et al. 2019, Wide networks evolve as
linear models, 1902.06720.

Theta' = K' + Theta sigma_w^2 E phi'(u) phi'(v), Theta = K at the first layer, all weights and biases trained in the NTK
parametrisation. Recalled and checked numerically, not re-read in the papers.
"""

from meanfield.observe import sample_tangent, solve_tangent
from meanfield.theory import Case, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Dense

_ERF, _RELU = ACTIVATIONS["erf"], ACTIVATIONS["relu"]

THEORY = Theory(
    name="jacot2018",
    title="The neural tangent kernel",
    cite="arXiv 1806.07572, 1902.06720",
    claim="Theta' = K' + Theta sigma_w^2 E phi'(u) phi'(v): the Gram of gradients of a wide network is deterministic.",
    derive=lambda block: derive(block, "ntk"),
    solve=solve_tangent,
    sample=sample_tangent,
    cases={
        "erf": Case(_ERF >> Dense(2.25, 0.01), _ERF >> Dense(2.025, 0.01), depth=2),
        "relu": Case(_RELU >> Dense(2, 0.1), _RELU >> Dense(2.2, 0.1), depth=2),
    },
)
