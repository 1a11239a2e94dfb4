"""What a walk carries from step to step, and what was measured at a step; both of the same few inputs of the batch.

gram_ab is the mean of x_a x_b over entries (features and positions), mean_a that of x_a; q = mean_a gram_aa, the
correlation c is the mean over a < b of gram_ab/sqrt(gram_aa gram_bb). gradient is E (dL/dx)^2 over entries and inputs.
"""

from dataclasses import dataclass, field
from math import inf, nan

import numpy as np
import numpy.typing as npt

SIGMAS = 3.0  # standard deviations by which a measurement may differ
Array = npt.NDArray[np.float64]


class Products:
    """Mean products of the signals of a few inputs."""

    gram: Array

    @property
    def q(self) -> float:
        return float(np.diagonal(self.gram).mean())

    @property
    def correlation(self) -> float:
        return correlation(self.gram)


@dataclass(frozen=True)
class Signal(Products):
    """A signal at one step. drift and drift_c are the variances of log q and of c that layers of finite width before
    it left, own and own_c what averaging over its own `width` independent features adds. measured names the columns
    ("q", "c") that were taken from a measurement here, not predicted; gaussian says whether entries are sums over fresh
    weights, so that a function of them has Gaussian means."""

    gram: Array
    mean: Array
    drift: float = 0.0
    own: float = 0.0
    drift_c: float = 0.0
    own_c: float = 0.0
    width: float = inf
    gaussian: bool = True
    measured: frozenset[str] = frozenset()

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.gram).all())


@dataclass(frozen=True)
class Measured(Products):
    """What a step gave: gram and mean as above, entries for each input, the share of its mean square that is that of
    each channel's mean over batch and positions, unevenness E v E 1/v of the variance v along the last axis, which is 1
    where positions are alike; errors are standard errors over passes."""

    gram: Array
    mean: Array
    size: float
    share: float = nan
    unevenness: float = nan
    gradient: float = nan
    q_error: float = 0.0
    correlation_error: float = 0.0
    gradient_error: float = 0.0

    @property
    def signal(self) -> Signal:
        return Signal(self.gram, self.mean, measured=frozenset({"q", "c"}))


@dataclass(frozen=True)
class Moments:
    """The prediction at one step: mean square q and correlation c of its output, mean squared gradient there, and their
    standard deviations at finite width, relative for q and gradient. measured names the columns that are measurements
    from which the prediction goes on: "q", "c", "gradient"."""

    q: float
    correlation: float
    gradient: float
    q_scatter: float
    correlation_scatter: float
    gradient_scatter: float
    measured: frozenset[str] = field(default=frozenset())


def correlation(gram: Array) -> float:
    """The mean correlation of two inputs; NaN of a single one."""
    roots = np.sqrt(np.diagonal(gram))
    above = np.triu_indices(len(gram), 1)
    if not len(above[0]):
        return nan
    with np.errstate(all="ignore"):
        return float((gram / np.outer(roots, roots))[above].mean())


def unknown(count: int) -> Signal:
    """A signal of which nothing is known."""
    return Signal(np.full((count, count), nan), np.full(count, nan), measured=frozenset({"q", "c"}))
