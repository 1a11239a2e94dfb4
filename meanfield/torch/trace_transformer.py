"""Layers of nn.Transformer as their steps: projections that are rows of one matrix, attention, skips, norms, dropout.

norm_first: x + f(LN x); else LN(x + f(x)), f attention or linear2(phi(linear1 x)). Read in the source of PyTorch 2.13.
"""

from typing import Any

from torch import nn

from meanfield.torch.graph import Add, Affine, Attend, Opaque, Slot
from meanfield.torch.operators import join
from meanfield.torch.trace_attention import is_causal
from meanfield.torch.trace_functions import rule_of
from meanfield.torch.trace_modules import slot, steps_of
from meanfield.torch.trace_values import Call, Signal

PARTS = ("q_proj", "k_proj", "v_proj")


@steps_of.register(nn.MultiheadAttention)
def _attention(module: Any, call: Call) -> tuple[Signal, Signal]:
    """The output, and the weights, which are no signal that a theory follows."""
    query = call.signal(call.argument(0, "query"))
    sources = [query, *(call.signal(call.argument(place, name, query)) for place, name in ((1, "key"), (2, "value")))]
    if module.bias_k is not None or module.add_zero_attn:
        out = call.put(Opaque("attention to a token of its own (add_bias_kv, add_zero_attn)"), *sources)
        return out, out
    causal = is_causal(call.argument(5, "attn_mask"), call.argument(7, "is_causal", False))
    if causal is None or call.argument(3, "key_padding_mask") is not None:
        mixed = call.put(Opaque("attention with a mask that is not causal"), *sources)
    else:
        parts = [
            call.put(_projection(module, part), source, name=join(call.name, PARTS[part]))
            for part, source in enumerate(sources)
        ]
        mixed = call.put(Attend(module.num_heads, causal, None, float(module.dropout)), *parts)
    weights = call.put(Opaque("the weights of attention"), *sources, name=join(call.name, "weights"))
    return _inner(module, call, "out_proj", mixed), weights


def _projection(module: Any, part: int) -> Affine:
    """Of the queries (0), keys (1) or values (2): rows of in_proj_weight, or a matrix of its own."""
    width, into = module.embed_dim, (module.embed_dim, module.kdim, module.vdim)[part]
    rows = slice(part * width, (part + 1) * width)
    name = f"{PARTS[part]}_weight"
    weight = Slot(module, "in_proj_weight", rows) if module._qkv_same_embed_dim else Slot(module, name)
    return Affine(weight, slot(module, "in_proj_bias", rows), into, width)


def _inner(module: Any, call: Call, name: str, *inputs: Signal, **options: Any) -> Any:
    """The steps of a submodule of the module that is called."""
    part = module.get_submodule(name)
    layer = "Linear" if isinstance(part, nn.Linear) else type(part).__name__
    return steps_of(part, Call(call.build, join(call.name, name), layer, inputs, options, call.shape))


def _attended(module: Any, call: Call, name: str, query: Signal, source: Signal, **masks: Any) -> Signal:
    out: tuple[Signal, Signal] = _inner(module, call, name, query, source, source, **masks)
    return out[0]


def _feedforward(module: Any, call: Call, last: str, x: Signal) -> Signal:
    hidden = _activated(module, call, _inner(module, call, "linear1", x))
    hidden = _inner(module, call, "linear2", _inner(module, call, "dropout", hidden))
    return _inner(module, call, last, hidden)


def _activated(module: Any, call: Call, x: Signal) -> Signal:
    phi = module.activation
    if isinstance(phi, nn.Module):
        return _inner(module, call, "activation", x)
    layer = getattr(phi, "__name__", str(phi))
    inner = Call(call.build, join(call.name, "activation"), layer, (x,), {}, call.shape)
    rule = rule_of(layer)
    return inner.opaque(f"{layer} is no function that a theory knows") if rule is None else rule(inner)


def _added(call: Call, name: str, x: Signal, branch: Signal) -> Signal:
    return call.put(Add((1.0, 1.0)), x, branch, name=join(call.name, name), layer="add")


