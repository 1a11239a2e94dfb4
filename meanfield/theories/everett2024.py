"""Everett et al. 2024, Scaling exponents across parameterizations and optimizers, arXiv 2407.05872.

The largest stable learning rates n^-c of each layer follow from how updates align with their inputs, dW x gaining
n^(alpha i): in the standard parametrization with Adam c = (0, 1, 1) for alpha = 1 and (0, 1/2, 1/2) for 1/2, with
Adafactor (0, 1/2, 1/2) and (0, 0, 0). Rows of Adam second-hand, others derived (symbolic.scaling.solve.largest_rates).
Trained networks are aligned, alpha = 1: own moves by Theta(1); twins have the rates for 1/2. The paper's omega = 1/2,
W_0 dx as if independent, does not hold: dx comes through W_0^T, so that f moves as n^(1/2): derived here, checked.
"""

from sympy import Expr

from meanfield.growth import Point, TrainedCase, derive, sample, solve
from meanfield.theory import Theory
from symbolic.scaling.equations import Alignment, Chain
from symbolic.scaling.layers import mlp
from symbolic.scaling.optimizers import HALF, ONE, ZERO, optimizer
from symbolic.scaling.solve import largest_rates

STANDARD = (ZERO, HALF, HALF)


def fastest(name: str, alpha: Expr) -> Point:
    """The standard parametrization with the largest learning rates that are stable at an alignment."""
    none = (ZERO,) * len(STANDARD)
    still = Chain(mlp(), none, STANDARD, none, optimizer(name), alignment=Alignment(alpha=alpha))
    return Point(name, rate=0.01, b=STANDARD, c=largest_rates(still))  # small: tanh would bend n^(1/2)


THEORY = Theory(
    name="everett2024",
    title="Largest learning rates of each layer by alignment",
    cite="arXiv 2407.05872; rows of Adam second-hand, others derived here",
    claim="Aligned updates in the standard parametrization allow c = (0, 1, 1) to Adam, (0, 1/2, 1/2) to Adafactor.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={name: TrainedCase(fastest(name, ONE), fastest(name, HALF)) for name in ("adam", "adafactor")},
    widths=(16, 64),
)
