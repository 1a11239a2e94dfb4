"""Certified E f(s_1 z) g(s_2 z) ... w(z) over one Gaussian z ~ N(0, 1), w = 1 or He_2(z) = z^2 - 1.

[-R, R] is cut at the kinks and each smooth part is integrated by acb.integral (Johansson 2018, arXiv 1802.07942). A
kink whose place is a ball is a gap: its width times an enclosure of the integrand over it. Beyond R the majorants of
symbolic/growth.py give, where l = kappa R - b - n/R > 0,
    int_R^oo z^n exp(b z - kappa z^2/2) dz <= R^n exp(b R - kappa R^2/2)/l,
because the logarithm of the integrand falls at least as fast as l from R on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from math import ceil, log, log2
from typing import Any

from sympy import DiracDelta, Expr, Rational, sqrt

from meanfield.balls import Arb, Function, NotCertified, compiled, constant, flint
from symbolic.growth import Bound, exact, majorant
from symbolic.landmarks import pieces

WIDEST, ROUNDS, EVALUATIONS = 2000, 7, 400  # evaluations of the integrand a bit of precision
Tail = tuple[Arb, int, Arb, Arb]  # c, n, b, a of c z^n exp(b z + a z^2)


@dataclass(frozen=True)
class Scaled:
    """f(s z), s = sqrt(variance), its kinks and bounds in z."""

    body: Expr
    variance: Any  # an exact SymPy number or a positive ball

    @property
    def scale(self) -> Arb:
        return constant(sqrt(self.variance)) if isinstance(self.variance, Expr) else self.variance.sqrt()

    def kinks(self) -> list[Arb]:
        scale = self.scale
        return [constant(low) / scale for low, _, _ in smooth_parts(self.body)[1:]]

    def on(self, z: Arb) -> Function:
        """The smooth formula around a point z outside every kink's ball, in z."""
        before = [c for c in self.kinks() if not z < c]
        if not all(c < z for c in before):
            raise NotCertified(f"{self.body} has a kink at a place that is not known well enough")
        f, scale = smooth_functions(self.body)[len(before)], self.scale
        return lambda z, analytic: f(scale * z, analytic)

    def over(self, z: Arb) -> Arb:
        """An enclosure over a real ball, kinks or not."""
        return compiled(exact(self.body))(self.scale * z, False)

    def tail(self, side: int, window: Arb) -> list[Tail]:
        """Terms that bound |f(side s z)| for z >= window."""
        bounds = far_bounds(self.body, side, Rational(0))
        if bounds is None:
            bounds = far_bounds(self.body, side, _below(window * self.scale))
        if bounds is None:
            raise NotCertified(f"the growth of {self.body} is not understood, so its mean has no certified tail")
        s = self.scale
        return [(constant(b.coefficient) * s**b.power, b.power, constant(b.linear) * s, constant(b.square) * s * s)
                for b in bounds]  # fmt: skip


@lru_cache(maxsize=1024)
def smooth_parts(body: Expr) -> tuple[tuple[Expr, Expr, Expr], ...]:
    if body.has(DiracDelta):
        raise NotCertified(f"{body} contains a delta, so it is no function and its mean no integral")
    try:
        return pieces(exact(body))
    except ValueError as error:
        raise NotCertified(f"the kinks of {body} cannot be listed: {error}") from None


@lru_cache(maxsize=1024)
def smooth_functions(body: Expr) -> tuple[Function, ...]:
    return tuple(compiled(f) for _, _, f in smooth_parts(body))


@lru_cache(maxsize=4096)
def far_bounds(body: Expr, side: int, beyond: Rational) -> tuple[Bound, ...] | None:
    return majorant(body, side, beyond)


def _below(x: Arb) -> Rational:
    """A short rational at most x, for positive x."""
    value = float(x.lower())
    if value <= 0:
        return Rational(0)
    step = Rational(2) ** (ceil(log2(value)) - 5)
    return step * max(0, int(value / step) - 1)


def mean(factors: Sequence[Scaled], eps: Arb, order: int = 0) -> Arb:
    """A ball around the mean at the current precision, aiming at the radius eps; order 2 for the weight He_2."""
    module = flint()
    window = window_of(factors, eps, order)
    norm = 1 / (2 * module.arb.pi()).sqrt()

    def density(z: Arb) -> Arb:
        return (-z * z / 2).exp() * norm * (z * z - 1 if order else 1)

    total = module.arb(0, tail(factors, window, order).upper())
    for low, high in smooth_intervals(factors, window):
        smooth = [f.on((low + high) / 2) for f in factors]
        total += _integral(smooth, density, low, high, eps)
    for low, high in gaps(factors, window):
        if low < high:
            gap = low.union(high)
            value = density(gap)
            for f in factors:
                value *= f.over(gap)
            total += value * module.arb(0).union(high - low)
    return total


