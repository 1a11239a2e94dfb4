"""Attention scores, a scalar product of two vectors: s = d^m sum_i q_i k_i over the d entries of a head.

q = W_Q x and k = W_K x share no weights when drawn, and their product adds up like a random walk, d^(1/2). The update
of W_Q is delta_q x^T with delta_q = d^m k dl/ds, so that dq is a multiple of k, and dq k gains d; q dk likewise. The
largest of them is Theta(1) for m = -1. Yang et al. 2022 (arXiv 2203.03466): 1/d second-hand, derived here.
"""

from dataclasses import dataclass

from sympy import Expr, Max, Symbol, expand

from symbolic.scaling.conditions import Condition
from symbolic.scaling.optimizers import ONE, ZERO
from symbolic.scaling.solve import solution


@dataclass(frozen=True)
class Vector:
    """A vector with entries of Theta(1), and the names of the random vectors that it is made of."""

    ancestry: frozenset[str]


def product(u: Vector, v: Vector, axis: Expr) -> Expr:
    """The exponent of u v over a dimension of the exponent `axis`: aligned if they have an ancestor in common."""
    return axis if u.ancestry & v.ancestry else axis / 2


QUERY, KEY = Vector(frozenset({"W_Q x"})), Vector(frozenset({"W_K x"}))
QUERY_CHANGE, KEY_CHANGE = KEY, QUERY  # dq is a multiple of k, dk one of q


@dataclass(frozen=True)
class Scores:
    """Exponents of d in attention scores: of their multiplier, at initialization, and of their change in training."""

    multiplier: Expr
    drawn: Expr
    trained: Expr


def scores(multiplier: Expr | None = None, axis: Expr = ONE) -> Scores:
    """Those with a multiplier d^multiplier, or the one that makes their change Theta(1) if it is left out.

    axis = 0: heads of a fixed size, for which any constant will do.

    >>> from sympy import Rational
    >>> scores(Rational(-1, 2))
    Scores(multiplier=-1/2, drawn=0, trained=1/2)
    """
    drawn = product(QUERY, KEY, axis)
    moved = Max(
        product(QUERY_CHANGE, KEY, axis), product(QUERY, KEY_CHANGE, axis), product(QUERY_CHANGE, KEY_CHANGE, axis)
    )
    if multiplier is None:
        m = Symbol("m", real=True)
        multiplier = solution([Condition("scores change by Theta(1)", m + moved)], (m,))[m]
    return Scores(multiplier, expand(multiplier + drawn), expand(multiplier + moved))


FIXED = scores(ZERO, axis=ZERO)
