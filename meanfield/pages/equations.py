"""What was derived, as equations on a page: maps of a block, and whatever a theory derives."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from sympy import Expr, MatrixBase, Symbol, latex

from meanfield.pages.parts import Equation
from meanfield.pages.subject import Subject, shown
from meanfield.pages.typeset import mathml
from symbolic.fourier_block import has_spectral
from symbolic.fourier_map import fourier_map
from symbolic.limits import derive
from symbolic.maps import LETTERS
from symbolic.networks import Layer
from symbolic.tokens import token_map
from symbolic.transformers import TransformerBlock

LONG = 150  # characters of LaTeX beyond which a sum is broken
LABELS = {
    ("length", 0): "Length of a signal",
    ("nngp", 2): "Covariance of two signals",
    ("ntk", 3): "Tangent kernel",
    ("gradient", 1): "Mean squared gradient, backwards",
}
MEANS = "E[f(u); q] is the mean of f(u) over u ~ N(0, q), E[f(u) g(v); p, q, k] that over u, v of covariance k."
EXPONENTS = {
    "h": "activations at initialization", "delta": "gradients at initialization", "update": "change of the weights",
    "change": "change of the activations",
}  # fmt: skip


def block_equations(about: Subject) -> tuple[tuple[str, ...], tuple[Equation, ...]]:
    """What to say first, and the maps of the block: with free variances where it can have them."""
    layer = about.block if about.free is None else about.free
    if isinstance(layer, TransformerBlock):
        return ("Tokens of mean square q and mean product p:",), derived_equations(token_map(layer))
    if has_spectral(layer):
        return ("Covariances over the lags of a grid:",), derived_equations(fourier_map(layer))
    maps = {(limit, at): derive(layer, limit) for limit, at in LABELS}
    found = tuple(_row(LABELS[key], m.state[key[1]], m.update[key[1]]) for key, m in maps.items())
    point = f"Here {_values(about.point)}." if about.point else "Variances are free."
    closed = all(m.closed for m in maps.values())
    return (f"One block {shown(layer)} at infinite width. {point}", *(() if closed else (MEANS,))), found


def _values(point: tuple[float, float]) -> str:
    sigma, square = "\N{GREEK SMALL LETTER SIGMA}", "\N{SUPERSCRIPT TWO}"
    return f"weight_var, {sigma}_w{square}, is {point[0]:.12g} and bias_var, {sigma}_b{square}, is {point[1]:.12g}"


def _row(label: str, state: Symbol, update: Expr) -> Equation:
    return Equation(label, mathml(_aligned(f"{state}'", update)))


def _aligned(left: str, expr: Any) -> str:
    """left = expr, a long sum on several lines."""
    whole = latex(expr, symbol_names=LETTERS)
    rows = [whole]
    if len(whole) > LONG and isinstance(expr, Expr) and expr.is_Add:
        terms = [latex(term, symbol_names=LETTERS) for term in expr.as_ordered_terms()]
        rows = [terms[0], *(term if term.lstrip().startswith("-") else f"+ {term}" for term in terms[1:])]
    lines = [rf"{left} &= {rows[0]}", *(rf"& {row}" for row in rows[1:])]
    return r"\begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}"


def derived_equations(found: Any) -> tuple[Equation, ...]:
    """Whatever a theory derives: a map, powers by name, exponents of layers, matrices, or a plain update."""
    if hasattr(found, "latex"):
        return (Equation(_limit(found), mathml(found.latex())),)
    if isinstance(found.update, Mapping):
        return tuple(Equation(name, mathml(expr)) for name, expr in found.update.items())
    if hasattr(found, "chain"):
        return tuple(_exponents(found, name, label) for name, label in EXPONENTS.items())
    matrices = {f.name: getattr(found, f.name) for f in fields(found)} if is_dataclass(found) else {}
    shown = {name: m for name, m in matrices.items() if isinstance(m, MatrixBase)}
    if shown:
        return tuple(Equation(name, mathml(matrix)) for name, matrix in shown.items())
    labels = [line.partition(" = ")[0] for line in str(found).splitlines()]
    return tuple(Equation(label, mathml(expr)) for label, expr in zip(labels, found.update, strict=True))


def _limit(found: Any) -> str:
    return shown(found.layer) if isinstance(getattr(found, "layer", None), Layer) else "equations"


def _exponents(step: Any, name: str, label: str) -> Equation:
    """Powers of the width, layer by layer."""
    rows = (
        rf"\text{{{layer.name}}} &: {latex(power)}"
        for layer, power in zip(step.chain.layers, getattr(step, name), strict=True)
    )
    return Equation(
        f"exponents of the width: {label}", mathml(r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}")
    )
