"""Moments of Q = sum_j A_j^2, A the softmax of s independent scores p_j ~ N(0, v), as integrals over one variable.

1/S^n = int_0^inf t^(n-1) e^(-t S) dt/(n-1)! with S = sum_j e^(p_j) makes the tokens independent: for l = log t and
f_m(l) = t^m L_m(t) = E[e^(m u - e^u)], u = l + p,
    E[Q^k] = k!/(2k-1)! int [x^k] (sum_j f_2j(l) x^j/j!)^s dl;
k = 1, 2 are the integrals of E A_1^2, E A_1^4 and E A_1^2 A_2^2. Integrands are analytic for |Im l| < pi/2, so that the
trapezoidal rule converges geometrically. The substitution and all k > 2 are derived here.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
FINE, COARSE = 50.0, 38.0  # -log of what the steps leave out
REACH, SILENT = 9.0, 7.0  # standard deviations; e^(m u - e^u) is 0 from u = 7 on
MOST_VARIANCE, AT_ONCE = 400.0, 1 << 20  # beyond, the two grids take seconds


def participation_moments(tokens: int, variance: float, most: int) -> tuple[Array, Array]:
    """E[Q^k] for k = 1 .. most, and their errors: the difference of two steps, and rounding."""
    fine, coarse = (_moments(tokens, variance, most, target) for target in (FINE, COARSE))
    return fine, np.abs(fine - coarse) + 4e-16 * tokens * fine


def series_power(series: Any, exponent: int) -> Array:
    """The coefficients of (sum_j a_j x^j)^exponent up to those given, along the first axis; by squaring, so that
    positive ones meet no cancellation."""
    base = np.asarray(series, dtype=np.float64)
    out = np.zeros_like(base)
    out[0] = 1.0
    while exponent:
        if exponent & 1:
            out = _product(out, base)
        exponent >>= 1
        if exponent:
            base = _product(base, base)
    return out


def step(strip: float, target: float) -> float:
    """Of a trapezoidal rule that leaves out e^-target of E g(z), z ~ N(0, 1), g analytic for |Im z| < strip.

    On Im z = y the density grows by e^(y^2/2), and the rule leaves out e^(y^2/2 - 2 pi y/step).
    """
    widest = math.sqrt(2 * target)
    return 2 * math.pi * strip / (target + strip**2 / 2) if strip < widest else 2 * math.pi / widest


def _moments(tokens: int, variance: float, most: int, target: float) -> Array:
    sigma = math.sqrt(variance)
    h = step(math.pi / (2 * sigma) if sigma > 0 else math.inf, target)
    z = h * np.arange(math.floor(-REACH / h), math.ceil((REACH + 2 * most * sigma) / h) + 1)
    dl = math.pi**2 / target
    # Left of the first, t^2 decays below e^-40; of the second, no score within reach brings e^(l + p) near 1.
    low = max(-20.0 - most * variance, -25.0 - (REACH + 2 * most) * sigma)
    high = math.log(2 * most + 60) + REACH * sigma
    level = np.asarray(dl * np.arange(math.floor(low / dl), math.ceil(high / dl) + 1))
    p, density = np.asarray(sigma * z), np.asarray(h / math.sqrt(2 * math.pi) * np.exp(-(z**2) / 2))
    rows = max(1, AT_ONCE // len(z))
    parts = [_series(level[i : i + rows], p, density, most) for i in range(0, len(level), rows)]
    series = np.concatenate(parts, axis=1)
    powers = dl * series_power(series, tokens).sum(axis=1)
    return np.array([math.factorial(k) / math.factorial(2 * k - 1) * powers[k] for k in range(1, most + 1)])


def _series(level: Array, p: Array, density: Array, most: int) -> Array:
    """f_2j(l)/j!, (j, levels)."""
    x = np.exp(np.minimum(level[:, None] + p, SILENT))
    weighted = np.exp(-x) * density
    found = [weighted.sum(axis=1)]
    for j in range(1, most + 1):
        weighted *= x * x / j
        found.append(weighted.sum(axis=1))
    return np.array(found)


def _product(a: Array, b: Array) -> Array:
    return np.stack([sum(a[i] * b[k - i] for i in range(k + 1)) for k in range(len(a))])
