"""Each derived formula is compared with quadrature before anyone sees it, at three random points, to 25 digits.

E f(u) g(v) = sum_n rho^n/n! F_n G_n with F_n = E f(sqrt(p) z) He_n(z) (Mehler 1866): 1e-26 after 44 terms.
The F_n are mpmath sums over Gauss-Legendre panels between the landmarks; nothing here knows how the formula came about.
A formula that disagrees raises Disproved; one whose means cannot be computed this way is not proved.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from random import Random
from threading import RLock
from typing import Any

import mpmath
from sympy import Expr, Lambda, Rational, Symbol, lambdify

from symbolic.functions import X, elementary
from symbolic.gaussian import Mean, branches
from symbolic.landmarks import landmarks, spikes

DIGITS, GUARD = 25, 15
WINDOW, TERMS, NODES, FINER = 17, 44, 24, 3
Law = tuple[Rational, ...]
Point = tuple[Law, dict[Symbol, Rational]]
_PRECISION = RLock()


class Disproved(AssertionError):
    """A derived formula that quadrature contradicts: a fault of the derivation, never of its caller."""


def check(mean: Expr, formula: Expr) -> bool:
    """Is the formula the value of Mean(f, q) or PairMean(f, g, p, q, k) with symbols for q, or for p, q, k?

    True if quadrature agrees to 25 digits at three random points, False if it does not converge; Disproved if it
    converges to something else.
    """
    value = _mean if isinstance(mean, Mean) else _pair
    for law, parameters in _points(mean):
        inside = [f.expr.subs(parameters) for f in mean.args if isinstance(f, Lambda)]
        with _PRECISION, mpmath.workdps(DIGITS + GUARD):  # mpmath has one precision for all threads
            symbols = dict(zip(mean.args[len(inside) :], law, strict=True))
            claimed = elementary(formula).subs({**parameters, **symbols}).evalf(DIGITS + 5, maxn=400)
            claimed, previous = mpmath.mpf(claimed), None
            for refinement in range(1, FINER + 1):
                found, size = value(inside, law, refinement)
                if _close(found, claimed, size):
                    break
                if previous is not None and _close(found, previous, size):
                    raise Disproved(f"{mean} at {symbols} is {mpmath.nstr(found, 25)}, not {mpmath.nstr(claimed, 25)}")
                previous = found
            else:
                return False
    return True


def _close(a: Any, b: Any, size: Any) -> bool:
    return bool(abs(a - b) <= mpmath.mpf(10) ** -DIGITS * size)


def _points(mean: Expr) -> list[Point]:
    """Three laws with different variances and small correlations, and values for the parameters; always the same."""
    random = Random(str(mean))

    def number(low: int, high: int) -> Rational:
        return Rational(random.randint(low, high), 64)

    law = mean.args[1:] if isinstance(mean, Mean) else mean.args[2:]
    parameters = sorted(mean.free_symbols - {*law}, key=lambda s: s.name)
    variances = [number(20, 32), number(40, 60), number(70, 100)]
    out: list[Point] = []
    for i, v in enumerate(variances):
        w = variances[i - 1]
        k = Rational(random.choice([-1, 1]) * random.randint(4, 15), 64) * min(v, w)
        values = {s: number(20, 90) * (1 if s.is_nonnegative or random.random() < 0.5 else -1) for s in parameters}
        out.append(((v,) if isinstance(mean, Mean) else (v, w, k), values))
    return out


def _mean(inside: list[Expr], law: Law, refinement: int) -> tuple[Any, Any]:
    sums, size = _hermite(inside[0], law[0], 1, refinement)
    return sums[0], size


def _pair(inside: list[Expr], law: Law, refinement: int) -> tuple[Any, Any]:
    p, q, k = law
    f, size_f = _hermite(inside[0], p, TERMS, refinement)
    g, size_g = _hermite(inside[1], q, TERMS, refinement)
    rho = mpmath.mpf(k.p) / k.q / mpmath.sqrt(mpmath.mpf((p * q).p) / (p * q).q)
    total, weight = mpmath.mpf(0), mpmath.mpf(1)
    for n, (a, b) in enumerate(zip(f, g, strict=True)):
        total += weight * a * b
        weight *= rho / (n + 1)
    return total, mpmath.sqrt(size_f * size_g)


@lru_cache(maxsize=256)
def _hermite(body: Expr, variance: Rational, terms: int, refinement: int) -> tuple[list[Any], Any]:
    """E f(sqrt(q) z) He_n(z) for n < terms, and E f^2 (E |f| for a mean alone) as a scale."""
    smooth, deltas = spikes(body)
    f: Callable[[Any], Any] = lambdify(X, branches(smooth), "mpmath")
    root = mpmath.sqrt(mpmath.mpf(variance.p) / variance.q)
    sums, size = [mpmath.mpf(0)] * terms, mpmath.mpf(0)
    for low, high in pairwise(_edges([_mpf(m) / root for m in landmarks(smooth)], refinement)):
        half, middle = (high - low) / 2, (high + low) / 2
        for x, w in _rule():
            z = middle + half * x
            value = f(root * z)
            part = w * half * value * mpmath.npdf(z)
            size += abs(part * value) if terms > 1 else abs(part)
            _add(sums, part, z)
    for weight, at in deltas:
        z = _mpf(at) / root
        part = _mpf(weight.subs(X, at)) * mpmath.npdf(z) / root
        size += abs(part)
        _add(sums, part, z)
    return sums, size


def _add(sums: list[Any], part: Any, z: Any) -> None:
    """part He_n(z) to each sum."""
    before, now = mpmath.mpf(0), part
    for n in range(len(sums)):
        sums[n] += now
        before, now = now, z * now - n * before


def _mpf(number: Expr) -> Any:
    return mpmath.mpf(elementary(number).evalf(DIGITS + GUARD))


def _edges(marks: list[Any], refinement: int) -> list[Any]:
    """Panels of length 3/2 over the window, cut and shortened around each landmark."""
    step = mpmath.mpf(3) / 2 / refinement
    cuts = {i * step for i in range(-int(WINDOW / step), int(WINDOW / step) + 1)}
    for m in marks:
        cuts |= {m + s * mpmath.mpf(2) ** -j / refinement for s in (-1, 1) for j in range(3 * refinement)}
        cuts.add(m)
    return sorted(c for c in cuts if abs(c) <= WINDOW)


@lru_cache(maxsize=1)
def _rule() -> list[tuple[Any, Any]]:
    """Gauss-Legendre nodes and weights on [-1, 1], by Newton's method on P_n."""
    with mpmath.workdps(DIGITS + GUARD + 10):
        out = []
        for i in range(NODES):
            x = mpmath.cos(mpmath.pi * (i + mpmath.mpf(3) / 4) / (NODES + mpmath.mpf(1) / 2))
            for _ in range(7):
                before, now = mpmath.mpf(1), x
                for n in range(1, NODES):
                    before, now = now, ((2 * n + 1) * x * now - n * before) / (n + 1)
                slope = NODES * (x * now - before) / (x * x - 1)
                x -= now / slope
            out.append((x, 2 / ((1 - x * x) * slope**2)))
    return out
