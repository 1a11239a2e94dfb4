"""The maximal-update parametrization (muP) of a torch.nn.Module for an optimizer, in place.

Every parameter is drawn and trained as in base, times (ratio of its width to that of base)**exponent: std ~ n^0,
n^-1/2, n^-1 for input, hidden and output parameters, learning rates as symbolic/scaling derives them (Adam n^0, n^-1,
n^-1; SGD n, 1, 1/n), no multiplier in the forward pass, so that the module stays what it is. muP is that of Yang et al.
2022 (arXiv:2203.03466, recalled); that instances tell the widths is the idea of their package mup (read).
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

try:
    import torch
except ImportError as error:
    raise ImportError("scale_ needs PyTorch: pip install 'meanfield-calculator[torch]'") from error

from torch import nn

from meanfield.torch.exponents import DEFAULT_EPSILON, OUTPUT, Rule, power, rule
from meanfield.torch.rescale import INITS, new_values, rms
from meanfield.torch.roles import Role, Typed, check_attention, typed
from meanfield.torch.scaled import ModelScale, ParameterScale
from meanfield.torch.shapes import compare, instance


def scale_(
    model: Any,
    base: Any = None,
    delta: Any = None,
    optimizer: Any = "adam",
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    eps: float | None = None,
    init: str = "default",
    zero_readout: bool = False,
    roles: Mapping[str, Role] | None = None,
    attention: str = "refuse",
    tied: str = "refuse",
    generator: Any = None,
    **exponents: Any,
) -> ModelScale:
    """Initialize a torch.nn.Module in place in muP for an optimizer, and give param groups for torch.optim:
    `scaled = scale_(model, base, optimizer="adam", lr=1e-3); torch.optim.AdamW(scaled.groups)`.

    base is the same module at the width where lr, weight_decay and eps were tuned, delta one at a third width (needed
    where a width of base equals that of model): modules, on the meta device if you like, or base_shapes of them. A
    dimension grows where base and model, or base and delta, differ. All factors are powers of ratios to base: at the
    size of base nothing changes. Types: input (also embeddings), hidden, output (its fan-in grows, its fan-out does
    not), vector (biases, gains), fixed. Known are Linear, convolutions, embeddings, norms, PReLU, recurrent layers,
    MultiheadAttention; parameters of others that grow are told by roles: {name: "input" | "hidden" (its axes out, in)
    | "output" | "vector" | a tuple of "out", "in", "-" for its axes}.

    optimizer, **exponents: a name as in mf.scaling, as "adam" (AdamW as well), "sgd", "muon", "shampoo" with e_L, e_R.
    weight_decay (0 in the groups, whatever the optimizer's default): kept constant times lr, as AdamW and SGD decay by
    lr weight_decay w; with decoupled=True, for decay without lr, the same everywhere. eps: left out, 1e-8 for Adam and
    RMSprop, in groups only where known.
    init: "default" rescales draws of PyTorch's own laws (checked), "base" draws of any law, measured in a base with
    values, "normal" draws weights anew from `generator`, "keep" writes nothing (after load_state_dict or deepcopy).
    zero_readout: weights of type output are set to zero. attention="keep": leave a MultiheadAttention whose d_head
    grows as it is, though its logits then grow. tied="multiply": an embedding that is the readout too is scaled as
    input, and your forward pass multiplies the readout by report.multipliers, which no other layer needs.

    Nothing is written unless all is understood. Raises TypeError for modules and parameters that are not, ValueError
    for instances that are not one module at several widths and for other arguments. Sources: Yang et al. 2022,
    arXiv:2203.03466 (recalled); exponents as mf.scaling derives them.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"scale_ scales a torch.nn.Module, not {model!r}")
    _check_options(lr, weight_decay, eps, {"init": init, "attention": attention, "tied": tied})
    if zero_readout and init == "keep":
        raise ValueError("zero_readout=True writes zeros, and init='keep' nothing: leave one of them out")
    found = rule(optimizer, exponents)
    eps = DEFAULT_EPSILON.get(found.name) if eps is None else eps
    if eps is not None and found.epsilon is None:
        raise ValueError(f"{found.name} has no single epsilon that a param group could scale: leave eps out")
    each = _read(model, base, delta, roles or {}, attention == "keep")
    _check_ties(each, found, tied, zero_readout)
    _write(each, found, init, _values(base, init), zero_readout, generator)
    return _report(each, found, lr, weight_decay, decoupled, eps, init)


