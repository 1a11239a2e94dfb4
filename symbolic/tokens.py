"""Tokens that are alike: the state (q, p) of mean square and mean product of two tokens, through a Transformer block.

Tokens of Gram C_kl = p + (q - p) delta_kl, row-stochastic attention A and values of iid weights give
q_A = ov_var [p + (q - p) Y2], p_A = ov_var [p + (q - p) Y12], Y2 = E sum_k A_ik^2, Y12 = E sum_k A_ik A_jk (i != j);
exact given the Gram, derived by us. The theories differ in Y2 and Y12. `d` stands for q - p, so that tokens that are
nearly equal keep their digits; exponents are slopes of the maps at d = 0.
"""

from collections.abc import Callable
from typing import Any

from sympy import Expr, Integer, Symbol, diff, exp, expand, symbols

from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.maps import Map
from symbolic.transformers import TransformerBlock

d = Symbol("d", nonnegative=True)
Y2, Y12, GAP = symbols("Y2 Y12 gap", nonnegative=True)
State = tuple[Expr, Expr]
Overlap = Callable[[TransformerBlock, State], tuple[Expr, Expr]]


def read(entries: State, overlap: Expr) -> Expr:
    """sum_kl a_k b_l C_kl for weights a, b that sum to 1 and have sum_k a_k b_k = overlap."""
    same = Symbol("delta_kl")
    entry = expand(entries[1] + (entries[0] - entries[1]) * same)
    return entry.coeff(same, 0) + entry.coeff(same, 1) * overlap


def _open(block: TransformerBlock, inner: State) -> tuple[Expr, Expr]:
    return Y2, Y12


def _uniform(block: TransformerBlock, inner: State) -> tuple[Expr, Expr]:
    return Integer(1) / block.tokens, Integer(1) / block.tokens


def _annealed(block: TransformerBlock, inner: State) -> tuple[Expr, Expr]:
    """Scores have variance qk_var q (q - p) within a row and covariance qk_var p (q - p) across rows."""
    within, across = (block.qk_var * x * (inner[0] - inner[1]) for x in inner)
    return exp(within) / block.tokens, exp(across) / block.tokens


OVERLAPS: dict[str | None, Overlap] = {None: _open, "uniform": _uniform, "annealed": _annealed}


def attended(block: TransformerBlock, state: State, overlap: Overlap) -> State:
    """Behind the attention branch and its skip, before a LN."""
    inner = _inside(block, state)
    length, product = (block.ov_var * read(inner, y) + block.bias_var for y in overlap(block, inner))
    return _added(state, (length, product), block.attn_skip, block.attn_scale)


def expanded(block: TransformerBlock, state: State) -> State:
    """Behind the MLP branch and its skip, before a LN."""
    if block.mlp is None:
        return state
    body = block.mlp.formula
    u, cov = (block.weight_var * x + block.bias_var for x in _inside(block, state))
    hidden = (Mean(body**2, u), PairMean(body, body, u, u, cov))
    length, product = (block.out_var * x + block.bias_var for x in hidden)
    return _added(state, (length, product), block.mlp_skip, block.mlp_scale)


def normed(block: TransformerBlock, state: State) -> State:
    """Behind the LN of "post"."""
    return (Integer(1), state[1] / state[0]) if block.norm == "post" else state


def _inside(block: TransformerBlock, state: State) -> State:
    """What a branch reads."""
    return (Integer(1), state[1] / state[0]) if block.norm == "pre" else state


def _added(state: State, branch: State, skip: Expr, scale: Expr) -> State:
    return skip**2 * state[0] + scale**2 * branch[0], skip**2 * state[1] + scale**2 * branch[1]


def token_map(block: Any, regime: str | None = None) -> Map:
    """(q, p) -> (q', p') of one TransformerBlock; regime "uniform", "annealed", or None for symbols Y2 and Y12.

    Raises TypeError for another layer, ValueError for another regime: "exact" and "rem" are numbers, see
    mf.transformer.
    """
    if not isinstance(block, TransformerBlock):
        raise TypeError(f"tokens go through a mf.TransformerBlock(tokens, phi, ...), not through {block!r}")
    if regime not in OVERLAPS:
        raise ValueError(
            f"no formula for the regime {regime!r}; known are 'uniform', 'annealed' and None (symbols Y2 and Y12), "
            "numbers of all regimes are those of mf.transformer"
        )
    middle = normed(block, attended(block, (q, p), OVERLAPS[regime]))
    raw = middle if block.mlp is None else normed(block, expanded(block, middle))
    return Map(block, f"tokens, {regime or 'any attention'}", (q, p), raw)


def sequence_map(block: TransformerBlock) -> Map:
    """(q, k) -> (q', k'): length of, and product across, two sequences each of whose tokens have become one.

    Attention to equal tokens is the identity, so that this is the map of one token through values and MLP; its slope in
    k at k = q is the factor of squared gradients that are the same at all tokens.
    """
    length, product = (block.ov_var * x + block.bias_var for x in _inside(block, (q, k)))
    middle = normed(block, _added((q, k), (length, product), block.attn_skip, block.attn_scale))
    raw = middle if block.mlp is None else normed(block, expanded(block, middle))
    return Map(block, "collapsed sequences", (q, k), raw)


def _apart(state: State) -> State:
    """(length, length - product), in which what cancels has cancelled."""
    return state[0], expand(state[0] - state[1])


def attention_stage(block: TransformerBlock) -> State:
    """(q, d) behind attention, given symbols Y12 and gap = Y2 - Y12."""
    length, apart = _apart(attended(block, (q, q - d), lambda *_: (Y12 + GAP, Y12)))
    return (Integer(1), apart / length) if block.norm == "post" else (length, apart)


def mlp_stage(block: TransformerBlock) -> State:
    """(q, d) behind the MLP."""
    if block.mlp is None:
        return q, d
    length, apart = _apart(expanded(block, (q, q - d)))
    return (Integer(1), apart / length) if block.norm == "post" else (length, apart)


def collapsed(block: TransformerBlock) -> tuple[State, State]:
    """For attention and for the MLP: the length behind it, and the factor of d, at equal tokens (d = 0).

    The gap of equal tokens is 0 in every regime: two rows of attention that see the same token k read it alike.
    """
    first, second = attention_stage(block), mlp_stage(block)
    rates = tuple((length.subs(d, 0), diff(apart, d).subs(d, 0).subs(GAP, 0)) for length, apart in (first, second))
    return rates[0], rates[1]
