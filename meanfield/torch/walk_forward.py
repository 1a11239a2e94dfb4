"""What each operation does to mean products of signals, at infinite width; None where a measurement must say.

Affine K' = reach w K + b, w = fan_in E W^2, b = E bias^2;  Function K'_ab = E phi(u_a) phi(u_b);  layer norm K'_ab =
g (K_ab - m_a m_b)/(s_a s_b) + shifts, s^2 = q - m^2 + eps, rms norm without m;  sums of uncorrelated branches add with
squared coefficients;  dropout q' = q/keep, K'_ab = K_ab. At width n, Var log q gains 2/n behind Affine, kurtosis - 1
over n behind Function, and is passed on by the squared elasticity d log q'/d log q. Derived here; the limit is that of
Poole et al. 2016 (arXiv:1606.05340).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from math import inf

import numpy as np

from meanfield.torch.graph import Add, Affine, Constant, Drop, Function, Move, Norm, Operation, Scale, Shift
from meanfield.torch.walk_means import means
from meanfield.torch.walk_scatter import elasticities
from meanfield.torch.walk_state import Array, Measured, Signal, correlation


@dataclass(frozen=True)
class Place:
    """Where an operation stands: how many inputs of the batch there are, what was measured behind it, entries of its
    inputs, whether a sum's inputs are uncorrelated."""

    count: int
    measured: Measured | None
    sizes: tuple[float, ...]
    uncorrelated: bool = False


@singledispatch
def forward(operation: Operation, given: Sequence[Signal], place: Place) -> Signal | None:
    """The signal behind an operation, None where the theory is silent."""
    return None


@forward.register
def _(operation: Affine, given: Sequence[Signal], place: Place) -> Signal | None:
    before = given[0]
    weight_var = operation.reach * operation.fan_in * operation.weight.mean_square()
    bias_var = 0.0 if operation.bias is None else operation.bias.mean_square()
    gram = weight_var * before.gram + bias_var
    _, kept = elasticities(operation, given, 0, float(np.diagonal(gram).mean()))
    width = float(operation.fan_out)
    c = correlation(gram)
    return Signal(
        gram,
        np.zeros(len(gram)),
        drift=kept**2 * (before.drift + before.own),
        own=2 / width,
        drift_c=kept**2 * (before.drift_c + before.own_c),
        own_c=(1 - c**2) ** 2 / width,
        width=width,
    )


@forward.register
def _(operation: Function, given: Sequence[Signal], place: Place) -> Signal | None:
    before = given[0]
    if not (before.finite and before.gaussian):
        return None
    found = means(operation.phi, before.gram)
    gram = found.product.copy()
    np.fill_diagonal(gram, found.square)
    c, more = correlation(gram), max(found.kurtosis - 1, 0.0)
    ratio = _pull(found.steepness, before.gram, gram)
    return Signal(
        gram,
        found.mean,
        drift=found.elasticity**2 * before.drift,
        own=more / before.width,
        drift_c=ratio**2 * before.drift_c,
        own_c=(1 - c**2) ** 2 * more / 2 / before.width,
        width=before.width,
        gaussian=False,
    )


def _pull(steepness: Array, before: Array, after: Array) -> float:
    """dc'/dc, averaged over pairs."""
    if len(before) < 2 or not np.isfinite(steepness).all():
        return 1.0
    scale = np.sqrt(np.outer(np.diagonal(before), np.diagonal(before)))
    scale = scale / np.sqrt(np.outer(np.diagonal(after), np.diagonal(after)))
    return float((steepness * scale)[np.triu_indices(len(before), 1)].mean())


