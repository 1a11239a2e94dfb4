"""Dong, Cordonnier, Loukas 2021, Attention is not all you need: pure attention loses rank doubly exponentially with
depth, arXiv 2103.03404.

Attention alone takes tokens that differ little to tokens that differ by the cube: q' - p' = qk_var ov_var (n - 1)/n^2
(q - p)^3 to leading order, exact in n. The paper bounds the exponent (recalled); the constant is derived here.
"""

from meanfield.observe_tokens import sample_differences, solve_differences
from meanfield.theory import Case, Theory
from symbolic.tokens import token_map
from symbolic.transformers import TransformerBlock

_BLOCK = TransformerBlock.dong2021

THEORY = Theory(
    name="dong2021",
    title="Attention alone collapses tokens cubically",
    cite="arXiv 2103.03404; constant derived here",
    claim="q' - p' = qk_var ov_var (n-1)/n^2 (q-p)^3 for attention without skip and MLP.",
    derive=lambda block: token_map(block, "annealed"),
    solve=solve_differences,
    sample=sample_differences,
    cases={"16 tokens": Case(_BLOCK(16), _BLOCK(16, ov_var=1.1), 1, (1.0, 1.0, 0.95))},
)
