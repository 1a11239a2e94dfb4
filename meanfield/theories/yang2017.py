"""Yang, Schoenholz 2017, Mean field residual networks: on the edge of chaos, arXiv 1712.08969.

x' = x + sigma_w W phi(x) + sigma_b b: q' = q + sigma_w^2 E phi(u)^2 + sigma_b^2, k' = k + sigma_w^2 E phi(u) phi(v) +
sigma_b^2; a branch scaled by a enters with a^2. Recalled and checked numerically, not re-read in the paper; the
scaled branch is ours.
"""

from meanfield.observe import sample_pair, solve_pair
from meanfield.theory import Case, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Dense, Identity

_TANH, _RELU = ACTIVATIONS["tanh"], ACTIVATIONS["relu"]

THEORY = Theory(
    name="yang2017",
    title="Residual networks",
    cite="arXiv 1712.08969",
    claim="q' = q + sigma_w^2 E phi(u)^2 + sigma_b^2: lengths grow, correlations move slower than exponentially.",
    derive=derive,
    solve=solve_pair,
    sample=sample_pair,
    cases={
        "tanh": Case(Identity() + (_TANH >> Dense(1, 0.1)), Identity() + (_TANH >> Dense(1.1, 0.1))),
        "scaled relu": Case(
            Identity() + 0.7 * (_RELU >> Dense(2, 0)), Identity() + 0.77 * (_RELU >> Dense(2, 0)), depth=2
        ),
    },
)
