"""Batch-normalized networks with real weights: h = W x, y = (h - mean h)/std h over the batch, x = phi(y), and back.

The gradient through the normalization of one neuron is (g - mean g - y mean(g y))/std h, means over the batch. Weights
are N(0, weight_var/width) and biases N(0, bias_var), of which the normalization takes the biases out again.
"""

import numpy as np

from meanfield.finite.formulas import evaluate, slope
from meanfield.finite.networks import Array, Draw, forward
from symbolic.networks import Dense, Pointwise


def batch_gradients(
    phi: Pointwise, dense: Dense, *, batch: int, width: int, depth: int, rng: np.random.Generator
) -> Array:
    """Mean squared gradients at the pre-activations 1 .. depth, of Gaussian noise at the last activations."""
    x, draw, steps = rng.standard_normal((batch, width)), Draw(width, rng), []
    for _ in range(depth):
        h, back = forward(dense, x, draw)
        spread = h.std(axis=0)
        y = (h - h.mean(axis=0)) / spread
        steps.append((y, spread, back))
        x = evaluate(phi.formula, y)
    g, sizes = rng.standard_normal(x.shape), []
    for y, spread, back in reversed(steps):
        g = g * evaluate(slope(phi.formula), y)
        g = (g - g.mean(axis=0) - y * (g * y).mean(axis=0)) / spread
        sizes.append(np.mean(g * g))
        g = back(g)
    return np.array(sizes[::-1])
