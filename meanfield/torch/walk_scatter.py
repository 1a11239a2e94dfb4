"""How far gradients scatter because lengths do, at finite width: fluctuations of log q, which later layers pass on,
move every E phi'^2 and every normalizer behind them.

To first order log g at a step moves by its pull times the fluctuation of log q there, and by the pulls of later steps
times what those add of their own: with w the share that a reader of the signal has in its gradient, s the elasticity of
the reader's factor of gradients and e that of its length, pull = sum w (s + e pull behind). Averages over a layer's own
features move what later layers see, not the Gaussian means of a function of them. Derived here; calibrated in
tests/meanfield/test_torch_walk.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from meanfield.torch.graph import Add, Affine, Function, Norm, Operation
from meanfield.torch.walk_means import means
from meanfield.torch.walk_state import Signal


@dataclass(frozen=True)
class Scatter:
    """d log g/d log q for what layers before left of log q (drift) and for what the step's own features add (own), and
    the variance of log g that is due to later steps."""

    drift: float = 0.0
    own: float = 0.0
    rest: float = 0.0

    def variance(self, signal: Signal) -> float:
        return self.rest + self.drift**2 * signal.drift + self.own**2 * signal.own


@dataclass(frozen=True)
class Reader:
    """A step that reads a signal as its input `index`: the share w of the gradient, the signal and scatter behind."""

    operation: Operation
    given: Sequence[Signal]
    index: int
    share: float
    signal: Signal
    scatter: Scatter


def scatter(readers: Sequence[Reader]) -> Scatter:
    """Of a signal, from all that read it."""
    drift = own = rest = 0.0
    for reader in readers:
        behind, before = reader.signal, reader.given[reader.index]
        slope, passed = elasticities(reader.operation, reader.given, reader.index)
        passed = 0.0 if "q" in behind.measured else passed
        pull = reader.share * (slope + passed * reader.scatter.drift)
        drift += pull
        kept = before.drift
        if not isinstance(reader.operation, Function):
            own, kept = own + pull, kept + before.own
        fresh = max(behind.drift - passed**2 * kept, 0.0)  # of other branches
        added = reader.scatter.drift**2 * fresh + reader.scatter.own**2 * behind.own
        rest += reader.share**2 * (reader.scatter.rest + added)
    return Scatter(drift, own, rest)


@singledispatch
def elasticities(operation: Operation, given: Sequence[Signal], index: int) -> tuple[float, float]:
    """d log/d log q of the factor of squared gradients, and of the mean square behind."""
    return 0.0, 1.0


@elasticities.register
def _(operation: Affine, given: Sequence[Signal], index: int) -> tuple[float, float]:
    grown = operation.reach * operation.fan_in * operation.weight.mean_square() * given[0].q
    bias_var = 0.0 if operation.bias is None else operation.bias.mean_square()
    return 0.0, (grown / (grown + bias_var) if grown > 0 else 0.0)


@elasticities.register
def _(operation: Function, given: Sequence[Signal], index: int) -> tuple[float, float]:
    if not (given[0].finite and given[0].gaussian):
        return 0.0, 0.0
    found = means(operation.phi, given[0].gram)
    return found.slope_elasticity, found.elasticity


@elasticities.register
def _(operation: Norm, given: Sequence[Signal], index: int) -> tuple[float, float]:
    return -1.0, 0.0


@elasticities.register
def _(operation: Add, given: Sequence[Signal], index: int) -> tuple[float, float]:
    shares = np.array([a**2 * each.q for a, each in zip(operation.coefficients, given, strict=True)])
    return 0.0, float(shares[index] / (shares.sum() or 1.0))