@steps_of.register(nn.TransformerEncoderLayer)
def _encoder_layer(module: Any, call: Call) -> Signal:
    masks = {
        "attn_mask": call.argument(1, "src_mask"),
        "key_padding_mask": call.argument(2, "src_key_padding_mask"),
        "is_causal": call.argument(3, "is_causal", False),
    }
    x = call.signal(call.argument(0, "src"))
    read = _inner(module, call, "norm1", x) if module.norm_first else x
    branch = _inner(module, call, "dropout1", _attended(module, call, "self_attn", read, read, **masks))
    x = _added(call, "add_1", x, branch)
    x = x if module.norm_first else _inner(module, call, "norm1", x)
    read = _inner(module, call, "norm2", x) if module.norm_first else x
    x = _added(call, "add_2", x, _feedforward(module, call, "dropout2", read))
    return x if module.norm_first else _inner(module, call, "norm2", x)


@steps_of.register(nn.TransformerDecoderLayer)
def _decoder_layer(module: Any, call: Call) -> Signal:
    x, memory = (call.signal(call.argument(place, name)) for place, name in enumerate(("tgt", "memory")))
    own = _masks(call, "tgt", 2)
    other = _masks(call, "memory", 3)

    def attend(x: Signal) -> Signal:
        return _inner(module, call, "dropout1", _attended(module, call, "self_attn", x, x, **own))

    def look(x: Signal) -> Signal:
        return _inner(module, call, "dropout2", _attended(module, call, "multihead_attn", x, memory, **other))

    def feed(x: Signal) -> Signal:
        return _feedforward(module, call, "dropout3", x)

    for place, branch in enumerate((attend, look, feed), 1):
        norm = f"norm{place}"
        read = _inner(module, call, norm, x) if module.norm_first else x
        x = _added(call, f"add_{place}", x, branch(read))
        x = x if module.norm_first else _inner(module, call, norm, x)
    return x


def _masks(call: Call, of: str, place: int) -> dict[str, Any]:
    """tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal, memory_is_causal."""
    names = {"attn_mask": f"{of}_mask", "key_padding_mask": f"{of}_key_padding_mask", "is_causal": f"{of}_is_causal"}
    return {own: call.argument(place + 2 * at, name) for at, (own, name) in enumerate(names.items())}


@steps_of.register(nn.TransformerEncoder)
def _encoder(module: Any, call: Call) -> Signal:
    masks = {
        "src_mask": call.argument(1, "mask"),
        "src_key_padding_mask": call.argument(2, "src_key_padding_mask"),
        "is_causal": call.argument(3, "is_causal"),
    }
    return _stack(module, call, call.signal(call.argument(0, "src")), (), masks)


@steps_of.register(nn.TransformerDecoder)
def _decoder(module: Any, call: Call) -> Signal:
    names = ("tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask", "tgt_is_causal")
    masks = {name: call.argument(place, name) for place, name in enumerate(names, 2)}
    memory = call.signal(call.argument(1, "memory"))
    return _stack(module, call, call.signal(call.argument(0, "tgt")), (memory,), masks)


def _stack(module: Any, call: Call, x: Signal, beside: tuple[Signal, ...], masks: dict[str, Any]) -> Signal:
    for place in range(len(module.layers)):
        x = _inner(module, call, f"layers.{place}", x, *beside, **masks)
    return x if module.norm is None else _inner(module, call, "norm", x)


@steps_of.register(nn.Transformer)
def _transformer(module: Any, call: Call) -> Signal:
    source, target = (call.signal(call.argument(place, name)) for place, name in enumerate(("src", "tgt")))
    encoder = {"mask": call.argument(2, "src_mask"), "src_key_padding_mask": call.argument(5, "src_key_padding_mask")}
    names = ("tgt_mask", "memory_mask")
    decoder = {name: call.argument(place, name) for place, name in enumerate(names, 3)}
    padding = ("tgt_key_padding_mask", "memory_key_padding_mask")
    decoder |= {name: call.argument(place, name) for place, name in enumerate(padding, 6)}
    memory = _inner(module, call, "encoder", source, **encoder)
    return _inner(module, call, "decoder", target, memory, **decoder)
