"""How exponents are written: as text, as powers in LaTeX, as a table of the terminal and the lines below it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sympy import latex

from symbolic.scaling.architectures import Architecture
from symbolic.scaling.depth import DepthRule
from symbolic.scaling.scores import Scores
from symbolic.scaling.setups import Setup

if TYPE_CHECKING:
    from rich.table import Table

DEPTH = ("multiplier", "drawn", "own", "change", "second")


def as_text(exponent: Any) -> Any:
    return None if exponent is None else [str(e) for e in exponent] if isinstance(exponent, tuple) else str(exponent)


def shown(exponent: Any) -> str:
    if exponent is None:
        return "-"
    return ", ".join(map(str, exponent)) if isinstance(exponent, tuple) else str(exponent)


def as_power(exponent: Any) -> str:
    if exponent is None:
        return "--"
    parts = exponent if isinstance(exponent, tuple) else (exponent,)
    return ", ".join("$1$" if e == 0 else f"$n^{{{latex(e)}}}$" for e in parts)


def table(head: str, columns: Any, rows: Mapping[str, Any]) -> "Table":
    from rich.table import Table

    found = Table(box=None, pad_edge=False)
    for name in (head, *columns):
        found.add_column(name, justify="left" if name == head else "right")
    for name, row in rows.items():
        found.add_row(name, *(shown(getattr(row, c)) for c in columns))
    return found


def below(network: Architecture, solved: Setup) -> list[str]:
    """What stands below the table: parameters beside the path, exponents of depth and of attention scores."""
    found = _beside(network, solved)
    found += [] if solved.depth is None else _deep(solved.depth)
    return found if network.scores is None else [*found, _attention(network.scores)]


def _beside(network: Architecture, solved: Setup) -> list[str]:
    if solved.adapters:
        return [f"learning rates B/A: n^({solved.adapters.ratio})"]
    kinds = dict.fromkeys(p.kind for p in network.beside)
    rows = ((k, ", ".join(p.name for p in network.beside if p.kind == k)) for k in kinds)
    return [f"{names}: {'no exponents' if kind == 'fixed' else f'as {kind}'}" for kind, names in rows]


def _deep(rule: DepthRule) -> list[str]:
    said = f"learning_rate {rule.block.learning_rate}, damping {shown(rule.block.damping)}"
    kept = ", ".join(f"{name} {getattr(rule, name)}" for name in DEPTH[1:])
    found = [f"{rule.name}: exponents of the depth L in residual branches: multiplier {rule.multiplier}, {said}"]
    if rule.name == "u_mup":
        found.append("u_mup as published trains the embedding with n^(-1/2), where biases and gains keep n^0")
    advice = [f"all orders count at alpha = {rule.window[0]}"] if rule.incomplete else []
    return [*found, f"slopes in L: {kept}", *rule.incomplete, *advice]


def _attention(at: Scores) -> str:
    return f"attention scores: multiplier d_head^({at.multiplier}); slopes: drawn {at.drawn}, trained {at.trained}"
