"""He, Martens, Zhang, Botev, Brock, Smith, Teh 2023, Deep transformers without shortcuts: modifying self-attention for
faithful signal propagation, arXiv 2302.10322.

Causal attention with the weights A_l = L_l L_{l-1}^(-1) keeps the kernel of tokens at Sigma_l = L_l L_l^T behind each
layer of random values, where a plain causal mask lets all tokens collapse. Construction recalled, not re-read in the
paper. A network here is attention and Gaussian value weights alone, with softmax, scales of rows and no shortcut.
"""

import numpy as np
from scipy.special import softmax

from meanfield.build import Array
from meanfield.shaped_masks import ShapedMasks, shaped_masks
from meanfield.theory import Case, Prediction, Theory
from symbolic.causal import CausalAttention, CausalStep, causal_step
from symbolic.networks import Layer

TOKENS = 4
FIRST, SECOND = np.tril_indices(TOKENS)
COPIES = 8  # sequences that a network is shown, orthogonal to each other: random weights cost more than inputs do
RHO, GAMMA = (0.0, 0.1, 0.3, 0.5), (np.inf, 2.0, 1.0, 0.5)


def _layer(block: Layer) -> CausalAttention:
    if not isinstance(block, CausalAttention):
        raise TypeError(f"he2023 is about CausalAttention(kind, schedule), not '{block}'")
    return block


def masks(block: CausalAttention) -> ShapedMasks:
    name = {"u-spa": "rho", "e-spa": "gamma"}.get(block.kind)
    if name is None:
        raise ValueError(f"only u-spa and e-spa prescribe a kernel, not {block.kind}")
    return shaped_masks(TOKENS, **{name: block.schedule})


def derived(block: Layer) -> CausalStep:
    return causal_step(_layer(block))


def solve(block: Layer, case: Case) -> Prediction:
    """Sigma_L."""
    labels = tuple(f"Sigma[{i}, {j}] at the last layer" for i, j in zip(FIRST, SECOND, strict=True))
    return Prediction(labels, masks(_layer(block)).kernels[-1, FIRST, SECOND], np.ones(len(labels)))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """Grams of tokens, uncorrelated at the input, behind one network, as a mean over sequences."""
    layer = _layer(block)
    x = np.sqrt(width) * np.eye(COPIES * TOKENS, width).reshape(COPIES, TOKENS, width)
    for bias, scales in _attentions(layer):
        weights = softmax(bias, axis=1)
        x = scales[:, None] * (weights @ (x @ (rng.standard_normal((width, width)) / np.sqrt(width))))
    return np.asarray((x @ np.swapaxes(x, 1, 2) / width).mean(axis=0)[FIRST, SECOND])


def _attentions(layer: CausalAttention) -> list[tuple[Array, Array]]:
    """What each layer adds to its scores, and the scales of its rows."""
    if layer.kind == "uniform":
        mask = np.where(np.tri(TOKENS, dtype=bool), 0.0, -np.inf)
        return [(mask, np.ones(TOKENS))] * (len(layer.schedule) - 1)
    found = masks(layer)
    return list(zip(found.bias, found.scales, strict=True))


THEORY = Theory(
    name="he2023",
    title="Attention with prescribed kernels, without shortcuts",
    cite="arXiv 2302.10322",
    claim="With causal weights A_l = L_l L_{l-1}^(-1) tokens have the kernel L_l L_l^T behind layer l.",
    derive=derived,
    solve=solve,
    sample=sample,
    cases={
        "u-spa": Case(CausalAttention("u-spa", RHO), CausalAttention("uniform", RHO)),
        "e-spa": Case(CausalAttention("e-spa", GAMMA), CausalAttention("e-spa", (*GAMMA[:-1], 0.55))),
    },
)
