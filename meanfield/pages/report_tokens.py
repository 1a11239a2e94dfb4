"""The sections of a page on a Transformer block: tokens of one common cosine by depth, and their verdict."""

from typing import Any

import numpy as np

from meanfield.check import DEPTH, check
from meanfield.finite.sample import draw_many
from meanfield.finite.transformers import walk
from meanfield.observe_tokens import ROWS, sample_tokens, solve_tokens
from meanfield.pages.figures import svg
from meanfield.pages.parts import Figure, Section, number
from meanfield.pages.report_block import Wanted, again, again_in_python, evidence, imported, no_networks, told
from meanfield.pages.subject import spelled, subject
from meanfield.plot import Trajectories, summary, walked
from meanfield.theory import Case, Theory
from meanfield.transformer import transformer
from symbolic.networks import Layer
from symbolic.tokens import token_map
from symbolic.transformers import TransformerBlock

COSINE = 0.5  # of the tokens before the first block


def transformer_block(layer: Layer) -> TransformerBlock:
    """The layer itself; TypeError if it is no TransformerBlock."""
    if not isinstance(layer, TransformerBlock):
        raise TypeError(f"tokens go through a mf.TransformerBlock(tokens, phi, ...), not through '{layer}'")
    return layer


def tokens_section(block: TransformerBlock, wanted: Wanted) -> Section:
    """Mean square and cosine of tokens by block, beside networks unless none are to be drawn; exponents at equal
    tokens."""
    theory = transformer(block)
    found, rates = theory.trajectory(wanted.depth, COSINE), theory.exponents()
    text = (
        f"Equal tokens are {rates.phase}: 1 - cosine grows as exp({number(rates.angle)} l) over l blocks, squared "
        f"gradients as exp({number(rates.gradient)} l).",
    )
    drawn = _networks(block, wanted, found.q, found.cosine)
    caption = f"Mean square (length q) and cosine (correlation c) of tokens that start at {COSINE:g}. Lines: theory."
    if wanted.check is not None:
        caption += f" Points: {wanted.draws} networks of width {wanted.width}, two standard errors."
    picture = svg("tokens", "Tokens by block", caption, lambda ax: walked(drawn, ax))
    python = imported(f"found = mf.transformer({spelled(block)})\nprint(found.trajectory({wanted.depth}, {COSINE}))")
    figure = Figure("tokens", caption, picture, "", python)
    return Section("tokens", "Tokens", text, figures=(figure,))


def _networks(block: TransformerBlock, wanted: Wanted, q: Any, cosine: Any) -> Trajectories:
    """The theory with networks of the block beside it, or alone."""
    other = block if wanted.networks is None else transformer_block(wanted.networks)
    none = np.full(len(q), np.nan)
    if wanted.check is None:
        return Trajectories(q, cosine, none, none, none, none, wanted.width, 0)

    def observe(rng: np.random.Generator) -> Any:
        sequences = max(1, ROWS // block.tokens)
        options = {"cosine": COSINE, "width": wanted.width, "sequences": sequences, "conditional": True}
        return walk(other, depth=wanted.depth, rng=rng, **options)[:, :2]

    rows = draw_many(observe, width=wanted.width, start=0, stop=wanted.draws, seed=wanted.seed)
    cosines = rows[:, :, 1] / rows[:, :, 0]
    return Trajectories(q, cosine, *summary(rows[:, :, 0]), *summary(cosines), wanted.width, wanted.draws)


def tokens_verdict(block: TransformerBlock, wanted: Wanted) -> Section:
    """Mean squares and products of tokens behind 1 .. 3 blocks against networks."""
    if wanted.check is None:
        raise no_networks()
    case = Case(block, block, DEPTH, (1.0, 1.0, COSINE))
    theory = Theory("", str(block), "", "", token_map, solve_tokens, sample_tokens, {"tokens": case})
    found = check(theory, wanted.networks, seed=wanted.seed, **wanted.check)
    figure, table = evidence(
        found, "verdict", again(block, wanted), again_in_python(str(block), subject(block), wanted)
    )
    return Section("verdict", "Verdict", told(found), figures=(figure,), tables=(table,), mark=found.outcome)
