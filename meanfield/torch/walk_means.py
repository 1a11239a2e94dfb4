"""Gaussian means of an activation that a walk asks for, from Hermite coefficients a_k(q) = E phi(sqrt(q) z) he_k(z).

E phi(u) phi(v) = sum_k a_k(p) a_k(q) rho^k (Mehler), what lies beyond the last coefficient at its largest, which is
exact at rho = 1; with phi' in place of phi the derivative in k. V = E phi^2, the elasticities d log/d log q of V and of
E phi'^2, and the kurtoses E phi^4/V^2 and E phi'^4/(E phi'^2)^2, which say how far a layer of finite width scatters.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from sympy import DiracDelta, Expr

from meanfield.expectation import curve
from solvers.hermite import Curve, Spectrum, spectrum
from symbolic.landmarks import slope
from symbolic.networks import Pointwise

Array = npt.NDArray[np.float64]
SMALL, HUGE = 1e-24, 1e24
TERMS = 64
STEP = 1e-3  # of log q


@dataclass(frozen=True)
class Means:
    """Of each signal behind phi: mean, mean square, E phi'^2; of each two the mean product and its derivative in k,
    matrices; at the mean of q the elasticities of the mean square and of E phi'^2, and the kurtoses. NaN where phi
    jumps: all of phi'."""

    mean: Array
    square: Array
    slope: Array
    product: Array
    steepness: Array
    elasticity: float
    slope_elasticity: float
    kurtosis: float
    slope_kurtosis: float


def means(phi: Pointwise, k: Array) -> Means:
    """Means of phi(u) for centred Gaussians u with the covariance matrix k, one for each signal."""
    return _means(phi, np.ascontiguousarray(k, dtype=np.float64).tobytes(), len(k))


@lru_cache(maxsize=256)
def _means(phi: Pointwise, entries: bytes, count: int) -> Means:
    k = np.frombuffer(entries).reshape(count, count)
    q = np.clip(np.diagonal(k), SMALL, HUGE)
    rho = np.clip(k / np.sqrt(np.outer(q, q)), -1, 1)
    np.fill_diagonal(rho, 1)
    f, bend = curve(phi.formula), _bend(phi.formula)
    found = _spectra(f, q)
    turned = _NOTHING if bend is None else _spectra(bend, q)
    middle = np.array([q.mean()])
    return Means(
        mean=found.coefficients[:, 0],
        square=found.energy.sum(axis=1),
        slope=turned.energy.sum(axis=1) + 0 * q,
        product=_mehler(found, rho),
        steepness=_mehler(turned, rho),
        elasticity=_elasticity(f, middle),
        slope_elasticity=np.nan if bend is None else _elasticity(bend, middle),
        kurtosis=_kurtosis(f, middle),
        slope_kurtosis=np.nan if bend is None else _kurtosis(bend, middle),
    )


_NOTHING = Spectrum(np.full((1, TERMS), np.nan), *(np.full((1, 2), np.nan) for _ in range(3)))


def _spectra(f: Curve, q: Array) -> Spectrum:
    """One for each signal; signals of one length share it."""
    lengths, which = np.unique(q, return_inverse=True)
    found = spectrum(f, lengths, TERMS)
    return Spectrum(found.coefficients[which], found.energy[which], found.error[which], found.blur[which])


@lru_cache(maxsize=64)
def _bend(formula: Expr) -> Curve | None:
    found = slope(formula)
    return None if found.has(DiracDelta) else curve(found)


def _square(f: Curve, q: Array) -> float:
    """E f^2 at one variance."""
    return float(spectrum(f, q, 2).energy.sum())


def _elasticity(f: Curve, q: Array) -> float:
    """d log E f^2/d log q at one variance."""
    up, down = (_square(f, q * np.exp(h)) for h in (STEP, -STEP))
    return float(np.log(up / down)) / (2 * STEP)


def _kurtosis(f: Curve, q: Array) -> float:
    """E f^4/(E f^2)^2 at one variance."""
    squared = Curve(lambda x: f.values(x) ** 2, f.marks, (2 * f.rates[0], 2 * f.rates[1], 2 * f.rates[2]))
    return _square(squared, q) / _square(f, q) ** 2


def _mehler(found: Spectrum, rho: Array) -> Array:
    """Even and odd coefficients apart, since either may end."""
    total = np.zeros_like(rho)
    for parity in (0, 1):
        own = np.where(np.arange(TERMS) % 2 == parity, found.coefficients, 0.0)
        rest = np.sqrt(np.maximum(found.energy[:, parity] - (own**2).sum(axis=1), 0))
        powers = rho[..., None] ** np.arange(TERMS)
        total += np.einsum("ak,bk,abk->ab", own, own, powers) + np.outer(rest, rest) * rho ** (TERMS + parity)
    return total
