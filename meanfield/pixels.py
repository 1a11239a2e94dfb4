"""Covariances of pictures walked through layers: the state behind each, for all pairs of images of a tile.

A state holds the components k, and t for the tangent kernel: (components, n1, *positions, n2, *positions) where all
pairs of positions are followed, (*positions, components, n1, n2) where each position is alone; flat signals are the
latter without positions. Layers that act on each position read the variances p, q of both images there, which are met
once per image: `Own` walks images with themselves and notes them, `Pairs` walks images with others and reads them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce, singledispatch
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from meanfield.build import Array, Block
from meanfield.finite.networks import number
from meanfield.pixel_maps import apply
from meanfield.series import FEW
from solvers import gram
from solvers.windows import windowed
from symbolic.limits import readable
from symbolic.networks import Chain, Layer, Repeat, Scale, Sum, chain
from symbolic.pictures import (
    AvgPool,
    Conv,
    Flatten,
    GlobalAvgPool,
    Shape,
    Window,
    is_spatial,
    pairs_before,
    shape_after,
    windows,
)
from symbolic.signals import NoRule, kind_after
from symbolic.structure import blocks


@dataclass(frozen=True)
class Place:
    """What is known of the signal at some point of a network: positions, kind, are all pairs of positions followed?"""

    shape: Shape
    kind: str
    full: bool
    images: int  # pairs of images in the whole kernel

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def entries(self) -> int:
        return self.images * self.size ** (1 + self.full)


@dataclass(frozen=True, eq=False)
class Local:
    """Layers that act on each position by itself, `times` times."""

    block: Block
    times: int
    place: Place

    def direct(self, limit: str) -> bool:
        """Is the map of a pair evaluated where it is wanted, not interpolated?"""
        return self.block.closed(limit) or self.place.entries <= FEW


@dataclass(frozen=True)
class Own:
    """Images with themselves, one at a time where all pairs of positions are followed; their variances are noted."""

    limit: str
    noted: dict[Any, Array] = field(default_factory=dict)  # (times, images, positions) of a Local
    seed: int = 0  # of means that are sampled

    def through(self, local: Local, state: Array) -> None:
        place = local.place
        if place.full:
            self.noted[local] = self._all_pairs(local, state.reshape(len(state), place.size, place.size))
            return
        rows = state.reshape(place.size, *state.shape[-3:-1])
        variances = np.empty((local.times, rows.shape[-1], place.size))
        for before in variances:
            before[:] = rows[:, 0].T
            rows[:] = _behind(local.block, self.limit, rows.swapaxes(0, 1)).swapaxes(0, 1)
        self.noted[local] = variances

    def _all_pairs(self, local: Local, rows: Array) -> Array:
        """The same for all pairs of positions of one image, (components, positions, positions) in place."""
        variances, direct = np.empty((local.times, 1, local.place.size)), local.direct(self.limit)
        for p in variances:
            diagonal = np.einsum("cii->ci", rows)
            p[0] = diagonal[0]
            after = _behind(local.block, self.limit, diagonal)
            apply(local.block, self.limit, p, p, rows, triangle=True, direct=direct)
            gram.complete(rows, after)
        return variances


def _behind(block: Block, limit: str, states: Array) -> Array:
    """States (components, ...) of signals with themselves behind a block."""
    after = block(f"{limit}_diagonal", states.reshape(len(states), -1).T)
    return np.asarray(after.T.reshape(states.shape))


@dataclass(frozen=True)
class Pairs:
    """Images with others, of which `Own` has taken notes."""

    limit: str
    left: dict[Any, Array]
    right: dict[Any, Array]
    seed: int = 0

    def through(self, local: Local, state: Array) -> None:
        p, q, direct = self.left[local], self.right[local], local.direct(self.limit)
        if local.place.full:
            p, q = (x.reshape(local.times, -1) for x in (p, q))
            rows = state.reshape(len(state), p.shape[1], q.shape[1])
            apply(local.block, self.limit, p, q, rows, triangle=False, direct=direct)
            return
        p, q = (np.ascontiguousarray(x.transpose(2, 0, 1)) for x in (p, q))
        for left, right, each in zip(p, q, state.reshape(len(p), *state.shape[-3:]), strict=True):
            apply(local.block, self.limit, left, right, each, triangle=False, direct=direct)


Walk = Own | Pairs
Step = Callable[[Walk, Array], Array]


def run(steps: Sequence[Step], walk: Walk, state: Array) -> Array:
    """The state behind the steps; a step may write into the state it is given."""
    return reduce(lambda now, step: step(walk, now), steps, state)


# -- a network as steps ----------------------------------------------------------------------------------------------


def plan(layer: Layer, place: Place, wanted: bool) -> tuple[list[Step], Place]:
    """A network as steps from a place on; behind it all pairs of positions are followed if they are wanted.

    The place must follow them where the network needs it to. ValueError for pictures that do not fit.
    """
    steps: list[Step] = []
    if place.full and not pairs_before(layer, wanted):
        steps.append(partial(alone, axes=len(place.shape)))
        place = replace(place, full=False)
    steps += steps_of(layer, place, wanted) if is_spatial(layer) else _local(layer, place)
    shape = shape_after(layer, place.shape)
    behind = Place(shape, kind_after(layer, place.kind), bool(shape) and wanted, place.images)
    return steps, behind


def _local(layer: Layer, place: Place) -> Iterator[Step]:
    shape_after(layer, place.shape)
    for part, times in blocks(layer):
        yield partial(_through, local=Local(Block(readable(part, place.kind)), times, place))
        place = replace(place, kind=kind_after(part, place.kind))


@singledispatch
def steps_of(layer: Layer, place: Place, wanted: bool) -> Iterator[Step]:
    """The steps of a layer that mixes positions."""
    raise NoRule(f"kernels of pictures have no rule for {type(layer).__name__}, which mixes positions")


@steps_of.register
def _(layer: Chain, place: Place, wanted: bool) -> Iterator[Step]:
    return _in_series([chain(run) for run in _runs(layer.layers)], place, wanted)


@steps_of.register
def _(layer: Repeat, place: Place, wanted: bool) -> Iterator[Step]:
    return _in_series([layer.block] * layer.times, place, wanted)


def _runs(layers: Sequence[Layer]) -> list[list[Layer]]:
    """The layers of a chain, with those joined that follow each other and do not mix positions."""
    found: list[list[Layer]] = []
    for layer in layers:
        if found and not is_spatial(layer) and not is_spatial(found[-1][-1]):
            found[-1].append(layer)
        else:
            found.append([layer])
    return found


def _in_series(layers: Sequence[Layer], place: Place, wanted: bool) -> Iterator[Step]:
    behind = list(accumulate(reversed(layers[1:]), lambda now, part: pairs_before(part, now), initial=wanted))
    for layer, after in zip(layers, reversed(behind), strict=True):
        steps, place = plan(layer, place, after)
        yield from steps


@steps_of.register
def _(layer: Scale, place: Place, wanted: bool) -> Iterator[Step]:
    yield from plan(layer.layer, place, wanted)[0]
    yield partial(_scaled, factor=number(layer, "factor") ** 2)


@steps_of.register
def _(layer: Sum, place: Place, wanted: bool) -> Iterator[Step]:
    yield partial(_added, branches=[plan(branch, place, wanted)[0] for branch in layer.branches])


@steps_of.register
def _(layer: Conv, place: Place, wanted: bool) -> Iterator[Step]:
    over = windows(layer, place.shape)
    weight = number(layer, "weight_var") / prod(window.size for window in over)
    yield partial(_convolved, place=place, over=over, weight=weight, bias=number(layer, "bias_var"))


@steps_of.register
def _(layer: AvgPool, place: Place, wanted: bool) -> Iterator[Step]:
    yield partial(_pooled, over=windows(layer, place.shape))
    if not wanted:
        yield partial(alone, axes=len(place.shape))


@steps_of.register
def _(layer: GlobalAvgPool, place: Place, wanted: bool) -> Iterator[Step]:
    axes = len(place.shape)
    yield partial(_mean, axes=(*range(2, 2 + axes), *range(3 + axes, 3 + 2 * axes)))


@steps_of.register
def _(layer: Flatten, place: Place, wanted: bool) -> Iterator[Step]:
    yield partial(_mean, axes=tuple(range(len(place.shape))))


# -- what a step does ------------------------------------------------------------------------------------------------


def _through(walk: Walk, state: Array, local: Local) -> Array:
    walk.through(local, state)
    return state


def _scaled(walk: Walk, state: Array, factor: float) -> Array:
    state *= factor
    return state


def _added(walk: Walk, state: Array, branches: Sequence[Sequence[Step]]) -> Array:
    return reduce(np.add, (run(branch, walk, state.copy()) for branch in branches))


def _convolved(walk: Walk, state: Array, place: Place, over: Sequence[Window], weight: float, bias: float) -> Array:
    axes = len(over)
    for axis, window in enumerate(over):
        together = (2 + axis, 3 + axes + axis) if place.full else (axis,)
        state = windowed(state, together, **vars(window))
    state *= weight
    k, *tangent = np.moveaxis(state, 0 if place.full else axes, 0)
    k += bias
    for t in tangent:
        t += k
    return state


def _pooled(walk: Walk, state: Array, over: Sequence[Window]) -> Array:
    for axis, window in enumerate(over):
        for one in (2 + axis, 3 + len(over) + axis):
            state = windowed(state, (one,), **vars(window))
    state /= prod(window.size for window in over) ** 2
    return state


def _mean(walk: Walk, state: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray(state.mean(axis=axes))


def alone(walk: Walk, state: Array, axes: int) -> Array:
    """Of all pairs of positions those of a position with itself."""
    shape = state.shape[2 : 2 + axes]
    components, left, right = state.shape[0], state.shape[1], state.shape[2 + axes]
    rows = state.reshape(components, left, prod(shape), right, prod(shape))
    return np.ascontiguousarray(np.einsum("caibi->icab", rows)).reshape(*shape, components, left, right)
