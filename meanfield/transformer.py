"""How alike the tokens of a deep Transformer are: mean square q and mean product p of two tokens, layer by layer.

The maps are those of symbolic/tokens.py, the overlaps of softmax rows those of solvers/participation.py. Equal tokens
are a fixed point; deviations from it grow by e^angle per block: below 0 the stream is ordered and tokens collapse to
rank one, above it is chaotic. Score variance above 2 log n/(q (q - p)) makes attention read few tokens (entropy
collapse). Exponents: Cowsik et al. 2024 (arXiv 2403.02579); threshold: Giorlandino, Goldt 2025; derived here by
linearisation, block of the first and code of the second read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import inf, isfinite, log, sqrt

import numpy as np
from scipy.optimize import root
from sympy import Symbol

from meanfield.build import Array, tabulated
from meanfield.finite.formulas import slope
from meanfield.finite.networks import number, whole
from meanfield.transformer_results import EntropyCollapse, TokenExponents, TokenFixedPoint, TokenTrajectory
from solvers.iterate import NotConverged, Result, fixed_point
from solvers.overlaps import REGIMES, Rule
from symbolic.gaussian import k, q
from symbolic.networks import Pointwise
from symbolic.tokens import GAP, Y12, attention_stage, collapsed, d, mlp_stage, sequence_map
from symbolic.transformers import TransformerBlock

CLOSE, NEAR = 1e-7, 4 / 9  # below CLOSE, d' = d slope(4 d/9), exact for slopes that fall linearly in sqrt(d)


NUMBERS = ("attn_skip", "attn_scale", "mlp_skip", "mlp_scale", "qk_var", "ov_var", "weight_var", "out_var", "bias_var")
SYMBOLS = {name: Symbol(name, nonnegative=True) for name in NUMBERS}
COLLAPSED, NEARLY, PATIENCE = 1e-12, 1e-4, 20_000


@dataclass(frozen=True)
class Stages:
    """A block's maps compiled, for columns of states, overlaps and the NUMBERS of blocks."""

    attention: Callable[..., Array]
    mlp: Callable[..., Array]
    rates: Callable[..., Array]
    sequences: Callable[..., Array]


@lru_cache(maxsize=64)
def stages(phi: Pointwise | None, norm: str | None) -> Stages:
    shape, params = TransformerBlock(2, phi, norm=norm, **SYMBOLS), list(SYMBOLS.values())
    second, rates, twins = mlp_stage(shape), collapsed(shape), sequence_map(shape)
    name = f"tokens, {phi}, norm {norm}"
    return Stages(
        tabulated([q, d, Y12, GAP, *params], attention_stage(shape), f"{name}: attention"),
        tabulated([q, d, *params], [*second, second[1].diff(d)], f"{name}: MLP"),
        tabulated([q, *params], [*rates[0], *rates[1]], f"{name}: equal tokens"),
        tabulated([q, *params], [twins.raw[0], twins.raw[0].diff(q), twins.raw[1].diff(k).subs(k, q)], f"{name}: one"),
    )


def numbers(block: TransformerBlock) -> dict[str, float]:
    """The NUMBERS of a block; ValueError where one is a symbol."""
    return {name: number(block, name) for name in NUMBERS}


@dataclass(frozen=True)
class Walk:
    """Many blocks of one kind, which differ in their NUMBERS, as a map of columns (q, d)."""

    maps: Stages
    columns: tuple[Array, ...]
    norm: str | None
    tokens: int
    overlaps: Rule

    def __call__(self, q: Array, d: Array) -> tuple[Array, Array, Array, Array]:
        """q', d', and Y2 and the variance of scores on the way."""
        apart = d / q if self.norm == "pre" else d
        inner = 1.0 if self.norm == "pre" else q
        variance = self.columns[NUMBERS.index("qk_var")] * inner * apart
        same, other, gap = self.overlaps(variance, 1 - d / q, float(self.tokens))
        q1, d1 = self.maps.attention(q, d, other, np.maximum(gap, 0.0), *self.columns)
        after, apart, _ = self.maps.mlp(q1, d1, *self.columns)
        close = d1 < CLOSE * q1
        if close.any():
            factor = self.maps.mlp(q1, NEAR * d1, *self.columns)[2]
            apart = np.where(close, factor * d1, apart)
        return after, apart, same, variance


