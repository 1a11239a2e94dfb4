"""Where a Transformer changes its phase: the weight_var of lambda_a = 0, and a diagram over scales and variances.

Along weight_var tokens go from order (they collapse to rank one) to chaos at lambda_a = 0; along qk_var attention
collapses onto few tokens above 2 log n/(1 - cosine) for tokens behind a LN. Cowsik et al. 2024 (arXiv 2403.02579),
Giorlandino, Goldt 2025 (arXiv 2505.24333); derived here, see meanfield/transformer.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from meanfield.build import Array
from meanfield.diagram import grid
from meanfield.finite.networks import number, whole
from meanfield.transformer import NUMBERS, Transformer, Walk, numbers, stages, transformer
from solvers.iterate import NotConverged
from solvers.overlaps import REGIMES, interpolant
from solvers.spectra import CRITICAL
from symbolic.critical import NoEdge
from symbolic.transformers import TransformerBlock

WEIGHTS = np.geomspace(1e-3, 1e4, 57)


@dataclass(frozen=True)
class TransformerEdge:
    """The critical weight_var of the MLP, the lengths before attention and MLP there, and lambda_g."""

    weight_var: float
    q: float
    q_middle: float
    gradient: float
    block: str = field(repr=False)

    def __str__(self) -> str:
        return (
            f"{self.block}: lambda_a = 0 at weight_var = {self.weight_var:.12g}, deviation {self.weight_var**0.5:.8g}\n"
            f"  q = {self.q:.8g}, lambda_g = {self.gradient:.8g}"
        )

    __repr__ = __str__


def transformer_edge(block: TransformerBlock) -> TransformerEdge:
    """The weight_var at which tokens of a block neither collapse nor part, lambda_a = 0; its own is not used.

    Raises NoEdge (a ValueError) where there is none, with the largest lambda_a, as without MLP or for ReLU.
    """
    transformer(replace(block, weight_var=1))
    if block.mlp is None:
        raise NoEdge("tokens always collapse without MLP, which alone can part them: give the block an activation")

    def angle(weight_var: float) -> float:
        return transformer(replace(block, weight_var=float(weight_var))).exponents().angle

    values = np.array([angle(w) for w in WEIGHTS])
    crossed = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    if not crossed.size:
        raise NoEdge(
            f"'{block}' has no edge of chaos for weight_var from {WEIGHTS[0]:g} to {WEIGHTS[-1]:g}: lambda_a is "
            f"{values.min():.6g} to {values.max():.6g}; smaller attention, or an activation that saturates, brings one"
        )
    at = float(brentq(angle, WEIGHTS[crossed[0]], WEIGHTS[crossed[0] + 1], xtol=1e-300, rtol=1e-14))
    found = transformer(replace(block, weight_var=at)).exponents()
    return TransformerEdge(at, found.q, found.q_middle, found.gradient, str(block))


@dataclass(frozen=True)
class TransformerDiagram:
    """Arrays of shape (len(scale), len(qk_var), len(weight_var)): lambda_a, lambda_g, the cosine behind `depth` blocks,
    the participation Y2 of rows at the tokens that the stream starts with, and the phase.

    `edge` holds the critical weight_var of each scale (NaN for none), `qk_var_c` the threshold of entropy collapse.
    """

    scale: Array
    qk_var: Array
    weight_var: Array
    angle: Array
    gradient: Array
    one_minus_cosine: Array
    participation: Array
    edge: Array
    qk_var_c: float
    depth: int
    start: float
    block: str = field(repr=False)

    @property
    def cosine(self) -> Array:
        return 1 - self.one_minus_cosine

    @property
    def phase(self) -> npt.NDArray[np.str_]:
        """ "entropy collapse" for qk_var above the threshold, else "rank collapse" for lambda_a < 0, "chaotic" above 0,
        "critical" within 1e-9."""
        by_angle = np.where(self.angle < 0, "rank collapse", "chaotic")
        kind = np.where(np.abs(np.expm1(self.angle)) <= CRITICAL, "critical", by_angle)
        return np.where(self.qk_var[:, None] > self.qk_var_c, "entropy collapse", kind)

    def columns(self) -> dict[str, Any]:
        """One row for each point."""
        axes = np.meshgrid(self.scale, self.qk_var, self.weight_var, indexing="ij")
        found = dict(zip(("scale", "qk_var", "weight_var"), axes, strict=True))
        names = ("angle", "gradient", "cosine", "one_minus_cosine", "participation", "phase")
        return {name: x.ravel() for name, x in (found | {n: getattr(self, n) for n in names}).items()}

    def to_dict(self) -> dict[str, Any]:
        return {"block": self.block} | {name: values.tolist() for name, values in self.columns().items()}

    def __str__(self) -> str:
        counts = {name: int((self.phase == name).sum()) for name in np.unique(self.phase)}
        sizes = " x ".join(str(size) for size in self.angle.shape)
        return f"{self.block}: {sizes} points\n  " + ", ".join(f"{count} {name}" for name, count in counts.items())

    __repr__ = __str__

    def plot(self, ax: Any = None, *, scale: int = 0) -> Any:
        """1 - cosine behind `depth` blocks over weight_var and qk_var at one scale (its index), with both boundaries;
        the axes (needs matplotlib)."""
        from meanfield.plot import token_map

        return token_map(self, ax, scale)


def transformer_diagram(
    block: TransformerBlock,
    *,
    weight_var: Any,
    qk_var: Any,
    scale: Any = (1.0,),
    cosine: float = 0.0,
    depth: int = 32,
    regime: str = "exact",
) -> TransformerDiagram:
    """Phases of a block on ascending grids of the MLP's weight_var, of qk_var, and of a factor of both branches.

    A skip with skip^2 + scale^2 = 1 is kept so. `cosine` is that of the tokens at the start, depth the number of blocks
    behind which it is shown, regime as in mf.transformer; the exact regime is interpolated where LN bounds the scores.
    Raises ValueError for bad grids and for a block without MLP.
    """
    if not isinstance(block, TransformerBlock) or block.mlp is None:
        raise ValueError(f"a diagram over weight_var needs a mf.TransformerBlock with an activation, not {block!r}")
    grids = [grid(n, x, open_low=True) for n, x in (("scale", scale), ("qk_var", qk_var), ("weight_var", weight_var))]
    many, layers = _blocks(block, grids), whole("depth", depth)
    found = [transformer(b, regime=regime).exponents() for b in (row[0] for row in many)]
    shape = tuple(len(g) for g in grids)

    start = transformer(replace(block, qk_var=float(grids[1][-1])), regime=regime)
    apart, same = _walked([b for row in many for b in row], start, cosine, layers)
    order = (shape[0], shape[2], shape[1])
    return TransformerDiagram(
        scale=grids[0],
        qk_var=grids[1],
        weight_var=grids[2],
        angle=_over_scores([x.angle for x in found], shape),
        gradient=_over_scores([x.gradient for x in found], shape),
        one_minus_cosine=apart.reshape(order).transpose(0, 2, 1),
        participation=same.reshape(order).transpose(0, 2, 1),
        edge=np.array([_edge_or_nan(block.scaled(float(x))) for x in grids[0]]),
        qk_var_c=start.entropy_collapse(cosine).qk_var_c,
        depth=layers,
        start=cosine,
        block=str(block),
    )


def _over_scores(values: list[float], shape: tuple[int, ...]) -> Array:
    """What does not depend on qk_var, for each of them."""
    return np.broadcast_to(np.array(values).reshape(shape[0], 1, shape[2]), shape).copy()


def _blocks(block: TransformerBlock, grids: list[Array]) -> list[list[TransformerBlock]]:
    """For each scale and weight_var, one block for each qk_var."""
    scales, scores, weights = ([float(x) for x in g] for g in grids)
    rows = [replace(block.scaled(x), weight_var=w) for x in scales for w in weights]
    return [[replace(b, qk_var=v) for v in scores] for b in rows]


def _walked(blocks: list[TransformerBlock], start: Transformer, cosine: float, depth: int) -> tuple[Array, Array]:
    """1 - cosine behind `depth` blocks, and Y2 in the first, of blocks of one kind."""
    values = [numbers(b) for b in blocks]
    columns = tuple(np.array([v[name] for v in values]) for name in NUMBERS)
    walk = Walk(stages(start.block.mlp, start.block.norm), columns, start.block.norm, start.block.tokens, rule(start))
    length, apart = (np.full(len(blocks), x) for x in start.start(cosine, 1.0))
    first = None
    for _ in range(depth):
        length, apart, same, _ = walk(length, apart)
        first = same if first is None else first
        if not (np.isfinite(length).all() and np.isfinite(apart).all()):
            raise NotConverged("a length or a mean diverges on the grid: take a smaller depth, or a norm")
    return np.asarray(apart / length), np.asarray(first)


def rule(start: Transformer) -> Callable[[Array, Array, float], tuple[Array, Array, Array]]:
    """The overlaps of a regime; the exact ones interpolated where a LN bounds the scores."""
    if start.regime != "exact" or start.block.norm is None:
        return REGIMES[start.regime]
    tokens = start.block.tokens
    most = number(start.block, "qk_var") * tokens / (tokens - 1)
    return interpolant(tokens, most)


def _edge_or_nan(block: TransformerBlock) -> float:
    try:
        return transformer_edge(block).weight_var
    except NoEdge:
        return float("nan")
