"""The law of an attention layer of H heads at infinite width: Gaussian given its random scores.

Given scores p^a, y_i = H^(-1/2) sum_aj A^a_ij Z^a_j with A^a = zeta(p^a), Gaussian values Z^a of covariance nu^2 Gamma,
and Cov(p_ij, p_kl) = tau^2 Gamma_ik Gamma_jl; so Cov(y_i, y_k) = (nu^2/H) sum_a A^a_i. Gamma A^a_k.^T. Moments of y
follow from those of Q = A_1. Gamma A_1.^T, mu_k = E Q^k: excess kurtosis 3 Var Q/(H (E Q)^2).
Sakai, Karakida, Imaizumi 2025 (arXiv 2506.00846): layer and limit as read in the authors' code; covariances for general
Gamma, moments and one-dimensional integrals derived here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sympy import (
    Add,
    Expr,
    Function,
    Indexed,
    IndexedBase,
    Integral,
    Matrix,
    Mul,
    S,
    Symbol,
    exp,
    factor,
    factorial,
    factorial2,
    ff,
    oo,
    pi,
    sqrt,
    sympify,
)

TAU, NU = Symbol("tau", positive=True), Symbol("nu", positive=True)
HEADS = Symbol("H", positive=True, integer=True)
GAMMA, MU = IndexedBase("Gamma", symmetric=True), IndexedBase("mu")
T, V, P = Symbol("t", positive=True), Symbol("v", positive=True), Symbol("p", real=True)
L = Function("L")  # L(m, t) = E[e^(m p) exp(-t e^p)], p ~ N(0, v)


def wick(factors: Sequence[Any], covariance: Any) -> Expr:
    """E of a product of centred Gaussians: the sum over pairings of products of covariances (Isserlis).

    >>> wick("abcd", lambda x, y: Symbol(x + y))
    ab*cd + ac*bd + ad*bc
    """
    if not factors:
        return S.One
    first, *rest = factors
    return Add(*(covariance(first, other) * wick(rest[:n] + rest[n + 1 :], covariance) for n, other in enumerate(rest)))


def score_covariance(i: Any, j: Any, k: Any, l: Any) -> Expr:  # noqa: E741 - the paper's letters
    """Cov(p_ij, p_kl) of p = q k^T/sqrt(n), n independent channels of queries and keys, which are independent.

    >>> i, j, k, l = (Symbol(x, integer=True) for x in "ijkl")
    >>> score_covariance(i, j, k, l)
    tau**2*Gamma[i, k]*Gamma[j, l]
    """

    def covariance(one: tuple[str, Any], other: tuple[str, Any]) -> Expr:
        # sigma_Q^2 and sigma_K^2 enter as their product alone
        return TAU * gamma(one[1], other[1]) if one[0] == other[0] else S.Zero

    # n channels, each with the factor 1/sqrt(n) twice: the mean over channels is that of one.
    return wick([("q", i), ("k", j), ("q", k), ("k", l)], covariance)


def gamma(i: Any, j: Any) -> Indexed:
    """Gamma_ij, one symbol for both orders."""
    return GAMMA[tuple(sorted((sympify(i, strict=True), sympify(j, strict=True)), key=str))]


@dataclass(frozen=True)
class ConditionalGaussian:
    """The layer for `tokens` tokens and `heads` heads, numbers; `update` are its equations."""

    tokens: int
    heads: int

    @cached_property
    def weights(self) -> tuple[Matrix, ...]:
        """A^a, given: symbols."""
        size = range(self.tokens)
        return tuple(Matrix([[Symbol(f"A{a}_{i}{j}") for j in size] for i in size]) for a in range(self.heads))

    @cached_property
    def outputs(self) -> Matrix:
        """y_i in terms of the values Z^a_j."""
        values = [Matrix([Symbol(f"Z{a}_{j}") for j in range(self.tokens)]) for a in range(self.heads)]
        total = Matrix.zeros(self.tokens, 1)
        for weight, value in zip(self.weights, values, strict=True):
            total += weight * value
        return total / sqrt(self.heads)

    @cached_property
    def covariance(self) -> Matrix:
        """Cov(y_i, y_k) given the scores: linear in the values, whose covariance is delta_ab nu^2 Gamma."""
        z = [(a, j, Symbol(f"Z{a}_{j}")) for a in range(self.heads) for j in range(self.tokens)]
        slopes = [[y.diff(symbol) for _, _, symbol in z] for y in self.outputs]
        inner = Matrix([[NU**2 * gamma(j, m) if a == b else S.Zero for b, m, _ in z] for a, j, _ in z])
        return (Matrix(slopes) * inner * Matrix(slopes).T).applyfunc(lambda e: e.expand())

    @property
    def update(self) -> tuple[Expr, ...]:
        """Covariances of the scores, then of the outputs given them, for the first token and itself."""
        return score_covariance(0, 0, 0, 0), self.covariance[0, 0]

    def __str__(self) -> str:
        return f"Cov(p00, p00) = {self.update[0]}\nCov(y0, y0 | p) = {self.update[1]}"


def scale_moment(k: int, heads: Any = HEADS) -> Expr:
    """E V^k of V = (nu^2/H) sum_a Q_a, Q_a independent with E Q^k = mu_k; H may be a symbol.

    >>> scale_moment(1)
    nu**2*mu[1]
    """
    heads = sympify(heads, strict=True)  # ff would read text as a formula
    # [x^k] (1 + r)^H with r = sum_j mu_j x^j/j! is a polynomial in H by the binomial series.
    ratio, powers, total = [S.Zero, *(MU[j] / factorial(j) for j in range(1, k + 1))], [S.One] + [S.Zero] * k, S.Zero
    for n in range(k + 1):
        total += ff(heads, n) / factorial(n) * powers[k]
        powers = [Add(*(powers[i] * ratio[m - i] for i in range(m + 1))) for m in range(k + 1)]
    return (NU ** (2 * k) * factorial(k) * total / heads**k).expand(func=True)


def moment(m: int, heads: Any = HEADS) -> Expr:
    """E y^m: given V, Isserlis has (m - 1)!! pairings, each of weight V^(m/2); odd moments are 0.

    >>> moment(2), moment(3)
    (nu**2*mu[1], 0)
    """
    return S.Zero if m % 2 else (factorial2(m - 1) * scale_moment(m // 2, heads)).expand()


def excess_kurtosis(heads: Any = HEADS) -> Expr:
    """E y^4/(E y^2)^2 - 3.

    >>> excess_kurtosis()
    -3*(mu[1]**2 - mu[2])/(H*mu[1]**2)
    """
    return factor(moment(4, heads) / moment(2, heads) ** 2 - 3)


def softmax_moment(powers: Sequence[int], tokens: Any) -> Integral:
    """E prod_i A_i^(m_i) of a softmax over independent scores, as an integral of products of L(m, t).

    S^(-n) = int t^(n-1) e^(-t S) dt/(n-1)! for S = sum e^p, and the mean over independent p factorises.

    >>> softmax_moment((2,), Symbol("s"))
    Integral(t*L(0, t)**(s - 1)*L(2, t), (t, 0, oo))
    """
    n = sum(powers)
    rest = sympify(tokens, strict=True) - len(powers)
    product = Mul(*(L(m, T) for m in powers)) * L(0, T) ** rest
    return Integral(T ** (n - 1) / factorial(n - 1) * product, (T, 0, oo))


def laplace(m: int, t: Any = T, v: Any = V) -> Integral:
    """L(m, t) written out."""
    density = exp(-(P**2) / (2 * v)) / sqrt(2 * pi * v)
    return Integral(exp(m * P - t * exp(P)) * density, (P, -oo, oo))


def participation_moment(k: int, tokens: Any) -> Expr:
    """E Q^k of Q = sum_j A_j^2 for Gamma = I, expanded over the partitions of k.

    >>> participation_moment(1, Symbol("s"))
    s*Integral(t*L(0, t)**(s - 1)*L(2, t), (t, 0, oo))
    """
    total = S.Zero
    for parts in partitions(k, k):
        ways = factorial(k) / Mul(*(factorial(m) for m in parts))
        repeats = Mul(*(factorial(parts.count(m)) for m in set(parts)))
        places = ff(sympify(tokens, strict=True), len(parts))
        if places != 0:
            total += ways / repeats * places * softmax_moment([2 * m for m in parts], tokens)
    return total


def partitions(k: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Of k into parts of at most `largest`.

    >>> list(partitions(3, 3))
    [(3,), (2, 1), (1, 1, 1)]
    """
    if k == 0:
        yield ()
    for first in range(min(k, largest), 0, -1):
        for rest in partitions(k - first, first):
            yield (first, *rest)