CHOICES = {"init": INITS, "attention": ("refuse", "keep"), "tied": ("refuse", "multiply")}


def _check_options(lr: float, weight_decay: float, eps: float | None, chosen: Mapping[str, str]) -> None:
    for name, number in {"lr": lr, "weight_decay": weight_decay, "eps": 0.0 if eps is None else eps}.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number) or number < 0:
            raise ValueError(f"{name} is a number >= 0, that of base, not {number!r}")
    for name, choice in chosen.items():
        if choice not in CHOICES[name]:
            raise ValueError(f"{name} is one of {', '.join(CHOICES[name])}, not {choice!r}")


def _read(model: Any, base: Any, delta: Any, roles: Mapping[str, Role], keep: bool) -> list[Typed]:
    if base is None:
        raise ValueError(
            "scale_ wants a base: the same module at the width where its hyperparameters were tuned, or "
            "mf.torch.base_shapes of it. Without one no dimension is known to grow"
        )
    first, target = instance("base", base), instance("model", model)
    third = None if delta is None else instance("delta", delta)
    growths = compare(first, target, third)
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise ValueError(f"{name!r} of model is on the meta device and has no values to scale: give it some first")
    check_attention(model, first, [target] if third is None else [target, third], keep)
    return typed(model, growths, roles)


def _check_ties(each: list[Typed], found: Rule, tied: str, zero_readout: bool) -> None:
    if zero_readout and not any(one.kind == OUTPUT for one in each):
        raise ValueError("zero_readout=True, but no parameter of the model is of type output")
    for one in each:
        if one.readout is None:
            continue
        where = f"{one.name!r} is an embedding and, as {one.readout!r}, the readout"
        if not found.ties:
            raise ValueError(f"{where}: for {found.name} no multiplier makes their learning rates the same; untie them")
        if tied != "multiply":
            raise ValueError(
                f"{where}: as one parameter it has the embedding's variance, so that the readout wants a multiplier of "
                f"{1 / one.ratio_out:g}. Multiply its output by that in forward and say tied='multiply', or untie them"
            )


def _values(base: Any, init: str) -> dict[str, Any]:
    """The parameters of base where they are to be measured."""
    if init != "base":
        return {}
    if not isinstance(base, nn.Module) or any(parameter.is_meta for parameter in base.parameters()):
        raise ValueError("init='base' measures the values of base: give it as a module with values, not shapes alone")
    return dict(base.named_parameters(remove_duplicate=False))


def _write(
    each: list[Typed], found: Rule, init: str, base: Mapping[str, Any], zero_readout: bool, generator: Any
) -> None:
    """First all new values, then all writing."""
    values = [new_values(one, found, init, base, generator) for one in each]
    with torch.no_grad():
        for one, new in zip(each, values, strict=True):
            if zero_readout and one.kind == OUTPUT:
                one.parameter.zero_()
            elif new is not None:
                one.parameter.copy_(new)


def _report(
    each: list[Typed], found: Rule, lr: float, weight_decay: float, decoupled: bool, eps: float | None, init: str
) -> ModelScale:
    return ModelScale(
        rows=tuple(_row(one, found, decoupled) for one in each),
        optimizer=found.name,
        lr=lr,
        weight_decay=weight_decay,
        eps=eps,
        init=init,
        multipliers={one.readout: 1 / one.ratio_out for one in each if one.readout is not None},
        parameters=tuple(one.parameter for one in each),
    )


def _row(one: Typed, found: Rule, decoupled: bool) -> ParameterScale:
    ratios = one.kind, one.ratio_in, one.ratio_out
    rate = power(found.learning_rate, *ratios)
    return ParameterScale(
        name=one.name,
        type=one.type,
        ratio_in=one.ratio_in,
        ratio_out=one.ratio_out,
        init_std=rms(one.parameter),
        multiplier=1.0 if one.readout is None else 1 / one.ratio_out,
        lr_factor=rate,
        weight_decay_factor=1.0 if decoupled else 1 / rate,
        eps_factor=1.0 if found.epsilon is None else power(found.epsilon, *ratios),
    )
