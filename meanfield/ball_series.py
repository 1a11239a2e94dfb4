"""Certified E f(u) g(v) = sum_k a_k b_k rho^k, |rho| < 1, with a_k = E f(sqrt(p) z) he_k(z), he_k = He_k/sqrt(k!).

Rest beyond K (Parseval): |rho|^(K + 1) sqrt((E f^2 - sum a_k^2) (E g^2 - sum b_k^2)). All a_k come from the same nodes:
Gauss-Legendre with N nodes errs by at most (64/15) h M r^(-2 N)/(1 - r^-2) on a panel of half-width h, M a bound on the
Bernstein ellipse of parameter r (Trefethen 2013, theorem 19.3), here over boxes that cover it. There, by Mehler's
formula, for every 0 < t < 1 and z = x + i y,
    |he_k(z)| <= t^(-k/2) (1 - t^2)^(-1/4) exp(x^2 t/(2 (1 + t)) + y^2 t/(2 (1 - t))).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, inf, log
from typing import Any

from sympy import Expr

from meanfield.ball_means import Scaled, gaps, mean, smooth_intervals, tail
from meanfield.balls import Arb, Function, NotCertified, flint

LONGEST, AT_ONCE, MOST_PANELS = 512, 200, 4000
ELLIPSES = (12.0, 8.0, 5.5, 4.0, 3.0, 2.2, 1.6)
COLUMNS, ROWS, COARSE = 4, 2, 64


def pair_mean(f: Expr, g: Expr, variances: tuple[Any, Any], rho: Arb, eps: Arb) -> Arb:
    """A ball around E f(u) g(v), aiming at the radius eps; wider where LONGEST terms do not reach it."""
    first, second = Scaled(f, variances[0]), Scaled(g, variances[1])
    same = first == second
    powers = [mean((h, h), eps) for h in ((first,) if same else (first, second))]
    best = None
    for terms in _lengths((powers[0] * powers[-1]).sqrt(), rho, eps):
        a = coefficients(first, terms, eps / (1 + powers[-1].sqrt()))
        b = a if same else coefficients(second, terms, eps / (1 + powers[0].sqrt()))
        found, rest = _summed(a, b, powers, rho)
        best = found if best is None or not best.is_finite() or found.rad() < best.rad() else best
        if rest < eps:
            break
    return best


def _lengths(size: Arb, rho: Arb, eps: Arb) -> Iterator[int]:
    """The number of terms that suffices for any f and g, or a shorter one first where that is long."""
    fall, decay = float((eps / (size.upper() + eps)).log().mid()), float(abs(rho).log().mid())
    enough = min(LONGEST, max(2, ceil(fall / decay) + 1)) if decay < 0 else LONGEST
    if enough > AT_ONCE:
        yield AT_ONCE
    yield enough


def _summed(a: list[Arb], b: list[Arb], powers: list[Arb], rho: Arb) -> tuple[Arb, Arb]:
    module = flint()
    total, power = module.arb(0), module.arb(1)
    for x, y in zip(a, b, strict=True):
        total += x * y * power
        power *= rho
    left = [whole - sum((x * x for x in part), module.arb(0)) for whole, part in ((powers[0], a), (powers[-1], b))]
    rest = abs(power) * (left[0].upper().max(module.arb(0)) * left[1].upper().max(module.arb(0))).sqrt()
    return total + module.arb(0, rest.upper()), rest.upper()


@dataclass(frozen=True)
class Beside:
    """he_k for k <= `terms`, bounded with the parameter t."""

    terms: int
    t: Arb

    @property
    def size(self) -> Arb:
        return self.t ** (-(self.terms // 2) - 1) / (1 - self.t**2).root(4)

    def over(self, x: Arb, y: Arb) -> Arb:
        """A bound of |he_k(z)| exp(-z^2/2)/sqrt(2 pi) at z = x + i y."""
        exponent = -x * x / (2 * (1 + self.t)) + y * y / (2 * (1 - self.t))
        return self.size * exponent.exp() / (2 * flint().arb.pi()).sqrt()


def coefficients(h: Scaled, terms: int, eps: Arb) -> list[Arb]:
    """a_0 ... a_terms, each aiming at the radius eps."""
    module = flint()
    # the recurrence of he_k magnifies rounding by exp(sqrt(k) |z|), which the weight exp(-z^2/2) tames to exp(k/2)
    bits = 64 * ceil((module.ctx.prec + 0.75 * terms + 30) / 64)
    with module.ctx.workprec(bits):
        window, error = _unseen(h, terms, eps)
        sums = [module.arb(0)] * (terms + 1)
        for low, high, nodes, slack in _panels(h, window, terms, eps):
            error += slack
            if nodes:
                _add_panel(sums, h.on((low + high) / 2), low, high, nodes)
        norm, ball = 1 / (2 * module.arb.pi()).sqrt(), module.arb(0, error.upper())
        return [norm * s / module.arb(k).fac().sqrt() + ball for k, s in enumerate(sums)]


def _unseen(h: Scaled, terms: int, eps: Arb) -> tuple[Arb, Arb]:
    """R beyond every kink, and a bound of what panels inside it miss: all beyond R, and the kinks' balls."""
    module = flint()
    beside = Beside(terms, 1 - module.arb(min(0.5, 4 / (terms + 2))))
    window = max(8.0, 1.001 * max((float(abs(z).upper()) for z in h.kinks()), default=0.0))
    while True:
        rest = beside.size * tail((h,), module.arb(window), spread=beside.t)
        if rest < eps or window > 1000:
            break
        window *= 1.05
    if not rest.is_finite():
        raise NotCertified(f"{h.body} grows too fast at this variance for its Hermite coefficients to be bounded")
    for low, high in gaps((h,), module.arb(window)):
        if low < high:
            gap = low.union(high)
            rest += (high - low) * abs(h.over(gap)) * beside.over(gap, module.arb(0))
    return module.arb(window), rest.upper()


