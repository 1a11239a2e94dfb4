"""Words about Gaussian variables for inner loops, in shapes that keep their digits near correlation +-1.

(u, v) with variances p, q, covariance k, and eta = atan2(sqrt(pq - k^2), -k) (Cho and Saul, 2009):
P(u>0, v>0) = eta/(2 pi),  E[max(u, 0) max(v, 0)] = sqrt(pq) (sin eta - eta cos eta)/(2 pi);
pq - k^2 by Kahan's two fused products, within an ulp or two.
"""

import math

import solvers._vecmath_coefficients as fit
from solvers.vecmath import _balance, _erfcx_half, _fma, atan2, clip1, exp, half_turn, minimum, word

ARC_SERIES = 1.2  # below this angle sin - angle cos cancels
PER_TURN = 1.0 / math.tau
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
# 8 Gauss-Legendre nodes, rounded from 40 digits.
_HALF = (0.1834346424956498, 0.525532409916329, 0.7966664774136267, 0.9602898564975363)
_WEIGHT = (0.362683783378362, 0.31370664587788727, 0.22238103445337448, 0.10122853629037626)
GAUSS_NODES = (*(-x for x in _HALF[::-1]), *_HALF)
GAUSS_WEIGHTS = (*_WEIGHT[::-1], *_WEIGHT)


@word
def _opening(p: float, q: float, k: float) -> tuple[float, float, float, float, float, float]:
    """1/a, 1/b, ab k, d = (ab)^2 (pq - k^2), e = (ab)^2 pq and eta: a and b are powers of two that make e moderate."""
    a, inverse_a = _balance(p)
    b, inverse_b = _balance(q)
    p, q, k = p * a * a, q * b * b, k * (a * b)
    square = k * k
    d = _fma(p, q, -square) - _fma(k, k, -square)
    d = 0.0 if d < 0.0 else d
    return inverse_a, inverse_b, k, d, p * q, half_turn(math.sqrt(d), -k)


@word
def correlation(p: float, q: float, k: float) -> tuple[float, float]:
    """c = k/sqrt(pq), kept within [-1, 1], and s = sqrt(pq - k^2)/sqrt(pq) with all its digits; (0, 1) with a
    constant; NaN and inf stay."""
    _, _, k, d, e, _ = _opening(p, q, k)
    nothing = e == 0.0
    e = 1.0 if nothing else e
    return (0.0 * k if nothing else clip1(k / math.sqrt(e))), (1.0 if nothing else math.sqrt(d / e))


@word
def area(p: float, q: float, k: float) -> float:
    """pq - k^2 within an ulp or two, not below 0, where squares neither overflow nor underflow."""
    square = k * k
    d = _fma(p, q, -square) - _fma(k, k, -square)
    return 0.0 if d < 0.0 else d


@word
def orthant(p: float, q: float, k: float) -> float:
    """P(u > 0, v > 0) for finite p, q >= 0; 1/4, the mean of H(u) H(v) with H(0) = 1/2, if p or q is 0."""
    _, _, k, _, e, eta = _opening(p, q, k)
    return 0.25 + 0.0 * k if e == 0.0 else eta * PER_TURN


@word
def ramp(p: float, q: float, k: float) -> float:
    """E[max(u, 0) max(v, 0)] for finite p, q >= 0."""
    unit, other, k, d, _, eta = _opening(p, q, k)
    s, square = math.sqrt(d), eta * eta
    near = s * (square * fit.arc_tail(square))
    return (near if eta < ARC_SERIES else s + eta * k) * PER_TURN * unit * other


@word
def arcsine(n: float, m: float) -> float:
    """asin(n/sqrt(n^2 + m)) for m >= 0."""
    return atan2(n, math.sqrt(m))


@word
def tail(b: float, t: float, m: float, v: float) -> float:
    """E[exp(b x); x > t] for x ~ N(m, v): half of exp(b t - w^2) erfcx(a) or its complement, w and a the distances of
    t from m and from m + b v in units of sqrt(2 v)."""
    unit = math.sqrt(2.0 * v)
    unit = 1e-300 if unit == 0.0 else unit
    w, a = (t - m) / unit, (t - m - b * v) / unit
    size = minimum(math.fabs(a), 1e150)
    part = 0.5 * exp(b * t - w * w) * _erfcx_half(size)
    return exp(b * m + 0.5 * b * b * v) - part if a < 0.0 else part


@word
def gain(b: float, t: float, m: float, v: float) -> float:
    """E[exp(b x) - 1; x > t] for x ~ N(m, v): where b x is small the integral over c from 0 to b of E[x exp(c x); x >
    t] = (m + c v) tail(c) + v exp(c t) density(t), by Gauss-Legendre; else a difference of tails."""
    deviation = math.sqrt(v)
    if not math.fabs(b) * (math.fabs(m) + deviation) < 0.5:
        return tail(b, t, m, v) - tail(0.0, t, m, v)
    z = (t - m) / (1e-300 if deviation == 0.0 else deviation)
    edge = deviation * DENSITY * exp(-0.5 * z * z)
    total = 0.0
    for i in range(8):
        c = 0.5 * b * (1.0 + GAUSS_NODES[i])
        total += GAUSS_WEIGHTS[i] * ((m + c * v) * tail(c, t, m, v) + edge * exp(c * t))
    return 0.5 * b * total
