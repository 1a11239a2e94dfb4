"""Finite random networks, one rule per layer: a signal through fresh weights, and its exact gradient back.

Dense draws W_ij = sqrt(weight_var/fan_in) w_ij, b_i = sqrt(bias_var) beta_i with w, beta standard normal.
Given its input x, the output neurons are independent Gaussian vectors over the points, with covariance
weight_var x x^T/fan_in + bias_var: the conditional draw samples that law without weights.
Gradients: Dense g W;  phi g phi'(x);  Dropout g mask/keep;  RMSNorm (g - y mean(g y))/rms;
LayerNorm (g - mean g - y mean(g y))/std, means over the neurons.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce, singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield.finite.formulas import evaluate, slope
from meanfield.finite.roots import gram_root
from symbolic.networks import Chain, Dense, Dropout, Identity, Layer, LayerNorm, Pointwise, Repeat, RMSNorm, Scale, Sum
from symbolic.signals import NoRule

Array = npt.NDArray[np.float64]
Pullback = Callable[[Array], Array]
Passed = tuple[Array, Pullback]


@dataclass
class Passage:
    """One pass through a matrix of weights, of a Dense layer (points, fan_in), a filter or a layer of tokens (points,
    positions, fan_in): input, numbers, later the gradient at its output."""

    x: Array
    weight_var: float
    fan_in: int
    bias_var: float
    gradient: Array | None = None


@dataclass
class Tape:
    """The Dense layers passed, in the order of their draws."""

    passages: list[Passage] = field(default_factory=list)


@dataclass(frozen=True)
class Draw:
    """How a network is drawn: fan_out of every Dense layer, randomness, weights or their conditional law."""

    width: int
    rng: np.random.Generator
    conditional: bool = False
    tape: Tape | None = None

    def __post_init__(self) -> None:
        whole("width", self.width)
        if not isinstance(self.rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator such as stream(seed), not {self.rng!r}")


def whole(name: str, value: Any) -> int:
    """A positive whole number; TypeError or ValueError else."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return int(value)


def number(layer: Layer, name: str) -> float:
    """The layer's number as a float; ValueError where it is still a symbol."""
    value = getattr(layer, name)
    if value.free_symbols:
        missing = " and ".join(sorted(s.name for s in value.free_symbols))
        raise ValueError(f"{missing} of '{layer}' has no value: write {name}=... in its layer")
    return float(value)


@singledispatch
def forward(layer: Layer, x: Array, draw: Draw) -> Passed:
    """Signals x (points, fan_in) through a freshly drawn layer, and the way back for gradients."""
    known = ", ".join(sorted(c.__name__ for c in forward.registry if c is not object))
    raise NoRule(f"finite networks have no rule for {type(layer).__name__}; they have rules for {known}")


@forward.register
def _(layer: Identity, x: Array, draw: Draw) -> Passed:
    return x, lambda g: g


@forward.register
def _(layer: Dense, x: Array, draw: Draw) -> Passed:
    weight_var, bias_var = number(layer, "weight_var"), number(layer, "bias_var")
    if draw.conditional:
        return _conditional(x, weight_var, bias_var, draw)
    return linear(x, weight_var, bias_var, draw)


def linear(x: Array, weight_var: float, bias_var: float, draw: Draw) -> Passed:
    """x W^T + b for fresh W (width, fan_in) and b, taped: of vectors, or of each token of sequences."""
    fan_in = x.shape[-1]
    scale = np.sqrt(weight_var / fan_in)
    w = draw.rng.standard_normal((draw.width, fan_in))
    beta = draw.rng.standard_normal(draw.width)
    passage = Passage(x, weight_var, fan_in, bias_var)
    if draw.tape is not None:
        draw.tape.passages.append(passage)

    def pullback(g: Array) -> Array:
        passage.gradient = g
        # One product for all leading axes: w is read once, however many gradients come back.
        flat = (scale * g).reshape(-1, draw.width) @ w
        return flat.reshape(*g.shape[:-1], fan_in)

    return (scale * x) @ w.T + np.sqrt(bias_var) * beta, pullback


def _conditional(x: Array, weight_var: float, bias_var: float, draw: Draw) -> Passed:
    rows = x.reshape(-1, x.shape[-1])
    factor = gram_root(weight_var * (rows @ rows.T) / x.shape[-1] + bias_var)

    def pullback(g: Array) -> Array:
        raise ValueError("a conditional draw has no weights to go back through: draw with conditional=False")

    return (factor @ draw.rng.standard_normal((len(rows), draw.width))).reshape(*x.shape[:-1], draw.width), pullback


@forward.register
def _(layer: Pointwise, x: Array, draw: Draw) -> Passed:
    return evaluate(layer.formula, x), lambda g: g * evaluate(slope(layer.formula), x)


@forward.register
def _(layer: Dropout, x: Array, draw: Draw) -> Passed:
    keep = number(layer, "keep")
    mask = (draw.rng.random(x.shape) < keep) / keep
    return x * mask, lambda g: g * mask


@forward.register
def _(layer: LayerNorm, x: Array, draw: Draw) -> Passed:
    y, spread = _normalised(layer, x - _mean(x), _mean(x * x))
    return y, lambda g: (g - _mean(g) - y * _mean(g * y)) / spread


@forward.register
def _(layer: RMSNorm, x: Array, draw: Draw) -> Passed:
    y, spread = _normalised(layer, x, _mean(x * x))
    return y, lambda g: (g - y * _mean(g * y)) / spread


def _mean(x: Array) -> Array:
    return np.asarray(x.mean(axis=-1, keepdims=True))


def _normalised(layer: Layer, x: Array, second_moment: Array) -> tuple[Array, Array]:
    square = _mean(x * x)
    # Equal neurons leave rounding errors around their mean, which a division would blow up to a signal.
    if (square <= 1e-28 * second_moment).any():
        point = int(np.argmin(square))
        raise ValueError(f"'{layer}' would divide by zero: the neurons of point {point} have no spread")
    return x / np.sqrt(square), np.sqrt(square)


@forward.register
def _(layer: Scale, x: Array, draw: Draw) -> Passed:
    factor = number(layer, "factor")
    y, back = forward(layer.layer, x, draw)
    return factor * y, lambda g: back(factor * g)


@forward.register
def _(layer: Chain, x: Array, draw: Draw) -> Passed:
    return _in_series(layer.layers, x, draw)


@forward.register
def _(layer: Repeat, x: Array, draw: Draw) -> Passed:
    return _in_series((layer.block,) * layer.times, x, draw)


def _in_series(layers: tuple[Layer, ...], x: Array, draw: Draw) -> Passed:
    backs: list[Pullback] = []
    for part in layers:
        x, back = forward(part, x, draw)
        backs.append(back)

    def pullback(g: Array) -> Array:
        for back in reversed(backs):
            g = back(g)
        return g

    return x, pullback


@forward.register
def _(layer: Sum, x: Array, draw: Draw) -> Passed:
    outputs, backs = zip(*(forward(branch, x, draw) for branch in layer.branches), strict=True)
    sizes = [y.shape[-1] for y in outputs]
    # Checked here because one neuron would broadcast against many without an error.
    if len(set(sizes)) > 1:
        found = " and ".join(map(str, sizes))
        raise ValueError(f"the branches of '{layer}' have {found} neurons: put a Dense layer before it")
    return reduce(np.add, outputs), lambda g: reduce(np.add, (back(g) for back in backs))