def _add_panel(sums: list[Arb], f: Function, low: Arb, high: Arb, nodes: int) -> None:
    """Add the sums of w f(z) exp(-z^2/2) He_k(z) over the nodes, He_k = z He_(k-1) - (k - 1) He_(k-2)."""
    module = flint()
    middle, half = (low + high) / 2, (high - low) / 2
    for x, weight in _rule(nodes, module.ctx.prec):
        z = middle + half * x
        before, now = module.arb(0), weight * half * f(z, False) * (-z * z / 2).exp()
        for k in range(len(sums)):
            sums[k] += now
            before, now = now, z * now - k * before


@lru_cache(maxsize=64)
def _rule(nodes: int, bits: int) -> list[tuple[Arb, Arb]]:
    return [flint().arb.legendre_p_root(nodes, i, weight=True) for i in range(nodes)]


def _panels(h: Scaled, window: Arb, terms: int, eps: Arb) -> Iterator[tuple[Arb, Arb, int, Arb]]:
    """Panels (low, high, nodes, bound of the error); no nodes where the whole panel is below the error sought."""
    module = flint()
    goal = eps / 128
    most = 32 + 0.8 * float(-goal.log()) / log(10)
    pending = [part for ends in smooth_intervals((h,), window) for part in _split(*ends)]
    for _ in range(MOST_PANELS):
        if not pending:
            return
        low, high = pending.pop()
        with module.ctx.workprec(COARSE):
            nodes, slack = _cheapest(h.on((low + high) / 2), low, high, terms, goal)
        if nodes <= most:
            yield low, high, int(nodes), slack
        else:
            pending += [(low, (low + high) / 2), ((low + high) / 2, high)]
    raise NotCertified(f"{h.body} is too rough for Gauss-Legendre panels: more than {MOST_PANELS} are needed")


def _split(low: Arb, high: Arb) -> list[tuple[Arb, Arb]]:
    count = max(1, ceil(float(high - low)))
    ends = [low + (high - low) * i / count for i in range(count)] + [high]
    return list(pairwise(ends))


def _cheapest(f: Function, low: Arb, high: Arb, terms: int, goal: Arb) -> tuple[float, Arb]:
    """The least number of nodes over the ellipses, with its bound of the error; inf where none is holomorphic."""
    module = flint()
    middle, half = (low + high) / 2, (high - low) / 2
    whole = 2 * half * _largest(f, middle, half, module.arb(0), terms)
    if whole < goal:
        return 0, whole.upper()
    best: tuple[float, Arb] = inf, module.arb(0)
    for r in ELLIPSES:
        largest = _largest(f, middle, half * (r + 1 / r) / 2, half * (r - 1 / r) / 2, terms)
        bound = largest * half * 64 / 15 / (1 - module.arb(r) ** -2)
        if not bound.is_finite():
            continue
        nodes = 4 * ceil(max(2.0, float((bound / goal).log() / (2 * log(r)))) / 4)
        if nodes < best[0]:
            best = nodes, (bound * module.arb(r) ** (-2 * nodes)).upper()
    return best


def _largest(f: Function, middle: Arb, across: Arb, up: Arb, terms: int) -> Arb:
    """A bound of |f he_k exp(-z^2/2)|/sqrt(2 pi) on an interval, or on a rectangle about it and then infinite unless f
    is holomorphic there; f is real on the axis, so the upper half says all."""
    module = flint()
    loose = min(0.5, max(float(up) / (terms + 1) ** 0.5, 1 / (terms + 2)))
    beside = Beside(terms, 1 - module.arb(loose))
    largest = module.arb(0)
    for i in range(COLUMNS):
        x = middle + across * module.arb((2 * i + 1) / COLUMNS - 1, 1 / COLUMNS)
        for j in range(ROWS if up > 0 else 1):
            y = up * module.arb((2 * j + 1) / (2 * ROWS), 1 / (2 * ROWS))
            value = abs(f(module.acb(x, y), True) if up > 0 else f(x, False)) * beside.over(x, y)
            if not value.is_finite():
                return module.arb.pos_inf()
            largest = largest.max(value.upper())
    return largest
