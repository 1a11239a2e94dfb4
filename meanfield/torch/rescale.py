"""New values for the parameters of a model, so that their RMS is ratio**-b times that of base.

default: the model's own draw follows PyTorch's law s(shape), which is checked, and is multiplied by ratio**-b s(base)
/s(model): the width that the law has already is taken out. base: for any other law, s is the RMS of the parameter in
base and in the model (two samples: of N entries each, right to about 1/sqrt(N)). normal: weights N(0, (ratio**-b
s(base))^2), drawn anew. keep: nothing is written.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import torch

from meanfield.torch.exponents import Rule, power
from meanfield.torch.roles import Typed

INITS = ("default", "base", "normal", "keep")


def new_values(each: Typed, rule: Rule, init: str, base: Mapping[str, Any], generator: Any) -> Any:
    """The new values of one parameter, None where it stays as it is; ValueError where its law is not known."""
    if init == "keep":
        return None
    values = each.parameter.detach()
    wanted = power(rule.init_std, each.kind, each.ratio_in, each.ratio_out)
    if init == "base":
        return _times(values, wanted * _measured(each, base))
    if each.kind == (0, 0) and not each.laws:
        return None
    if init == "normal" and each.kind != (0, 0) and values.ndim > 1:
        before, _ = _laws(each)[0]
        device = "cpu" if generator is None else generator.device
        return wanted * before * torch.randn(values.shape, generator=generator, device=device)
    before, now = _followed(each)
    return _times(values, wanted * before / now) if now > 0 else None


def _times(values: Any, factor: float) -> Any:
    return None if factor == 1 else factor * values


def rms(values: Any) -> float:
    return float(values.detach().abs().double().square().mean().sqrt()) if values.numel() else 0.0


def _laws(each: Typed) -> tuple[tuple[float, float], ...]:
    if not each.laws:
        raise ValueError(
            f"{each.name!r} has no law of PyTorch's own that tells how its values depend on width: init='base' with a "
            "base that is a module with values measures it, init='keep' leaves all values as they are"
        )
    return each.laws


def _followed(each: Typed) -> tuple[float, float]:
    """The law that the draw follows, its RMS in base and in the model."""
    found = rms(each.parameter)
    margin = 0.02 + 5 / sqrt(each.parameter.numel())  # seven standard errors of a normal draw
    for law in _laws(each):
        if found == 0 or law[1] == 0 or not each.resized or abs(found / law[1] - 1) < margin:
            return law
    laws = " or ".join(f"{law[1]:.4g}" for law in each.laws)
    raise ValueError(
        f"{each.name!r} has RMS {found:.4g}, where PyTorch's own initialization gives {laws}: it was scaled before, or "
        "drawn from another law. init='base', with a base that is a module with values built by the same code, "
        "measures that law; init='keep' leaves all values as they are"
    )


def _measured(each: Typed, base: Mapping[str, Any]) -> float:
    before, now = rms(base[each.name]), rms(each.parameter)
    if not each.resized or before == now == 0:
        return 1.0
    if 0 in (before, now):
        raise ValueError(
            f"{each.name!r} has RMS {before:.4g} in base and {now:.4g} in the model, one of which is zero: "
            "build both by the same code"
        )
    return before / now
