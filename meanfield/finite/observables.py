"""What is measured in one drawn network, for the limits to be compared with.

Gram matrices y y^T/fan behind each block (nngp); mean squared gradients before each block (gradient); and the
empirical tangent kernel (ntk), a sum over Dense layers of (g g^T) * (weight_var x x^T/fan_in + bias_var),
where x is the layer's input and g the gradient of an output neuron at its output; of a filter that of its gradients.
Jacot et al. 2018 (arXiv 1806.07572).
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import numpy as np

from meanfield.finite.networks import Array, Draw, Passage, Pullback, Tape, forward, whole
from symbolic.networks import Layer
from symbolic.structure import blocks

TOGETHER = 8  # output neurons whose gradients go back at once: each holds one number for every point and neuron


def inputs(x: Any) -> Array:
    """Inputs as a finite matrix (points, features); TypeError or ValueError, with the position, else."""
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"x must hold real numbers, not {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"x must be a matrix (points, features), both at least 1, not of shape {array.shape}")
    if not np.isfinite(array).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"x must be finite, but x[{row}, {column}] is {array[row, column]}")
    return array.astype(np.float64)


def _expanded(network: Layer) -> Iterator[Layer]:
    if not isinstance(network, Layer):
        raise TypeError(f"a network is made of layers such as mf.tanh >> mf.Dense(1.5, 0.05), not of {network!r}")
    for block, times in blocks(network):
        yield from repeat(block, times)


def grams(network: Layer, x: Any, *, width: int, rng: np.random.Generator, conditional: bool = False) -> Array:
    """y y^T/fan at the input and after each block: (depth + 1, points, points)."""
    y, draw = inputs(x), Draw(width, rng, conditional)
    found = [y @ y.T / y.shape[-1]]
    for block in _expanded(network):
        y, _ = forward(block, y, draw)
        found.append(y @ y.T / y.shape[-1])
    return np.stack(found)


def gradient_profile(network: Layer, x: Any, *, width: int, rng: np.random.Generator) -> Array:
    """Mean squared gradient per neuron, at the input and behind each block, relative to the output.

    Shape (depth + 1, points); the gradient at the output is Gaussian noise. Entry 0 is a mean over the
    neurons of the input, so that a first Dense layer multiplies it by weight_var * width/features: by the
    weight_var of the limit where features = width.
    """
    y, draw = inputs(x), Draw(width, rng)
    backs: list[Pullback] = []
    for block in _expanded(network):
        y, back = forward(block, y, draw)
        backs.append(back)
    g = rng.standard_normal(y.shape)
    sizes = [(g * g).mean(axis=-1)]
    for back in reversed(backs):
        g = back(g)
        sizes.append((g * g).mean(axis=-1))
    return np.stack(sizes[::-1]) / sizes[0]


def empirical_ntk(network: Layer, x: Any, *, width: int, rng: np.random.Generator, outputs: int = 8) -> Array:
    """Tangent kernel (points, points), all w and beta trained, mean over the first `outputs` neurons."""
    return empirical_kernels(network, inputs(x), width=width, rng=rng, outputs=outputs)[1]


def empirical_kernels(
    network: Layer,
    a: Array,
    b: Array | None = None,
    *,
    width: int,
    rng: np.random.Generator,
    outputs: int = 1,
    tangent: bool = True,
) -> Array:
    """y y^T/fan and, with `tangent`, the tangent kernel, between the rows of a and of b (None: a itself).

    Shape (1 or 2, len(a), len(b)); one network, the tangent kernel being a mean over its first `outputs` neurons.
    """
    left, right = slice(len(a)), slice(0 if b is None else len(a), None)
    tape, count = Tape(), whole("outputs", outputs)
    draw = Draw(width, rng, tape=tape if tangent else None)
    y, back = forward(network, a if b is None else np.concatenate([a, b]), draw)
    if y.ndim != 2:
        raise ValueError(
            f"outputs are no pictures, as those of '{network}' are: end it with Flatten() or GlobalAvgPool()"
        )
    nngp = y[left] @ y[right].T / y.shape[-1]
    if not tangent:
        return nngp[None]
    if count > y.shape[-1]:
        raise ValueError(f"outputs must be at most the network's {y.shape[-1]} output neurons, not {count}")
    ntk = np.zeros_like(nngp)
    for first in range(0, count, TOGETHER):
        # The points do not touch, so one gradient of a neuron at all points is its gradient at each of them; it is the
        # same at all points, hence an axis of length 1, down to the layer where they first differ.
        back(np.eye(count, y.shape[-1])[first : first + TOGETHER, None, :])
        for passage in tape.passages:
            ntk += _share(passage, left, right)
    return np.stack([nngp, ntk / count])


def _share(passage: Passage, left: slice, right: slice) -> Array:
    """What the weights and biases of one layer add to the tangent kernel, summed over output neurons."""
    x, g = passage.x, passage.gradient
    assert g is not None, "the gradient went back through every layer"
    if x.ndim == 3:
        return _share_of_filter(passage, x, g, left, right)
    rows = np.broadcast_to(g, (len(g), len(x), g.shape[-1])).swapaxes(0, 1).reshape(len(x), -1)
    own = passage.weight_var * (x[left] @ x[right].T) / passage.fan_in + passage.bias_var
    return np.asarray((rows[left] @ rows[right].T) * own)


def _share_of_filter(passage: Passage, x: Array, g: Array, left: slice, right: slice) -> Array:
    """The same of a filter, whose gradient is a sum over the positions where it was applied, sum_i g(i) x(i)^T."""
    share = 0.0
    for one in np.broadcast_to(g, (len(g), len(x), *g.shape[2:])).reshape(len(g), *x.shape[:2], -1):
        weights, biases = (one.swapaxes(1, 2) @ x).reshape(len(x), -1), one.sum(axis=1)
        share += passage.weight_var / passage.fan_in * (weights[left] @ weights[right].T)
        share += passage.bias_var * (biases[left] @ biases[right].T)
    return np.asarray(share)
