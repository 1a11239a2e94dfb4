"""Kernels of real random networks on data, in the place of their limits.

NNGP y y^T/fan over the output neurons; NTK sum_l (g_l g_l^T) * (weight_var x_l x_l^T/fan_in + bias_var) over the Dense
layers l, x_l what enters and g_l the gradient of one output neuron at what leaves: J J^T in the parameters w, beta of
h = sqrt(weight_var/fan_in) w x + sqrt(bias_var) beta, without J. Jacot et al. 2018 (arXiv 1806.07572); the structure
is that of Novak, Sohl-Dickstein, Schoenholz 2022 (arXiv 2206.08720).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.finite.networks import whole
from meanfield.finite.observables import empirical_kernels
from meanfield.finite.sample import Seed, drawn
from meanfield.kernels import KERNELS, checked
from meanfield.progress import progress
from symbolic.networks import Layer


def empirical_kernel(
    net: Layer,
    x1: Any,
    x2: Any = None,
    *,
    width: int,
    draws: int = 1,
    get: Any = "nngp",
    outputs: int = 1,
    seed: Seed = 0,
    error: bool = False,
    threads: int | None = None,
) -> Any:
    """The NNGP or NTK of real networks `width` neurons wide between the rows of x1 and of x2, mean over the draws.

    Arguments and shapes are those of `kernel`, its limit as the width grows: y y^T/fan over the `width` output
    neurons, and J J^T of a single one, averaged over the first `outputs` of them; each is one more gradient to
    send back through the same weights, and none changes the expectation. error=True gives (mean, standard error)
    in the place of the mean, the error from the scatter of the draws, of which it needs two or more. Draw i at a
    width is the same network for every number of draws and of threads. Raises ValueError or TypeError as `kernel`
    and `sample` do, and ValueError for the NTK of an activation that jumps.
    """
    wanted, (a, b) = (get,) if isinstance(get, str) else tuple(get), checked(net, x1, x2, get)
    draws, outputs = whole("draws", draws), whole("outputs", outputs)
    if error and draws < 2:
        raise ValueError("the scatter of a single draw is unknown: error=True needs draws=2 or more")

    tangent = "ntk" in wanted

    def observe(rng: np.random.Generator) -> Array:
        return empirical_kernels(net, a, b, width=width, rng=rng, outputs=outputs, tangent=tangent)

    with progress("networks") as report:
        networks = drawn(observe, width=width, start=0, stop=draws, seed=seed, threads=threads)
        mean, squares = _moments(networks, lambda done: report(done, draws))
    index = [KERNELS.index(name) for name in wanted]
    results: list[Any] = [mean[i] for i in index]
    if error:
        results = [(mean[i], np.sqrt(squares[i] / (draws - 1) / draws)) for i in index]
    return results[0] if isinstance(get, str) else tuple(results)


def _moments(networks: Iterator[Array], report: Callable[[int], None]) -> tuple[Array, Array]:
    """Mean and centred sum of squares, one network at a time, so that none is kept (Welford 1962)."""
    mean = next(networks)
    squares = np.zeros_like(mean)
    for count, found in enumerate(networks, 2):
        step = found - mean
        mean += step / count
        squares += step * (found - mean)
        report(count)
    return mean, squares
