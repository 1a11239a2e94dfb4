"""The depth of a network as stages: a block, and the variances of the points before each of its repetitions.

Variances are walked once per point; what is left to do for a pair needs only (p, q) of each layer and its own state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from meanfield.build import Array, Block
from symbolic.limits import readable
from symbolic.networks import Chain, Layer, chain, flat
from symbolic.signals import FEATURES, GAUSSIAN, kind_after
from symbolic.structure import blocks


@dataclass(frozen=True)
class Stage:
    """A block that is repeated, and the variances p (repetitions, n1), q (repetitions, n2) before each repetition."""

    block: Block
    p: Array
    q: Array


def stages(net: Layer, p: Array, q: Array | None, limit: str) -> tuple[list[Stage], Array]:
    """The stages of a network whose inputs have variances p (n1,) and q (n2,), q = None if they are the same points;
    and the states (components, n1) of each point of p with itself behind the network."""
    found, kind = [], FEATURES
    diagonal = np.stack([p, np.zeros_like(p)])[: 2 if limit == "ntk" else 1]
    for layer, times in _parts(net, limit):
        block = Block(readable(layer, kind))
        left, diagonal = _walk(block, limit, diagonal, times)
        right = left
        if q is not None:
            right, after = _walk(block, "nngp", q[None], times)
            q = after[0]
        found.append(Stage(block, left, right))
        kind = kind_after(layer, kind)
    return found, diagonal


def _parts(net: Layer, limit: str) -> Iterator[tuple[Layer, int]]:
    """The network as (block, times). What is written out is cut wherever a signal is Gaussian, since composed means are
    slow formulas, and so is an open block, whose series wants means over its own variances; equal neighbours join."""
    cut: list[Layer] = []
    kind = FEATURES
    for layer, times in blocks(net):
        if times > 1 and Block(readable(layer, kind)).closed(limit):
            yield from _joined(cut)
            yield layer, times
            cut = []
        else:
            cut += _cut(layer, kind) * times
        kind = kind_after(layer, kind)
    yield from _joined(cut)


def _cut(layer: Layer, kind: str) -> list[Layer]:
    """The layer as blocks that each end in a Gaussian signal, the last perhaps not."""
    found: list[Layer] = []
    pending: list[Layer] = []
    for part in flat(Chain, layer):
        pending.append(part)
        kind = kind_after(part, kind)
        if kind == GAUSSIAN:
            found.append(chain(pending))
            pending = []
    return found + ([chain(pending)] if pending else [])


def _joined(parts: list[Layer]) -> Iterator[tuple[Layer, int]]:
    return ((layer, len(list(same))) for layer, same in groupby(parts))


def _walk(block: Block, limit: str, diagonal: Array, times: int) -> tuple[Array, Array]:
    """The variances before each of the repetitions, and the state of a point with itself behind the last."""
    before = np.empty((times, diagonal.shape[1]))
    for layer in range(times):
        before[layer] = diagonal[0]
        diagonal = block(f"{limit}_diagonal", diagonal.T).T
    return before, diagonal
