"""How an activation behaves far out and where it has no value, found in its formula and never by sampling.

majorant: |phi(s x)| <= sum c x^n exp(b x + a x^2) beyond the last kink; growth: its largest b; wave: |d phase/dx| of
sin and cos is at most w0 + w1 |x|.
E phi(u)^2 of phi ~ exp(a x^2), u ~ N(0, q), is finite only for q < 1/(4a), and at no q where phi grows faster or has a
pole of order >= 1/2. A majorant may miss a cancellation, so a refusal also asks log|phi| itself.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import inf
from typing import Any

import mpmath
from sympy import (
    Abs,
    Add,
    Expr,
    Float,
    I,
    Integer,
    Max,
    Mul,
    Pow,
    Rational,
    S,
    acos,
    asin,
    cos,
    cosh,
    exp,
    lambdify,
    log,
    oo,
    pi,
    sin,
    sinh,
    tan,
)

from symbolic.bounds import Bound, Bounds, Side, Unknown
from symbolic.functions import X, elementary
from symbolic.landmarks import kinks, pieces
from symbolic.ranges import value_range

__all__ = ["Bound", "Divergent", "NotReal", "growth", "majorant", "refuse_complex", "refuse_divergent", "wave"]
DIGITS = 1000


class Divergent(ValueError):
    """E phi(u)^2 is infinite, at every variance or beyond one that the message names."""


class NotReal(ValueError):
    """The formula is complex for a real x that the message names."""


def majorant(body: Expr, side: int, beyond: Expr = S.Zero) -> Bounds | None:
    """Terms whose sum bounds |body(side x)| for every x >= `beyond` past the last kink there; None where none is known.

    >>> from sympy import tanh
    >>> majorant(X * tanh(X) * exp(-X), 1)
    (Bound(coefficient=1, power=1, linear=-1, square=0),)
    """
    low, smooth = _outermost(body, side)
    return _bounded(smooth, Max(low, beyond), oo)


def _bounded(smooth: Expr, low: Expr, high: Expr) -> Bounds | None:
    """Terms whose sum bounds |smooth(x)| for 0 <= low <= x <= high; None where none is known."""
    try:
        return Side(low, high).terms(exact(smooth))
    except (Unknown, TypeError):  # SymPy cannot always order two numbers
        return None


def growth(body: Expr) -> float:
    """The largest rate b of exp(b |x|) in the majorants of both sides, at least 0; inf where the formula may grow like
    exp(a x^2) or in a way that is not understood."""
    rates = [0.0]
    for side in (1, -1):
        bounds = majorant(body, side)
        if bounds is None or any(b.square > 0 for b in bounds):
            return inf
        rates += [float(b.linear) for b in bounds if b.square == 0]
    return max(rates)


def wave(body: Expr) -> tuple[float, float]:
    """(w0, w1) with |d phase/dx| <= w0 + w1 |x| for the sines and cosines of the formula, (inf, inf) where unknown.

    >>> wave(sin(3 * X) * X), wave(sin(X**2)), wave(X)
    ((3.0, 0.0), (0.0, 2.0), (0.0, 0.0))
    """
    found = [_wave(f, low, high) for low, high, f in _halves(exact(body))]
    return max(w for w, _ in found), max(w for _, w in found)


def refuse_divergent(body: Expr) -> None:
    """Raises Divergent where E phi(u)^2 is infinite at large variances or at all."""
    body = exact(body)
    for pole in _poles(body):
        if _order(body, pole) >= 0.5:
            raise Divergent(
                f"E phi(u)^2 must be finite, but {body} has a pole at x = {pole} and it diverges at every variance: "
                "use a formula that is bounded there"
            )
    square = max((_square(body, side) for side in (1, -1)), key=float)
    if square == oo:
        raise Divergent(
            f"E phi(u)^2 must be finite, but {body} grows faster than any exp(a*x**2) and it diverges at every "
            "variance: use a formula that grows more slowly"
        )
    if square > 0:
        raise Divergent(
            f"E phi(u)^2 must be finite, but {body} grows like exp({square * X**2}) and it is finite only for "
            f"variances below {1 / (4 * square)}: use a formula that grows more slowly"
        )


def refuse_complex(body: Expr) -> None:
    """Raises NotReal where the formula is complex for some real x."""
    body = exact(body)
    if body.has(I):
        raise NotReal(f"an activation must be real for every real x, but {body} contains the imaginary unit: remove it")
    for low, high, smooth in _parts(body):
        for node, margin in _conditions(smooth):
            at = _negative(margin, low, high)
            if at is not None:
                raise NotReal(
                    f"an activation must be real for every real x, but {node} in {body} is complex at x = {at}: "
                    "put Abs(...) or Max(0, ...) inside, or use another formula"
                )


def exact(body: Expr) -> Expr:
    """Floats as the rational numbers that they are."""
    return body.replace(lambda e: isinstance(e, Float), lambda e: Rational(e))


def _parts(body: Expr) -> tuple[tuple[Expr, Expr, Expr], ...]:
    try:
        return pieces(body)
    except ValueError:  # infinitely many kinks, or unknown ones
        return ((-oo, oo, body),)


def _halves(body: Expr) -> Iterator[tuple[Expr, Expr, Expr]]:
    """Each piece as parts of x >= 0, what lies at x < 0 mirrored."""
    for low, high, f in _parts(body):
        if high > 0:
            yield Max(low, 0), high, f
        if low < 0:
            yield Max(-high, 0), -low, f.subs(X, -X)


def _outermost(body: Expr, side: int) -> tuple[Expr, Expr]:
    """Where the last piece on a side starts, as a distance from 0, and its formula there in x >= 0."""
    low, high, smooth = _parts(exact(body))[-1 if side > 0 else 0]
    start = low if side > 0 else -high
    return Max(start, 0), smooth.subs(X, side * X)


def _wave(e: Expr, low: Expr, high: Expr) -> tuple[float, float]:
    inner = [_wave(a, low, high) for a in e.args if a.has(X)] or [(0.0, 0.0)]
    if isinstance(e, Mul):
        return sum(w for w, _ in inner), sum(w for _, w in inner)
    w0, w1 = max(w for w, _ in inner), max(w for _, w in inner)
    if isinstance(e, Pow) and e.exp.is_Integer and e.exp > 0:
        return w0 * int(e.exp), w1 * int(e.exp)
    if isinstance(e, sin | cos) and e.has(X):
        v0, v1 = _speed(e.args[0], low, high)
        return max(w0, v0), max(w1, v1)
    return w0, w1


def _speed(phase: Expr, low: Expr, high: Expr) -> tuple[float, float]:
    bounds = _bounded(phase.diff(X), low, high)
    if bounds is None or any(b.power > 1 or b.linear > 0 or b.square > 0 for b in bounds):
        return inf, inf
    constant, rising = (sum(float(b.coefficient) for b in bounds if b.power == n) for n in (0, 1))
    return float(constant), float(rising)


def _square(body: Expr, side: int) -> Expr:
    """a of the growth exp(a x^2), 0 where it is slower, oo where it is faster."""
    bounds = majorant(body, side)
    claimed = max((b.square for b in bounds), key=float) if bounds else oo if bounds is None else S.Zero
    if claimed <= 0:
        return S.Zero
    smooth = elementary(_outermost(body, side)[1])
    # far enough out for log|phi| to dwarf a power or a sine, near enough for DIGITS to survive a cancellation
    h = mpmath.mpf(8) if claimed == oo else mpmath.sqrt(64 / mpmath.mpf(claimed.evalf(20)))
    with mpmath.workdps(DIGITS):
        near, far = (_bend(smooth, mpmath.mpf(r) * h) for r in (1, 2))
    if near * h**2 < 4 or far < 0.8 * near:  # a power, or x log x: slower than any exp(a x^2)
        return S.Zero
    if claimed == oo:
        return oo if far > 1.2 * near else Rational(str(mpmath.nstr(far, 4)))
    return claimed if abs(near / claimed - 1) < 0.1 else Rational(str(mpmath.nstr(far, 4)))


def _bend(smooth: Expr, h: Any) -> Any:
    """a of log|phi(x)| = a x^2 + b x + c through h, 2 h, 3 h."""
    one, two, three = (_log(smooth, r * h)[1] for r in (1, 2, 3))
    return (three - 2 * two + one) / (2 * h * h) if mpmath.isfinite(one + two + three) else mpmath.mpf(0)


def _log(e: Expr, x: Any) -> tuple[int, Any]:
    """Sign and log|e(x)|, one exponential deeper than numbers go."""
    if isinstance(e, exp):
        return 1, lambdify(X, e.args[0], "mpmath")(x)
    if isinstance(e, sinh | cosh) and e.has(X):
        return _log(e.rewrite(exp), x)
    if isinstance(e, Mul):
        parts = [_log(a, x) for a in e.args]
        return int(mpmath.fprod(s for s, _ in parts)), mpmath.fsum(v for _, v in parts)
    if isinstance(e, Pow) and e.exp.is_Integer:
        sign, value = _log(e.base, x)
        return sign ** abs(int(e.exp)), int(e.exp) * value
    if isinstance(e, Add):
        parts = [_log(a, x) for a in e.args]
        top = max(v for _, v in parts)
        total = mpmath.fsum(s * mpmath.exp(v - top) for s, v in parts)
        return int(mpmath.sign(total)), top + _log_of(total)
    value = lambdify(X, e, "mpmath")(x)
    return int(mpmath.sign(mpmath.re(value))), _log_of(value)


def _log_of(value: Any) -> Any:
    return mpmath.log(abs(value)) if value else -mpmath.inf


def _poles(body: Expr) -> Iterator[Expr]:
    """Where a denominator vanishes or a tangent is infinite, as far as they can be listed."""
    for low, high, smooth in _parts(body):
        for node in smooth.atoms(Pow, tan):
            if isinstance(node, tan):
                bases = [node.args[0] - pi / 2, node.args[0] + pi / 2]
            else:
                bases = [node.base] if node.exp.is_negative else []
            for base in bases:
                yield from (at for at in _roots(base) if low <= at <= high)


def _order(body: Expr, pole: Expr) -> float:
    """r of |phi| ~ |x - pole|^-r, the larger of both sides."""
    f = lambdify(X, elementary(body), "mpmath")
    with mpmath.workdps(100):
        at = mpmath.mpf(pole.evalf(100))
        steps = [(s * mpmath.mpf(10) ** -20, s * mpmath.mpf(10) ** -30) for s in (1, -1)]
        rises = [_log_of(f(at + near)) - _log_of(f(at + far)) for far, near in steps]
        return float(max(r / mpmath.log(10**10) for r in rises if mpmath.isfinite(r)))


def _roots(e: Expr) -> tuple[Expr, ...]:
    try:
        return kinks(Abs(e, evaluate=False)) if e.has(X) else ()
    except ValueError:
        return ()


def _conditions(smooth: Expr) -> Iterator[tuple[Expr, Expr]]:
    """What must not be negative for the formula to be real."""
    for node in smooth.atoms(Pow, log, asin, acos):
        if isinstance(node, Pow):
            if not node.exp.is_integer:
                yield node, node.base
        elif isinstance(node, log):
            yield node, node.args[0]
        else:
            yield node, 1 - node.args[0] ** 2


def _negative(margin: Expr, low: Expr, high: Expr) -> Expr | None:
    """A place between low and high at which the margin is negative."""
    if margin.is_nonnegative or value_range(margin, low, high)[0] >= 0:
        return None
    cuts = sorted({low, high, *(r for r in _roots(margin) if low < r < high)}, key=float)
    middles = [(a + b) / 2 for a, b in pairwise(cuts) if -oo < a and b < oo]
    grid = [Integer(n) / 2 for n in range(-40, 41)]
    ends = [cuts[1] - 1, cuts[-2] + 1]
    places = [at for at in (*middles, *ends, *grid) if at.is_finite and low < at < high]
    return next((at for at in places if margin.subs(X, at).evalf(30).is_negative), None)
