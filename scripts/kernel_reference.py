"""NNGP and NTK between pairs of points in Arb at 200 bits, sharing nothing with the library.

Dense -> (phi -> Dense)^depth: k -> w E phi(u) phi(v) + b, t -> k' + w t E phi'(u) phi'(v), k the covariance and t the
tangent behind each Dense layer, t = 0 before the first. Means are the textbook formulas of `dual_means`, for tanh
the trapezoid rule in the plane, whose error exp(-2 pi d/h) is below 1e-19 where the poles, at distance
d = pi/(2 sqrt p), stay beyond 0.9.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from dual_means import ONE, PI, ZERO, closed
from flint import arb, fmpq

Pair = tuple[arb, arb]  # E phi(u) phi(v), E phi'(u) phi'(v)
Means = Callable[[arb, arb, arb], Pair]


def textbook(name: str) -> Means:
    def means(p: arb, q: arb, k: arb) -> Pair:
        c = ONE if p == q == k else k / (p * q).sqrt()
        found = closed(p, q, k, c, (1 - c * c).sqrt())
        return found[name], found[f"{name}'"]

    return means


def rbf(p: arb, q: arb, k: arb) -> Pair:
    """sin x + cos x and its slope, both exp(k - (p + q)/2)."""
    both = (k - (p + q) / 2).exp()
    return both, both


@cache
def nodes() -> list[Pair]:
    """z and its weight in E over a standard Gaussian."""
    step = arb(fmpq(1, 8))
    points = [i * step for i in range(-80, 81)]
    return [(z, step * (2 * PI).rsqrt() * (-z * z / 2).exp()) for z in points]


def tanh(p: arb, q: arb, k: arb) -> Pair:
    """u = a z, v = b z + s w; a line of the plane and its mirror image have equal sums."""
    a = p.sqrt()
    b, rest = k / a, q - k * k / p
    s = rest.sqrt() if rest > 0 else ZERO
    line = nodes() if rest > 0 else [(ZERO, ONE)]
    value, slope = ZERO, ZERO
    for z, weight in nodes()[81:]:
        below = [((b * z + s * w).tanh(), share) for w, share in line]
        first, other = sum(f * g for f, g in below), sum((1 - f * f) * g for f, g in below)
        f = (a * z).tanh()
        value, slope = value + 2 * weight * f * first, slope + 2 * weight * (1 - f * f) * other
    centre = nodes()[80][1] * sum((1 - (s * w).tanh() ** 2) * share for w, share in line)
    return value, slope + centre


MEANS: dict[str, Means] = {**{n: textbook(n) for n in ("relu", "erf", "gelu", "sin", "exp")}, "rbf": rbf, "tanh": tanh}


def recursion(name: str, depth: int, weight_var: float, bias_var: float) -> Callable[[Any, Any], tuple[float, ...]]:
    """A function of two points: NNGP, NTK and their scales, the roots of the products of the two diagonals."""
    w, b, means = arb(weight_var), arb(bias_var), MEANS[name]

    @cache
    def walk(x: tuple[float, ...]) -> tuple[list[arb], arb]:
        """The variances behind each Dense layer, and the last tangent of the point with itself."""
        p = t = w * gram(x, x) + b
        before = [p]
        for _ in range(depth):
            value, slope = means(p.mid(), p.mid(), p.mid())  # midpoints, so that 1 - c is 0 and not a ball around it
            p = w * value + b
            before, t = [*before, p], p + w * t * slope
        return before, t

    def entry(x: Any, y: Any) -> tuple[arb, ...]:
        x, y = tuple(map(float, x)), tuple(map(float, y))
        (p, s), (q, r) = walk(x), walk(y)
        scales = (p[-1] * q[-1]).sqrt(), (s * r).sqrt()
        if x == y:
            return p[-1], s, *scales
        k = t = w * gram(x, y) + b
        for layer in range(depth):
            value, slope = means(p[layer].mid(), q[layer].mid(), k.mid())
            k = w * value + b
            t = k + w * t * slope
        return k, t, *scales

    return entry


def gram(x: tuple[float, ...], y: tuple[float, ...]) -> arb:
    return sum((arb(a) * arb(b) for a, b in zip(x, y, strict=True)), ZERO) / len(x)
