"""Attention over sequences of tokens as a layer: pictures with one axis, (points, tokens, features).

Head a has scores G^a = X W_Q^a (X W_K^a)^T/d^s and weights A^a = zeta(G^a), row by row; y = H^(-1/2) sum_a A^a X W_V^a
W_O^a. With s = 1/2 and independent queries and keys the scores stay random at infinite width d: given them the output
is Gaussian, and without them only for infinitely many heads. With s = 1 they are a number: 0, or the Gram if tied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf, isfinite
from typing import Any

from symbolic.networks import quantity
from symbolic.pictures import Shape, Spatial, pairs_before, shape_after
from symbolic.signals import GAUSSIAN, fresh, kind_after, odd

SCALES = ("1/sqrt(d)", "1/d")
SCORES = ("softmax", "identity", "relu")
CAUSAL = "causal"
Mask = tuple[tuple[bool, ...], ...]


@dataclass(frozen=True, repr=False)
class Attention(Spatial):
    """y = H^(-1/2) sum_a zeta(G^a) X W_V^a W_O^a over the tokens of X (tokens, features), G^a the scores of head a.

    heads: H, a whole number or inf, the kernel of infinitely many; scale: "1/sqrt(d)" or "1/d" of the scores;
    qk_var = sigma_Q^2 sigma_K^2, so that at 1/sqrt(d) Cov(G_ij, G_kl) = qk_var C_ik C_jl for tokens of Gram C;
    ov_var = sigma_V^2 sigma_O^2; score: "softmax" over the keys, "identity" or "relu" of each score; mask: None,
    "causal" (token i reads tokens up to i), or rows of booleans, which keys each query reads; tied: are W_Q and W_K the
    same matrix?
    Raises TypeError or ValueError for others, for a mask with an empty row, and for tied scores at 1/sqrt(d), which
    grow like sqrt(d). Sakai, Karakida, Imaizumi 2025 (arXiv 2506.00846), Hron et al. 2020 (arXiv 2006.10540): layer
    and variances as recalled and checked numerically, not re-read.
    """

    heads: Any = inf
    scale: str = "1/sqrt(d)"
    qk_var: Any = 1
    ov_var: Any = 1
    score: str = "softmax"
    mask: Any = None
    tied: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", _heads(self.heads))
        object.__setattr__(self, "scale", _word("scale", self.scale, SCALES))
        object.__setattr__(self, "qk_var", quantity("qk_var", self.qk_var, low=0))
        object.__setattr__(self, "ov_var", quantity("ov_var", self.ov_var, low=0, open_low=True))
        object.__setattr__(self, "score", _word("score", self.score, SCORES))
        object.__setattr__(self, "mask", _mask(self.mask))
        if not isinstance(self.tied, bool):
            raise TypeError(f"tied is True or False, not {self.tied!r}")
        if self.tied and self.random:
            raise ValueError(
                "scores of tied queries and keys grow like sqrt(d) at the scale 1/sqrt(d), so that no limit law holds: "
                "take scale='1/d', or tied=False"
            )

    @property
    def random(self) -> bool:
        """Do the scores stay random at infinite width?"""
        return self.scale == SCALES[0]

    @property
    def gaussian(self) -> bool:
        """Is the output Gaussian at infinite width?"""
        return not self.random or self.heads == inf


def allowed(mask: Any, tokens: int) -> Mask:
    """Which keys each query reads, (tokens, tokens); ValueError if the mask is for another number of tokens."""
    if mask is None:
        return ((True,) * tokens,) * tokens
    if mask == CAUSAL:
        return tuple(tuple(key <= query for key in range(tokens)) for query in range(tokens))
    if len(mask) != tokens:
        raise ValueError(f"the mask is for {len(mask)} tokens, but the sequence has {tokens}")
    return tuple(mask)


def _heads(value: Any) -> Any:
    if isinstance(value, float) and value == inf:
        return inf
    if isinstance(value, bool) or not (hasattr(value, "__index__") or (isinstance(value, float) and isfinite(value))):
        raise TypeError(f"heads is a whole number or infinity, not {value!r}")
    if value < 1 or value != int(value):
        raise ValueError(f"heads is a whole number of at least 1, or infinity, not {value!r}")
    return int(value)


def _word(name: str, value: Any, known: Sequence[str]) -> str:
    if value in known:
        return str(value)
    near = get_close_matches(str(value), known, 1, 0.5)
    hint = f", did you mean {near[0]!r}?" if near else ";"
    raise ValueError(f"unknown {name} {value!r}{hint} known are {', '.join(known)}")


def _mask(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value == CAUSAL):
        return value
    if isinstance(value, str):
        raise ValueError(f"unknown mask {value!r}; known are None, 'causal' and rows of booleans")
    try:
        rows = tuple(tuple(bool(key) for key in row) for row in value)
    except TypeError:
        raise TypeError(f"a mask is None, 'causal' or rows of booleans, not {value!r}") from None
    if not rows or any(len(row) != len(rows) for row in rows):
        raise ValueError(f"a mask has a row and a column for each token, not rows of {[len(row) for row in rows]}")
    for query, row in enumerate(rows):
        if not any(row):
            raise ValueError(f"row {query} of the mask is empty: a token must read at least one, if only itself")
    return rows


@shape_after.register
def _(layer: Attention, shape: Shape) -> Shape:
    if len(shape) != 1:
        given = f"pictures of shape {shape}" if shape else "flat signals"
        raise ValueError(f"'{layer}' reads sequences (points, tokens, features), not {given}")
    allowed(layer.mask, shape[0])
    return shape


pairs_before.register(Attention)(lambda layer, after: True)
fresh.register(Attention)(lambda layer: True)
odd.register(Attention)(lambda layer: True)  # scores are even
# Given the scores; whether they are given is asked by who needs to know.
kind_after.register(Attention)(lambda layer, kind: GAUSSIAN)
