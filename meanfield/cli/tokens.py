"""Tokens: the law of an attention layer with finitely many heads, and what becomes of tokens in a deep Transformer."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import meanfield as mf
from meanfield.cli.app import Json, Latex, app
from meanfield.progress import waiting
from meanfield.terminal import array, block, show

Score = StrEnum("Score", ["softmax", "identity", "relu"])
Regime = StrEnum("Regime", ["exact", "annealed", "rem", "uniform"])
MOST_TOKENS = 512


@app.command()
def attention(
    tokens: Annotated[int | None, typer.Option(help="That many tokens of unit length ...  [default: 4]")] = None,
    cosine: Annotated[float | None, typer.Option(help="... with this cosine between any two.  [default: 0]")] = None,
    gram: Annotated[Path | None, typer.Option(help="Or their Gram x x^T/features: .npy or .csv.")] = None,
    heads: Annotated[str, typer.Option(metavar="NUMBER|inf", help="How many heads.")] = "1",
    qk_var: Annotated[float, typer.Option(help="Variance of queries times that of keys.")] = 1.0,
    ov_var: Annotated[float, typer.Option(help="Variance of values times that of outputs.")] = 1.0,
    score: Annotated[Score, typer.Option(help="What weights are made of scores with.")] = Score.softmax,
    causal: Annotated[bool, typer.Option("--causal", help="Tokens read those up to themselves.")] = False,
    as_json: Json = False,
) -> None:
    """The law of an attention layer's outputs at infinite width: variance and excess kurtosis of each token.

    \b
    Example:
      meanfield attention --tokens 4 --cosine 0.3 --heads 2
    """
    gamma = _gram(gram, tokens, cosine)
    options = {"heads": _heads(heads), "qk_var": qk_var, "ov_var": ov_var, "score": score.value}
    with waiting("integrating"):
        law = mf.attention_law(gamma, mask="causal" if causal else None, **options)
        said, rows = str(law), [_token(law, token) for token in range(law.tokens)]
    show({"layer": str(law.layer), "tokens": rows} if as_json else None, said)


def _token(law: Any, token: int) -> dict[str, Any]:
    found = law.moments(token)
    names = ("variance", "kurtosis", "variance_error", "kurtosis_error", "how")
    return {name: getattr(found, name) for name in names} | {"gaussian": law.gaussian(token)}


def _heads(text: str) -> Any:
    if text == "inf":
        return float("inf")
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"--heads is a whole number or inf, not {text!r}") from None


def _gram(path: Path | None, tokens: int | None, cosine: float | None) -> Any:
    import numpy as np

    if path is not None:
        if (tokens, cosine) != (None, None):
            raise ValueError("--gram says which tokens there are: leave --tokens and --cosine out")
        return array(path)
    count, common = 4 if tokens is None else tokens, 0.0 if cosine is None else cosine
    if not 1 <= count <= MOST_TOKENS:
        raise ValueError(f"--tokens is a whole number from 1 to {MOST_TOKENS}, not {count}")
    return np.full((count, count), common) + (1 - common) * np.eye(count)


@app.command()
def transformer(
    text: Annotated[str, typer.Argument(metavar="BLOCK", help="A TransformerBlock(tokens=..., phi=..., ...).")],
    depth: Annotated[int, typer.Option(help="How many blocks.")] = 32,
    cosine: Annotated[float, typer.Option(help="Of any two tokens at the start.")] = 0.0,
    regime: Annotated[Regime, typer.Option(help="How softmax rows are averaged.")] = Regime.exact,
    edge: Annotated[bool, typer.Option("--edge", help="Also find the critical weight_var of the MLP.")] = False,
    latex: Latex = False,
    as_json: Json = False,
) -> None:
    """Do tokens of a deep Transformer stay apart: exponents, cosine by depth, entropy collapse.

    \b
    Example:
      meanfield transformer "TransformerBlock(tokens=64, phi=tanh, norm='post')" --depth 24
    """
    layer = block(text)
    if latex and not as_json:
        with waiting("deriving"):
            written = mf.token_map(layer).latex()
        return show(None, written, verbatim=True)
    with waiting("solving"):
        found = mf.transformer(layer, regime=regime.value)
        walked, collapse = found.trajectory(depth, cosine), found.entropy_collapse(cosine)
        rates, why = _exponents(found)
        critical = mf.transformer_edge(layer) if edge else None
    lines = [str(layer), f"  {rates or f'no exponents: {why}'}", f"  {walked}"]
    lines += [f"  entropy collapse above qk_var = {collapse.qk_var_c:.6g}: {'yes' if collapse.collapsed else 'no'}"]
    lines += [] if critical is None else [f"  lambda_a = 0 at weight_var = {critical.weight_var:.12g}"]
    data: dict[str, Any] = {"block": str(layer), "regime": regime.value}
    for name, key in (("phase", "phase"), ("lambda_a", "angle"), ("lambda_g", "gradient")):
        data[name] = getattr(rates, key, None)
    data |= {"q": walked.q.tolist(), "cosine": walked.cosine.tolist()}
    data |= {"qk_var_c": collapse.qk_var_c, "entropy_collapse": collapse.collapsed}
    data |= {"critical_weight_var": None if critical is None else critical.weight_var}
    show(data if as_json else None, *lines)


def _exponents(found: Any) -> tuple[Any, str]:
    """The exponents at equal tokens, or None and why there are none: lengths may grow without bound."""
    try:
        return found.exponents(), ""
    except mf.NotConverged as error:
        return None, str(error)
