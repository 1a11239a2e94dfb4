"""Functions that hold weights, F.linear and the like, and products of signals, of which attention is made."""

from types import SimpleNamespace
from typing import Any

import torch

from meanfield.torch.graph import Affine, Attend, Norm, Slot, Table
from meanfield.torch.trace_attention import Causal, Product, Softmax, heads, is_causal, scores
from meanfield.torch.trace_functions import rule
from meanfield.torch.trace_taps import convolution_reach
from meanfield.torch.trace_values import Call, Held, Signal


def _slot(value: Any) -> Slot | None:
    return value.slot if isinstance(value, Held) else None


def _computed(call: Call) -> Signal:
    return call.opaque(f"the weight of {call.layer} is no parameter, but computed")


@rule("linear")
def _linear(call: Call) -> Signal:
    weight, bias = call.argument(1, "weight"), call.argument(2, "bias")
    if not isinstance(weight, Held) or weight.slot.tensor().ndim != 2:
        return _computed(call)
    out, into = weight.slot.tensor().shape[:: -1 if weight.swapped else 1]
    return call.put(Affine(weight.slot, _slot(bias), into, out), call.signals[0])


@rule("matmul", "mm", "bmm")
def _matmul(call: Call) -> Signal:
    a, b = call.argument(0, "input"), call.argument(1, "other", call.argument(1, "mat2"))
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _product(call, a, b)
    held = a if isinstance(a, Held) else b
    if not isinstance(held, Held) or held.slot.tensor().ndim != 2:
        return _computed(call)
    rows, columns = held.slot.tensor().shape
    flipped = held.swapped == (held is b)
    into, out = (columns, rows) if flipped else (rows, columns)
    return call.put(Affine(held.slot, None, into, out))


@rule("addmm")
def _addmm(call: Call) -> Signal:
    bias, signal, weight = call.args
    plain = isinstance(bias, Held) and isinstance(signal, Signal) and isinstance(weight, Held) and not call.kwargs
    if not plain:
        return call.opaque("addmm of what is no signal, no matrix and no bias")
    into, out = weight.slot.tensor().shape[:: -1 if weight.swapped else 1]
    return call.put(Affine(weight.slot, bias.slot, into, out), signal)


def _product(call: Call, a: Signal, b: Signal) -> Signal:
    found = scores(call.build.steps, a, lambda index: call.build.shapes[index])
    if found is None:
        return call.put(Product("a product of two signals"), a, b)
    return call.put(found.attend, call.build.at(found.query), call.build.at(found.key), b)


@rule("softmax")
def _softmax(call: Call) -> Signal:
    axis, size = call.argument(1, "dim"), call.signals[0].shape
    last = axis == -1 or (size is not None and axis == len(size) - 1)
    return call.put(Softmax("softmax")) if last else call.opaque("softmax over an axis other than the last")


@rule("masked_fill")
def _masked_fill(call: Call) -> Signal:
    mask, value = call.argument(1, "mask"), call.argument(2, "value")
    low = isinstance(value, int | float) and value < -1e4
    if low and isinstance(mask, torch.Tensor) and is_causal(mask):
        return call.put(Causal("scores of attention with a causal mask"), call.signals[0])
    return call.opaque("a mask that is not causal")


@rule("scaled_dot_product_attention")
def _attention(call: Call) -> Signal:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")
    query, key, value, mask, dropout, said, scale = (call.argument(at, name) for at, name in enumerate(names))
    causal = is_causal(mask, said)
    if causal is None or not all(isinstance(each, Signal) for each in (query, key, value)):
        return call.opaque("attention with a mask that is not causal")
    return call.put(Attend(heads(query.shape), causal, scale, float(dropout or 0)), query, key, value)


@rule("conv1d", "conv2d", "conv3d")
def _convolution(call: Call) -> Signal:
    weight = call.argument(1, "weight")
    if not isinstance(weight, Held):
        return _computed(call)
    size = weight.slot.tensor().shape
    axes, signal = len(size) - 2, call.signals[0]

    def each(place: int, name: str, default: int) -> Any:
        given = call.argument(place, name, default)
        return (given,) * axes if isinstance(given, int) else given

    numbers = {"stride": each(3, "stride", 1), "padding": each(4, "padding", 0), "dilation": each(5, "dilation", 1)}
    module = SimpleNamespace(transposed=False, padding_mode="zeros", kernel_size=tuple(size[2:]), **numbers)
    grid = None if signal.shape is None else signal.shape[-axes:]
    reach = convolution_reach(module, grid, call.shape)
    return call.put(Affine(weight.slot, _slot(call.argument(2, "bias")), size[1:].numel(), size[0], reach), signal)


@rule("embedding")
def _embedding(call: Call) -> Signal:
    held = [each for each in (*call.args, *call.kwargs.values()) if isinstance(each, Held)]
    return call.put(Table(held[0].slot)) if held else _computed(call)


@rule("layer_norm")
def _layer_norm(call: Call) -> Signal:
    names = ("weight", "bias", "eps")
    gain, shift, eps = (call.argument(at, name) for at, name in enumerate(names, 2))
    return call.put(Norm("layer", 1e-5 if eps is None else float(eps), _slot(gain), _slot(shift)), call.signals[0])


@rule("rms_norm")
def _rms_norm(call: Call) -> Signal:
    gain, eps = call.argument(2, "weight"), call.argument(3, "eps")
    least = torch.finfo(torch.get_default_dtype()).eps if eps is None else float(eps)
    return call.put(Norm("rms", least, _slot(gain)), call.signals[0])


@rule("group_norm")
def _group_norm(call: Call) -> Signal:
    gain, shift = call.argument(2, "weight"), call.argument(3, "bias")
    return call.put(Norm("group", float(call.argument(4, "eps", 1e-5)), _slot(gain), _slot(shift)), call.signals[0])
