"""The words of a formula, guarded: SymPy evaluates 2**(10**9) or exp(10**9*log(2)) eagerly, and these refuse first.

Constants stay real, finite and below 2^1000, exponents within 64, expansions within 3000 terms; whatever would not is a
Refusal, a sentence to which the parser adds the place.
"""

import ast
import operator
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import comb, prod
from typing import Any

import sympy as sp
from sympy import Expr, Pow, Rational

from symbolic.functions import sigmoid, softplus

MAX_NUMBER, MAX_PLACES, MAX_BITS, MAX_TERMS = 10**15, 50, 1000, 3000
MAX_EXPONENT, MAX_DENOMINATOR, MAX_EXP = 64, 1000, 690
NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class Refusal(Exception):
    """Why a rule refuses its node; `parse` adds the place."""


def number(literal: str) -> Expr:
    if not NUMBER.fullmatch(literal):
        raise Refusal(f"numbers are written like 12, 0.5 or 1e-3, got {literal[:40]}")
    value = Decimal(literal)
    if value > MAX_NUMBER or -int(value.as_tuple().exponent) > MAX_PLACES:
        raise Refusal(f"numbers go up to 1e15 with at most {MAX_PLACES} decimals, got {literal[:40]}")
    return Rational(Fraction(value))


def divide(a: Expr, b: Expr) -> Expr:
    if b.is_zero:
        raise Refusal("division by zero has no value; change the denominator")
    return a / b


def power(base: Expr, exponent: Expr) -> Expr:
    if exponent.is_number:
        return constant_power(base, exponent)
    if base.is_number and not base.is_positive:
        raise Refusal(f"a constant under a variable exponent must be positive, got {str(base)[:40]}; change the base")
    check_exponents(exponent)
    return base**exponent


def constant_power(base: Expr, exponent: Expr) -> Expr:
    if not exponent.is_Rational or exponent.q > MAX_DENOMINATOR:
        given = str(exponent)[:40]
        raise Refusal(f"constant exponents are fractions over at most {MAX_DENOMINATOR}, got {given}; round it")
    check_exponents(exponent)
    if base.is_zero and exponent < 0:
        raise Refusal("zero to a negative power is a division by zero; change the base")
    if base.is_negative and not exponent.is_Integer:
        raise Refusal("a fractional power of a negative number is not real; try Abs(...) inside")
    for inner in base.atoms(Pow, sp.exp):  # SymPy multiplies nested exponents
        if isinstance(inner, Pow) or inner.has(sp.log, softplus):
            check_exponents(inner.exp, abs(exponent))
    if max(map(bits, base.atoms(Rational)), default=0) * abs(exponent) > MAX_BITS:
        raise Refusal(f"the power {exponent} makes numbers beyond 2^{MAX_BITS}; make them smaller")
    return base**exponent


def check_exponents(exponent: Expr, factor: Expr | int = 1) -> None:
    """Any number in an exponent can become the exponent: 2**(x + 10**9)/2**x, exp(10**9*log(2))."""
    largest = factor * max((abs(r) for r in exponent.atoms(Rational)), default=1)
    if largest > MAX_EXPONENT:
        raise Refusal(f"numbers in exponents go up to {MAX_EXPONENT}, got {str(largest)[:40]}; use a smaller power")


def exponential(f: Callable[[Expr], Expr]) -> Callable[[Expr], Expr]:
    def rule(x: Expr) -> Expr:
        if x.is_number and abs(x.evalf(15)) > MAX_EXP:
            raise Refusal(f"{f.__name__} of a constant needs an argument within +-{MAX_EXP}; make it smaller")
        if x.has(sp.log, softplus):
            check_exponents(x)
        return f(x)

    return rule


def logarithm(x: Expr) -> Expr:
    if x.is_zero or x.is_negative:
        raise Refusal(f"log needs a positive argument, got {str(x)[:40]}; try log(Abs(...))")
    return sp.log(x)


def bits(r: Any) -> int:
    return max(abs(int(r.p)).bit_length(), int(r.q).bit_length())


def check_value(value: Expr) -> Expr:
    """Refuse what is infinite, undefined, complex or out of the range of doubles."""
    if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
        raise Refusal("this is infinite or undefined; every part of a formula needs a finite value")
    if value.has(sp.I) or (value.is_number and value.is_real is False):
        raise Refusal("this is not real; formulas must be real, try Abs(...) inside")
    if any(abs(p.exp) > MAX_EXPONENT for p in value.atoms(Pow) if p.exp.is_Rational):
        raise Refusal(f"powers multiply up beyond {MAX_EXPONENT} here; use lower powers")
    if terms(value) > MAX_TERMS:
        raise Refusal(f"this expands to more than {MAX_TERMS} terms; use lower powers")
    if any(bits(r) > MAX_BITS for r in value.atoms(Rational)):
        raise Refusal(f"this makes numbers beyond 2^{MAX_BITS}; make them smaller")
    if value.is_number and not value.is_zero:
        approximate = value.evalf(15)
        if not approximate.is_Float or approximate._prec == 1:
            raise Refusal("this constant cannot be told from zero; simplify it")
        if not 2.0**-MAX_BITS < abs(approximate) < 2.0**MAX_BITS:
            raise Refusal(f"this constant is beyond 2^{MAX_BITS} or 2^-{MAX_BITS}; bring it closer to 1")
    return value


def terms(e: Expr) -> int:
    """How many terms expanding would give; SymPy expands to learn whether a value is real."""
    if isinstance(e, sp.Add):
        return sum(map(terms, e.args))
    if isinstance(e, sp.Mul):
        return prod(map(terms, e.args))
    if isinstance(e, Pow) and e.exp.is_Integer:
        inner = terms(e.base)
        return comb(abs(int(e.exp)) + inner - 1, inner - 1)
    return 1


FUNCTIONS: dict[str, Callable[..., Expr]] = {
    **{f.__name__: f for f in (sp.sin, sp.cos, sp.tan, sp.tanh, sp.erf, sp.atan, sp.sign)},
    **{f.__name__: exponential(f) for f in (sp.exp, sp.sinh, sp.cosh, sigmoid, softplus)},
    **{"Abs": sp.Abs, "abs": sp.Abs, "Max": sp.Max, "Min": sp.Min, "log": logarithm},
    "sqrt": lambda x: constant_power(x, Rational(1, 2)),
    "relu": lambda x: sp.Max(x, 0),
    "Heaviside": lambda x: sp.Heaviside(x, Rational(1, 2)),
}
OPERATORS: dict[type[ast.AST], Callable[..., Expr]] = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: divide, ast.Pow: power},
    **{ast.USub: operator.neg, ast.UAdd: operator.pos},
}
