"""Architectures by name, or a network: every parameter with its axes, which say how it scales.

A parameter beside the signal path meets what one on it with the same kind of axes meets: a bias or a gain (fan-out n)
what the input does, a query what a hidden matrix does, the router of experts (n to their fixed number) what the output
does. Grouped queries have keys and values of n x n/r, which stay hidden for a fixed r. Derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from sympy import Integer

from symbolic.networks import Layer
from symbolic.scaling.equations import Chain
from symbolic.scaling.layers import CLASSES, POSITIONS, WIDTH, Axis, Parameter, mlp
from symbolic.scaling.optimizers import ZERO
from symbolic.scaling.rules import Exponents, exponents
from symbolic.scaling.scores import FIXED, Scores, scores
from symbolic.scaling.traces import trace, vector
from symbolic.signals import NoRule
from symbolic.transformers import TransformerBlock

VOCABULARY, EXPERTS, RANK, RATIO = (Axis(name) for name in ("vocabulary", "experts", "rank", "MLP ratio"))
HEADS, HEAD = Axis("heads"), Axis("d_head", Integer(1))
MANY_HEADS, FIXED_HEAD = Axis("heads", Integer(1)), Axis("d_head")


@dataclass(frozen=True)
class Architecture:
    """Its matrices along the signal path and the parameters beside it.

    matrices: in series in a residual branch, 0 without branches; scores: of attention; tied: is the unembedding the
    embedding? adapters: are only the factors A and B of low rank trained?
    """

    name: str
    path: tuple[Parameter, ...]
    beside: tuple[Parameter, ...] = ()
    matrices: int = 0
    scores: Scores | None = None
    tied: bool = False
    adapters: bool = False

    def beside_exponents(self, chain: Chain) -> dict[str, Exponents]:
        """The exponents of the parameters beside the path, which is the solved chain."""
        rows = {p.kind: row for p, row in zip(chain.layers, exponents(chain), strict=True)}
        meets = Exponents(ZERO, ZERO, ZERO, ZERO, dict.fromkeys(rows["output"].dampings, ZERO))  # n^0 on all sides
        return {p.name: rows.get(p.kind, meets) for p in self.beside}


def _resnet() -> Architecture:
    first, *hidden, last = mlp(2)
    inside = (replace(p, block=True) for p in hidden)
    return Architecture("resnet", (first, *inside, last), _vectors(), matrices=2)


def _vectors() -> tuple[Parameter, ...]:
    return vector("bias", True), vector("gain", True), vector("bias", False), vector("gain", False)


def _transformer(name: str, heads: Axis = HEADS, head: Axis = HEAD, *, tied: bool = False) -> Architecture:
    inner = (heads, head)
    path = (
        Parameter("embedding", (VOCABULARY,), (WIDTH,)),
        Parameter("value", (WIDTH,), inner, True),
        Parameter("attention output", inner, (WIDTH,), True),
        Parameter("MLP up", (WIDTH,), (WIDTH, RATIO), True),
        Parameter("MLP down", (WIDTH, RATIO), (WIDTH,), True),
        Parameter("unembedding", (WIDTH,), (VOCABULARY,)),
    )
    beside = (
        Parameter("position embedding", (POSITIONS,), (WIDTH,)),
        Parameter("query", (WIDTH,), inner, True),
        Parameter("key", (WIDTH,), inner, True),
        *_vectors(),
    )
    found = scores(axis=head.exponent) if head.exponent else FIXED
    return Architecture(name, path, beside, matrices=2, scores=found, tied=tied)


def _of_blocks(block: TransformerBlock) -> Architecture:
    """A transformer of such blocks between an embedding and an unembedding."""
    if block.attn_skip == 0 or (block.mlp and block.mlp_skip == 0):
        raise NoRule(
            f"'{block}' has a branch without a skip, and only residual blocks are stacked here: give skips a weight"
        )
    base = _transformer(str(block))
    unused = () if block.mlp else ("MLP up", "MLP down")
    beside = tuple(
        p for p in base.beside if (block.norm or "gain" not in p.name) and (block.bias_var != 0 or "bias" not in p.name)
    )
    return replace(base, path=tuple(p for p in base.path if p.name not in unused), beside=beside)


def _moe() -> Architecture:
    base = _transformer("moe")
    path = tuple(replace(p, name=p.name.replace("MLP", "expert")) for p in base.path)
    router = Parameter("router", (WIDTH,), (EXPERTS,), True)
    return replace(base, path=path, beside=(*base.beside, router))


def _lora() -> Architecture:
    factors = Parameter("A", (WIDTH,), (RANK,)), Parameter("B", (RANK,), (WIDTH,))
    return Architecture("lora", mlp(), factors, adapters=True)


NAMES: dict[str, Callable[[], Architecture]] = {
    "mlp": lambda: Architecture("mlp", mlp(), (vector("bias", False), Parameter("output bias", (), (CLASSES,)))),
    "resnet": _resnet,
    "transformer": lambda: _transformer("transformer"),
    "transformer_fixed_head": lambda: _transformer("transformer_fixed_head", MANY_HEADS, FIXED_HEAD),
    "transformer_tied": lambda: _transformer("transformer_tied", tied=True),
    "moe": _moe,
    "lora": _lora,
}


def architecture(given: Any) -> Architecture:
    """An architecture by its name, or that of a network; ValueError, TypeError or NoRule for others."""
    if isinstance(given, TransformerBlock):
        return _of_blocks(given)
    if isinstance(given, Layer):
        found = trace(given)
        return Architecture(str(given), found.path, found.beside, found.matrices, scores() if found.attends else None)
    if not isinstance(given, str):
        raise TypeError(f"an architecture is a network or one of {', '.join(map(repr, NAMES))}, not {given!r}")
    if given not in NAMES:
        near = get_close_matches(given.lower(), NAMES, 2)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(map(repr, NAMES))}"
        raise ValueError(f"unknown architecture {given!r}; {hint}, or give a network")
    return NAMES[given]()
