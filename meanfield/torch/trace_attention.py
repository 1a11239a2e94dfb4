"""Attention written by hand: softmax(factor Q K^T + mask) V of plain products of signals.

From the product with V one looks back through dropout, softmax, numbers and a causal mask to Q K^T; a chain of another
kind stays Opaque.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from meanfield.torch.graph import Attend, Drop, Move, Opaque, Scale, Step
from meanfield.torch.trace_values import Shape, Signal

TRANSPOSES = ("transpose", "t", "mT", "T", "swapaxes", "permute", "getattr")


@dataclass(frozen=True)
class Product(Opaque):
    """Of two signals."""


@dataclass(frozen=True)
class Softmax(Opaque):
    """Over the last axis."""


@dataclass(frozen=True)
class Causal(Opaque):
    """Scores where later tokens are hidden."""


def is_causal(mask: Any, said: Any = False) -> bool | None:
    """Does attention see the tokens up to its own? None where a mask says something else, or is not known."""
    if isinstance(mask, torch.Tensor) and mask.ndim >= 2 and mask.shape[-1] == mask.shape[-2]:
        later = torch.ones(mask.shape[-2:], dtype=torch.bool, device=mask.device).triu(1)
        hidden = mask if mask.dtype == torch.bool else mask < -1e4
        plain = mask.dtype == torch.bool or not mask[~hidden].any()
        return True if plain and bool((hidden == later).all()) else None
    if said is True:
        return True
    return False if mask is None else None


@dataclass(frozen=True)
class Scores:
    """What lies between queries and keys, signals by their places, and the product with the values."""

    query: int
    key: int
    attend: Attend


def scores(steps: Sequence[Step], weights: Signal, query_shape: Any) -> Scores | None:
    """The attention whose weights a signal is; None if it is of another kind. query_shape tells that of a step."""
    at, dropout, causal, factor = weights.index, 0.0, False, 1.0
    last = steps[at].operation
    if isinstance(last, Drop):
        dropout, at = last.rate, steps[at].inputs[0]
    if not isinstance(steps[at].operation, Softmax):
        return None
    at = steps[at].inputs[0]
    while isinstance(steps[at].operation, Causal | Scale):
        passed = steps[at].operation
        if isinstance(passed, Scale) and passed.parameter is not None:
            return None
        causal = causal or isinstance(passed, Causal)
        factor *= passed.factor if isinstance(passed, Scale) else 1.0
        at = steps[at].inputs[0]
    if not isinstance(steps[at].operation, Product):
        return None
    query, turned = steps[at].inputs
    if not isinstance(steps[turned].operation, Move) or steps[turned].layer not in TRANSPOSES:
        return None
    return Scores(query, steps[turned].inputs[0], Attend(heads(query_shape(query)), causal, factor, dropout))


def heads(shape: Shape) -> int:
    """Of queries (batch, heads, tokens, d_head); 1 without an axis of heads, or where the shape is not known."""
    return 1 if shape is None or len(shape) < 4 else shape[-3]
