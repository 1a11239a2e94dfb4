"""Shaped attention, derived: what one layer does to the Gram V of m tokens at large width n, to first order in 1/n.

X' = lambda X + gamma A X W/sqrt(n), lambda^2 + gamma^2 = 1, A = 1 + softmax(Y/tau) - 1/m, Y = X W_Q W_K^T X^T/n,
tau = tau_0 sqrt(n n_k). With h = 1/sqrt(n), H = X W/sqrt(n), X H^T/n = h K, H H^T/n = V + h S and Y/tau = h y/tau_0
    V' = lambda^2 V + lambda gamma h (K A^T + A K^T) + gamma^2 A (V + h S) A^T,
where only second moments of y, K, S matter: h^2 E V' is the drift b, Cov of the term in h the diffusion Sigma of
dV = b dT + Sigma^(1/2) dB, T = L/n. Model of Noci et al. 2023 (arXiv 2306.17759) from memory, the derivation is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from sympy import Expr, Matrix, MutableDenseMatrix, Rational, Symbol, exp, symbols

from symbolic.networks import Layer, quantity

GAMMA = Symbol("gamma", positive=True)
TAU = Symbol("tau", positive=True)


@dataclass(frozen=True, repr=False)
class ShapedAttention(Layer):
    """X' = sqrt(1 - gamma^2) X + gamma A X W/sqrt(n), A = 1 + softmax(Y/(tau sqrt(n n_k))) - 1/m over m tokens.

    gamma in [0, 1] weighs the branch, tau > 0 is tau_0; left out, they stay symbols. ValueError or TypeError for
    others. No limit of pairs of signals describes it, since what survives at large width is an SDE in depth/width.
    """

    gamma: Expr = GAMMA
    tau: Expr = TAU

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", quantity("gamma", self.gamma, low=0, high=1))
        object.__setattr__(self, "tau", quantity("tau", self.tau, low=0, open_low=True))


@dataclass(frozen=True)
class ShapedLimit:
    """drift (m, m) and diffusion {(a, b, c, d): Sigma^(ab, cd)} over a <= b, c <= d, in the entries of `gram`."""

    layer: ShapedAttention
    gram: MutableDenseMatrix
    drift: MutableDenseMatrix
    diffusion: dict[tuple[int, int, int, int], Expr]

    @property
    def update(self) -> tuple[Expr, ...]:
        """The drift of the entries V^(ab), a <= b."""
        return tuple(self.drift[a, b] for a, b in upper(self.gram.rows))


def upper(tokens: int) -> tuple[tuple[int, int], ...]:
    """The pairs a <= b in the order of rows."""
    return tuple((a, b) for a in range(tokens) for b in range(a, tokens))


def isserlis(factors: Sequence[int], covariance: Matrix) -> Expr:
    """E of a product of centred Gaussians, given by their indices: the sum over all pairings (Isserlis 1918).

    >>> isserlis([0, 0, 0, 0], Matrix([[1]]))
    3
    """
    if len(factors) % 2:
        return Rational(0)
    if not factors:
        return Rational(1)
    first, *rest = factors
    pairs = ((covariance[first, b], rest[:i] + rest[i + 1 :]) for i, b in enumerate(rest))
    return sum((c * isserlis(left, covariance) for c, left in pairs), Rational(0))


@cache
def softmax_terms(tokens: int) -> tuple[tuple[Symbol, ...], tuple[Expr, ...], tuple[Expr, ...]]:
    """y, and the coefficients of h and h^2 in each entry of softmax(h y)."""
    h, y = Symbol("h"), symbols(f"y:{tokens}")
    total = sum(exp(h * v) for v in y)
    slopes = [(exp(h * v) / total).diff(h) for v in y]
    at_zero = [tuple(e.subs(h, 0).expand() for e in terms) for terms in (slopes, [e.diff(h) / 2 for e in slopes])]
    return y, at_zero[0], at_zero[1]


def shaped_limit(layer: ShapedAttention, tokens: int = 2) -> ShapedLimit:
    """Drift and diffusion for that many tokens, as polynomials in the entries of the Gram."""
    m, gamma = tokens, layer.gamma
    gram = Matrix(m, m, lambda a, b: Symbol(f"V{min(a, b)}{max(a, b)}", real=True))
    y, K, S = (Matrix(m, m, symbols(f"{name}_:{m}_:{m}")) for name in ("y", "K", "S"))
    names, *terms = softmax_terms(m)
    rows = [dict(zip(names, y.row(a), strict=True)) for a in range(m)]
    one, two = (Matrix([[e.subs(row) for e in order] for row in rows]) for order in terms)
    one, two, skip = one / layer.tau, two / layer.tau**2, (1 - gamma**2) ** Rational(1, 2)
    first = gamma * (skip * K + gamma * one * gram)
    first += first.T + gamma**2 * S
    second = gamma * (skip * one * K.T + gamma * (two * gram + one * S))
    second += second.T + gamma**2 * one * gram * one.T
    noise = {"y": (y, _independent(gram)), "K": (K, _independent(gram)), "S": (S, _wishart(gram))}
    pairs = upper(m)
    means, slopes = {p: _mean(second[p], noise) for p in pairs}, {p: _slopes(first[p], noise) for p in pairs}
    drift = Matrix(m, m, lambda a, b: means[min(a, b), max(a, b)])
    diffusion = {(*p, *q): _covariance(slopes[p], slopes[q], noise) for p in pairs for q in pairs if p <= q}
    return ShapedLimit(layer, gram, drift, diffusion | {(*k[2:], *k[:2]): v for k, v in diffusion.items()})


Noise = dict[str, tuple[MutableDenseMatrix, dict[tuple[int, ...], Expr]]]


def _independent(gram: MutableDenseMatrix) -> dict[tuple[int, ...], Expr]:
    """Cov of x_a M x_b and x_c M x_d, all entries of M independent: V^(ac) V^(bd)."""
    return {(a, b, c, d): gram[a, c] * gram[b, d] for a, b, c, d in product(range(gram.rows), repeat=4)}


def _wishart(gram: MutableDenseMatrix) -> dict[tuple[int, ...], Expr]:
    """Cov of h_a h_b and h_c h_d of one column of H, whose covariance is V."""
    return {i: isserlis(i, gram) - gram[i[:2]] * gram[i[2:]] for i in product(range(gram.rows), repeat=4)}


def _slopes(linear: Expr, noise: Noise) -> list[tuple[str, tuple[int, int], Expr]]:
    """The kind, place and coefficient of each noise in a form linear in it."""
    places = ((kind, divmod(i, M.cols), linear.diff(v)) for kind, (M, _) in noise.items() for i, v in enumerate(M))
    return [place for place in places if place[2] != 0]


def _covariance(left: Any, right: Any, noise: Noise) -> Expr:
    """That of two linear forms; noise of different kinds is uncorrelated (K is odd in W, S even)."""
    terms = (c * d * noise[kind][1][(*i, *j)] for kind, i, c in left for other, j, d in right if kind == other)
    return sum(terms, Rational(0)).expand()


def _mean(quadratic: Expr, noise: Noise) -> Expr:
    """E of a quadratic form."""
    total = Rational(0)
    for kind, i, form in _slopes(quadratic, noise):
        alike = {kind: noise[kind]}
        total += sum((c * noise[kind][1][(*i, *j)] for _, j, c in _slopes(form, alike)), Rational(0)) / 2
    return total.expand()
