"""How far gradients scatter at finite width: by the weights on their way, and because lengths do, as fluctuations of
log q, which later layers pass on, move every E phi'^2 and every normalizer behind them.

To first order log g at a step moves by its pull times the fluctuation of log q there, and by the pulls of later steps
times what those add of their own: with w the share that a reader of the signal has in its gradient, s the elasticity of
the reader's factor of gradients and e that of its length, pull = sum w (s + e pull behind). Averages over a layer's own
features move what later layers see, not the Gaussian means of a function of them. Derived here; calibrated in
tests/meanfield/test_torch_walk.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

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
    """A step that reads a signal as its input `index`: the mean squared gradient that it gives, what its own weights
    add to Var log of that, the signal and the scatter behind it."""

    operation: Operation
    given: Sequence[Signal]
    index: int
    value: float
    variance: float
    signal: Signal
    scatter: Scatter


def scatter(readers: Sequence[Reader]) -> Scatter:
    """Of a signal, from all that read it."""
    drift = own = rest = 0.0
    total = sum(reader.value for reader in readers)
    for reader in readers:
        behind, before, share = reader.signal, reader.given[reader.index], reader.value / total
        slope, passed = elasticities(reader.operation, reader.given, reader.index, behind.q)
        passed = 0.0 if "q" in behind.measured else passed
        pull = share * (slope + passed * reader.scatter.drift)
        drift += pull
        kept = before.drift
        if not isinstance(reader.operation, Function):
            own, kept = own + pull, kept + before.own
        fresh = max(behind.drift - passed**2 * kept, 0.0)  # of other branches
        added = reader.scatter.drift**2 * fresh + reader.scatter.own**2 * behind.own
        rest += share**2 * (reader.scatter.rest + reader.variance + added)
    return Scatter(drift, own, rest)


@singledispatch
def elasticities(operation: Operation, given: Sequence[Signal], index: int, q: float) -> tuple[float, float]:
    """d log/d log q of the factor of squared gradients, and of the mean square behind, which is q."""
    return 0.0, 1.0


@elasticities.register
def _(operation: Affine, given: Sequence[Signal], index: int, q: float) -> tuple[float, float]:
    bias_var = 0.0 if operation.bias is None else operation.bias.mean_square()
    return 0.0, (1 - bias_var / q if q > 0 else 0.0)


@elasticities.register
def _(operation: Function, given: Sequence[Signal], index: int, q: float) -> tuple[float, float]:
    found = means(operation.phi, given[0].gram)
    return found.slope_elasticity, found.elasticity


@elasticities.register
def _(operation: Norm, given: Sequence[Signal], index: int, q: float) -> tuple[float, float]:
    return -1.0, 0.0


@elasticities.register
def _(operation: Add, given: Sequence[Signal], index: int, q: float) -> tuple[float, float]:
    return 0.0, (operation.coefficients[index] ** 2 * given[index].q / q if q > 0 else 0.0)
