"""What each operation does to mean squared gradients, for weights that forget backwards what they did forwards.

Affine: each output's gradient goes to fan_in inputs, g = E W^2 fan_in reach g' n'/n, n' and n entries behind and before
(of a Linear fan_out E W^2 g');  Function g = E phi'(u)^2 g';  layer and rms norm g = gain^2 g'/(q - m^2 + eps);  sums
a^2 g';  dropout g'/keep;  a mean over taps g' n'/(n taps), a maximum g' n'/n. What positions (layer norm) and batches
(batch norm) do to the mean of 1/(q - m^2) is measured. Affine, Function: Schoenholz et al. 2017 (arXiv:1611.01232,
recalled); the rest derived here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from math import nan

import numpy as np

from meanfield.torch.graph import Add, Affine, Drop, Function, Move, Norm, Operation, Pool, Scale, Shift
from meanfield.torch.walk_means import means
from meanfield.torch.walk_state import Measured, Signal


@dataclass(frozen=True)
class Passage:
    """A step as gradients see it: its inputs, what was measured there, and n'/n for each of them."""

    given: Sequence[Signal]
    measured: Sequence[Measured | None]
    ratios: Sequence[float]
    index: int


@singledispatch
def backward(operation: Operation, at: Passage) -> tuple[float, float]:
    """(factor, variance): g at input `at.index` over g behind the step, and what finite width adds to Var log g."""
    return nan, 0.0


@backward.register
def _(operation: Affine, at: Passage) -> tuple[float, float]:
    ratio = at.ratios[0]
    ratio = operation.fan_out / operation.fan_in if np.isnan(ratio) else ratio
    square = operation.weight.mean_square()
    return square * operation.fan_in * operation.reach * ratio, 2 / operation.fan_in


@backward.register
def _(operation: Function, at: Passage) -> tuple[float, float]:
    before = at.given[0]
    if not (before.finite and before.gaussian):
        return nan, 0.0
    found = means(operation.phi, before.gram)
    # squared Gaussian gradients (kurtosis 3) times phi'^2, less the 2/n that the layer behind already counts
    added = (3 * found.slope_kurtosis - 3) / before.width
    return float(found.slope.mean()), added


@backward.register
def _(operation: Norm, at: Passage) -> tuple[float, float]:
    before, measured = at.given[0], at.measured[0]
    gain = 1.0 if operation.gain is None else operation.gain.mean_square()
    squares = np.diagonal(before.gram)
    if operation.kind == "layer":
        squares = squares - before.mean**2
    if operation.kind in ("layer", "rms"):
        # Positions of one input share no normalizer: how much they differ is measured.
        squares = squares / (1.0 if measured is None or np.isnan(measured.unevenness) else measured.unevenness)
    else:
        share = nan if measured is None or operation.kind != "batch" else measured.share
        squares = np.array([before.q * (1 - share)])
    return gain * float((1 / (squares + operation.eps)).mean()), 0.0


@backward.register
def _(operation: Add, at: Passage) -> tuple[float, float]:
    return operation.coefficients[at.index] ** 2 * _or_one(at.ratios[at.index]), 0.0


@backward.register
def _(operation: Scale, at: Passage) -> tuple[float, float]:
    return operation.factor**2, 0.0


@backward.register
def _(operation: Shift, at: Passage) -> tuple[float, float]:
    return 1.0, 0.0


@backward.register
def _(operation: Drop, at: Passage) -> tuple[float, float]:
    return (1 / (1 - operation.rate) if operation.rate < 1 else 0.0), 0.0


@backward.register
def _(operation: Move, at: Passage) -> tuple[float, float]:
    """What is left out has no gradient, what is repeated the sum; inputs side by side each keep theirs."""
    return (_or_one(at.ratios[0]) if len(at.given) == 1 else 1.0), 0.0


@backward.register
def _(operation: Pool, at: Passage) -> tuple[float, float]:
    ratio = at.ratios[0]
    if operation.kind == "max":
        return ratio, 0.0
    taps = 1 / ratio if operation.taps is None else operation.taps
    return ratio / taps, 0.0


def _or_one(ratio: float) -> float:
    return 1.0 if np.isnan(ratio) else ratio
