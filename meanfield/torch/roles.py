"""The type of every parameter of a model, from its axes and from which of them grow.

With i, o = whether a fan-in, a fan-out axis grows: input (0,1), hidden (1,1), output (1,0), fixed (0,0); vectors
(biases, gains) are (0,1). Attention logits q.k/sqrt(d_head) are a sum over d_head that training aligns, so that a
d_head that grows wants q.k/d_head: the gauge (a, b, c) -> (a + theta, b - theta, c - kappa theta) moves that factor
into W_q, but nn.MultiheadAttention holds W_q, W_k, W_v in one parameter of one learning rate. Derived here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from torch import nn

from meanfield.torch.axes import Axes, axes_of, in_transformer
from meanfield.torch.exponents import HIDDEN, INPUT, OUTPUT
from meanfield.torch.operators import join, label
from meanfield.torch.shapes import Growth, Instance

KINDS = {"input": INPUT, "hidden": HIDDEN, "output": OUTPUT, "vector": INPUT, "fixed": (0, 0)}
Role = str | Sequence[str]


@dataclass(frozen=True)
class Typed:
    """A parameter with its type, the ratios of its fans, and the RMS of PyTorch's own draw in base and in the model,
    one such pair for each place that may have drawn it; `resized` says that its module has another size in base.

    `readout` names the place of an input parameter that is tied as a readout, whose output wants 1/ratio_out.
    """

    name: str
    parameter: Any
    type: str
    ratio_in: float
    ratio_out: float
    laws: tuple[tuple[float, float], ...]
    resized: bool
    readout: str | None = None

    @property
    def kind(self) -> tuple[int, int]:
        return KINDS[self.type]


def typed(model: Any, growths: Mapping[str, Growth], roles: Mapping[str, Role]) -> list[Typed]:
    """Every parameter once; TypeError or ValueError for those whose type is not known."""
    _check_names(roles, growths)
    found: dict[int, Typed] = {}
    redrawn = {id(part) for whole in model.modules() if isinstance(whole, nn.Transformer) for part in whole.modules()}
    for place, module in model.named_modules(remove_duplicate=False):
        known = axes_of(module)
        held = dict(module.named_parameters(recurse=False, remove_duplicate=False))
        local = {name: growths[join(place, name)] for name in held}
        for name, parameter in held.items():
            growth = local[name]
            given = roles.get(growth.name)
            axes = known.get(name) if given is None else _told(growth, given)
            if axes is not None and given is None and id(module) in redrawn and parameter.ndim > 1:
                axes = in_transformer(name, axes)
            here = _type(growth, parameter, axes, local, label(place, module))
            before = found.get(id(parameter))
            found[id(parameter)] = here if before is None else _tie(before, here)
    return [*found.values()]


def _check_names(roles: Mapping[str, Role], growths: Mapping[str, Growth]) -> None:
    for name in roles:
        if name not in growths:
            near = get_close_matches(name, growths, 3)
            hint = f"near are {', '.join(near)}" if near else "names are those of named_parameters()"
            raise ValueError(f"roles names {name!r}, which is no parameter of the model: {hint}")


def _type(growth: Growth, parameter: Any, axes: Axes | None, local: Mapping[str, Growth], owner: str) -> Typed:
    resized = any(each.base != each.shape for each in local.values())
    if axes is None:
        if any(growth.grows):
            raise TypeError(
                f"{growth.name!r} {growth.shape} of {owner} grows, and what its axes are is not known: say it with "
                f"roles={{{growth.name!r}: 'input'}} (or hidden, output, vector), or name its axes, as ('out', 'in')"
            )
        return Typed(growth.name, parameter, "fixed", 1.0, 1.0, (), False)
    for axis, grows in enumerate(growth.grows):
        if grows and axis not in (*axes.out, *axes.into):
            raise ValueError(
                f"axis {axis} of {growth.name!r} is {growth.base[axis]} in base and {growth.shape[axis]} in model, but "
                f"in {owner} it is no width (a kernel size, a vocabulary): hold it fixed"
            )
    into, out = growth.axes(axes.into), growth.axes(axes.out)
    if len(into) > 1 or len(out) > 1:
        raise ValueError(f"{growth.name!r} of {owner} has two axes that grow on one side: one of them is no width")
    names = {(0, 0): "fixed", (0, 1): "input" if growth.shape and len(growth.shape) > 1 else "vector"}
    name = names.get((len(into), len(out)), "hidden" if out else "output")
    laws: tuple[tuple[float, float], ...] = ()
    if axes.law is not None:
        before, now = ({key: getattr(each, at) for key, each in local.items()} for at in ("base", "shape"))
        laws = ((axes.law(before), axes.law(now)),)
    return Typed(growth.name, parameter, name, growth.ratio(into), growth.ratio(out), laws, resized)


def _tie(before: Typed, here: Typed) -> Typed:
    """One parameter in two places: of one type, or an embedding whose transpose is the readout."""
    laws = tuple(dict.fromkeys((*before.laws, *here.laws)))
    resized = before.resized or here.resized
    if (before.kind, before.ratio_in, before.ratio_out) == (here.kind, here.ratio_in, here.ratio_out):
        return replace(before, laws=laws, resized=resized)
    ends = {before.kind: before, here.kind: here}
    if {*ends} == {INPUT, OUTPUT} and before.readout is None and here.readout is None:
        return replace(ends[INPUT], laws=laws, resized=resized, readout=ends[OUTPUT].name)
    raise ValueError(
        f"{before.name!r} ({before.type}) is tied to {here.name!r} ({here.type}): no variance and learning rate "
        "serves both; give each its own parameter"
    )


def check_attention(model: Any, base: Instance, others: Sequence[Instance], keep: bool) -> None:
    """ValueError where d_head of a MultiheadAttention grows."""
    for name, module in model.named_modules(remove_duplicate=False):
        if not isinstance(module, nn.MultiheadAttention) or keep:
            continue
        weight = join(name, "out_proj.weight")
        for other in others:
            heads = [each.heads.get(name, 0) for each in (base, other)]
            sizes = [each.shapes[weight][0] / max(n, 1) for each, n in zip((base, other), heads, strict=True)]
            if sizes[0] != sizes[1] or 0 in heads:
                raise ValueError(
                    f"d_head = embed_dim/num_heads of {label(name, module)} is {sizes[0]:g} in base and {sizes[1]:g} "
                    f"in {other.what}: it divides logits by sqrt(d_head), where one that grows wants d_head, which "
                    "its parameters cannot make up for: W_q, W_k and W_v are one, of one learning rate. Let num_heads "
                    "grow at a fixed d_head, or write attention with scale=sqrt(d_head of base)/d_head, or leave it so "
                    "with attention='keep'"
                )


def _told(growth: Growth, role: Role) -> Axes:
    """Axes as the user says them: a type, where the axes that grow tell the rest, or a name for each axis."""
    growing = growth.axes(tuple(range(len(growth.shape))))
    if not isinstance(role, str):
        if len(role) != len(growth.shape) or not {*role} <= {"in", "out", "-"}:
            raise ValueError(
                f"roles[{growth.name!r}] names each of its {len(growth.shape)} axes 'out', 'in' or '-', not {role!r}"
            )
        sides = {side: tuple(axis for axis, own in enumerate(role) if own == side) for side in ("out", "in")}
        return Axes(sides["out"], sides["in"])
    if role not in ("input", "hidden", "output", "vector"):
        raise ValueError(
            f"roles[{growth.name!r}] is input, hidden, output, vector or a name for each axis, not {role!r}"
        )
    wanted = 2 if role == "hidden" else 1
    if len(growing) != wanted:
        raise ValueError(
            f"roles says that {growth.name!r} is of type {role}, of which {wanted} axes grow, but from {growth.base} "
            f"to {growth.shape} {len(growing)} do"
        )
    if role == "hidden":
        return Axes(growing[:1], growing[1:])
    return Axes((), growing) if role == "output" else Axes(growing)
