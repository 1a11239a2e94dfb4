"""Laws of rank collapse in closed form, derived from the token map: depth without end, small scores, gradients.

Noci et al. 2022 (arXiv 2206.03126), linear MLP, branches t_1/depth and t_2/depth: the mean token and the
differences are eigenvectors of one block, so that cosines tend to a limit below 1. Dong et al. 2021 (arXiv 2103.03404):
attention alone cubes differences. Gradients of S = softmax(X W_Q W_K^T X^T/sqrt(d)) X W_V at uniform attention. All
derived here; forms agree with the papers as recalled.
"""

from dataclasses import replace

from sympy import Expr, Matrix, S, Symbol, factor, limit, oo, simplify, symbols

from symbolic.gaussian import p, q
from symbolic.tokens import token_map
from symbolic.transformers import TransformerBlock

n = Symbol("n", positive=True, integer=True)
T1, T2, DEPTH = symbols("t_1 t_2 L", positive=True)
VARIANCE, RHO, WIDTH = Symbol("sigma_x2", positive=True), Symbol("rho", real=True), Symbol("d", positive=True)
QK_VAR, OV_VAR, K_VAR = symbols("qk_var ov_var k_var", nonnegative=True)


def one_block(norm_free: TransformerBlock) -> Matrix:
    """The linear map of (m, q - p), m = (q + (n-1) p)/n, of a block without LN whose MLP is linear, at uniform
    attention; its Jacobian in (q, p), in another basis.

    Raises ValueError for a block whose token map is not linear.
    """
    found = token_map(norm_free, "uniform")
    if found.jacobian().free_symbols & {q, p}:
        raise ValueError(f"the token map of '{norm_free}' is not linear: take norm=None and phi='linear', or no MLP")
    basis = Matrix([[1 / norm_free.tokens, 1 - 1 / norm_free.tokens], [1, -1]])
    return (basis * found.jacobian() * basis.inv()).applyfunc(simplify)


def deep_cosine(cosine: Expr, t_1: Expr, tokens: Expr) -> Expr:
    """The cosine at infinite depth of tokens that start with `cosine`, branches attn_scale^2 = t_1/L, mlp t_2/L.

    Of each eigenvalue of one block its L-th power for L -> infinity: m grows by e^(t_1 + t_2), q - p by e^(t_2).
    """
    block = TransformerBlock(n, "linear", norm=None, **{"attn_scale": (T1 / DEPTH) ** (S.One / 2)})
    block = replace(block, mlp_scale=(T2 / DEPTH) ** (S.One / 2))
    rates = one_block(block)
    mean, apart = (limit(rates[i, i] ** DEPTH, DEPTH, oo) for i in range(2))
    start = Matrix([(1 + (n - 1) * RHO) / n, 1 - RHO])
    m, difference = mean * start[0], apart * start[1]
    product = m - difference / n
    return simplify(product / (product + difference)).subs({RHO: cosine, T1: t_1, n: tokens})


def cubic_rate() -> Expr:
    """(q' - p')/(q - p)^3 of attention alone at small differences, exact in n.

    A_ik = 1/n + sum_l (delta_kl/n - 1/n^2) x_l + ..., so that Y2 - Y12 = n E[(first order)^2] (1 - c) for scores of
    variance s^2, and s^2 (1 - c) = qk_var (q - p)^2; to second order rows still sum to 1 and add nothing.
    """
    own, other = 1 / n - 1 / n**2, -1 / n**2
    return factor(OV_VAR * QK_VAR * n * (own**2 + (n - 1) * other**2))


def attention_gradients() -> tuple[Expr, Expr]:
    """E ||dS/dW_V||^2 and E ||dS/dW_Q||^2, over all outputs, at uniform attention, for Gaussian tokens of variance
    sigma_x2 and correlation rho in d features; W_K has variance k_var/d, W_V ov_var/d. That of W_K has W_Q's variance.

    The first is d ||A X||^2. The second is ov_var k_var ||X||^2 ||P X X^T P||^2/(n^2 d), P the projection on
    differences, and P X X^T P is a Wishart matrix of d features and covariance S = (1 - rho) sigma_x2 P: the mean of
    its squares is (d^2 + d) tr S^2 + d (tr S)^2. ||X||^2 is taken at its mean, an error of O(1/(n d)).
    """
    ranks = (1 - RHO) * VARIANCE
    trace, square = (n - 1) * ranks, (n - 1) * ranks**2
    wishart = (WIDTH**2 + WIDTH) * square + WIDTH * trace**2
    by_value = WIDTH * WIDTH * n * VARIANCE * (1 + RHO * (n - 1)) / n
    return by_value, factor(K_VAR * OV_VAR * n * WIDTH * VARIANCE * wishart / (n**2 * WIDTH))
