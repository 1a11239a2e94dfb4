"""Formulas as sums of terms c x^n exp(a x^2 + b x) T(x), T one of 1, step H(x), delta(x), erf(s x), for closing.

Kinks at the origin become steps, trigonometric and hyperbolic functions exponentials, erfc becomes erf. A formula that
is no such sum, or whose Gaussian factor may grow, raises Open.
"""

from collections.abc import Iterator
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


def split_terms(body: Expr) -> Iterator[tuple[Term, Term]]:
    """The formula as a sum of products of two terms, for a mean over one variable."""
    for term, others in _parse(body):
        if len(others) > 1:
            raise Open(body)
        yield (term, others[0] if others else Term(S.One))


@lru_cache(maxsize=1024)
def _parse(body: Expr) -> tuple[tuple[Term, tuple[Term, ...]], ...]:
    return tuple(_term(addend) for addend in Add.make_args(expand(_as_steps(body))))


def _as_steps(body: Expr) -> Expr:
    """Kinks at the origin in steps, trigonometric functions in exponentials, erfc in erf."""
    body = body.replace(erfc, lambda x: 1 - erf(x))
    body = body.replace(lambda e: isinstance(e, sin | cos | sinh | cosh), lambda e: e.rewrite(exp))
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


def _term(product: Expr) -> tuple[Term, tuple[Term, ...]]:
    """One addend as a term, with further T factors beside it (H H = H)."""
    coefficient, power, exponent, special = S.One, 0, S.Zero, []
    for factor in Mul.make_args(product):
        base, index = factor.as_base_exp() if not isinstance(factor, exp) else (factor, S.One)
        if not factor.has(X):
            coefficient *= factor
        elif base == X and index.is_Integer and index > 0:
            power += int(index)
        elif isinstance(factor, exp):
            exponent += factor.args[0]
        elif isinstance(base, Heaviside) and index.is_positive:
            special.append(Term(S.One, kind="step"))
        elif isinstance(base, erf) and not (base.args[0] / X).has(X) and index in (1, 2):
            special += [Term(S.One, kind="erf", scale=base.args[0] / X)] * int(index)
        elif isinstance(factor, DiracDelta) and len(factor.args) == 1 and not (factor.args[0] / X).has(X):
            coefficient /= Abs(factor.args[0] / X)
            special.append(Term(S.One, kind="delta"))
        else:
            raise Open(product)
    square, linear, constant = _exponent(exponent)
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


def _exponent(exponent: Expr) -> tuple[Expr, Expr, Expr]:
    try:
        coefficients = Poly(exponent, X).all_coeffs()[::-1]
    except PolynomialError:
        raise Open(exponent) from None
    if len(coefficients) > 3:
        raise Open(exponent)
    constant, linear, square = (*coefficients, S.Zero, S.Zero)[:3]
    if not square.is_nonpositive:
        raise Open("a growing or oscillating Gaussian factor, whose mean exists for small variances only or is complex")
    return square, linear, constant
