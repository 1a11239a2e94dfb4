"""Infinite-width kernels of convolutional networks on pictures (points, *positions, channels), NNGP and NTK, exact.

The input covariance k(a i, b j) is the mean over channels of the product of pixel i of image a and pixel j of image
b. Images with themselves are walked first, which gives the variances; pairs of images follow in tiles of bounded
memory, below the diagonal alone where x2 is None. Novak et al. 2019 (arXiv 1810.05148), Garriga-Alonso et al. 2019
(arXiv 1808.05587): recalled and checked numerically, not re-read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield import fourier_kernels as fourier_kernels  # teaches plan the layers of Fourier neural operators
from meanfield import sequences as sequences  # teaches plan the layers of sequences
from meanfield.build import Array
from meanfield.pixels import Own, Pairs, Place, Step, plan, run
from meanfield.progress import Report
from solvers import gram
from solvers.attended import SETTLED
from solvers.iterate import NotConverged
from symbolic.attention import Attention
from symbolic.networks import Layer
from symbolic.pictures import layers_in, pairs_before, shape_after
from symbolic.signals import FEATURES, NoRule, kinds_through

ENTRIES = 2**20  # of a tile, unless a single pair of images has more
RUNS, WIDE = 5, 5.0  # runs that tell an error, and how many of their standard deviations are its bound
FEW = 4  # pairs of sequences of a tile behind attention, each pair being much work


def checked(net: Layer, x1: Any, x2: Any, names: tuple[str, str] = ("x1", "x2")) -> tuple[Array, Array | None]:
    """The pictures as arrays, if a kernel of the network can start from them; errors are those of `mf.kernel`."""
    if FEATURES not in kinds_through(net):
        raise ValueError(
            f"'{net}' starts with an activation, but pictures are not Gaussian: put a Conv layer first (of size 1, or "
            "a Spectral layer, where they are functions), or a Dense layer where they are sequences"
        )
    a = pictures(x1, names[0])
    b = None if x2 is None else pictures(x2, names[1])
    if b is not None and a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have pictures of the same shape (*positions, channels), not {a.shape[1:]} "
            f"and {b.shape[1:]}"
        )
    shape_after(net, a.shape[1:-1])
    return a, b


def entries(
    net: Layer,
    a: Array,
    b: Array | None,
    limit: str,
    places: Sequence[int],
    dtype: Any,
    report: Report,
    seed: int = 0,
) -> tuple[npt.NDArray[Any], ...]:
    """The components at `places` (0 nngp, 1 ntk) of the kernels between checked pictures, each (n1, n2).

    Without Flatten or GlobalAvgPool at the end those of all pairs of pixels, (n1, n2, *positions, *positions).
    `seed` is that of the means that are sampled, of softmax attention over more than four tokens.
    """
    shape, columns = a.shape[1:-1], a if b is None else b
    wanted = bool(shape_after(net, shape))
    start = Place(shape, FEATURES, pairs_before(net, wanted), len(a) * len(columns))
    steps, end = plan(net, start, wanted)
    found = np.empty((len(places), len(a), len(columns), *end.shape, *end.shape), dtype)
    with np.errstate(over="ignore"):
        most = FEW if any(isinstance(part, Attention) for part in layers_in(net)) else ENTRIES
        _fill(Walked(steps, start, end, limit, most, seed), a, b, list(places), found, report)
    if not np.isfinite(found).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0][1:])
        raise NotConverged(
            f"the kernel of '{net}' at {where} is not finite: a mean diverges, could not be integrated, or is too "
            f"large for {found.dtype}"
        )
    return tuple(found)


def scattered(
    net: Layer, a: Array, b: Array | None, limit: str, places: Sequence[int], dtype: Any, report: Report
) -> tuple[tuple[npt.NDArray[Any], npt.NDArray[Any]], ...]:
    """The kernels of a network with softmax attention, each with an estimate of how far its entries are off.

    The whole network is walked again with other points, and an entry's bound is WIDE standard deviations of these runs
    with 1e-6 of the largest entry for means on grids. NoRule where no scores are random.
    """
    if not any(isinstance(part, Attention) and part.random and part.score == "softmax" for part in layers_in(net)):
        raise NoRule(
            f"no bound is known on the error of the kernel of '{net}': it walks all pairs of positions, and the rules "
            "for errors are those of layers on vectors. Leave out error=True"
        )
    runs = [entries(net, a, b, limit, places, np.dtype(np.float64), report, seed) for seed in range(RUNS)]
    found = []
    for each in zip(*runs, strict=True):
        bound = WIDE * np.std(each, axis=0, ddof=1) + (SETTLED + np.finfo(dtype).eps) * np.abs(each[0]).max()
        found.append((each[0].astype(dtype, copy=False), bound.astype(dtype, copy=False)))
    return tuple(found)


def pictures(x: Any, name: str) -> Array:
    """A finite, non-empty (points, *positions, channels) array of float64; ValueError or TypeError else."""
    wanted = "(points, height, width, channels) or (points, length, channels)"
    try:
        array = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers {wanted}, not {type(x).__name__}") from None
    if array.ndim < 3 or 0 in array.shape:
        raise ValueError(
            f"{name} must be non-empty pictures of shape {wanted}, as the network has layers for pictures, not of "
            f"shape {array.shape}"
        )
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, but {name}[{', '.join(map(str, where))}] is {array[where]}")
    return array


@dataclass(frozen=True)
class Walked:
    """A network as steps, from where to where, for a limit."""

    steps: Sequence[Step]
    start: Place
    end: Place
    limit: str
    most: int  # pairs of images of a tile
    seed: int

    @property
    def components(self) -> int:
        return 2 if self.limit == "ntk" else 1

    @property
    def entries(self) -> int:
        """Of the state of one pair of images in front of the network."""
        return self.components * self.start.entries // self.start.images

    @property
    def together(self) -> int:
        """How many pairs of images a tile holds."""
        return min(self.most, max(1, ENTRIES // self.entries))


def _fill(net: Walked, a: Array, b: Array | None, places: list[int], found: npt.NDArray[Any], report: Report) -> None:
    """The components at `places` for all pairs of images, in place."""
    columns = a if b is None else b
    left, own = _variances(net if b is None else replace(net, limit="nngp"), a)
    right = left if b is None else _variances(replace(net, limit="nngp"), b)[0]

    def task(tile: tuple[slice, slice]) -> None:
        rows, cols = tile
        walk = Pairs(net.limit, _cut(left, rows), _cut(right, cols), net.seed)
        state = run(net.steps, walk, _start(a[rows], columns[cols], net))
        found[:, rows, cols] = _by_images(state, net.end)[places]

    gram.run(task, list(_tiles(len(a), len(columns), net.together, b is None)), report)
    if b is None:
        _mirror(found, own[places], net.end)


def _variances(net: Walked, x: Array) -> tuple[dict[Any, Array], Array]:
    """What each local layer reads of the images, (times, images, positions), and the images with themselves behind
    all."""
    # All pairs of positions of an image with itself are no tile of images: there one image is walked at a time.
    count = 1 if net.start.full else max(1, ENTRIES // net.entries)

    def task(first: int) -> tuple[Own, Array]:
        walk = Own(net.limit, seed=net.seed)
        state = run(net.steps, walk, _selves(x[first : first + count], net))
        return walk, _by_images(state, net.end)[:, :, 0]

    walks, states = zip(*gram.run(task, range(0, len(x), count)), strict=True)
    noted = {local: np.concatenate([walk.noted[local] for walk in walks], axis=1) for local in walks[0].noted}
    return noted, np.concatenate(states, axis=1)


def _tiles(rows: int, columns: int, pairs: int, symmetric: bool) -> Iterator[tuple[slice, slice]]:
    """Blocks of at most `pairs` pairs of images, about square; of a symmetric kernel those that reach below the
    diagonal."""
    height = min(rows, max(1, int(pairs**0.5)))
    width = min(columns, max(1, pairs // height))
    for i in range(0, rows, height):
        for j in range(0, columns, width):
            if not symmetric or j < min(i + height, rows) - 1:
                yield slice(i, min(i + height, rows)), slice(j, min(j + width, columns))


def _cut(noted: dict[Any, Array], images: slice) -> dict[Any, Array]:
    return {local: variances[:, images] for local, variances in noted.items()}


def _start(a: Array, b: Array, net: Walked) -> Array:
    """The state in front of the network for images a (n1, *positions, channels) and b."""
    start, components, channels = net.start, net.components, a.shape[-1]
    left, right = (x.reshape(len(x), start.size, channels) for x in (a, b))
    if start.full:
        state = np.zeros((components, len(a), *start.shape, len(b), *start.shape))
        k = left.reshape(-1, channels) @ right.reshape(-1, channels).T
        state[0] = (k / channels).reshape(state.shape[1:])
        return state
    state = np.zeros((start.size, components, len(a), len(b)))
    state[:, 0] = left.swapaxes(0, 1) @ right.transpose(1, 2, 0) / channels
    return state.reshape(*start.shape, *state.shape[1:])


def _selves(x: Array, net: Walked) -> Array:
    """The state in front of the network for images with themselves."""
    if net.start.full:
        return _start(x, x, net)
    state = np.zeros((*net.start.shape, net.components, len(x), 1))
    state[..., 0, :, 0] = np.moveaxis((x * x).mean(axis=-1), 0, -1)
    return state


def _by_images(state: Array, end: Place) -> Array:
    """(components, n1, *positions, n2, *positions) -> (components, n1, n2, *positions, *positions)."""
    return np.moveaxis(state, 2 + len(end.shape), 2)


def _mirror(found: npt.NDArray[Any], own: Array, end: Place) -> None:
    """Write what lies above the diagonal, and the images with themselves, in place."""
    axes = len(end.shape)
    swapped = (0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    for a in range(found.shape[1]):
        found[:, :a, a] = found[:, a, :a].transpose(swapped)
        found[:, a, a] = own[:, a]
