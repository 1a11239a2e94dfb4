"""The layers that text can name, and how their arguments are written there.

Most arguments are numbers. Others are words in quotes (padding="SAME"), True or False, sizes such as 3 or (3, 5),
spectra as nested brackets, an activation, or inf for the number of heads; None stands where the layer itself takes it.
"""

import ast
from collections.abc import Callable
from difflib import get_close_matches
from inspect import Parameter, signature
from math import inf
from typing import Any

from symbolic.attention import Attention
from symbolic.fourier import Spectral
from symbolic.fourier_block import FourierBlock
from symbolic.networks import Dense, Dropout, Identity, Layer, LayerNorm, RMSNorm
from symbolic.pictures import AvgPool, Conv, Flatten, GlobalAvgPool
from symbolic.sequences import PositionalEncoding
from symbolic.transformers import TransformerBlock
from symbolic.words import Refusal, number

_PLAIN = (Dense, Dropout, LayerNorm, RMSNorm, Identity)
_GRIDS = (Spectral, FourierBlock, Conv, AvgPool, GlobalAvgPool, Flatten)
_TOKENS = (Attention, PositionalEncoding, TransformerBlock)
LAYERS: dict[str, Callable[..., Layer]] = {c.__name__: c for c in (*_PLAIN, *_GRIDS, *_TOKENS)}

WORDS = {"dc", "padding", "scale", "score", "mask", "norm"}
FLAGS = {"half_open", "tied"}
SIZES = {"modes", "filter_shape", "strides", "window"}
SHARES = {"spectrum"}
EXAMPLES = {
    "dc": '"complex"',
    "padding": '"VALID"',
    "scale": '"1/d"',
    "score": '"relu"',
    "mask": '"causal"',
    "norm": '"post"',
}
PHI = "phi"
NONE = {"mask", "norm", "spectrum", "strides", "length", PHI}


def parameters(name: str) -> dict[str, Parameter]:
    return dict(signature(LAYERS[name]).parameters)


def named(node: ast.Call, name: str) -> list[tuple[str, ast.expr]]:
    """The arguments of a call with the names of their parameters; ** and too many have the name ''."""
    known = [p.name for p in parameters(name).values() if p.kind is not Parameter.KEYWORD_ONLY]
    places = [*known, *[""] * len(node.args)]
    return [*zip(places, node.args, strict=False), *((word.arg or "", word.value) for word in node.keywords)]


def unfit(node: ast.Call, name: str) -> str | None:
    """Why these are no arguments of the layer, by their names alone; None if they are."""
    known = parameters(name)
    given = [key for key, _ in named(node, name)]
    if len(set(given)) < len(given) or not set(given) <= set(known):
        listed = ", ".join([*known][:-1]) + f" and {[*known][-1]}" if len(known) > 1 else "".join(known)
        return f"{name} takes {f'{listed}, each at most once' if known else 'no numbers'}"
    missing = [key for key, p in known.items() if p.default is Parameter.empty and key not in given]
    if missing:
        return f"{name} needs {' and '.join(missing)}: write {name}({missing[0]}=...)"
    return None


def is_literal(name: str, node: ast.expr) -> bool:
    """Is the argument of this name read here, and not as a number or an activation?"""
    if name in WORDS or name in FLAGS:
        return True
    if isinstance(node, ast.Constant) and node.value is None:
        return name in NONE
    if name == "heads":
        return isinstance(node, ast.Name)
    return name in SIZES | SHARES and isinstance(node, ast.Tuple | ast.List)


def literal(name: str, node: ast.expr, text: str) -> Any:
    """The value of an argument; Refusal with what is wanted."""
    if isinstance(node, ast.Constant) and node.value is None and name in NONE:
        return None
    if name in FLAGS:
        if not (isinstance(node, ast.Constant) and isinstance(node.value, bool)):
            raise Refusal(f"{name} is True or False")
        return node.value
    if name in WORDS:
        return _word(name, node)
    if name == "heads":
        if not (isinstance(node, ast.Name) and node.id == "inf"):
            raise Refusal("heads is a whole number, or inf")
        return inf
    return _nested(name, node, text)


def _word(name: str, node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return node.id
    raise Refusal(f"{name} is a word in quotes, such as {EXAMPLES[name]}")


def _nested(name: str, node: ast.expr, text: str) -> Any:
    """Brackets of numbers; sizes are flat and whole, shares may nest."""
    if isinstance(node, ast.Tuple | ast.List) and node.elts:
        inner = [_nested(name, part, text) for part in node.elts]
        if name in SHARES or not any(isinstance(part, tuple) for part in inner):
            return tuple(inner)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = number(text[node.col_offset : node.end_col_offset])
        return value if name in SIZES else float(value)
    example = "numbers in brackets, such as [1, 0.5, 0.25]" if name in SHARES else "a whole number, or (12, 12)"
    raise Refusal(f"{name} is {example}")


def nearest(name: str) -> str:
    """The layer that was probably meant, or ''."""
    lower = {key.lower(): key for key in LAYERS}
    near = get_close_matches(name[:40].lower(), lower, 1, 0.5)
    return lower[near[0]] if near else ""
