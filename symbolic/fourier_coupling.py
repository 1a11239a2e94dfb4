"""How modes of a layer of a Fourier neural operator couple: through its activation, and at a finite width.

C_r = sum_n (a_n^2/n!) Sigma_r^n with a_n = E phi^(n)(u) = q^(-n/2) E phi(u) He_n(u/sqrt q), u ~ N(0, q = Sigma_0), so
Chat_k = sum_n (a_n^2/n!) N^(1-n) (Sigmahat * ... * Sigmahat)_k, a circular convolution of n factors: products of modes
fill those that were dropped. At D channels the covariance of a layer, given the one before, is random,
V_rs = D Cov(Sigma_r, Sigma_s): V' = S (Phi + J V J^T) S^T, J_rs = dC_r/dSigma_s, Phi of one channel. Derived here; V
checked by simulation. Kim 2025 (arXiv 2507.21833) treats both, its formulas were not read.
"""

from math import factorial

from sympy import Eq, Expr, IndexedBase, KroneckerDelta, Mod, Mul, Piecewise, Poly, S, Sum, Symbol, sympify
from sympy.polys.orthopolys import hermite_prob_poly

from symbolic.critical import shown
from symbolic.fourier_modes import LAG, MODE, N
from symbolic.functions import X
from symbolic.gaussian import Mean, q
from symbolic.networks import Pointwise

HAT_C, HAT_SIGMA = IndexedBase("Chat", real=True), IndexedBase("Sigmahat", real=True)
J, V, V_NEXT, PHI = (IndexedBase(name, real=True) for name in ("J", "V", "V'", "Phi"))
OTHER = Symbol("s", integer=True)


def derivative_mean(phi: Pointwise, n: int) -> Expr:
    """E phi^(n)(u) in q, without a derivative of phi: by parts it is a mean of phi times a Hermite polynomial.

    >>> from symbolic.activations import relu
    >>> derivative_mean(relu, 1)
    1/2
    """
    if phi.odd and n % 2 == 0:
        return S.Zero
    terms = Poly(hermite_prob_poly(n, X), X).terms()
    means = (c * Mean(X**j * phi.formula, q) / sympify(q, strict=True) ** ((n + j) // 2) for (j,), c in terms)
    return shown(sum(means, S.Zero))


def hermite_coupling(phi: Pointwise, order: int) -> Eq:
    """Chat_k in Sigmahat and q = Sigma_0 up to that power of Sigma."""
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise ValueError(f"the order of a series is a whole number of at least 0, not {order!r}")
    weights = [derivative_mean(phi, n) ** 2 / factorial(n) for n in range(order + 1)]
    total = sum((w * N ** (1 - n) * _self_convolution(n) for n, w in enumerate(weights) if w != 0), S.Zero)
    return Eq(HAT_C[MODE], total, evaluate=False)


def _self_convolution(n: int) -> Expr:
    """(Sigmahat * ... * Sigmahat)_k of n factors, indices modulo N."""
    if n == 0:
        return Piecewise((1, Eq(Mod(MODE, N), 0)), (0, True))
    free = [Symbol(f"k{j}", integer=True) for j in range(1, n)]
    last = Mod(MODE - sum(free), N) if free else MODE
    term = Mul(HAT_SIGMA[last], *(HAT_SIGMA[j] for j in free))
    return Sum(term, *((j, 0, N - 1) for j in free)) if free else term


def jacobian(along: Expr, through_length: Expr) -> Eq:
    """J_rs = dC_r/dSigma_s: C_r depends on its own lag, and through the variance on lag 0."""
    here, zero = KroneckerDelta(LAG, OTHER), KroneckerDelta(OTHER, 0)
    return Eq(J[LAG, OTHER], here * along + zero * through_length, evaluate=False)


def vertex(kernel: IndexedBase) -> Eq:
    """V'_rs = sum_ab S_(r-a) S_(s-b) (Phi_ab + sum_cd J_ac J_bd V_cd)."""
    a, b, c, d = (Symbol(name, integer=True) for name in "abcd")
    each = [(x, 0, N - 1) for x in (a, b, c, d)]
    inner = PHI[a, b] + Sum(J[a, c] * J[b, d] * V[c, d], *each[2:])
    return Eq(V_NEXT[LAG, OTHER], Sum(kernel[LAG - a] * kernel[OTHER - b] * inner, *each[:2]), evaluate=False)
