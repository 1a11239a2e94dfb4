"""Yang, Yu, Zhu, Hayou 2023, Tensor Programs VI: Feature learning in infinite-depth neural networks, arXiv 2310.02244,
and Dey et al. 2025, CompleteP, arXiv 2505.01618: residual branches times L^-alpha, in depth L.

Depth-muP has alpha = 1/2 and, for Adam, rates L^-1/2 in the branches; CompleteP alpha = 1 and, for SGD, rates L. Both
move the stream by Theta(1); weights in a branch change what they give by L^(alpha - 1), and drawn branches add up to
L^(1/2 - alpha). Depth-muP second-hand, CompleteP's code read, exponents derived (symbolic.scaling.depth). Here check's
width is the depth L, at a width of 32; twins leave the power of L in the rates out. One matrix in a branch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Expr

from meanfield.finite.training.mlp import Array
from meanfield.finite.training.optimizers import optimizer
from meanfield.finite.training.residual import branch_sizes
from meanfield.growth import FACTOR, SCALE, slope
from meanfield.theory import Case, Prediction, Theory
from symbolic.networks import Layer
from symbolic.scaling.depth import DepthRule, depth_rule
from symbolic.scaling.optimizers import optimizer as rule_of

LABELS = ("exponent of what drawn branches add", "exponent of own in a branch", "exponent of the stream's change")
RATE = {"adam": 1e-3, "sgd": 0.1}


@dataclass(frozen=True, repr=False)
class ResidualTraining(Layer):
    """Residual branches under an optimizer and a rule for depth, or an alpha; scaled: with its power of L in rates."""

    optimizer: str
    rule: Any
    scaled: bool = True

    @cached_property
    def depth(self) -> DepthRule:
        return depth_rule(self.rule, rule_of(self.optimizer), matrices=1)


@dataclass(frozen=True)
class Powers:
    """The exponent of L of each size after the first step."""

    update: Mapping[str, Expr]


def derive(block: Layer) -> Powers:
    rule = _training(block).depth
    return Powers(dict(zip(LABELS, (rule.drawn, rule.own, rule.change), strict=True)))


def _training(block: Layer) -> ResidualTraining:
    if not isinstance(block, ResidualTraining):
        raise ValueError(f"powers of the depth are measured of a ResidualTraining, not of '{block}'")
    return block


def solve(block: Layer, case: Case) -> Prediction:
    """The exponents of L."""
    found = derive(block).update
    return Prediction(LABELS, np.array([float(found[label]) for label in LABELS]), np.full(len(LABELS), SCALE))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """Their slopes between a stack of `width` branches and one of four times that."""
    training, seed = _training(block), int(rng.integers(2**31))
    return slope(*(_sizes(training, depth, np.random.default_rng(seed)) for depth in (width, FACTOR * width)))


def _sizes(training: ResidualTraining, depth: int, rng: np.random.Generator) -> Array:
    power = float(training.depth.block.learning_rate) if training.scaled else 0.0
    update = optimizer(training.optimizer).update
    return branch_sizes(depth, float(training.depth.alpha), RATE[training.optimizer] * depth**power, update, rng)


def _case(optimizer: str, rule: str) -> Case:
    return Case(ResidualTraining(optimizer, rule), ResidualTraining(optimizer, rule, scaled=False))


THEORY = Theory(
    name="depth2023",
    title="Learning rates of residual branches by depth",
    cite="arXiv 2310.02244, 2505.01618; second-hand and code, exponents derived here",
    claim="Branches times L^-alpha train alike at any depth if rates are L^(alpha - 1), Adam, L^(2 alpha - 1), SGD.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={"Depth-muP, Adam": _case("adam", "depth_mup"), "CompleteP, SGD": _case("sgd", "completep")},
    widths=(4, 16),
)
