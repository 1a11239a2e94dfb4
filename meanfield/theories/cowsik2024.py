"""Cowsik, Nebabu, Qi, Ganguli 2024, Geometric dynamics of signal propagation predict trainability of transformers,
arXiv 2403.02579.

Near equal tokens 1 - cosine grows as e^(lambda_a l), lambda_a = log[(1 - A2)(1 - M2 + M2 chi/q1)], squared gradients as
e^(lambda_g l), lambda_g = log[(q1/q)(1 - M2 + M2 chi/q1)], A2 and M2 the squared scales of attention and MLP, chi =
weight_var E phi'^2. Block read in two public re-implementations; formulas derived here, not read in the paper.
"""

from meanfield.observe_tokens import sample_differences, sample_tokens, solve_differences, solve_tokens
from meanfield.theory import Case, Theory
from symbolic.tokens import token_map
from symbolic.transformers import TransformerBlock

_BLOCK = TransformerBlock.cowsik2024
_NEAR = 1e-4  # 1 - cosine at which a case asks for the exponent


def _near(case: Case) -> bool:
    return case.start[2] > (1 - 2 * _NEAR) * case.start[1]


THEORY = Theory(
    name="cowsik2024",
    title="Order and chaos of tokens in a Transformer",
    cite="arXiv 2403.02579; formulas derived here",
    claim="1 - cosine of tokens grows by (1 - A2)(1 - M2 + M2 chi/q1) per block near equal tokens.",
    derive=token_map,
    solve=lambda block, case: (solve_differences if _near(case) else solve_tokens)(block, case),
    sample=lambda block, case, width, rng: (sample_differences if _near(case) else sample_tokens)(
        block, case, width, rng
    ),
    cases={
        "far from equal": Case(
            _BLOCK(8, attn_scale=0.8, weight_var=9, qk_var=2),
            _BLOCK(8, attn_scale=0.88, weight_var=9, qk_var=2),
            2,
            (1.0, 1.0, 0.3),
        ),
        "nearly equal": Case(
            _BLOCK(8, attn_scale=0.3, mlp_scale=0.7, weight_var=9),
            _BLOCK(8, attn_scale=0.33, mlp_scale=0.77, weight_var=9),
            1,
            (0.766993, 0.766993, 0.766993 * (1 - _NEAR)),
        ),
    },
)
