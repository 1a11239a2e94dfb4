"""What a page of a block is about: the block, the same with free variances, its point among them, and its spelling."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import meanfield
from symbolic.activations import activation
from symbolic.blocks import parse_block
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Layer, Pointwise
from symbolic.pictures import layers_in

VARIANCES = {"weight_var": WEIGHT_VAR, "bias_var": BIAS_VAR}
WORDS = re.compile(r"\b(norm|padding)=(?!None\b)([A-Za-z_]+)")  # arguments that layers print without quotes
QUOTED = re.compile(r"'[^']*'|\b[A-Za-z_]\w*\b")


@dataclass(frozen=True)
class Subject:
    """`free` is the block with weight_var and bias_var in place of the numbers that all its weights share, or None;
    `point` those numbers; `phi` the activation, where the block is phi >> Dense."""

    block: Layer
    free: Layer | None
    point: tuple[float, float] | None
    phi: Pointwise | None

    @property
    def diagrammed(self) -> Any:
        """What stands for it where variances are free."""
        return self.free if self.phi is None else self.phi


def subject(given: Any) -> Subject:
    """Of a block, or of an activation (name, formula, layer), which stands for phi >> Dense()."""
    from symbolic.networks import Chain, Dense

    alone = not isinstance(given, Layer) or isinstance(given, Pointwise)
    block = activation(given) >> Dense() if alone else given
    free = freed(block)
    phi = None
    if isinstance(free, Chain) and len(free.layers) == 2 and free.layers[1] == Dense(WEIGHT_VAR, BIAS_VAR):
        phi = free.layers[0] if isinstance(free.layers[0], Pointwise) else None
    return Subject(block, free, None if free is None else _point(block), phi)


def freed(block: Layer) -> Layer | None:
    """The block with free variances, if all its weights have the same; None where they differ or there are none."""
    found = {tuple(getattr(part, name) for name in VARIANCES) for part in _weighted(block)}
    if len(found) != 1 or any(hasattr(part, "pointwise_var") for part in layers_in(block)):
        return None

    return _changed(block, lambda part: replace(part, **VARIANCES) if _is_weighted(part) else part)


def _changed(value: Any, change: Callable[[Layer], Layer]) -> Any:
    """The layer with `change` of each of its parts, innermost first."""
    if isinstance(value, tuple):
        return tuple(_changed(part, change) for part in value)
    if not isinstance(value, Layer):
        return value
    parts = {f.name: getattr(value, f.name) for f in fields(value)}
    inner = {name: _changed(part, change) for name, part in parts.items() if isinstance(part, Layer | tuple)}
    return change(replace(value, **inner))


def _weighted(block: Layer) -> list[Layer]:
    return [part for part in layers_in(block) if _is_weighted(part)]


def _is_weighted(part: Layer) -> bool:
    return all(hasattr(part, name) for name in VARIANCES)


def _point(block: Layer) -> tuple[float, float] | None:
    """weight_var and bias_var, where they are numbers."""
    values = [getattr(_weighted(block)[0], name) for name in VARIANCES]
    return None if any(value.free_symbols for value in values) else (float(values[0]), float(values[1]))


def shown(block: Any) -> str:
    """The block as text that can be read back, without arguments that say what is so anyway."""
    return re.sub(r"(, )?\bweight_var=weight_var, bias_var=bias_var", "", str(_changed(block, _quoted)))


def _quoted(part: Layer) -> Layer:
    """An activation that has no name of its own, in quotes."""
    if isinstance(part, Pointwise) and not part.name.isidentifier():
        return Pointwise(f"'{part.name}'", part.formula)
    return part


def spelled(block: Any) -> str:
    """The block as Python: names from `mf`, formulas as mf.activation('...').

    >>> from symbolic.networks import Dense
    >>> spelled(activation("tanh") >> Dense(1.5, 0.05))
    'mf.tanh >> mf.Dense(weight_var=1.5, bias_var=0.05)'
    """
    whole = WORDS.sub(r"\1='\2'", shown(block))

    def word(found: re.Match[str]) -> str:
        text, before, after = found[0], whole[: found.start()], whole[found.end() :]
        if text.startswith("'"):
            return text if before.endswith("=") else f"mf.activation({text})"
        return f"mf.{text}" if text in meanfield.__all__ and not after.startswith("=") else text

    return QUOTED.sub(word, whole)


def command(block: Any, shell: str) -> str:
    """The command, or "" for a block that cannot be written on the command line."""
    if isinstance(block, Layer) and not isinstance(block, Pointwise):
        try:
            parse_block(shown(block))
        except (ValueError, TypeError):
            return ""
    return shell
