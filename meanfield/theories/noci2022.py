"""Noci, Anagnostidis, Biggio, Orvieto, Singh, Lucchi 2022, Signal propagation in transformers, arXiv 2206.03126.

With attention that reads all tokens alike, m = (q + (n-1) p)/n, branches of weight attn_scale and mlp_scale give
q1 = q + attn_scale^2 m, p1 = p + attn_scale^2 m, q' = (1 + mlp_scale^2) q1, and p' = p1 + mlp_scale^2 q1 k(p1/q1) for a
ReLU MLP that keeps lengths. Scaled by 1/sqrt(depth) tokens do not collapse at any depth. Derived here; the forms are
those of the paper as recalled.
"""

from dataclasses import replace

from meanfield.observe_tokens import sample_tokens, solve_tokens
from meanfield.theory import Case, Theory
from symbolic.tokens import token_map
from symbolic.transformers import TransformerBlock


def _block(attn_scale: float, phi: str) -> TransformerBlock:
    """Scores small enough to read all tokens alike."""
    block = TransformerBlock.noci2022(8, phi=phi, attn_scale=attn_scale, mlp_scale=0.5)
    return replace(block, qk_var=0.001)


THEORY = Theory(
    name="noci2022",
    title="Rank collapse with skip connections",
    cite="arXiv 2206.03126",
    claim="q1 = q + a^2 m, p1 = p + a^2 m, m = (q + (n-1) p)/n: tokens collapse by (1 + a^2)^-1 per block.",
    derive=lambda block: token_map(block, "uniform"),
    solve=lambda block, case: solve_tokens(block, case, "uniform"),
    sample=sample_tokens,
    cases={
        "relu": Case(_block(0.8, "relu"), _block(0.88, "relu"), 1, (1.0, 1.0, 0.2)),
        "linear": Case(_block(1.0, "linear"), _block(1.1, "linear"), 1, (1.0, 1.0, 0.2)),
    },
)
