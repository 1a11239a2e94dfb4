"""What each axis of a parameter of PyTorch is, and the law of its own initialization.

y = W x has fan-out and fan-in axes: (out, in, kernel) for linear layers and convolutions, (in, out, kernel) for
transposed ones, (vocabulary, out) for embeddings, (gates x hidden, in) for recurrent ones. A law is the RMS of
PyTorch's own draw, which for U(-1/sqrt(m), 1/sqrt(m)) is 1/sqrt(3 m); read in the source of PyTorch 2.13.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial, singledispatch
from math import prod, sqrt
from typing import Any

from torch import nn

from meanfield.torch.shapes import Shape

Law = Callable[[Mapping[str, Shape]], float]  # from the shapes of the parameters of one module


@dataclass(frozen=True)
class Axes:
    """Fan-out and fan-in axes; axes that are neither must not grow. law is None where it is not known."""

    out: tuple[int, ...] = ()
    into: tuple[int, ...] = ()
    law: Law | None = None


def _uniform(of: str, shapes: Mapping[str, Shape]) -> float:
    """PyTorch takes all axes but the first for fan-in, in transposed convolutions as well."""
    return 1 / sqrt(3 * prod(shapes[of][1:]))


def _xavier(of: str, shapes: Mapping[str, Shape]) -> float:
    return sqrt(2 / sum(shapes[of]))


def _constant(value: float, shapes: Mapping[str, Shape]) -> float:
    return value


ONES, ZEROS = partial(_constant, 1.0), partial(_constant, 0.0)


@singledispatch
def axes_of(module: Any) -> dict[str, Axes]:
    """The axes of the parameters that a module holds itself, by their names in it; none for unknown modules."""
    return {}


@axes_of.register(nn.Linear)
def _linear(module: Any) -> dict[str, Axes]:
    law = partial(_uniform, "weight")
    return {"weight": Axes((0,), (1,), law), "bias": Axes((0,), law=law)}


@axes_of.register(nn.modules.linear.NonDynamicallyQuantizableLinear)
def _attention_output(module: Any) -> dict[str, Axes]:
    """out_proj of MultiheadAttention, which sets its bias to zero."""
    return _linear(module) | {"bias": Axes((0,), law=ZEROS)}


@axes_of.register(nn.modules.conv._ConvNd)
def _convolution(module: Any) -> dict[str, Axes]:
    """The fan-in of a group is axis 1; in transposed ones it is axis 0 of all groups together, known for one group."""
    law = partial(_uniform, "weight")
    bias = {"bias": Axes((0,), law=law)}
    if not module.transposed:
        return bias | {"weight": Axes((0,), (1,), law)}
    return bias | {"weight": Axes((1,), (0,), law)} if module.groups == 1 else bias


@axes_of.register(nn.Embedding)
@axes_of.register(nn.EmbeddingBag)
def _embedding(module: Any) -> dict[str, Axes]:
    """One row is looked up: the vocabulary is no sum over units. The row for padding is zero."""
    drawn = 1 - (module.padding_idx is not None) / module.num_embeddings
    return {"weight": Axes((1,), law=partial(_constant, sqrt(drawn)))}


@axes_of.register(nn.LayerNorm)
@axes_of.register(getattr(nn, "RMSNorm", nn.LayerNorm))  # PyTorch 2.4 brought it
@axes_of.register(nn.GroupNorm)
@axes_of.register(nn.modules.batchnorm._NormBase)
def _norm(module: Any) -> dict[str, Axes]:
    every = () if module.weight is None else tuple(range(module.weight.ndim))
    return {"weight": Axes(every, law=ONES), "bias": Axes(every, law=ZEROS)}


@axes_of.register(nn.PReLU)
def _prelu(module: Any) -> dict[str, Axes]:
    return {"weight": Axes((0,), law=partial(_constant, float(module.weight.detach().square().mean().sqrt())))}


def _hidden(of: str, gates: int, shapes: Mapping[str, Shape]) -> float:
    return 1 / sqrt(3 * shapes[of][0] / gates)


@axes_of.register(nn.RNNBase)
@axes_of.register(nn.RNNCellBase)
def _recurrent(module: Any) -> dict[str, Axes]:
    """All from U(-1/sqrt(hidden), 1/sqrt(hidden)), the input weights as well; gates stand one above the other."""
    held = dict(module.named_parameters(recurse=False))
    first = next(iter(held))
    law = partial(_hidden, first, held[first].shape[0] // module.hidden_size)
    return {name: Axes((0,), (1,) if parameter.ndim == 2 else (), law) for name, parameter in held.items()}


@axes_of.register(nn.MultiheadAttention)
def _attention(module: Any) -> dict[str, Axes]:
    weights = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
    found = {name: Axes((0,), (1,), partial(_xavier, name)) for name in weights}
    for name in ("bias_k", "bias_v"):
        found[name] = Axes((2,), law=partial(_last, name))
    return found | {"in_proj_bias": Axes((0,), law=ZEROS)}


def in_transformer(name: str, axes: Axes) -> Axes:
    """nn.Transformer draws the matrices of all its layers anew, by Xavier's uniform law."""
    return replace(axes, law=partial(_xavier, name))


def _last(of: str, shapes: Mapping[str, Shape]) -> float:
    """Xavier's normal law of an array (1, 1, embed_dim), whose two fans are embed_dim."""
    return 1 / sqrt(shapes[of][-1])
