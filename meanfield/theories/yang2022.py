"""Yang, Hu et al. 2022, Tensor Programs V: Tuning large neural networks via zero-shot hyperparameter transfer, arXiv
2203.03466.

Tables 3, 8 and 9 write one parametrization in three gauges: with Adam, weights n^-1/2, hidden and output learning
rates n^-1, a readout of n^-1 either in its variance or in its multiplier. Every update then moves what its layer gives
by Theta(1), and features move the output by Theta(1). Scores of attention are q k/d: their change is Theta(1), n^1/2
with 1/sqrt d. Tables 3 and 9 and 1/d are second-hand, 8 from the `mup` package's code; exponents are derived
(symbolic.scaling). Twins: standard parametrization, 1/sqrt d.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sympy import Expr

from meanfield.finite.training.head import score_sizes
from meanfield.finite.training.mlp import Array
from meanfield.finite.training.optimizers import optimizer
from meanfield.growth import FACTOR, SCALE, TrainedCase, Training, derive, slope
from meanfield.growth import sample as slopes
from meanfield.growth import solve as exponents
from meanfield.theory import Case, Prediction, Theory
from symbolic.networks import Layer
from symbolic.scaling.optimizers import HALF
from symbolic.scaling.optimizers import optimizer as rule_of
from symbolic.scaling.rules import maximal
from symbolic.scaling.scores import Scores, scores

RATE = 0.01


@dataclass(frozen=True, repr=False)
class Head(Layer):
    """Queries and keys under Adam, of as many entries as the width; multiplier: the power of d in scores, None: mup."""

    multiplier: Expr | None = None

    @cached_property
    def scores(self) -> Scores:
        return scores(self.multiplier)


def solve(block: Layer, case: Case) -> Prediction:
    """The exponents of what layers give, or of the scores of a head."""
    if not isinstance(block, Head):
        return exponents(block, case)
    values = np.array([float(e) for e in (block.scores.drawn, block.scores.trained)])
    return Prediction(("exponent of scores as drawn", "exponent of the scores' change"), values, np.full(2, SCALE))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """Their slopes between networks of `width` and of four times that."""
    if not isinstance(block, Head):
        return slopes(block, case, width, rng)
    seed = int(rng.integers(2**31))
    return slope(*(_sizes(block, n, np.random.default_rng(seed)) for n in (width, FACTOR * width)))


def _sizes(head: Head, width: int, rng: np.random.Generator) -> Array:
    power = float(maximal(rule_of("adam"), True, True).learning_rate)
    multiplier = width ** float(head.scores.multiplier)
    return score_sizes(width, multiplier, RATE * width**power, optimizer("adam").update, rng)


THEORY = Theory(
    name="yang2022",
    title="Tables of the maximal-update parametrization",
    cite="arXiv 2203.03466; tables second-hand, exponents derived here",
    claim="Adam: rates n^0, n^-1, n^-1 on a readout of n^-1 and scores q k/d move everything by Theta(1).",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={
        "Adam, table 8": TrainedCase(Training("adam", gauge="table8"), Training("adam", "standard")),
        "scores of attention": Case(Head(), Head(-HALF)),
    },
    widths=(16, 64),
)
