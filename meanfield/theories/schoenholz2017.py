"""Schoenholz, Gilmer, Ganguli, Sohl-Dickstein 2017, Deep information propagation, arXiv 1611.01232.

Mean squared gradients shrink or grow by chi_1 = sigma_w^2 E phi'(u)^2 per layer; correlations approach their fixed
point as exp(-l/xi_c), xi_c = -1/log chi_c; chi_1 = 1 is the edge of chaos. Recalled and checked numerically, not
re-read in the paper.
"""

from meanfield.observe import sample_gradient, solve_gradient
from meanfield.theory import Case, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Dense

_TANH, _RELU = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]

THEORY = Theory(
    name="schoenholz2017",
    title="Depth scales, gradients and the edge of chaos",
    cite="arXiv 1611.01232",
    claim="E|dL/dx|^2 is multiplied by sigma_w^2 E phi'(u)^2 per layer, which is 1 at the edge of chaos.",
    derive=lambda block: derive(block, "gradient"),
    solve=solve_gradient,
    sample=sample_gradient,
    cases={
        "critical tanh": Case(_TANH >> Dense(1.7609546396067392, 0.05), _TANH >> Dense(1.9370501035674133, 0.05)),
        "critical relu": Case(_RELU >> Dense(2, 0), _RELU >> Dense(2.2, 0), depth=2),
    },
)