@dataclass(frozen=True)
class Transformer:
    """A block with numbers, and the regime in which its attention is treated."""

    block: TransformerBlock
    regime: str = "exact"

    @cached_property
    def walk(self) -> Walk:
        columns = tuple(np.array([x]) for x in numbers(self.block).values())
        maps = stages(self.block.mlp, self.block.norm)
        return Walk(maps, columns, self.block.norm, self.block.tokens, REGIMES[self.regime])

    def trajectory(self, depth: int, cosine: float, q0: float = 1.0) -> TokenTrajectory:
        """The orbit from tokens of mean square q0 and this cosine; ValueError for a cosine that n tokens cannot have,
        and where the annealed overlap exceeds 1; NotConverged where a mean or a length is not finite."""
        layers, (state, seen) = whole("depth", depth), (self.start(cosine, q0), [])
        states = [state]
        for _ in range(layers):
            state, *more = self._step(state)
            states.append(state)
            seen.append(more)
        found = np.array(states)
        return TokenTrajectory(found[:, 0], found[:, 1], *np.array(seen).T)

    def exponents(self, q0: float = 1.0) -> TokenExponents:
        """lambda_a, lambda_g at the length that equal tokens settle at from q0; where it has none but slopes do not
        depend on it (relu, linear), those. Raises NotConverged for other blocks whose lengths grow or vanish."""
        at = self._length(q0)
        q1, angle_1, q2, angle_2 = self._rates(at)
        difference = log(angle_1 * angle_2) if angle_1 * angle_2 > 0 else -inf
        grown = log(q2 / at)
        _, _, twins = self._sequences(at)
        return TokenExponents(difference - grown, log(twins), difference, grown, at, q1)

    def gradient(self, depth: int, q0: float = 1.0) -> float:
        """The factor of squared gradients that equal tokens share, over `depth` blocks, at the lengths passed."""
        at, factor = q0, 1.0
        for _ in range(whole("depth", depth)):
            at, _, grown = self._sequences(at)
            factor *= grown
        return factor

    def fixed_point(self, cosine: float = 0.0, q0: float = 1.0) -> TokenFixedPoint:
        """The end of the orbit from this cosine; NotConverged where lengths have none, or near an edge of chaos."""
        angle, state = self.exponents(q0).angle, self.start(cosine, q0)
        for step in range(1, PATIENCE):
            before = state
            state, same, _ = self._step(state)
            apart, was = state[1] / state[0], before[1] / before[0]
            if apart < COLLAPSED or (apart < NEARLY and angle < 0 and apart < was):
                at = self._length(q0)
                return TokenFixedPoint(at, 1.0, 0.0, 1 / self.block.tokens, True)
            still = np.abs(np.log(np.array(state) / before)).max()
            near = state if still < 1e-14 else self._nearby(state) if step % 16 == 0 and still < 1e-2 else None
            if near is not None:
                return TokenFixedPoint(near[0], 1 - near[1] / near[0], near[1] / near[0], same, False)
        raise NotConverged(f"tokens have not settled after {PATIENCE} blocks: lambda_a = {angle:.3g} is close to 0")

    def entropy_collapse(self, cosine: float = 0.0, q: float = 1.0) -> EntropyCollapse:
        """The threshold of qk_var at tokens of this cosine (and of mean square q, where norm is None)."""
        length, apart = self.start(cosine, q)
        if self.block.norm == "pre":
            length, apart = 1.0, apart / length
        entropy, qk_var = log(self.block.tokens), number(self.block, "qk_var")
        threshold = 2 * entropy / (length * apart) if apart > 0 else inf
        same = REGIMES[self.regime](np.array([qk_var * length * apart]), np.array([cosine]), self.block.tokens)[0]
        beta = sqrt(qk_var / entropy)
        return EntropyCollapse(beta, sqrt(threshold / entropy), threshold, float(same[0]), qk_var > threshold)

    def start(self, cosine: float, q0: float = 1.0) -> tuple[float, float]:
        """(q, q - p) of tokens that the stream can start with; ValueError for others."""
        if not (isfinite(q0) and q0 > 0):
            raise ValueError(f"the mean square of tokens is positive and finite, not {q0}")
        least = -1 / (self.block.tokens - 1)
        if not least - 1e-15 <= cosine <= 1:
            raise ValueError(
                f"{self.block.tokens} tokens have a common cosine between -1/(n-1) = {least:.6g} and 1, not {cosine}"
            )
        return (1.0, 1 - cosine) if self.block.norm == "post" else (float(q0), q0 * (1 - cosine))

    def _step(self, state: tuple[float, float]) -> tuple[tuple[float, float], float, float]:
        q, d, same, variance = (float(x[0]) for x in self.walk(*(np.array([x]) for x in state)))
        if self.regime == "annealed" and same > 1:
            raise ValueError(
                f"the annealed overlap e^(s^2)/n = {same:.3g} exceeds 1 at score variance {variance:.4g}: it holds for "
                f"s^2 well below log n = {log(self.block.tokens):.4g}; take regime='exact'"
            )
        if not (isfinite(q) and isfinite(d) and q > 0):
            raise NotConverged(f"tokens have mean square {q:.6g} and difference {d:.6g}: a length or a mean diverges")
        return (q, max(d, 0.0)), same, variance

    def _rates(self, q: float) -> tuple[float, float, float, float]:
        """Length and factor of d behind attention, and behind the MLP, at equal tokens."""
        q1, first = (float(x[0]) for x in self.walk.maps.rates(np.array([q]), *self.walk.columns)[:2])
        q2, second = (float(x[0]) for x in self.walk.maps.rates(np.array([q1]), *self.walk.columns)[2:])
        return q1, first, q2, second

    def _sequences(self, q: float) -> tuple[float, float, float]:
        after, slope_q, slope_k = (float(x[0]) for x in self.walk.maps.sequences(np.array([q]), *self.walk.columns))
        return after, slope_q, slope_k

    def _length(self, q0: float) -> float:
        """The length that equal tokens settle at, or q0 where no slope depends on it."""
        if self.block.norm == "post":
            return 1.0
        found = fixed_point(lambda x: self._sequences(x)[:2], q0)
        if found.result is Result.FOUND:
            return found.value
        here, there = (np.array([*self._rates(x)[1::2], self._sequences(x)[0] / x]) for x in (q0, 3 * q0))
        if np.allclose(here, there, rtol=1e-12):
            return q0
        raise NotConverged(f"{found.result.value}: equal tokens of this block have no length; use norm or trajectory()")

    def _nearby(self, state: tuple[float, float]) -> tuple[float, float] | None:
        """The fixed point next to a state of the orbit, if Newton's method finds it there."""
        start = np.log(state)

        def move(logs: Array) -> Array:
            return np.log(np.maximum(self._step(tuple(np.exp(logs)))[0], 1e-300)) - logs

        found = root(move, start, method="hybr", options={"xtol": 1e-13})
        if np.abs(found.fun).max() > 1e-11 or np.abs(found.x - start).max() > 0.5:
            return None
        length, apart = np.exp(found.x)
        return float(length), float(apart)


def transformer(block: TransformerBlock, *, regime: str = "exact") -> Transformer:
    """Token similarity through the depth of a block with numbers.

    regime says how softmax rows are averaged: "exact" (independent Gaussian scores, any n), "annealed" (e^(s^2)/n, s^2
    well below log n), "rem" (random energy model, n beyond all bounds), "uniform" (scores of 0). Raises TypeError for
    what is no TransformerBlock, ValueError for an unknown regime, a symbol without value, and an activation that jumps.
    """
    if not isinstance(block, TransformerBlock):
        raise TypeError(f"tokens go through a mf.TransformerBlock(tokens, phi, ...), not through {block!r}")
    if regime not in REGIMES:
        raise ValueError(f"unknown regime {regime!r}; known are {', '.join(REGIMES)}")
    numbers(block)
    if not isinstance(block.tokens, int):
        raise ValueError(f"{block.tokens} of '{block}' has no value: write tokens=... as a number")
    if block.mlp is not None:
        slope(block.mlp.formula)
    return Transformer(block, regime)
