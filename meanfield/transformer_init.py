"""What to initialize a Transformer with, so that tokens are still apart behind its last block.

Both branches are scaled by one factor, up to 1, at which the cosine of tokens behind `depth` blocks is at
most `below`, and qk_var is lowered, if need be, to the quarter of the threshold of entropy collapse up to which rows
read as many tokens as the annealed mean says: score variance at most log(n)/2 in every block. The factor is solved for,
not approximated; what comes out is walked through once more. Derived here.
"""

from dataclasses import dataclass, field, fields, replace
from math import isfinite, log
from typing import Any

import numpy as np
from scipy.optimize import brentq

from meanfield.finite.networks import number, whole
from meanfield.transformer import transformer
from meanfield.transformer_results import TokenTrajectory
from solvers.iterate import NotConverged
from symbolic.critical import NoEdge
from symbolic.transformers import TransformerBlock

LEAST, FACTORS = 1e-4, np.geomspace(1e-4, 1.0, 9)[1:]


@dataclass(frozen=True)
class TransformerInit:
    """Scales of the branches and their skips, and variances, of each of `depth` blocks; `factor` is what the branches
    of the block that was given are multiplied by. What to expect: the cosine behind the last block, the largest
    variance of scores and participation Y2 on the way, and the factor of squared gradients that equal tokens share."""

    attn_scale: float
    mlp_scale: float
    attn_skip: float
    mlp_skip: float
    qk_var: float
    ov_var: float
    weight_var: float
    factor: float
    depth: int
    cosine: float
    score_var: float
    participation: float
    gradient: float
    block: TransformerBlock = field(repr=False)

    def __str__(self) -> str:
        return (
            f"branches x {self.factor:.6g}: attn_scale {self.attn_scale:.6g}, mlp_scale {self.mlp_scale:.6g}, "
            f"qk_var {self.qk_var:.6g}\n  over {self.depth} blocks: cosine -> {self.cosine:.6g}, scores of variance up "
            f"to {self.score_var:.4g}, squared gradients x {self.gradient:.4g}"
        )

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)[:-1]} | {"block": str(self.block)}


def transformer_scales(
    block: TransformerBlock, depth: int | None, cosine: float | None, below: float | None, others: tuple[Any, ...]
) -> TransformerInit:
    """mf.init_scale of a TransformerBlock; ValueError where another option than its three is given."""
    if depth is None or cosine is None or below is None:
        raise ValueError(
            "of a TransformerBlock init_scale asks for depth=, for the cosine= that tokens start with, and for the "
            "cosine that they shall stay below="
        )
    if others != ("edge_of_chaos", None, None, None, 1.0, None):
        raise ValueError("of a TransformerBlock init_scale takes depth, cosine and below alone")
    return transformer_init(block, depth=depth, cosine=cosine, below=below)


def transformer_init(
    block: TransformerBlock, *, depth: int, cosine: float, below: float, regime: str = "exact"
) -> TransformerInit:
    """Scales of a block with numbers that keep the cosine of tokens, which starts at `cosine`, at most `below` behind
    `depth` blocks; regime as in mf.transformer.

    Raises NoEdge (a ValueError) where the target is not above the start, or no factor from 1e-4 to 1 reaches it.
    """
    layers, found = whole("depth", depth), transformer(block, regime=regime)
    found.start(cosine)
    if not (isfinite(below) and cosine < below <= 1):
        raise NoEdge(
            f"tokens that start at cosine {cosine:g} cannot be promised a cosine of at most {below:g}: attention "
            "brings tokens together, so ask for a value above the start and up to 1"
        )
    limit = log(found.block.tokens) / 2
    qk_var = _spread(block, layers, cosine, below, limit)
    for _ in range(40):
        chosen = replace(block, qk_var=qk_var)
        factor = _factor(chosen, layers, cosine, below, regime)
        walked = transformer(chosen.scaled(factor), regime=regime).trajectory(layers, cosine)
        most = float(walked.score_var.max())
        if most <= limit * (1 + 1e-9):
            return _result(chosen.scaled(factor), factor, walked, regime)
        qk_var *= min(0.95, limit / most)
    raise NoEdge(f"no qk_var keeps the variance of scores below log(n)/2 = {limit:.4g}: lengths grow with depth")


def _spread(block: TransformerBlock, depth: int, cosine: float, below: float, limit: float) -> float:
    """The block's qk_var, lowered to what bounds the variance of scores at the lengths of uniform attention."""
    qk_var = number(block, "qk_var")
    factor = _factor(block, depth, cosine, below, "uniform")
    most = float(_walked(block.scaled(factor), depth, cosine, "uniform").score_var.max())
    return qk_var * min(1.0, limit / most) if most > 0 else qk_var


def _factor(block: TransformerBlock, depth: int, cosine: float, below: float, regime: str) -> float:
    """The first factor from below at which the target is met exactly; 1 where it is kept throughout."""

    def excess(factor: float) -> float:
        return float(_walked(block.scaled(float(factor)), depth, cosine, regime).cosine[-1]) - below

    def bounded(factor: float) -> float:
        try:
            return excess(factor)
        except (NotConverged, ValueError):  # scores or lengths beyond all bounds: too large a factor
            return 1.0

    good, over = LEAST, excess(LEAST)
    if over > 0:
        raise NoEdge(
            f"no factor of the branches from {LEAST:g} to 1 keeps the cosine of tokens below {below:g} behind {depth} "
            f"blocks; at {LEAST:g} it is {over + below:.6g}: without a skip it cannot, with less depth it may"
        )
    for factor in FACTORS:
        if bounded(factor) > 0:
            return float(brentq(bounded, good, factor, rtol=1e-6)) * (1 - 2e-6)  # the side on which it is kept
        good = float(factor)
    return 1.0


def _walked(block: TransformerBlock, depth: int, cosine: float, regime: str) -> TokenTrajectory:
    return transformer(block, regime=regime).trajectory(depth, cosine)


def _result(block: TransformerBlock, factor: float, walked: TokenTrajectory, regime: str) -> TransformerInit:
    return TransformerInit(
        attn_scale=number(block, "attn_scale"),
        mlp_scale=number(block, "mlp_scale"),
        attn_skip=number(block, "attn_skip"),
        mlp_skip=number(block, "mlp_skip"),
        qk_var=number(block, "qk_var"),
        ov_var=number(block, "ov_var"),
        weight_var=number(block, "weight_var"),
        factor=factor,
        depth=len(walked.q) - 1,
        cosine=float(walked.cosine[-1]),
        score_var=float(walked.score_var.max()),
        participation=float(walked.participation.max()),
        gradient=transformer(block, regime=regime).gradient(len(walked.q) - 1),
        block=block,
    )