def _integral(smooth: list[Function], density: Callable[[Arb], Arb], low: Arb, high: Arb, eps: Arb) -> Arb:
    def integrand(z: Any, analytic: bool) -> Any:
        value = density(z)
        for f in smooth:
            value *= f(z, analytic)
        return value

    module = flint()
    return module.acb.integral(integrand, low, high, abs_tol=eps, eval_limit=EVALUATIONS * module.ctx.prec).real


def gaps(factors: Sequence[Scaled], window: Arb) -> list[tuple[Arb, Arb]]:
    """Exact ends around each kink inside the window, ascending; kinks that cannot be told apart share one gap."""
    found: list[tuple[Arb, Arb]] = []
    inside = [(z.lower(), z.upper()) for f in factors for z in f.kinks() if abs(z) < window]
    for low, high in sorted(inside, key=lambda ends: float(ends[0])):
        if found and low <= found[-1][1]:
            before = found.pop()
            low, high = before[0].min(low), before[1].max(high)
        found.append((low, high))
    return found


def smooth_intervals(factors: Sequence[Scaled], window: Arb) -> Iterator[tuple[Arb, Arb]]:
    """What is left of the window between the gaps."""
    ends = [-window, *(end for gap in gaps(factors, window) for end in gap), window]
    yield from ((a, b) for a, b in list(pairwise(ends))[::2] if a < b)


def window_of(factors: Sequence[Scaled], eps: Arb, order: int = 0) -> Arb:
    """R beyond every kink at which the rest of the integral is below eps."""
    module = flint()
    reach = max((float(abs(z).upper()) for f in factors for z in f.kinks()), default=0.0)
    window = max(8.0, reach * 1.001)
    while window < max(WIDEST, 2 * reach):
        if tail(factors, module.arb(window), order) < eps:
            return module.arb(window)
        window *= 1.1
    names = " ".join(str(f.body) for f in factors)
    raise NotCertified(f"E[{names}] grows too fast at this variance: its mean is infinite, or its tail too long")


def tail(factors: Sequence[Scaled], window: Arb, order: int = 0, spread: Arb | None = None) -> Arb:
    """A bound of the integral beyond the window; `spread` is t where he_k is beside (see ball_series)."""
    module = flint()
    total = module.arb(0)
    kappa = module.arb(1) if spread is None else 1 / (1 + spread)
    for side in (1, -1):
        for terms in product(*(f.tail(side, window) for f in factors)):
            c, n, b, a = module.arb(1), order, module.arb(0), module.arb(0)
            for term in terms:
                c, n, b, a = c * term[0], n + term[1], b + term[2], a + term[3]
            total += c * _beyond(n, b, kappa - 2 * a, window)
    return total / (2 * module.arb.pi()).sqrt()


def _beyond(n: int, b: Arb, kappa: Arb, window: Arb) -> Arb:
    fall = kappa * window - b - n / window
    if not (kappa > 0 and fall > 0):
        return flint().arb.pos_inf()
    return window**n * (b * window - kappa * window * window / 2).exp() / fall


def settled(digits: int, compute: Callable[[Arb], Arb], *, capped: bool = False) -> Arb:
    """compute(eps) with eps lowered and precision raised until the ball has that many digits; else the best ball.

    A value below 10^(-2 digits) counts as 0: no relative accuracy is sought there. A computation that is `capped` does
    not come closer on a second try where its first is far from eps.
    """
    module = flint()
    aim, best = digits + 3, None
    for attempt in range(ROUNDS):
        with module.ctx.workprec(ceil(aim * log2(10) * (1 + 0.3 * attempt)) + 40):
            found = compute(module.arb(10) ** -aim)
            better = found.is_finite() and (best is None or found.rad() < best.rad())
            stuck = attempt > 0 and not (better and (best is None or found.rad() < best.rad() / 8))
            best = found if better else best
            stuck = stuck or (capped and best is not None and best.rad() > 1e6 * module.arb(10) ** -aim)
            if stuck or is_settled(found, digits):
                break
            size = 0.0 if not better else -digits if found.contains(0) else float(abs(found).mid().log()) / log(10)
        aim = min(max(aim, digits + 3 + ceil(-size)), 3 * digits + 3)
    if best is None:
        raise NotCertified("no finite enclosure was found: the formula is singular, or too rough, for this method")
    return best


def is_settled(found: Arb, digits: int) -> bool:
    module = flint()
    small = module.arb(10) ** -digits
    return bool(found.is_finite() and (found.rad() <= abs(found).lower() * small or found.rad() <= small * small))
