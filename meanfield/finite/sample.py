"""Many independent networks, reproducibly: draw number i at width n always has the stream (seed, n, i).

Streams are PCG64DXSM from SeedSequence(seed, spawn_key=(n, i)), so a draw depends neither on the
draws before it, nor on how draws are cut into batches, processes or threads.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from meanfield.blas import one_blas_thread
from meanfield.finite.networks import Array, whole
from meanfield.finite.observables import grams, inputs
from symbolic.networks import Layer

WIDE = 256
Seed = int | np.random.Generator | None


def entropy(seed: Seed) -> int:
    """The number that names all streams: the seed, one draw of a Generator, or fresh from the system."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(2, np.uint64)[0])
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, int | np.integer):
        raise TypeError(f"a seed is a whole number, a numpy.random.Generator or None, not {seed!r}")
    if seed < 0:
        raise ValueError(f"a seed is not negative, as {seed} is")
    return int(seed)


def stream(seed: Seed, *key: int) -> np.random.Generator:
    """The random numbers of one draw; equal seed and key, equal numbers, on every machine."""
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(entropy(seed), spawn_key=key)))


def drawn(
    observe: Callable[[np.random.Generator], Any],
    *,
    width: int,
    start: int,
    stop: int,
    seed: Seed,
    threads: int | None = None,
) -> Iterator[Array]:
    """observe(rng) for the draws start to stop, in their order."""
    if not 0 <= start < stop:
        raise ValueError(f"draws run from start >= 0 to a later stop, not from {start} to {stop}")
    root, width = entropy(seed), whole("width", width)

    def one(draw: int) -> Array:
        return np.asarray(observe(stream(root, width, draw)), dtype=np.float64)

    # Narrow networks spend their time holding the interpreter lock, where threads only wait for each other.
    default = (os.cpu_count() or 1) if width >= WIDE else 1
    workers = default if threads is None else whole("threads", threads)
    with one_blas_thread(), ThreadPoolExecutor(workers) as pool:
        # The first draw compiles the activations and meets any error, before there are threads.
        yield one(start)
        yield from pool.map(one, range(start + 1, stop))


def draw_many(
    observe: Callable[[np.random.Generator], Any],
    *,
    width: int,
    start: int,
    stop: int,
    seed: Seed,
    threads: int | None = None,
) -> Array:
    """observe(rng) for the draws start to stop, stacked: (stop - start, ...)."""
    return np.stack(list(drawn(observe, width=width, start=start, stop=stop, seed=seed, threads=threads)))


@dataclass(frozen=True, eq=False)
class Sample:
    """Gram matrices (draws, depth + 1, points, points) of independent networks, and what redraws them."""

    grams: Array
    width: int
    seed: int

    @property
    def draws(self) -> int:
        return len(self.grams)

    def mean(self) -> Array:
        """Mean over the draws: (depth + 1, points, points)."""
        return np.asarray(self.grams.mean(axis=0))

    def std(self) -> Array:
        """Standard deviation of one draw; that of the mean is smaller by sqrt(draws)."""
        if self.draws < 2:
            raise ValueError("the spread of one draw is unknown: sample with draws=2 or more")
        return np.asarray(self.grams.std(axis=0, ddof=1))

    def __str__(self) -> str:
        _, layers, points, _ = self.grams.shape
        return (
            f"{self.draws} x width {self.width}: Gram matrices of {points} points after {layers - 1} blocks, "
            f"seed {self.seed}"
        )

    __repr__ = __str__


def sample(
    network: Layer,
    x: Any,
    *,
    width: int,
    draws: int,
    seed: Seed = 0,
    conditional: bool = False,
    threads: int | None = None,
) -> Sample:
    """Gram matrices of `draws` finite networks, every layer `width` neurons wide, at the inputs x (points, features).

    Entry [d, l, i, j] of the result's `grams` is h_l(x_i) h_l(x_j)^T/fan behind block l of network d, l = 0 the inputs.
    `seed`: an integer, a Generator, or None for fresh entropy; network d is the same for any number of draws and of
    `threads`.
    conditional=True draws the outputs of each Dense layer from their exact law given its inputs instead of
    from weights: the same distribution, cheaper where points are few.
    Raises ValueError or TypeError for inputs that are not finite or of another shape, and for numbers that are not
    whole; NoRule (a TypeError) for a layer that has no network.
    """
    if threads is None and conditional:
        threads = 1  # a conditional draw is short whatever its width
    points, width, draws, root = inputs(x), whole("width", width), whole("draws", draws), entropy(seed)

    def observe(rng: np.random.Generator) -> Array:
        return grams(network, points, width=width, rng=rng, conditional=conditional)

    return Sample(draw_many(observe, width=width, start=0, stop=draws, seed=root, threads=threads), width, root)
