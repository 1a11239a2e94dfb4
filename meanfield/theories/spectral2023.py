"""Yang, Simon, Bernstein 2023, A spectral condition for feature learning, arXiv 2310.17813.

Features are learned at any width if |W_l|_2 and |dW_l|_2 are Theta(sqrt(fan_out/fan_in)): with SGD from weights of
standard deviation min(1, sqrt(fan_out/fan_in))/sqrt(fan_in) and rates fan_out/fan_in. Second-hand; that these are the
maximal update, and its exponents, is derived (symbolic.scaling). Largest singular values of real matrices, drawn and
trained for a step; twin: standard parametrization. Two inputs and outputs, for a drawn n x d matrix has
|W|_2 = sigma (sqrt n + sqrt d), whose second term at 8 inputs bends the slopes of these widths by 0.08.
"""

import numpy as np
from scipy.sparse.linalg import svds

from meanfield.finite.training.coordinates import Task
from meanfield.finite.training.mlp import Array, draw
from meanfield.finite.training.optimizers import train
from meanfield.growth import FACTOR, SCALE, TrainedCase, Training, derive, parts, slope
from meanfield.theory import Case, Prediction, Theory
from meanfield.trained import numbers, trainer
from symbolic.networks import Layer

TASK = Task(inputs=2, outputs=2)


def solve(block: Layer, case: Case) -> Prediction:
    """The exponents (o - i)/2 of both norms of each layer, its fan-in n^i and fan-out n^o."""
    layers = parts(block, case)[0].table.chain.layers
    labels = tuple(f"exponent of |{what}|_2, {p.name}" for what in ("W", "dW") for p in layers)
    exponents = [float(p.fan_out - p.fan_in) / 2 for p in layers]
    return Prediction(labels, np.array(exponents * 2), np.full(len(labels), SCALE))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """Their slopes between networks of `width` and of four times that."""
    training, seed = parts(block, case)[0], int(rng.integers(2**31))
    return slope(*(norms(training, n, seed) for n in (width, FACTOR * width)))


def norms(training: Training, width: int, seed: int) -> Array:
    """|W_l|_2 as drawn and |dW_l|_2 of the first step, layer by layer, multipliers included."""
    x, y, _ = TASK.draw(seed)
    layers = numbers(training.table, width, [1.0] * 3, TASK.inputs, training.rate, training.damping_size)
    start = draw(layers, width, TASK.inputs, TASK.outputs, np.random.default_rng([seed, width]))
    after = next(train(start, layers, trainer(training.table, {}, width), x, y))
    moved = [new - old for new, old in zip(after.weights, start.weights, strict=True)]
    pairs = zip((*start.weights, *moved), start.multipliers * 2, strict=True)
    return np.array([factor * largest(w) for w, factor in pairs])


def largest(matrix: Array) -> float:
    """The largest singular value."""
    if min(matrix.shape) <= TASK.inputs:
        return float(np.linalg.norm(matrix, 2))
    return float(svds(matrix, 1, v0=np.ones(len(matrix)), return_singular_vectors=False)[0])


THEORY = Theory(
    name="spectral2023",
    title="The spectral condition for feature learning",
    cite="arXiv 2310.17813; condition second-hand, exponents derived here",
    claim="|W|_2 and |dW|_2 of Theta(sqrt(fan_out/fan_in)) in every layer are the maximal update.",
    derive=derive,
    solve=solve,
    sample=sample,
    cases={"SGD": TrainedCase(Training("sgd"), Training("sgd", "standard"))},
    widths=(16, 64),
)
