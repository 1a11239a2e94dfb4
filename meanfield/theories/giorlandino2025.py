"""Giorlandino, Goldt 2025, Two failure modes of deep transformers and how to avoid them: a unified theory of signal
propagation at initialisation, arXiv 2505.24333.

Scores of variance beta^2 log n read few tokens above beta_c = sqrt(2/(q (q - p))), and all below as n -> infinity:
Y2 -> max(0, 1 - beta_c/beta). The limit is logarithmically slow, so the cases are those of the same block at finite n,
with both overlaps of softmax rows integrated. Block read in the authors' code; finite-n laws derived here.
"""

from dataclasses import replace

from meanfield.observe_tokens import sample_tokens, solve_tokens
from meanfield.theory import Case, Theory
from symbolic.tokens import token_map
from symbolic.transformers import TransformerBlock


def _case(beta: float) -> Case:
    block = TransformerBlock.giorlandino2025(16, beta=beta, ov_var=1.0, mlp_var=1.0)
    return Case(block, replace(block, attn_scale=1.1, mlp_scale=1.1), 2, (1.0, 1.0, 0.2))


THEORY = Theory(
    name="giorlandino2025",
    title="Rank collapse and entropy collapse",
    cite="arXiv 2505.24333; finite n derived here",
    claim="rho' by LN after each sum; Y2 -> max(0, 1 - beta_c/beta), beta_c = sqrt(2/(1 - rho)), as n -> infinity.",
    derive=token_map,
    solve=solve_tokens,
    sample=sample_tokens,
    cases={"below beta_c": _case(0.5), "above beta_c": _case(3.0)},
)
