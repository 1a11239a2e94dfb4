"""What the last weights of residual branches are scaled to: a share 1/L of the mean square of the stream.

x -> x + B(x) with E B^2 = E x^2/L in each of L branches: E x^2 grows by (1 + 1/L)^L <= e in all, and a branch whose
squared gradients grow as its lengths do multiplies gradients by 1 + 1/L. Behind the sum, LayerNorm divides both by
1 + 1/L. So lengths and gradients stay O(1) through depth with and without normalization in the branch or behind the
sum. Derived here; scaling by the number of branches is that of Fixup, T-Fixup and depth-muP (as recalled).
"""

from dataclasses import dataclass, replace

from meanfield.torch.graph import (
    Affine,
    Attend,
    Constant,
    Drop,
    Function,
    Move,
    Norm,
    Operation,
    Pool,
    Scale,
    Shift,
    Spectral,
    Table,
)
from meanfield.torch.initialize_sums import Sums
from symbolic.networks import Pointwise

ENDS = (Affine, Spectral, Table, Constant)
PASSED = (Move, Pool, Shift)


@dataclass(frozen=True)
class Share:
    """`fraction` of the mean square of step `fork`, wanted of a step, or of phi of it; `of` branches have 1/of each."""

    fork: int
    fraction: float
    of: int
    phi: Pointwise | None = None


@dataclass(frozen=True)
class Shares:
    """The steps that a share is wanted of, and the sums with a branch that nothing scales."""

    wanted: dict[int, Share]
    unscaled: tuple[int, ...]


def shares(sums: Sums) -> Shares:
    """Of all residual sums of a graph."""
    wanted: dict[int, Share] = {}
    unscaled = []
    for index, of in sums.count.items():
        each, step = sums.found[index], sums.steps[index]
        squares = [c**2 for c in each.coefficients]
        stream = sum(squares[place] for place in each.stream) / len(each.stream)
        for place in each.branches:
            if squares[place] == 0:
                continue
            share = Share(each.fork or 0, stream / of / squares[place], of)
            ends = _ends(sums, step.inputs[place], each.fork or 0, share)
            wanted.update(ends)
            if not ends:
                unscaled.append(index)
    return Shares(wanted, tuple(unscaled))


def _ends(sums: Sums, at: int, fork: int, share: Share) -> dict[int, Share]:
    """The nearest steps at the end of a branch that can be scaled."""
    operation, inputs = sums.steps[at].operation, sums.steps[at].inputs
    if at <= fork:
        return {}
    if isinstance(operation, ENDS) or _has_gain(operation):
        return {at: share}
    if isinstance(operation, Attend):
        return _ends(sums, inputs[2], fork, share)
    if at in sums.found:
        return _of_sum(sums, at, fork, share)
    passed = _through(operation, share)
    return {} if passed is None else {k: v for source in inputs for k, v in _ends(sums, source, fork, passed).items()}


def _has_gain(operation: Operation) -> bool:
    gain = operation.gain if isinstance(operation, Norm) else None
    return gain is not None or (isinstance(operation, Scale) and operation.parameter is not None)


def _through(operation: Operation, share: Share) -> Share | None:
    """The share wanted in front of a step."""
    if isinstance(operation, PASSED):
        return share
    if isinstance(operation, Drop):
        return replace(share, fraction=share.fraction * (1 - operation.rate))
    if isinstance(operation, Scale) and operation.factor != 0:
        return replace(share, fraction=share.fraction / operation.factor**2)
    if isinstance(operation, Function) and share.phi is None:
        return replace(share, phi=operation.phi)
    return None


def _of_sum(sums: Sums, at: int, fork: int, share: Share) -> dict[int, Share]:
    """A sum of parallel maps at the end of a branch: each has its part."""
    inputs = sums.steps[at].inputs
    if sums.found[at].branches:
        return {}
    part = replace(share, fraction=share.fraction / len(inputs))
    return {k: v for source in inputs for k, v in _ends(sums, source, fork, part).items()}
