"""Hermite coefficients a_k = E f(√q z) he_k(z), k < n, z ~ N(0, 1), he_k = He_k/√k! orthonormal, for many q.

he_{k+1} = (z he_k - √k he_{k-1})/√(k+1) is carried damped by exp(-z²/4): below 1 inside, and no overflow beyond the
turning point 2√k. The even and the odd part of f are integrated over z > 0 by Gauss-Legendre panels of 20 nodes with
edges on the landmarks, no longer than their distance from one, nor than 14 radians of he_n (local frequency √n) and f.
Error, Euclidean over k: |20 nodes - 16 nodes| + √(E f² over the last panel), by Bessel a bound on what lies beyond the
window, + rounding.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from solvers.gram import in_threads
from solvers.jit import cached
from solvers.panels import DENSITY, FINEST, Rates

Array = npt.NDArray[np.float64]

WINDOW = 15.0  # f he_k phi decays as exp(-z²/4) only; x^10 still ends below 1e-16
WIDEST = 50.0  # not far beyond, exp(-z²/4), where the recurrence starts, is no longer a normal number
RADIANS, DECAY = 14.0, 4.0  # what 16 nodes follow to 1e-16; the rate that exp(-z²/4) adds
FASTEST = 45.0  # a function this fast spreads over some 45² coefficients
FIXED = 3e5  # what one variance costs whatever n, in multiply-adds
STRIP = 512  # nodes whose recurrence stays in the first-level cache
ROUNDING = 1e-16  # times (2 + √n) √(E f²): measured against closed values, with a margin of two
UNRESOLVED = 1e-8  # of E f²: the gap between the rules no longer bounds anything
EACH = 4e-16  # √(E f²) in each coefficient, likewise


def _mirrored(nodes: list[float], weights: list[float]) -> tuple[Array, Array]:
    return np.array([-x for x in nodes[::-1]] + nodes), np.array(weights[::-1] + weights)


# Rounded from 40 digits: numpy's leggauss weights are off by up to 1e-15.
N16 = [0.09501250983763744, 0.2816035507792589, 0.45801677765722737, 0.6178762444026438]
V16 = [0.1894506104550685, 0.18260341504492358, 0.16915651939500254, 0.14959598881657674]
X16, W16 = _mirrored(
    [*N16, 0.755404408355003, 0.8656312023878318, 0.9445750230732326, 0.9894009349916499],
    [*V16, 0.12462897125553388, 0.09515851168249279, 0.062253523938647894, 0.027152459411754096],
)
N20 = [0.07652652113349734, 0.22778585114164507, 0.37370608871541955, 0.5108670019508271, 0.636053680726515]
V20 = [0.15275338713072584, 0.14917298647260374, 0.14209610931838204, 0.13168863844917664, 0.11819453196151841]
X20, W20 = _mirrored(
    [*N20, 0.7463319064601508, 0.8391169718222188, 0.912234428251326, 0.9639719272779138, 0.9931285991850949],
    [*V20, 0.10193011981724044, 0.08327674157670475, 0.06267204833410907, 0.04060142980038694, 0.017614007139152118],
)


@dataclass(frozen=True)
class Curve:
    """A function of one variable and what is known about it.

    `marks` are its kinks, jumps and the centres of its transitions of width ~1; rates (b, w0, w1) say that it grows at
    most as poly(x) exp(b |x|) and that its phase turns by w0 + w1 |x| per unit of x.
    """

    values: Callable[[Array], Array]
    marks: Array = field(default_factory=lambda: np.empty(0))
    rates: Rates = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Spectrum:
    """Coefficients, shape (variances, n), and for the even and the odd ones, shape (variances, 2): E f², the Euclidean
    norm of their errors, and how far E f² - Σ a_k² may be off."""

    coefficients: Array
    energy: Array
    error: Array
    blur: Array


def empty(count: int, n: int) -> Spectrum:
    """What is known where nothing is."""
    return Spectrum(np.full((count, n), np.nan), *(np.full((count, 2), x) for x in (np.nan, np.inf, np.inf)))


def coefficients(f: Curve, q: Array, n: int) -> tuple[Array, Array]:
    """The first n coefficients for each variance, shape (len(q), n), and a bound on the Euclidean norm of their error.

    NaN, with an infinite error, where q or f is not finite, q is negative, f grows out of the window, or E f² is not
    found: it may diverge.
    """
    found = spectrum(f, q, n)
    return found.coefficients, np.hypot(found.error[:, 0], found.error[:, 1])


def spectrum(f: Curve, q: Array, n: int) -> Spectrum:
    """The coefficients with what belongs to each parity apart."""
    out = empty(len(q), n)
    for i, variance in enumerate(q):
        root = math.sqrt(variance) if 0.0 <= variance < math.inf else math.nan
        if _window(f, root)[0] <= WIDEST:
            with np.errstate(all="ignore"):
                found = _project(f, root, n)
            if all(np.isfinite(part).all() for part in found):
                out.coefficients[i], out.energy[i], out.error[i], out.blur[i] = found
    return out


def spectra(f: Curve, q: Array, n: int) -> Spectrum:
    """The same on all cores."""
    out = empty(len(q), n)

    def fill(rows: tuple[int, int]) -> None:
        part = spectrum(f, q[slice(*rows)], n)
        for whole, some in zip(vars(out).values(), vars(part).values(), strict=True):
            whole[slice(*rows)] = some

    in_threads(fill, len(q), triangle=False)
    return out


def remainders(found: Spectrum, block: int, safety: float) -> tuple[Array, Array]:
    """After 0, 1, 2 .. blocks of coefficients of each parity: T, the rest of E f², from above, what was measured of it
    times `safety`; and Σ k a_k² up to there. Shape (parity, variance, blocks)."""
    rows, n = found.coefficients.shape
    squares = found.coefficients**2
    by_block, steep = (
        (squares * weights).reshape(rows, n // (2 * block), block, 2).sum(axis=2).transpose(2, 0, 1)
        for weights in (np.ones(n), np.arange(n))
    )
    rest = np.maximum(found.energy.T - by_block.sum(axis=2), 0.0)[:, :, None]
    tails = np.concatenate((by_block, rest), axis=2)[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    return safety * tails + found.blur.T[:, :, None], np.concatenate((0.0 * rest, steep), axis=2).cumsum(axis=2)


def effort(f: Curve, q: float, n: int) -> float:
    """About how many multiply-adds the coefficients at one variance take; inf where f is too fast for any series."""
    reach, speed = _window(f, math.sqrt(q))
    panels = reach * (math.sqrt(n) + DECAY + speed) / RADIANS
    return FIXED + (X16.size + X20.size) * panels * n if speed <= FASTEST else math.inf


def _window(f: Curve, root: float) -> tuple[float, float]:
    """Where f he_k phi ends, and how fast f turns or grows up to there, per unit of z."""
    growth, wave, chirp = f.rates
    shift = 2.0 * growth * root  # where exp(b |x| - z²/4) peaks
    reach = shift + math.hypot(shift, WINDOW)
    return reach, root * (growth + wave + chirp * root * reach)


def _project(f: Curve, root: float, n: int) -> tuple[Array, Array, Array, Array]:
    """One row of a Spectrum."""
    reach, speed = _window(f, root)
    edges = _edges(np.abs(f.marks), root, reach, RADIANS / (math.sqrt(n) + DECAY + speed))
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    z16, z20 = (middle + half * X16).ravel(), (middle + half * X20).ravel()
    right, left = f.values(np.concatenate((root * z16, root * z20, -root * z16, -root * z20))).reshape(2, -1)
    parts = 0.5 * np.stack((right + left, right - left))
    a16, rough = _rule_of(z16, (half * W16).ravel(), parts[:, : z16.size], n)
    a20, squares = _rule_of(z20, (half * W20).ravel(), parts[:, z16.size :], n)
    gap, energy, last = np.abs(a20 - a16), squares.sum(axis=1), squares[:, -X20.size :].sum(axis=1)
    norm, gaps = np.sqrt(energy), np.array([np.linalg.norm(gap[parity::2]) for parity in (0, 1)])
    # The argument of f is rounded too, which shows where f is steep: at z = 2 b root where it grows.
    steep = 2.0 * (f.rates[0] * root) ** 2 + speed
    error = gaps + np.sqrt(last) + ROUNDING * (2.0 + math.sqrt(n) + steep) * norm
    doubt = np.abs(a20) * (gap + EACH * norm[np.arange(n) % 2])
    change = np.abs(energy - rough.sum(axis=1))
    blur = change + EACH * energy + 2.0 * np.array([doubt[0::2].sum(), doubt[1::2].sum()])
    return a20, energy, error if change.sum() <= UNRESOLVED * energy.sum() else math.inf * error, blur


def _rule_of(z: Array, weights: Array, parts: Array, n: int) -> tuple[Array, Array]:
    """Coefficients by one rule on z > 0, and the terms of the even and the odd E f²."""
    damped = np.exp(-0.25 * z * z)
    weighted = parts * (2.0 * DENSITY * weights * damped)
    return _transform(z, damped, weighted, n), weighted * parts * damped


def _edges(marks: Array, root: float, reach: float, longest: float) -> Array:
    """Panels over (0, reach), doubling in length away from 0 and every landmark, none longer than `longest`."""
    fine = min(max(FINEST, 0.5 / root if root > 0.0 else reach), reach)
    steps = fine * 2.0 ** np.arange(math.ceil(math.log2(reach / fine)) + 1)
    places = np.concatenate(([0.0], marks / root if root > 0.0 else []))
    points = (places[:, None] + np.concatenate((-steps, [0.0], steps))).ravel()
    points = np.unique(np.concatenate(([0.0, reach], points[(points > 0.0) & (points < reach)])))
    width = np.diff(points)
    counts = np.ceil(width / longest).astype(int)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.append(np.repeat(points[:-1], counts) + np.repeat(width / counts, counts) * within, reach)


@cached
def _transform(z: Array, damped: Array, weighted: Array, n: int) -> Array:
    """Sums over the nodes of weighted[k mod 2] he_k(z) exp(-z²/4)."""
    a, odd, even = np.zeros(n), np.any(weighted[1] != 0.0), np.any(weighted[0] != 0.0)
    for first in range(0, z.size, STRIP):
        last = min(z.size, first + STRIP)
        x, h, before = z[first:last], damped[first:last].copy(), np.zeros(last - first)
        for k in range(n):
            if odd if k % 2 else even:
                a[k] += np.dot(weighted[k % 2, first:last], h)
            up, down = 1.0 / math.sqrt(k + 1.0), math.sqrt(k / (k + 1.0))
            for j in range(x.size):
                before[j] = up * x[j] * h[j] - down * before[j]
            h, before = before, h
    return a
