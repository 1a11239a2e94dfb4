"""Y ~ N(0, V), V = (scale/H) sum_a Q_a, Q_a independent with the law of a rule: densities, tails, quantiles, moments.

E e^(uY) = [E e^(u^2 c Q)]^H = e^K(u), c = scale/(2H). With theta the saddle point, K'(theta) = y,
    f(y) = e^(K(theta) - theta y)/(2 pi) int Re e^(K(theta + i w) - K(theta) - i w y) dw,
and P(Y > y) is the same with 1/(theta + i w) inside. The integrands are entire or have one known pole, so that the
trapezoidal rule converges geometrically, and the factor in front keeps relative digits in the tails. One head is the
mixture itself.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from solvers.forms import Array
from solvers.jit import cached, jit
from solvers.softmax_moments import series_power

LOG_2PI = math.log(2 * math.pi)
MOST_TERMS = 1 << 17


@jit
def _tilted(theta: float, places: Array, masses: Array, c: float) -> tuple[float, float, float]:
    """log E e^(theta^2 c Q), and mean and variance of Q under masses that carry this factor."""
    top = theta * theta * c * places.max()
    total, first, second = 0.0, 0.0, 0.0
    for j in range(places.size):
        weight = masses[j] * math.exp(theta * theta * c * places[j] - top)
        total += weight
        first += weight * places[j]
        second += weight * places[j] * places[j]
    first /= total
    return top + math.log(total), first, max(second / total - first * first, 0.0)


@jit
def _saddle(y: float, places: Array, masses: Array, scale: float, heads: float) -> float:
    """theta > 0 with K'(theta) = scale theta E_theta Q = y, by Newton's method between bounds."""
    c = 0.5 * scale / heads
    low, high = y / (scale * places.max()), y / (scale * _tilted(0.0, places, masses, c)[1])
    theta = high
    for _ in range(100):
        _, mean, variance = _tilted(theta, places, masses, c)
        off = scale * theta * mean - y
        if off > 0.0:
            high = theta
        else:
            low = theta
        after = theta - off / (scale * (mean + 2.0 * theta * theta * c * variance))
        after = after if low < after < high else 0.5 * (low + high)
        if abs(after - theta) <= 1e-14 * theta:
            return after
        theta = after
    return theta


@jit
def _inverted(theta: float, y: float, places: Array, masses: Array, scale: float, heads: float, tail: bool) -> float:
    """log of the density at y, or of P(Y > y) if tail, from the line theta + i w."""
    c = 0.5 * scale / heads
    log_mean, mean, _ = _tilted(theta, places, masses, c)
    widest = math.sqrt(scale * places.max())
    period = 18.0 * widest + scale * places.max() * theta + y
    if tail:
        period += 40.0 / theta
    step = 2.0 * math.pi / period
    total = 0.5 / theta if tail else 0.5
    for n in range(1, MOST_TERMS):
        w = n * step
        real, imaginary, bound = 0.0, 0.0, 0.0
        for j in range(places.size):
            q = c * places[j]
            size = masses[j] * math.exp((theta * theta - w * w) * q - log_mean)
            real += size * math.cos(2.0 * theta * w * q)
            imaginary += size * math.sin(2.0 * theta * w * q)
            bound += size
        modulus = math.hypot(real, imaginary)
        if modulus > 0.0:
            turn = heads * math.atan2(imaginary, real) - w * y
            size = math.exp(heads * math.log(modulus))
            if tail:
                total += size * (math.cos(turn) * theta + math.sin(turn) * w) / (theta * theta + w * w)
            else:
                total += size * math.cos(turn)
        if heads * math.log(max(bound, 1e-300)) < -39.0 or math.exp(-w * w * c * heads * mean) == 0.0:
            break
    return heads * log_mean - theta * y + math.log(max(total, 0.0) * step / math.pi)


@cached
def log_densities(y: Array, places: Array, masses: Array, scale: float, heads: float, out: Array) -> None:
    """log f at each y >= 0."""
    for i in range(y.size):
        if heads == 1.0:
            out[i] = _mixed(y[i], places, masses, scale)
        else:
            theta = _saddle(y[i], places, masses, scale, heads) if y[i] > 0.0 else 0.0
            out[i] = _inverted(theta, y[i], places, masses, scale, heads, False)


@cached
def log_tails(y: Array, places: Array, masses: Array, scale: float, heads: float, out: Array) -> None:
    """log P(Y > y) at each y >= 0."""
    least = 1.0 / math.sqrt(scale * _tilted(0.0, places, masses, 0.5 * scale / heads)[1])
    for i in range(y.size):
        if y[i] == 0.0:
            out[i] = -math.log(2.0)
        elif heads == 1.0:
            total = 0.0
            for j in range(places.size):
                if places[j] > 0.0:
                    total += 0.5 * masses[j] * math.erfc(y[i] / math.sqrt(2.0 * scale * places[j]))
            out[i] = math.log(total)
        else:
            theta = max(least, _saddle(y[i], places, masses, scale, heads))
            out[i] = _inverted(theta, y[i], places, masses, scale, heads, True)


@jit
def _mixed(y: float, places: Array, masses: Array, scale: float) -> float:
    top = -math.inf
    for j in range(places.size):
        v = scale * places[j]
        if v > 0.0:
            top = max(top, math.log(masses[j]) - 0.5 * (y * y / v + math.log(v)))
    total = 0.0
    for j in range(places.size):
        v = scale * places[j]
        if v > 0.0:
            total += math.exp(math.log(masses[j]) - 0.5 * (y * y / v + math.log(v)) - top)
    return top + math.log(total) - 0.5 * LOG_2PI


def evaluated(loop: Callable[..., None], y: Any, places: Array, masses: Array, scale: float, heads: float) -> Array:
    """A loop over |y|, of any shape."""
    flat = np.abs(np.ascontiguousarray(y, dtype=np.float64)).ravel()
    out = np.empty(flat.size)
    kept = masses > 0
    loop(flat, np.ascontiguousarray(places[kept]), np.ascontiguousarray(masses[kept]), float(scale), float(heads), out)
    return out.reshape(np.shape(y))


def quantile(u: float, places: Array, masses: Array, scale: float, heads: float) -> float:
    """y with P(Y <= y) = u, 0 < u < 1, by root finding in log P(Y > |y|)."""
    if u == 0.5:
        return 0.0
    wanted = math.log(min(u, 1 - u))

    def off(y: float) -> float:
        return float(evaluated(log_tails, y, places, masses, scale, heads)) - wanted

    high = math.sqrt(scale * float(places @ masses))
    while off(high) > 0:
        high *= 2
    return math.copysign(float(brentq(off, 0.0, high, xtol=1e-14 * high, rtol=1e-14)), u - 0.5)


def sum_moments(single: Array, heads: int) -> Array:
    """E (sum_a Q_a)^k/heads^k, k = 1 .. , of independent Q_a with these moments."""
    k = np.arange(1, len(single) + 1)
    factorials = np.array([math.factorial(int(j)) for j in k], dtype=np.float64)
    powers = series_power(np.concatenate([[1.0], single / factorials])[:, None], heads)[1:, 0]
    return np.asarray(powers * factorials / float(heads) ** k)
