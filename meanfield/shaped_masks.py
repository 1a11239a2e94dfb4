"""Causal attention that gives each layer the kernel it is told to, so that deep attention needs no shortcuts.

A_l = L_l L_{l-1}^(-1) = D_l P_l, L_l L_l^T = Sigma_l: D_l holds the row sums, P_l = softmax(log P_l) is the attention
of a model whose scores are 0 at initialization and whose mask adds log P_l. U-SPA: Sigma_l = (1 - rho_l) 1 + rho_l 1
1^T; E-SPA: Sigma_l(i, j) = exp(-gamma_l |i - j|). A_l >= 0 if and only if rho never falls, gamma never grows. He et al.
2023 (arXiv 2302.10322): construction from memory, not re-read; its closed forms are derived in `solvers.causal`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.finite.networks import whole
from solvers import causal


@dataclass(frozen=True, eq=False)
class ShapedMasks:
    """Layers 1 .. L of `kind` "u-spa" or "e-spa" for `tokens` tokens; schedule holds rho or gamma of 0 .. L."""

    kind: str
    schedule: tuple[float, ...]
    tokens: int

    @cached_property
    def attention(self) -> Array:
        """A (layers, tokens, tokens), D P."""
        step = causal.equal if self.kind == "u-spa" else causal.exponential
        pairs = zip(self.schedule, self.schedule[1:], strict=False)
        return np.stack([step(old, new, self.tokens) for old, new in pairs])

    @cached_property
    def scales(self) -> Array:
        """The diagonals of D (layers, tokens): what the attended values of each token are multiplied with."""
        return np.asarray(self.attention.sum(axis=2))

    @cached_property
    def weights(self) -> Array:
        """P (layers, tokens, tokens), rows of sum 1."""
        return np.asarray(self.attention / self.scales[:, :, None])

    @cached_property
    def bias(self) -> Array:
        """log P (layers, tokens, tokens), what a mask adds to scores in front of the softmax; -inf for no attention."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.weights))

    @cached_property
    def kernels(self) -> Array:
        """Sigma (layers + 1, tokens, tokens), of the input and behind each layer."""
        kernel = causal.equal_kernel if self.kind == "u-spa" else causal.exponential_kernel
        return np.stack([kernel(value, self.tokens) for value in self.schedule])

    def __str__(self) -> str:
        first, last, name = self.schedule[0], self.schedule[-1], "rho" if self.kind == "u-spa" else "gamma"
        return (
            f"{self.kind} of {len(self.schedule) - 1} layers, {self.tokens} tokens: {name} from {first:g} to {last:g}"
        )

    __repr__ = __str__


def shaped_masks(
    tokens: int, *, rho: Sequence[float] | None = None, gamma: Sequence[float] | None = None
) -> ShapedMasks:
    """Masks, and scales of rows, for a prescribed kernel behind each layer of causal attention.

    Give rho, the correlations of all tokens behind layers 0 .. L, in [0, 1) and never falling (U-SPA), or gamma, the
    rates at which correlations fall with distance, positive or inf and never growing (E-SPA); layer 0 is the input,
    whose tokens are uncorrelated for rho = 0, gamma = inf. A layer is x -> scales * softmax(scores + bias) x W, with
    scores 0 at initialization. Raises ValueError for other schedules, saying which layer and entry would be negative.

    >>> shaped_masks(2, rho=[0, 0.6]).weights
    array([[[1.        , 0.        ],
            [0.42857143, 0.57142857]]])
    """
    if (rho is None) == (gamma is None):
        raise ValueError("give either rho= (U-SPA) or gamma= (E-SPA), the kernels of the input and behind each layer")
    size = whole("tokens", tokens)
    if rho is not None:
        schedule = _schedule("rho", rho)
        inside, wanted = [0 <= v < 1 for v in schedule], "at least 0 and below 1"
    else:
        schedule = _schedule("gamma", gamma)
        inside, wanted = [v > 0 for v in schedule], "greater than 0, inf for uncorrelated tokens"
    if not all(inside):
        at = inside.index(False)
        raise ValueError(f"{'rho' if gamma is None else 'gamma'}[{at}] must be {wanted}, not {schedule[at]}")
    found = ShapedMasks("u-spa" if gamma is None else "e-spa", schedule, size)
    _nonnegative(found)
    return found


def _schedule(name: str, values: Any) -> tuple[float, ...]:
    try:
        found = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is a sequence of numbers, of the input and of each layer, not {values!r}") from None
    if len(found) < 2:
        raise ValueError(f"{name} needs an entry for the input and one for each layer, at least 2, not {len(found)}")
    return found


def _nonnegative(masks: ShapedMasks) -> None:
    below = np.argwhere(masks.attention < 0)
    if not below.size:
        return
    layer, i, j = (int(v) for v in below[0])
    old, new = masks.schedule[layer : layer + 2]
    name, order = ("rho", "fall") if masks.kind == "u-spa" else ("gamma", "grow")
    raise ValueError(
        f"no attention leads from {name} = {old:g} to {new:g}: weight [{i}, {j}] of layer {layer + 1} would be "
        f"{masks.attention[layer, i, j]:.3g}, and a softmax is not negative; {name} must not {order} with depth"
    )
