"""Sakai, Karakida, Imaizumi 2025, Infinite-width limit of a single attention layer, arXiv 2506.00846.

At infinite width and H heads outputs are Gaussian given scores that stay random: y_i ~ N(0, (nu^2/H) sum_a Q_a), with
excess kurtosis 3 Var Q/(H (E Q)^2). Layer, settings and limit as read in the authors' code; moments derived here.
Networks are drawn from the exact reduction of the real layer (meanfield.finite.reduced), which a test compares with
full matrices.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from meanfield.attention_law import AttentionLaw
from meanfield.build import Array
from meanfield.finite.reduced import RandomTokens, attention_outputs
from meanfield.theory import Case, Prediction, Theory
from meanfield.token_gram import gram
from symbolic.attention import Attention
from symbolic.attention_law import ConditionalGaussian
from symbolic.networks import Layer

NETWORKS, CHANNELS = 500, 16
LABELS = ("variance", "covariance of two tokens", "fourth cumulant")
UNEVEN = ((1.0, 0.5, 0.2), (0.5, 1.5, -0.4), (0.2, -0.4, 0.8))


@dataclass(frozen=True)
class AttentionCase(Case):
    """A case with the Gram matrix of its tokens; fixed tokens have it at every width, random ones in the limit."""

    gamma: tuple[tuple[float, ...], ...] = tuple(tuple(row) for row in np.eye(4).tolist())
    random: bool = False


def _parts(block: Layer, case: Case) -> tuple[Attention, AttentionCase]:
    if not isinstance(block, Attention) or not isinstance(case, AttentionCase):
        raise ValueError(f"the law of attention needs mf.Attention in an AttentionCase, not '{block}' in {case!r}")
    return block, case


def law(block: Layer, case: Case) -> AttentionLaw:
    layer, case = _parts(block, case)
    return AttentionLaw(layer, gram(case.gamma))


def solve(block: Layer, case: Case) -> Prediction:
    """Means over the tokens: of variances, of covariances of two, of fourth cumulants E y^4 - 3 (E y^2)^2, these on
    the scale of variance^2, on which they are the excess kurtosis."""
    return predicted(law(block, case))


def predicted(found: AttentionLaw) -> Prediction:
    tokens = range(found.tokens)
    each = [found.moments(token) for token in tokens]
    variance = np.mean([m.variance for m in each])
    fourth = np.mean([m.kurtosis * m.variance**2 for m in each])
    values = np.array([variance, found.covariance()[np.triu_indices(found.tokens, 1)].mean(), fourth])
    return Prediction(LABELS, values, np.array([variance, variance, variance**2]))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """The same, without bias, from a batch of networks."""
    layer, case = _parts(block, case)
    tokens: Any = RandomTokens(len(case.gamma)) if case.random else case.gamma
    y = attention_outputs(layer, tokens, width=width, networks=NETWORKS, rng=rng, channels=CHANNELS).y
    square = (y**2).mean(axis=2)
    first, second = np.triu_indices(y.shape[1], 1)
    cross = (y[:, first] * y[:, second]).mean()
    # Two networks are independent, two channels of one are not.
    apart = (square.sum(axis=0) ** 2 - (square**2).sum(axis=0)) / (NETWORKS * (NETWORKS - 1))
    return np.array([square.mean(), cross, ((y**4).mean(axis=(0, 2)) - 3 * apart).mean()])


THEORY = Theory(
    name="sakai2025",
    title="Attention with finitely many heads",
    cite="arXiv 2506.00846; moments derived here",
    claim="Outputs are N(0, (nu^2/H) sum_a A_a Gamma A_a^T) given random scores; excess kurtosis 3 Var Q/(H (E Q)^2).",
    derive=lambda block: ConditionalGaussian(2, block.heads if isinstance(block, Attention) else 1),
    solve=solve,
    sample=sample,
    cases={
        "one head": AttentionCase(Attention(1), Attention(1, ov_var=1.1)),
        "two heads, random tokens": AttentionCase(Attention(2), Attention(2, ov_var=2), random=True),  # no 1/sqrt(H)
        "causal, uneven tokens": AttentionCase(
            Attention(1, ov_var=0.8, mask="causal"), Attention(2, ov_var=0.8, mask="causal"), gamma=UNEVEN
        ),
    },
    widths=(512, 2048),
)
