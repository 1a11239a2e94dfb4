"""The covariance of all positions of a grid, walked through a network of Fourier neural operators.

Sigma_ab of Gaussian signals at a, b becomes that behind the network, for one function or for several at once. A
Spectral layer reads averages along translations alone, so that Sigma is circulant behind it whatever it was; a path
that acts on each position, skip or filter of size 1, keeps what is not. Koshizuka et al. 2024 (arXiv 2310.06379): the
layer as recalled, derived here.
"""

from math import prod
from typing import Any

import numpy as np

from meanfield import images as images  # teaches plan every layer that mixes positions
from meanfield.build import Array
from meanfield.convolution import covariance
from meanfield.finite.convolutions import finite
from meanfield.finite.networks import whole
from meanfield.pixels import Own, Pairs, Place, Step, plan, run
from solvers.iterate import NotConverged
from symbolic.fourier import Spectral
from symbolic.networks import Layer
from symbolic.pictures import layers_in
from symbolic.signals import GAUSSIAN, kind_after


def grid_covariance(network: Layer, start: Any, *, axes: int | None = None) -> Array:
    """The covariance of the signals at all positions of a grid behind a network, given that in front of it.

    network: layers that read pre-activations and leave positions, such as mf.FourierBlock(12, "relu") ** 4, on grids
    of any number of axes. start: the covariance of the Gaussian signals in front, stationary or not, (*grid, *grid),
    or that of several functions, (points, *grid, points, *grid); the result has the same axes. axes: those of the
    grid, needed where start may be read both ways and no Spectral layer has one number of modes for each axis.

    Raises ValueError or TypeError for what is no covariance, no such network, or has not all its numbers; NoRule for
    layers without a rule; NotConverged where a mean diverges or cannot be integrated. Exact as `mf.kernel` is.
    """
    if not isinstance(network, Layer):
        raise TypeError(f"a network is layers such as mf.relu >> mf.Spectral(modes=12), not {network!r}")
    kind_after(network, GAUSSIAN)
    count = _axes(network, finite(start, "start").ndim, axes)
    sigma, shape = covariance(start, count)
    grid, functions = shape[-count:], prod(shape[:-count])
    steps, end = plan(network, Place(grid, GAUSSIAN, True, functions**2), True)
    if not end.shape:
        raise ValueError(
            f"'{network}' ends flat, but a covariance of positions is wanted behind it: leave out Flatten() and "
            "GlobalAvgPool(), or take mf.kernel"
        )
    with np.errstate(over="ignore"):
        found = _walked(steps, sigma.reshape(functions, *grid, functions, *grid), end)
    if not np.isfinite(found).all():
        raise NotConverged(
            f"the covariance behind '{network}' is not finite: a mean diverges, or could not be integrated; take fewer "
            "layers or a smaller weight_var"
        )
    return found.reshape((*shape[:-count], *end.shape) * 2)


def _axes(network: Layer, given: int, axes: int | None) -> int:
    """How many axes the grid has, of a covariance with `given` axes; ValueError where that cannot be told."""
    if axes is not None:
        return whole("axes", axes)
    known = {len(part.modes) for part in layers_in(network) if isinstance(part, Spectral) and np.ndim(part.modes)}
    if len(known) == 1:
        return known.pop()
    if given == 2:
        return 1
    raise ValueError(
        f"a start of {given} axes may be (*grid, *grid) or (points, *grid, points, *grid): say which by axes=, the "
        "number of axes of the grid, or write modes of a Spectral layer as a tuple of one for each axis"
    )


def _walked(steps: list[Step], sigma: Array, end: Place) -> Array:
    """Each function with itself, then each with those before it: (points, *grid, points, *grid) behind the steps."""
    functions, right = len(sigma), sigma.ndim // 2
    found = np.empty((functions, *end.shape) * 2)
    behind = np.moveaxis(found, 1 + len(end.shape), 1)  # (points, points, *positions, *positions)
    swap = (0, *range(1 + len(end.shape), 1 + 2 * len(end.shape)), *range(1, 1 + len(end.shape)))
    walks = [Own("nngp") for _ in range(functions)]
    for i, walk in enumerate(walks):
        row = np.moveaxis(sigma[i : i + 1], right, 0)  # (points, 1, *grid, *grid)
        own = run(steps, walk, _state(row[i : i + 1]))
        behind[i, i] = own.reshape(end.shape * 2)
        if i:
            noted = {key: np.concatenate([w.noted[key] for w in walks[:i]], axis=1) for key in walk.noted}
            pairs = run(steps, Pairs("nngp", walk.noted, noted), _state(row[:i]))[0, 0]
            behind[i, :i] = np.moveaxis(pairs, len(end.shape), 0)
            behind[:i, i] = behind[i, :i].transpose(swap)
    return found


def _state(row: Array) -> Array:
    """One function and several, (points, 1, *grid, *grid) -> a state (1, 1, *grid, points, *grid) of its own."""
    return np.moveaxis(row, 0, row.ndim // 2)[None].copy()
