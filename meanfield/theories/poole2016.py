"""Poole, Lahiri, Raghu, Sohl-Dickstein, Ganguli 2016, Exponential expressivity through transient chaos, arXiv
1606.05340.

Length map q' = sigma_w^2 E phi(sqrt(q) z)^2 + sigma_b^2; covariance map k' = sigma_w^2 E phi(u) phi(v) + sigma_b^2
with (u, v) of variances p, q and covariance k. Formulas recalled from the literature and checked numerically, not
re-read in the paper.
"""

from meanfield.observe import sample_pair, solve_pair
from meanfield.theory import Case, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Dense

_TANH, _ERF = ACTIVATIONS["tanh"], ACTIVATIONS["erf"]

THEORY = Theory(
    name="poole2016",
    title="Length and correlation maps of deep random networks",
    cite="arXiv 1606.05340",
    claim="q' = sigma_w^2 E phi(u)^2 + sigma_b^2 and k' = sigma_w^2 E phi(u) phi(v) + sigma_b^2, layer by layer.",
    derive=derive,
    solve=solve_pair,
    sample=sample_pair,
    cases={
        "ordered tanh": Case(_TANH >> Dense(1.2, 0.05), _TANH >> Dense(1.32, 0.05)),
        "chaotic erf": Case(_ERF >> Dense(2.25, 0.09), _ERF >> Dense(2.025, 0.09), start=(1.2, 1.2, 0.9)),
    },
)
