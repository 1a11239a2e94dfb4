"""Formulas in ball arithmetic (Arb): a formula at a ball gives a ball that contains its value at every point inside.

A smooth formula takes complex balls too and then, where `analytic` asks for it, answers with no number unless it is
holomorphic on the whole ball: log, powers, asin, acos and atan have cuts, the rest has poles at most, where Arb itself
has no number. Max, Abs, sign, Heaviside, Piecewise take real balls only, and unite what holds on either side.
"""

import operator
from collections.abc import Callable
from functools import lru_cache, reduce
from types import ModuleType
from typing import Any

import sympy as sp
from sympy import Expr

from symbolic.atoms import Bvn
from symbolic.functions import Whole, X
from symbolic.growth import exact

Arb = Any  # an arb or an acb
Function = Callable[[Arb, bool], Arb]
METHODS: dict[type, str] = {
    sp.exp: "exp", sp.sin: "sin", sp.cos: "cos", sp.tan: "tan", sp.sinh: "sinh", sp.cosh: "cosh", sp.tanh: "tanh",
    sp.erf: "erf", sp.erfc: "erfc",
}  # fmt: skip
CONSTANTS: dict[Any, str] = {sp.pi: "pi", sp.E: "const_e", sp.EulerGamma: "const_euler"}


class NotCertified(ValueError):
    """No enclosure can be given; the message says why and what to do."""


def flint() -> ModuleType:
    """python-flint, where it is installed."""
    try:
        import flint
    except ImportError:
        raise ImportError('certified digits need python-flint: pip install "meanfield-calculator[rigorous]"') from None
    return flint


def constant(e: Expr) -> Arb:
    """A formula without variables as a real ball at the current precision."""
    return compiled(exact(e))(None, False)


@lru_cache(maxsize=4096)
def compiled(e: Expr) -> Function:
    """The formula in x as a function of a ball and of whether it has to be analytic there.

    Raises NotCertified for a function without a rule or a symbol without a value.
    """
    if e == X:
        return lambda x, analytic: x
    return _latest(_rule(e)) if e.has(X) else _remembered(_rule(e))


def _latest(rule: Function) -> Function:
    """The last value is kept, so that what occurs twice in a formula is computed once at each ball."""
    last: tuple[Arb, bool, Arb] = None, False, None

    def value(x: Arb, analytic: bool) -> Arb:
        nonlocal last
        known = last
        if known[0] is x and known[1] == analytic:
            return known[2]
        found = rule(x, analytic)
        last = x, analytic, found
        return found

    return value


def _remembered(rule: Function) -> Function:
    """A constant, evaluated once at each precision."""
    at: dict[int, Arb] = {}
    module = flint()

    def value(x: Arb, analytic: bool) -> Arb:
        prec = module.ctx.prec
        if prec not in at:
            at[prec] = rule(x, analytic)
        return at[prec]

    return value


def _rule(e: Expr) -> Function:
    if isinstance(e, sp.Add | sp.Mul):
        join = operator.add if isinstance(e, sp.Add) else operator.mul
        parts = [compiled(a) for a in e.args]
        return lambda x, analytic: reduce(join, (part(x, analytic) for part in parts))
    if isinstance(e, sp.Pow):
        return _power(e.base, e.exp)
    if type(e) in METHODS:
        inner, method = compiled(e.args[0]), METHODS[type(e)]
        return lambda x, analytic: getattr(inner(x, analytic), method)()
    if type(e) in CUT:
        inner, cut = compiled(e.args[0]), CUT[type(e)]
        return lambda x, analytic: cut(inner(x, analytic), analytic)
    if isinstance(e, Whole):
        return compiled(e.elementary())
    if type(e) in SWITCHES:
        parts, switch = [compiled(a) for a in e.args], SWITCHES[type(e)]
        return lambda x, analytic: switch(*(_real(part(x, analytic)) for part in parts))
    if isinstance(e, sp.Piecewise):
        return _piecewise(e)
    return _number(e)


def _number(e: Expr) -> Function:
    module = flint()
    if e in CONSTANTS:
        return lambda x, analytic: getattr(module.arb, CONSTANTS[e])()
    if e.is_Rational or e.is_Float:
        e = sp.Rational(e)
        return lambda x, analytic: module.arb(module.fmpq(int(e.p), int(e.q)))
    if isinstance(e, sp.CRootOf) and e.is_real:
        return lambda x, analytic: _root_of(e)
    if isinstance(e, sp.atan2):
        y, z = map(compiled, e.args)
        return lambda x, analytic: module.arb.atan2(y(x, analytic), z(x, analytic))
    if isinstance(e, Bvn):
        return lambda x, analytic: _orthant(*map(constant, e.args))
    raise NotCertified(f"an enclosure needs numbers and functions with a rule, and {e} has none: give symbols values")


def _root_of(e: Expr) -> Arb:
    module = flint()
    near = constant(e.eval_rational(sp.Integer(2) ** -module.ctx.prec))
    return near + module.arb(0, module.arb(2) ** -module.ctx.prec)


