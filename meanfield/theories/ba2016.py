"""Layer normalization (Ba, Kiros, Hinton 2016, arXiv 1607.06450) at infinite width; the laws are derived here, not in
the paper.

Before an activation neurons have mean zero, so LayerNorm = RMSNorm and q = 1 always; behind it the mean E phi counts:
k' = (E phi(u) phi(v) - E phi(u) E phi(v))/(Std phi(u) Std phi(v)).
"""

from meanfield.observe import sample_pair, solve_pair
from meanfield.theory import Case, Theory
from symbolic.activations import ACTIVATIONS
from symbolic.limits import derive
from symbolic.networks import Dense, LayerNorm, RMSNorm

_RELU, _ERF = ACTIVATIONS["relu"], ACTIVATIONS["erf"]

THEORY = Theory(
    name="ba2016",
    title="Layer normalization before and behind the activation",
    cite="arXiv 1607.06450; laws derived here",
    claim="Before phi: k/sqrt(pq), as RMSNorm. Behind phi: (E phi phi - E phi E phi)/(Std phi Std phi).",
    derive=derive,
    solve=solve_pair,
    sample=sample_pair,
    cases={
        "behind relu": Case(_RELU >> LayerNorm() >> Dense(1, 0.1), _RELU >> LayerNorm() >> Dense(1.1, 0.1), depth=2),
        "before erf": Case(
            LayerNorm() >> _ERF >> Dense(1.5, 0.1),
            LayerNorm() >> _ERF >> Dense(1.65, 0.1),
            start=(2.0, 1.0, 0.7),
        ),
        "rms behind relu": Case(_RELU >> RMSNorm() >> Dense(1, 0.1), _RELU >> RMSNorm() >> Dense(1.1, 0.1), depth=2),
    },
)
