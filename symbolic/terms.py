"""Formulas as sums of terms c x^n exp(a x^2 + b x) T(x), T one of 1, step H(x), delta(x), erf(s x), for closing.

Kinks at the origin become steps, trigonometric and hyperbolic functions exponentials, erfc becomes erf. A formula that
is no such sum, or whose Gaussian factor may grow, raises Open.
"""

from dataclasses import dataclass
from functools import lru_cache

from sympy import (
    Abs,
    Add,
    DiracDelta,
    Expr,
    Heaviside,
    Max,
    Min,
    Mul,
    Piecewise,
    Poly,
    PolynomialError,
    S,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    expand,
    re,
    sign,
    sin,
    sinh,
)

from symbolic.functions import X


@dataclass(frozen=True)
class Term:
    """coefficient * x^power * exp(square x^2 + linear x) * T(x), where T is "1", "step", "delta" or erf(scale x)."""

    coefficient: Expr
    power: int = 0
    square: Expr = S.Zero
    linear: Expr = S.Zero
    kind: str = "1"
    scale: Expr = S.One


class Open(Exception):
    """This mean has no closed form here."""


def terms(body: Expr) -> tuple[Term, ...]:
    """The formula as a sum of terms with one T each; Open if it is none."""
    out = []
    for term, others in _parse(body):
        if others:
            raise Open(body)
        out.append(term)
    return tuple(out)


@lru_cache(maxsize=1024)
def _parse(body: Expr) -> tuple[tuple[Term, tuple[Term, ...]], ...]:
    return tuple(_term(addend) for addend in Add.make_args(expand(_as_steps(body))))


def as_exponentials(body: Expr) -> Expr:
    """Trigonometric and hyperbolic functions in exponentials, erfc in erf."""
    body = body.replace(erfc, lambda x: 1 - erf(x))
    return body.replace(lambda e: isinstance(e, sin | cos | sinh | cosh), lambda e: e.rewrite(exp))


def _as_steps(body: Expr) -> Expr:
    """Kinks at the origin in steps, the rest in exponentials and erf."""
    body = as_exponentials(body)
    body = body.replace(lambda e: isinstance(e, Max | Min | Abs | sign), lambda e: e.rewrite(Heaviside))
    body = body.replace(lambda e: isinstance(e, Piecewise), _piecewise)
    return body.replace(Heaviside, _step)


def _step(argument: Expr, *_: Expr) -> Expr:
    slope = argument / X
    if slope.has(X) or not (slope.is_positive or slope.is_negative):
        raise Open(argument)
    return Heaviside(X) if slope.is_positive else 1 - Heaviside(X)


def _piecewise(piecewise: Expr) -> Expr:
    if len(piecewise.args) != 2 or piecewise.args[1][1] != True:  # noqa: E712 (SymPy's own true)
        raise Open(piecewise)
    (inside, condition), (outside, _) = piecewise.args
    if not condition.is_Relational or condition.rel_op not in {">", ">=", "<", "<="}:
        raise Open(piecewise)
    step = _step(condition.gts - condition.lts)
    return inside * step + outside * (1 - step)


def split(product: Expr) -> tuple[Expr, int, Expr, list[tuple[Expr, Expr]]]:
    """One addend as coefficient x^power exp(exponent) and the rest as (base, index)."""
    coefficient, power, exponent, rest = S.One, 0, S.Zero, []
    for factor in Mul.make_args(product):
        base, index = factor.as_base_exp() if not isinstance(factor, exp) else (factor, S.One)
        if not factor.has(X):
            coefficient *= factor
        elif base == X and index.is_Integer and index > 0:
            power += int(index)
        elif isinstance(factor, exp):
            exponent += factor.args[0]
        else:
            rest.append((base, index))
    return coefficient, power, exponent, rest


def _term(product: Expr) -> tuple[Term, tuple[Term, ...]]:
    """One addend as a term, with further T factors beside it (H H = H)."""
    coefficient, power, exponent, rest = split(product)
    special: list[Term] = []
    for base, index in rest:
        if isinstance(base, Heaviside) and index.is_positive:
            special.append(Term(S.One, kind="step"))
        elif isinstance(base, erf) and not (base.args[0] / X).has(X) and index in (1, 2):
            special += [Term(S.One, kind="erf", scale=base.args[0] / X)] * int(index)
        elif isinstance(base, DiracDelta) and len(base.args) == 1 and not (base.args[0] / X).has(X) and index == 1:
            coefficient /= Abs(base.args[0] / X)
            special.append(Term(S.One, kind="delta"))
        else:
            raise Open(product)
    square, linear, constant = quadratic(exponent)
    special = _absorb_steps(special, power)
    head = special.pop() if special else Term(S.One)
    term = Term(coefficient * exp(constant), power, square, linear, head.kind, head.scale)
    return term, tuple(special)


def _absorb_steps(special: list[Term], power: int) -> list[Term]:
    """H H = H, and x H delta = x delta = 0, but H delta has no meaning."""
    steps = [s for s in special if s.kind == "step"]
    others = [s for s in special if s.kind != "step"]
    if steps and any(s.kind == "delta" for s in others):
        if power == 0:
            raise Open("a step times a delta")
        return others
    return others + steps[:1]


def quadratic(exponent: Expr) -> tuple[Expr, Expr, Expr]:
    """The coefficients of x^2, x and 1 in an exponent whose square does not grow."""
    try:
        coefficients = Poly(exponent, X).all_coeffs()[::-1]
    except PolynomialError:
        raise Open(exponent) from None
    if len(coefficients) > 3:
        raise Open(exponent)
    constant, linear, square = (*coefficients, S.Zero, S.Zero)[:3]
    if not re(square).is_nonpositive:
        raise Open("a growing Gaussian factor, whose mean exists for small variances only")
    return square, linear, constant
