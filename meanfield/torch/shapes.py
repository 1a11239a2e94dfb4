"""Which dimensions of which parameters grow with width, read from two or three instances of one module.

An axis grows where base and model differ, or, at ratio 1, where base and delta do; its ratio is model/base. Reading
widths off instances is the idea of Yang et al. 2022 (arXiv:2203.03466, the package mup, whose source was read).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

try:
    from torch import nn
except ImportError as error:
    raise ImportError("base_shapes needs PyTorch: pip install 'meanfield-calculator[torch]'") from error

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Instance:
    """The shapes of all parameters by name, tied ones under each of their names, and heads of attention modules."""

    what: str
    shapes: dict[str, Shape]
    heads: dict[str, int]


@dataclass(frozen=True)
class Growth:
    """One parameter in base and in the model, and which of its axes grow."""

    name: str
    base: Shape
    shape: Shape
    grows: tuple[bool, ...]

    def axes(self, among: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(axis for axis in among if self.grows[axis])

    def ratio(self, among: tuple[int, ...]) -> float:
        return prod(self.shape[axis] / self.base[axis] for axis in self.axes(among))


def base_shapes(module: Any) -> dict[str, Any]:
    """What scale_ needs to know of a base or delta, as a dict that json can save: {"parameters": {name: [sizes]},
    "heads": {name of a MultiheadAttention: num_heads}}.

    The module may be on the meta device, as in `with torch.device("meta"): base = Net(width=64)`. Raises TypeError
    where it is no torch.nn.Module, ValueError where a parameter has no shape yet (lazy modules).
    """
    read = instance("module", module)
    return {"parameters": {name: [*shape] for name, shape in read.shapes.items()}, "heads": dict(read.heads)}


def instance(what: str, given: Any) -> Instance:
    """A module, or the dict that base_shapes made of one."""
    if isinstance(given, nn.Module):
        named = [*given.named_parameters(remove_duplicate=False)]
        for name, parameter in named:
            if isinstance(parameter, nn.parameter.UninitializedParameter):
                raise ValueError(f"{name!r} of {what} has no shape yet: run the module once before it is scaled")
        heads = {
            name: module.num_heads
            for name, module in given.named_modules(remove_duplicate=False)
            if isinstance(module, nn.MultiheadAttention)
        }
        return Instance(what, {name: tuple(parameter.shape) for name, parameter in named}, heads)
    if isinstance(given, Mapping):
        return _saved(what, given)
    raise TypeError(
        f"{what} is the same torch.nn.Module at another width, or mf.torch.base_shapes of it, not {given!r}"
    )


def _saved(what: str, given: Mapping[str, Any]) -> Instance:
    try:
        shapes = {str(name): tuple(int(n) for n in shape) for name, shape in given["parameters"].items()}
        heads = {str(name): int(n) for name, n in given["heads"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TypeError(
            f'{what} is a dict, but not one that mf.torch.base_shapes made: {{"parameters": {{name: [sizes]}}, '
            f'"heads": {{name: number}}}}, not {given!r}'
        ) from error
    return Instance(what, shapes, heads)


def compare(base: Instance, model: Instance, delta: Instance | None) -> dict[str, Growth]:
    """The growth of every parameter; ValueError where the instances are not one module at several widths."""
    others = [base] if delta is None else [base, delta]
    for other in others:
        _same_structure(other, model)
    found = {name: _growth(name, base, model, delta) for name in model.shapes}
    if not any(any(growth.grows) for growth in found.values()):
        if delta is None:
            raise ValueError(
                "base and model have the same shapes, so that no dimension grows: give a base of another width, or "
                "scale the base itself with delta= an instance of another width"
            )
        raise ValueError("base, delta and model have the same shapes: delta is an instance of another width")
    _one_direction(found)
    return found


def _same_structure(other: Instance, model: Instance) -> None:
    for name in (*model.shapes, *other.shapes):
        if name not in model.shapes or name not in other.shapes:
            has, lacks = (model.what, other.what) if name in model.shapes else (other.what, model.what)
            raise ValueError(
                f"{has} has a parameter {name!r}, {lacks} has none: both are one module, which differs in its widths "
                "alone (depth, biases and ties are the same)"
            )
        axes = len(other.shapes[name]), len(model.shapes[name])
        if axes[0] != axes[1]:
            raise ValueError(f"{name!r} has {axes[0]} axes in {other.what} and {axes[1]} in {model.what}")


def _growth(name: str, base: Instance, model: Instance, delta: Instance | None) -> Growth:
    before, now = base.shapes[name], model.shapes[name]
    if 0 in before or 0 in now:
        raise ValueError(f"{name!r} has a dimension of size 0: {before} in base, {now} in model")
    if delta is None:
        return Growth(name, before, now, tuple(b != n for b, n in zip(before, now, strict=True)))
    grows = tuple(b != d for b, d in zip(before, delta.shapes[name], strict=True))
    for axis, (b, n) in enumerate(zip(before, now, strict=True)):
        if b != n and not grows[axis]:
            raise ValueError(
                f"axis {axis} of {name!r} is {b} in base and in delta but {n} in model, so that it grows in one "
                "instance only: let delta differ from base in every width that differs in model"
            )
    return Growth(name, before, now, grows)


def _one_direction(found: dict[str, Growth]) -> None:
    """Some widths larger than in base and others smaller is no scaling by width."""
    first: dict[bool, str] = {}
    for growth in found.values():
        for axis, (b, n) in enumerate(zip(growth.base, growth.shape, strict=True)):
            if b != n:
                first.setdefault(n > b, f"axis {axis} of {growth.name!r} ({b} to {n})")
    if len(first) == 2:
        raise ValueError(
            f"from base to model {first[True]} grows but {first[False]} shrinks: no width that grows with the others"
        )