def _power(base: Expr, n: Expr) -> Function:
    inner = compiled(base)
    if n.is_Integer:
        return lambda x, analytic: inner(x, analytic) ** int(n)
    if n.is_Rational:
        root, whole, exponent = int(n.q), int(n.p), compiled(n)

        def rational(x: Arb, analytic: bool) -> Arb:
            value = inner(x, analytic)
            if _complex(value):
                return value.pow(exponent(x, analytic), analytic=analytic)
            return _root(value, root) ** whole

        return rational
    return compiled(sp.exp(n * sp.log(base), evaluate=False))


def _root(value: Arb, n: int) -> Arb:
    """A real formula has a base >= 0 under its root, so only the ball may reach below."""
    if not value.contains(0):
        return value.root(n)
    return value if value.is_zero() else flint().arb(0).union(value.upper().root(n))


def _complex(value: Arb) -> bool:
    return type(value).__name__ == "acb"


def _log(value: Arb, analytic: bool) -> Arb:
    return value.log(analytic=analytic) if _complex(value) else value.log()


def _beyond_i(method: str) -> Function:
    """atan or asinh, which are cut along the imaginary axis beyond i and -i."""

    def arc(value: Arb, analytic: bool) -> Arb:
        if analytic and _complex(value) and value.real.contains(0) and not abs(value.imag) < 1:
            return flint().acb("nan")
        return getattr(value, method)()

    return arc


def _beyond_1(method: str) -> Function:
    """asin or acos, cut along the real axis beyond 1 and -1; a real formula only has a ball that may reach there."""

    def arc(value: Arb, analytic: bool) -> Arb:
        module = flint()
        if _complex(value):
            on_cut = value.imag.contains(0) and not abs(value.real) < 1
            return module.acb("nan") if analytic and on_cut else getattr(value, method)()
        if abs(value) > 1 or not value.is_finite():
            return module.arb.nan()
        ends = module.arb(-1).max(value.lower()), module.arb(1).min(value.upper())
        return reduce(lambda a, b: a.union(b), (getattr(end, method)() for end in ends))

    return arc


def _real(value: Arb) -> Arb:
    if _complex(value):
        raise NotCertified("a kink lies inside an integral: its place is not known")
    return value


def _heaviside(value: Arb, at_zero: Arb) -> Arb:
    return at_zero if value.is_zero() else (1 + value.sgn()) / 2


SWITCHES: dict[type, Callable[..., Arb]] = {
    sp.Abs: abs, sp.sign: lambda value: value.sgn(), sp.Heaviside: _heaviside,
    sp.Max: lambda *values: reduce(lambda a, b: a.max(b), values),
    sp.Min: lambda *values: reduce(lambda a, b: a.min(b), values),
}  # fmt: skip
CUT: dict[type, Function] = {
    sp.log: _log, sp.asin: _beyond_1("asin"), sp.acos: _beyond_1("acos"), sp.atan: _beyond_i("atan"),
    sp.asinh: _beyond_i("asinh"),
}  # fmt: skip


def _piecewise(e: Expr) -> Function:
    branches = [(compiled(value), condition) for value, condition in e.args]

    def union(x: Arb, analytic: bool) -> Arb:
        possible = []
        for value, condition in branches:
            holds = _truth(condition, x)
            if holds is not False:
                possible.append(value(x, analytic))
            if holds:
                return reduce(lambda a, b: a.union(b), possible)
        return flint().arb.nan()

    return union


def _truth(condition: Any, x: Arb) -> bool | None:
    """Whether a condition holds on the whole ball; None where it depends."""
    if condition in (sp.true, sp.false):
        return bool(condition)
    if isinstance(condition, sp.And | sp.Or):
        known, decisive = [_truth(a, x) for a in condition.args], isinstance(condition, sp.Or)
        return decisive if decisive in known else None if None in known else not decisive
    if isinstance(condition, sp.Ge | sp.Gt):
        gap = _real(compiled(condition.lhs - condition.rhs)(x, False))
        strict = isinstance(condition, sp.Gt)
        holds, fails = (gap > 0, gap <= 0) if strict else (gap >= 0, gap < 0)
        return True if holds else False if fails else None
    if isinstance(condition, sp.Le | sp.Lt):
        return _truth(condition.reversed, x)
    return None


def _orthant(h: Arb, k: Arb, r: Arb) -> Arb:
    """P(X < h, Y < k) = Phi(h) Phi(k) + 1/(2 pi) int_0^asin(r) exp(-(h^2 + k^2 - 2 h k sin t)/(2 cos(t)^2)) dt."""
    module = flint()

    def density(t: Arb, analytic: bool) -> Arb:
        return (-(h * h + k * k - 2 * h * k * t.sin()) / (2 * t.cos() ** 2)).exp()

    below = [(-a / module.arb(2).sqrt()).erfc() / 2 for a in (h, k)]
    return below[0] * below[1] + module.acb.integral(density, 0, r.asin()).real / (2 * module.arb.pi())
