"""Dropout in the mean field of Schoenholz et al. 2017, arXiv 1611.01232, section on dropout.

Masks are drawn anew for every input: q' = (sigma_w^2/keep) E phi(u)^2 + sigma_b^2 but k' = sigma_w^2 E phi(u) phi(v)
+ sigma_b^2, so two equal inputs separate, c* < 1, and there is no edge of chaos. Recalled and checked numerically,
not re-read in the paper.
"""

from meanfield.observe import sample_pair, solve_pair
from meanfield.theory import Case, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Dense, Dropout

_TANH = ACTIVATIONS["tanh"]

THEORY = Theory(
    name="dropout2017",
    title="Dropout destroys the edge of chaos",
    cite="arXiv 1611.01232",
    claim="q' = (sigma_w^2/keep) E phi(u)^2 + sigma_b^2, but k' sees no mask: correlation 1 is no fixed point.",
    derive=derive,
    solve=solve_pair,
    sample=sample_pair,
    cases={
        "keep 0.9": Case(_TANH >> Dropout(0.9) >> Dense(1.69, 0.05), _TANH >> Dropout(0.81) >> Dense(1.69, 0.05)),
        "keep 0.8": Case(_TANH >> Dropout(0.8) >> Dense(2, 0.05), _TANH >> Dropout(0.8) >> Dense(2.2, 0.05)),
    },
)
