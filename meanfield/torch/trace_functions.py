"""What functions and methods of tensors do: one rule for each name, which torch, Tensor, operator and aten share.

Numbers that multiply are Scale, parameters that are added Shift; a sum of signals is Add. A function without a rule is
Opaque.
"""

from collections.abc import Callable
from typing import Any

import torch

from meanfield.torch.graph import Add, Drop, Function, Move, Pool, Scale, Shift
from meanfield.torch.trace_activations import ENTRYWISE, MODULES, of_function, pointwise, text
from meanfield.torch.trace_attention import Causal, is_causal
from meanfield.torch.trace_modules import taps
from meanfield.torch.trace_values import UNKNOWN, Call, Held, Signal, fixed

Rule = Callable[[Call], Any]
RULES: dict[str, Rule] = {}
MOVES = (
    "reshape", "view", "flatten", "unflatten", "transpose", "permute", "t", "contiguous", "clone", "to", "expand",
    "unsqueeze", "squeeze", "repeat", "getitem", "chunk", "split", "unbind", "swapaxes", "movedim", "moveaxis",
    "narrow", "select", "slice", "float", "double", "type", "detach", "roll", "flip", "index_select", "expand_as",
    "view_as", "reshape_as", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "repeat_interleave", "alias",
    "split_with_sizes", "unsafe_chunk", "gather", "pixel_shuffle", "type_as", "ravel", "identity", "_to_copy", "cpu",
    "unfold",
)  # fmt: skip


def rule_of(name: str) -> Rule | None:
    """The rule of a function by its name, in place (`add_`, `iadd`) or not."""
    plain = name.rstrip("_")
    for known in (name, plain, plain.removeprefix("i")):
        if known in RULES:
            return RULES[known]
    return _activation if of_name(plain) else None


def of_name(name: str) -> bool:
    """Is it an activation that is called with its tensor alone, or with numbers?"""
    return name in MODULES or name in ENTRYWISE


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers what follows for these names."""

    def register(given: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, given))
        return given

    return register


def _activation(call: Call) -> Signal:
    named = {name: value for name, value in call.kwargs.items() if name != "input"}
    formula = of_function(call.layer.rstrip("_"), *call.args[1:], **named)
    if formula is None:
        return call.opaque(f"{call.layer} with these numbers has no formula")
    return _function(call, formula)


def _function(call: Call, formula: str) -> Signal:
    return call.put(Function(pointwise(formula)))


@rule(*MOVES)
def _move(call: Call) -> Signal:
    """Parameters side by side with signals become signals."""
    first = call.argument(0, "tensors", call.argument(0, "input"))
    parts = [call.signal(each) for each in first] if isinstance(first, tuple | list) else [first]
    read = [part for part in parts if isinstance(part, Signal)]
    return call.put(Move(), *read)


def _pair(call: Call) -> tuple[Any, Any]:
    return call.argument(0, "input"), call.argument(1, "other")


@rule("add")
def _add(call: Call) -> Signal:
    a, b = _pair(call)
    return _sum(call, a, b, 1.0, float(call.kwargs.get("alpha", 1)))


@rule("sub", "subtract")
def _sub(call: Call) -> Signal:
    a, b = _pair(call)
    return _sum(call, a, b, 1.0, -float(call.kwargs.get("alpha", 1)))


@rule("rsub")
def _rsub(call: Call) -> Signal:
    a, b = _pair(call)
    return _sum(call, b, a, 1.0, -float(call.kwargs.get("alpha", 1)))


def _sum(call: Call, a: Any, b: Any, left: float, right: float) -> Signal:
    """left a + right b."""
    if isinstance(a, Signal) and isinstance(b, Signal):
        return call.put(Add((left, right)), a, b)
    signal, factor, other, weight = (a, left, b, right) if isinstance(a, Signal) else (b, right, a, left)
    if isinstance(other, int | float):
        sign = "" if factor == 1 else f"{text(factor)}*"
        return call.put(Function(pointwise(f"{sign}x + {text(float(other * weight))}")), signal)
    if isinstance(other, Held) and weight == 1:
        scaled = signal if factor == 1 else call.put(Scale(factor), signal)
        return call.put(Shift(other.slot), scaled)
    if isinstance(other, torch.Tensor) and weight == 1 and is_causal(other):
        return call.put(Causal("scores of attention with a causal mask"), signal)
    if isinstance(other, torch.Tensor) and factor == 1:
        return call.put(Shift(fixed(weight * other)), signal)
    return call.opaque(_why(call, other))


def _why(call: Call, other: Any) -> str:
    if other is UNKNOWN:
        return f"{call.layer} takes a number that depends on the shape of the input: give an example"
    return f"{call.layer} takes {type(other).__name__}"


@rule("mul", "multiply")
def _mul(call: Call) -> Signal:
    a, b = _pair(call)
    if isinstance(a, Signal) and isinstance(b, Signal):
        return call.opaque("a product of two signals")
    signal, other = (a, b) if isinstance(a, Signal) else (b, a)
    return _scaled(call, signal, other)


def _scaled(call: Call, signal: Signal, other: Any) -> Signal:
    if isinstance(other, int | float):
        return call.put(Scale(float(other)), signal)
    slot = other.slot if isinstance(other, Held) else fixed(other) if isinstance(other, torch.Tensor) else None
    if slot is None:
        return call.opaque(_why(call, other))
    return call.put(Scale(slot.tensor().detach().square().mean().sqrt().item(), slot), signal)


@rule("truediv", "div", "divide", "true_divide")
def _div(call: Call) -> Signal:
    a, b = _pair(call)
    if isinstance(b, int | float) and b != 0 and isinstance(a, Signal) and not call.kwargs.get("rounding_mode"):
        return call.put(Scale(1 / b), a)
    divisor = b.slot.tensor().detach() if isinstance(b, Held) else b
    if isinstance(divisor, torch.Tensor) and isinstance(a, Signal):
        return _scaled(call, a, 1 / divisor)
    return call.opaque("a division by a signal" if isinstance(b, Signal) else _why(call, b))


@rule("neg", "negative")
def _neg(call: Call) -> Signal:
    return call.put(Scale(-1.0))


@rule("pow")
def _pow(call: Call) -> Signal:
    base, exponent = _pair(call)
    whole = isinstance(base, Signal) and isinstance(exponent, int | float) and float(exponent).is_integer()
    if not whole or not 1 <= exponent <= 8:
        return call.opaque("a power other than a whole one from 1 to 8")
    return _function(call, f"x**{int(exponent)}")


@rule("clamp", "clip")
def _clamp(call: Call) -> Signal:
    low, high = (call.argument(place, name) for place, name in enumerate(("min", "max"), 1))
    given = [bound for bound in (low, high) if bound is not None]
    if not given or not all(isinstance(bound, int | float) for bound in given):
        return call.opaque(f"{call.layer} between bounds that are no numbers")
    above = "x" if high is None else f"Min({text(high)}, x)"
    return _function(call, above if low is None else f"Max({text(low)}, {above})")


@rule("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout")
def _dropout(call: Call) -> Signal:
    training = call.argument(2, "training", call.argument(2, "train", True))
    return call.put(Drop(float(call.argument(1, "p", 0.5)))) if training else call.put(Move())


@rule("mean")
def _mean(call: Call) -> Signal:
    return call.put(Pool("mean", taps(call.signals[0].shape, call.shape)))


@rule("amax", "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d")
def _max(call: Call) -> Signal:
    return call.put(Pool("max", taps(call.signals[0].shape, call.shape)))


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d")
def _average(call: Call) -> Signal:
    return _mean(call)
