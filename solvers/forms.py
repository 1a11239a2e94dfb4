"""Compiled loops over the random scores of attention: heads applied to values, and quadratic forms Q = A G A^T.

zeta makes the weights A of one query from its scores over the keys that it reads: e^p/sum e^p, p or max(p, 0). Laws of
Q are kept as bins, each with its mass and three moments about its middle, and become two masses that keep all four:
positive, and exact for polynomials of degree three in each bin.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from solvers.jit import cached, jit
from solvers.vecmath import exp

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

KINDS = {"softmax": 0, "identity": 1, "relu": 2}


@jit
def _zeta(p: Array, kind: int) -> None:
    """Scores to weights, in place."""
    if kind == 0:
        top = p[0]
        for j in range(1, p.size):
            top = max(top, p[j])
        total = 0.0
        for j in range(p.size):
            p[j] = exp(p[j] - top)
            total += p[j]
        for j in range(p.size):
            p[j] /= total
    elif kind == 2:
        for j in range(p.size):
            p[j] = max(p[j], 0.0)


@cached
def attend(scores: Array, values: Array, keys: Any, kind: int, out: Array) -> None:
    """out (draws, tokens, channels) += sum over heads of zeta(scores) values; scores (draws, heads, tokens, tokens),
    values (draws, heads, tokens, channels), keys (tokens, tokens): what is read."""
    draws, heads, tokens, channels = values.shape
    read = np.empty((tokens, tokens), np.int64)
    counts = np.zeros(tokens, np.int64)
    for i in range(tokens):
        for j in range(tokens):
            if keys[i, j]:
                read[i, counts[i]] = j
                counts[i] += 1
    row = np.empty(tokens)
    for d in range(draws):
        for a in range(heads):
            for i in range(tokens):
                for n in range(counts[i]):
                    row[n] = scores[d, a, i, read[i, n]]
                _zeta(row[: counts[i]], kind)
                for n in range(counts[i]):
                    weight, j = row[n], read[i, n]
                    for c in range(channels):
                        out[d, i, c] += weight * values[d, a, j, c]


@jit
def _form(row: Array, gram: Array) -> float:
    total = 0.0
    for i in range(row.size):
        inner = 0.5 * gram[i, i] * row[i]
        for j in range(i):
            inner += gram[i, j] * row[j]
        total += 2.0 * row[i] * inner
    return max(total, 0.0)


@jit
def _deposit(q: float, weight: float, unit: float, bins: Array) -> None:
    """Bin x of q/(q + unit), with moments about the q in its middle."""
    at = min(int(q / (q + unit) * bins.shape[0]), bins.shape[0] - 1)
    x = (at + 0.5) / bins.shape[0]
    off = q - unit * x / (1.0 - x)
    for m in range(4):
        bins[at, m] += weight
        weight *= off


@cached
def lattice_bins(factor: Array, gram: Array, kind: int, steps: Array, radius: float, unit: float, bins: Array) -> None:
    """The law of Q for scores factor z, z standard normal, on the points of a lattice within a radius; the sum is the
    trapezoidal rule."""
    keys, size = factor.shape
    most = np.empty(size, np.int64)
    at, p = np.empty(size, np.int64), np.empty(keys)
    volume = 1.0
    for d in range(size):
        most[d] = int(radius / steps[d])
        at[d] = -most[d]
        volume *= steps[d] / math.sqrt(2.0 * math.pi)
    while True:
        square = 0.0
        for d in range(size):
            square += (at[d] * steps[d]) ** 2
        if square <= radius * radius:
            for i in range(keys):
                p[i] = 0.0
                for d in range(size):
                    p[i] += factor[i, d] * (at[d] * steps[d])
            _zeta(p, kind)
            _deposit(_form(p, gram), volume * math.exp(-0.5 * square), unit, bins)
        d = 0
        while d < size and at[d] == most[d]:
            at[d] = -most[d]
            d += 1
        if d == size:
            return
        at[d] += 1


@cached
def point_bins(factor: Array, gram: Array, kind: int, points: Array, unit: float, bins: Array) -> None:
    """The same on given points z (points, size) of equal weight."""
    p = np.empty(factor.shape[0])
    for n in range(points.shape[0]):
        for i in range(p.size):
            p[i] = 0.0
            for d in range(points.shape[1]):
                p[i] += factor[i, d] * points[n, d]
        _zeta(p, kind)
        _deposit(_form(p, gram), 1.0 / points.shape[0], unit, bins)


def two_masses(bins: Array, unit: float) -> tuple[Array, Array]:
    """Places and masses that keep the four moments of each bin (the Gauss rule of two points)."""
    x = (np.arange(len(bins)) + 0.5) / len(bins)
    middle, width = unit * x / (1 - x), unit / len(bins) / (1 - x) ** 2
    full = bins[:, 0] > 0
    mass, middle, width = bins[full, 0], middle[full], width[full]
    first, second, third = (bins[full, 1:] / mass[:, None]).T
    variance = second - first**2
    spread = variance > 1e-10 * width**2  # below, it is rounding
    sigma = np.sqrt(np.where(spread, variance, 1.0))
    skew = np.where(spread, (third - 3 * first * second + 2 * first**3) / sigma**3, 0.0)
    root = np.sqrt(skew**2 + 4)
    # The smaller of two roots with product -1 by division: their difference would cancel.
    larger = (np.abs(skew) + root) / 2
    up, down = np.where(skew >= 0, larger, 1 / larger), np.where(skew >= 0, -1 / larger, -larger)
    sigma = np.where(spread, sigma, 0.0)
    places = np.concatenate([middle + first + sigma * up, middle + first + sigma * down])
    masses = np.concatenate([-mass * down / root, mass * up / root])
    return np.maximum(places, 0.0), masses