@forward.register
def _(operation: Norm, given: Sequence[Signal], place: Place) -> Signal | None:
    gain = 1.0 if operation.gain is None else operation.gain.mean_square()
    shift = 0.0 if operation.shift is None else operation.shift.mean_square()
    if operation.kind in ("layer", "rms"):
        return _each(operation, given[0], gain, shift)
    if place.measured is None or not place.measured.q > 0:
        return None
    # Each channel is centred over batch and positions, whose correlations no walk carries: only its size is known.
    before = given[0]
    scale = (gain * before.q / (before.q + operation.eps) + shift) / place.measured.q
    return replace(
        before,
        gram=scale * place.measured.gram,
        mean=place.measured.mean,
        drift=0.0,
        own=2 / (place.count * before.width),
        measured=frozenset({"c"}),
    )


def _each(operation: Norm, before: Signal, gain: float, shift: float) -> Signal:
    """Layer and RMS norm: each input (and position) by its own entries."""
    centre = before.mean if operation.kind == "layer" else np.zeros_like(before.mean)
    centred = before.gram - np.outer(centre, centre)
    roots = np.sqrt(np.diagonal(centred) + operation.eps)
    gram = gain * centred / np.outer(roots, roots) + shift
    mean = 0 * centre if operation.kind == "layer" else before.mean / roots
    return replace(before, gram=gram, mean=mean, drift=0.0, own=0.0, measured=frozenset())


@forward.register
def _(operation: Add, given: Sequence[Signal], place: Place) -> Signal | None:
    if not place.uncorrelated:
        return None
    factors = np.square(operation.coefficients)
    total = np.asarray(sum(factor * each.gram for factor, each in zip(factors, given, strict=True)))
    q = float(np.diagonal(total).mean())
    shares = [elasticities(operation, given, index, q)[1] for index in range(len(given))]
    width = min(each.width for each in given)
    drifts = np.array([[each.drift, each.drift_c + each.own_c] for each in given])
    drift, drift_c = np.square(shares) @ drifts
    crossed = 2 * (1 - float(np.square(shares).sum())) / width  # the products of branches, zero on average
    return Signal(
        total,
        np.asarray(sum(a * each.mean for a, each in zip(operation.coefficients, given, strict=True))),
        drift=float(drift),
        own=float(np.square(shares) @ [each.own for each in given]) + crossed,
        drift_c=float(drift_c),
        own_c=crossed,
        width=width,
        gaussian=all(each.gaussian for each in given),
    )


@forward.register
def _(operation: Scale, given: Sequence[Signal], place: Place) -> Signal | None:
    before = given[0]
    return replace(
        before, gram=operation.factor**2 * before.gram, mean=operation.factor * before.mean, measured=frozenset()
    )


@forward.register
def _(operation: Shift, given: Sequence[Signal], place: Place) -> Signal | None:
    added = operation.parameter.mean_square()
    return replace(given[0], gram=given[0].gram + added, measured=frozenset())


@forward.register
def _(operation: Constant, given: Sequence[Signal], place: Place) -> Signal | None:
    """The same for all inputs."""
    return Signal(
        np.full((place.count, place.count), operation.parameter.mean_square()), np.zeros(place.count), width=inf
    )


@forward.register
def _(operation: Drop, given: Sequence[Signal], place: Place) -> Signal | None:
    gram = given[0].gram.copy()
    np.fill_diagonal(gram, np.diagonal(gram) / (1 - operation.rate) if operation.rate < 1 else 0.0)
    return replace(given[0], gram=gram, measured=frozenset())


@forward.register
def _(operation: Move, given: Sequence[Signal], place: Place) -> Signal | None:
    """Entries that move keep their mean; which ones are left out is taken to make no difference."""
    sizes = np.nan_to_num(place.sizes, nan=1.0)
    share = sizes / sizes.sum()
    gram = np.asarray(sum(a * each.gram for a, each in zip(share, given, strict=True)))
    mean = np.asarray(sum(a * each.mean for a, each in zip(share, given, strict=True)))
    widest = max(given, key=lambda each: each.drift + each.own)
    return replace(widest, gram=gram, mean=mean, gaussian=all(each.gaussian for each in given), measured=frozenset())
