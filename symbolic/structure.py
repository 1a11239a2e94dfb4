"""A network taken apart: into blocks that are iterated, and into a shape with its numbers beside it."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from sympy import Expr, Symbol

from symbolic.networks import Chain, Layer, Pointwise, Repeat, chain, flat


def blocks(network: Layer) -> Iterator[tuple[Layer, int]]:
    """The network as (block, times) from input to output: what is iterated, never composed."""
    pending: list[Layer] = []
    for part in flat(Chain, network):
        if not isinstance(part, Repeat):
            pending.append(part)
            continue
        yield from _joined(pending)
        pending = []
        inner = list(blocks(part.block))
        yield from inner * part.times if len(inner) > 1 else [(inner[0][0], inner[0][1] * part.times)]
    yield from _joined(pending)


def _joined(layers: list[Layer]) -> Iterator[tuple[Layer, int]]:
    if layers:
        yield chain(layers), 1


def with_symbols(layer: Layer) -> tuple[Layer, dict[str, Expr]]:
    """The layer with each of its numbers replaced by a symbol, and those symbols' values by name, in order."""
    values: dict[str, Expr] = {}

    def visit(value: Any, name: str) -> Any:
        if isinstance(value, Pointwise):
            return value
        if isinstance(value, Layer):
            return replace(value, **{f.name: visit(getattr(value, f.name), f.name) for f in fields(value)})
        if isinstance(value, tuple):
            return tuple(visit(v, name) for v in value)
        if isinstance(value, Expr) and value.is_number:
            symbol = Symbol(f"{name}_{len(values)}", real=True, **{"nonnegative": True} if name != "factor" else {})
            values[symbol.name] = value
            return symbol
        return value

    return visit(layer, ""), values


def substituted(layer: Layer, values: Mapping[Symbol, Any]) -> Layer:
    """The layer with numbers in place of symbols.

    >>> from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Dense
    >>> substituted(Dense(), {WEIGHT_VAR: 2, BIAS_VAR: 0})
    Dense(weight_var=2, bias_var=0)
    """

    def visit(value: Any) -> Any:
        if isinstance(value, Pointwise):
            return replace(value, formula=value.formula.subs(values))
        if isinstance(value, Layer):
            return replace(value, **{f.name: visit(getattr(value, f.name)) for f in fields(value)})
        if isinstance(value, tuple):
            return tuple(visit(v) for v in value)
        return value.subs(values) if isinstance(value, Expr) else value

    return visit(layer)
