"""Observables that theories of Transformers share: tokens of one common cosine through `depth` blocks.

case.start = (q, q, p) is their mean square and mean product. Networks are real attention and MLPs of finite width,
their products with fresh weights drawn from the exact law given the tokens; each network is shown as many sequences,
orthogonal to each other, as make ROWS tokens.
"""

from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.finite.transformers import walk
from meanfield.theory import Case, Prediction
from meanfield.transformer import transformer
from meanfield.transformer_results import TokenTrajectory
from symbolic.transformers import TransformerBlock

ROWS = 32  # tokens in all that a network is shown, fewer than its features


def _trajectory(block: Any, case: Case, regime: str) -> TokenTrajectory:
    _, q, p = case.start
    return transformer(block, regime=regime).trajectory(case.depth, p / q, q0=q)


def _walk(block: Any, case: Case, width: int, rng: np.random.Generator) -> Array:
    if not isinstance(block, TransformerBlock):
        raise TypeError(f"tokens go through a mf.TransformerBlock(tokens, phi, ...), not through {block!r}")
    _, q, p = case.start
    sequences = max(1, ROWS // block.tokens)
    return walk(
        block, depth=case.depth, cosine=p / q, width=width, rng=rng, q=q, sequences=sequences, conditional=True
    )[1:]


def solve_tokens(block: Any, case: Case, regime: str = "exact") -> Prediction:
    """Mean squares q (unless a LN fixes them) and mean products p behind blocks 1 .. depth."""
    found, normed = _trajectory(block, case, regime), block.norm == "post"
    names = {"p": found.p} if normed else {"q": found.q, "p": found.p}
    labels = tuple(f"{name} at block {layer}" for name in names for layer in range(1, case.depth + 1))
    scales = np.tile(found.q[1:], len(names))
    return Prediction(labels, np.concatenate([x[1:] for x in names.values()]), scales)


def sample_tokens(block: Any, case: Case, width: int, rng: np.random.Generator) -> Array:
    """The same in one network."""
    found = _walk(block, case, width, rng)
    return found[:, 1] if block.norm == "post" else found[:, :2].T.ravel()


def solve_differences(block: Any, case: Case, regime: str = "exact") -> Prediction:
    """Differences q - p behind blocks 1 .. depth, each in units of itself."""
    found = _trajectory(block, case, regime).d[1:]
    return Prediction(tuple(f"q - p at block {layer}" for layer in range(1, case.depth + 1)), found, found)


def sample_differences(block: Any, case: Case, width: int, rng: np.random.Generator) -> Array:
    """The same in one network."""
    return _walk(block, case, width, rng)[:, 2]
