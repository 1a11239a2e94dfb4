"""A Transformer block as data: attention and an MLP, each added to a stream of tokens with its own weights.

x <- attn_skip x + attn_scale Attention(LN x), x <- mlp_skip x + mlp_scale MLP(LN x) for norm "pre"; LN after each sum
for "post"; no LN for None. LN brings a token to unit mean square. Scores are x_i W_Q W_K^T x_k^T/sqrt(d), of covariance
qk_var C_ij C_kl for tokens of Gram C = X X^T/d; values have variance ov_var. The MLP is W_2 phi(W_1 x), W_1 of variance
weight_var/d and W_2 of variance out_var/width; every affine map has biases of variance bias_var.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

from sympy import Expr, Integer, log, sqrt, sympify

from symbolic.activations import activation
from symbolic.networks import Pointwise, quantity
from symbolic.pictures import Spatial

NORMS = ("pre", "post", None)


@dataclass(frozen=True, repr=False)
class TransformerBlock(Spatial):
    """One block over `tokens` tokens; phi is an activation (name, formula, layer), or None for no MLP.

    x <- attn_skip x + attn_scale Attention(LN x), then x <- mlp_skip x + mlp_scale W_2 phi(W_1 LN x), for norm "pre";
    "post" normalizes behind each sum, None nowhere. Scores at 1/sqrt(d) have the variance qk_var of tokens of unit mean
    square, values ov_var; W_1 has weight_var/d, W_2 out_var/width, biases bias_var.
    Variances, scales and tokens are numbers or SymPy expressions. Raises ValueError for fewer than 2 tokens, a negative
    variance or an unknown norm, TypeError for what is no number. Constructors build the blocks of papers.
    """

    tokens: Any
    phi: Any = "relu"
    attn_skip: Any = 1
    attn_scale: Any = 1
    mlp_skip: Any = 1
    mlp_scale: Any = 1
    qk_var: Any = 1
    ov_var: Any = 1
    weight_var: Any = 1
    out_var: Any = 1
    bias_var: Any = 0
    norm: str | None = "pre"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", _tokens(self.tokens))
        object.__setattr__(self, "phi", None if self.phi is None else activation(self.phi))
        for name in ("attn_skip", "attn_scale", "mlp_skip", "mlp_scale"):
            object.__setattr__(self, name, quantity(name, getattr(self, name), low=0))
        for name in ("qk_var", "ov_var", "weight_var", "out_var", "bias_var"):
            object.__setattr__(self, name, quantity(name, getattr(self, name), low=0))
        if self.norm not in NORMS:
            raise ValueError(f"unknown norm {self.norm!r}; known are 'pre', 'post' and None")

    @property
    def mlp(self) -> Pointwise | None:
        """The activation of the MLP."""
        return None if self.phi is None else activation(self.phi)

    def scaled(self, factor: Any) -> Self:
        """Both branches times a factor; a skip above 0 with skip^2 + scale^2 = 1 is kept so."""
        changed = {}
        for part in ("attn", "mlp"):
            skip, scale = getattr(self, f"{part}_skip"), getattr(self, f"{part}_scale")
            changed[f"{part}_scale"] = quantity("a factor", factor, low=0) * scale
            if skip != 0 and abs(float(skip**2 + scale**2) - 1) < 1e-12:
                changed[f"{part}_skip"] = sqrt(1 - changed[f"{part}_scale"] ** 2)
        return replace(self, **changed)

    @classmethod
    def dong2021(cls, tokens: Any, *, qk_var: Any = 1, ov_var: Any = 1) -> Self:
        """Attention alone, without skip, MLP or LN (Dong, Cordonnier, Loukas 2021, arXiv 2103.03404; recalled)."""
        return cls(tokens, None, attn_skip=0, qk_var=qk_var, ov_var=ov_var, norm=None)

    @classmethod
    def noci2022(
        cls, tokens: Any, *, depth: int | None = None, phi: Any = "relu", attn_scale: Any = 1, mlp_scale: Any = 1
    ) -> Self:
        """Skips of weight 1, no LN, an MLP that keeps lengths (ReLU: weight_var 2); with depth L the branches are
        scaled by attn_scale/sqrt(L) and mlp_scale/sqrt(L) (Noci et al. 2022, arXiv 2206.03126; recalled)."""
        first, shrink = activation(phi), 1 if depth is None else sqrt(Integer(depth))
        if str(first) not in ("relu", "linear"):
            raise ValueError(f"an MLP that keeps lengths without LN is 'relu' or 'linear', not '{first}'")
        weight_var = 2 if str(first) == "relu" else 1
        scales = [quantity("a scale", scale, low=0) / shrink for scale in (attn_scale, mlp_scale)]
        return cls(tokens, first, attn_scale=scales[0], mlp_scale=scales[1], weight_var=weight_var, norm=None)

    @classmethod
    def cowsik2024(
        cls,
        tokens: Any,
        *,
        attn_scale: Any = 0.5,
        mlp_scale: Any = 0.5,
        weight_var: Any = 1,
        qk_var: Any = 1,
        phi: Any = "tanh",
    ) -> Self:
        """LN before each branch, skips sqrt(1 - scale^2) (Cowsik et al. 2024, arXiv 2403.02579; the block is that of
        two public re-implementations, read)."""
        scales = [quantity(n, s, low=0, high=1) for n, s in (("attn_scale", attn_scale), ("mlp_scale", mlp_scale))]
        skips = [sqrt(1 - scale**2) for scale in scales]
        return cls(
            tokens, phi, skips[0], scales[0], skips[1], scales[1], qk_var=qk_var, weight_var=weight_var, norm="pre"
        )

    @classmethod
    def giorlandino2025(
        cls,
        tokens: Any,
        *,
        beta: Any,
        ov_var: Any = 0.2,
        mlp_var: Any = 0.2,
        bias_var: Any = 0.0004,
        attn_skip: Any = 1,
        mlp_skip: Any = 1,
    ) -> Self:
        """LN after each sum, scores of variance beta^2 log(tokens), a ReLU MLP of variance mlp_var in both layers
        (Giorlandino, Goldt 2025; block and settings read in the authors' code)."""
        qk_var = quantity("beta", beta, low=0) ** 2 * log(sympify(_tokens(tokens), strict=True))
        return cls(tokens, "relu", attn_skip, 1, mlp_skip, 1, qk_var, ov_var, mlp_var, mlp_var, bias_var, norm="post")


def _tokens(value: Any) -> Any:
    """A whole number, or a symbol for formulas in n."""
    if isinstance(value, Expr) and not value.is_number:
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"tokens is a whole number, not {value!r}")
    if value < 2:
        raise ValueError(f"tokens is how many tokens are compared, at least 2, not {value}")
    return int(value)
