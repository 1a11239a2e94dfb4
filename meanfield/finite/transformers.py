"""Transformer blocks with real weights on tokens of an exact Gram, and gradients of attention written out.

Tokens X (sequences, tokens, width) have X X^T/width = q [(1 - c) I + c 11^T] in each sequence, exactly, and sequences
are orthogonal to each other; scores are X W_Q W_K^T X^T/sqrt(width) with a full softmax, values X W_V, the MLP is
W_2 phi(W_1 x) of the same width, LN divides by the root mean square. Given X, the rows of X W are Gaussian with
covariance X X^T/width: the conditional draw samples that law, without the width^2 weights.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import softmax

from meanfield.finite.formulas import evaluate
from meanfield.finite.networks import Array, number
from meanfield.finite.roots import gram_root
from symbolic.transformers import TransformerBlock


def tokens(
    count: int, cosine: float, width: int, rng: np.random.Generator, q: float = 1.0, sequences: int = 1
) -> Array:
    """(sequences, count, width) tokens of mean square q and common cosine, exactly, in random directions.

    Raises ValueError for fewer features than tokens in all, and for a cosine below -1/(count - 1).
    """
    if width < count * sequences:
        raise ValueError(f"{sequences} x {count} tokens of an exact Gram need as many features, not {width}")
    values = np.array([1 + (count - 1) * cosine, 1 - cosine])
    if (values < -1e-12).any():
        raise ValueError(f"{count} tokens have a common cosine between {-1 / (count - 1):.6g} and 1, not {cosine}")
    basis = np.linalg.qr(rng.standard_normal((width, count * sequences)))[0].T.reshape(sequences, count, width)
    common, own = np.sqrt(np.maximum(values, 0) * q * width)
    mean = basis.mean(axis=1, keepdims=True)
    return np.asarray(own * (basis - mean) + common * mean)


def similarity(x: Array) -> tuple[float, float]:
    """Mean square q, and mean product p of two tokens of a sequence."""
    q = float(np.mean(x * x))
    return q, q - difference(x)


def difference(x: Array) -> float:
    """q - p of two tokens, without cancellation."""
    sequences, count, width = x.shape
    return float(np.sum((x - x.mean(axis=1, keepdims=True)) ** 2)) / (sequences * width * (count - 1))


def multiplier(x: Array, rng: np.random.Generator, conditional: bool) -> Callable[[], Array]:
    """x W/sqrt(width) with a fresh W of standard normal entries at each call."""
    rows, width = x.reshape(-1, x.shape[-1]), x.shape[-1]
    if not conditional:
        return lambda: (rows @ rng.standard_normal((width, width))).reshape(x.shape) / np.sqrt(width)
    factor = gram_root(rows @ rows.T / width)
    return lambda: (factor @ rng.standard_normal((len(rows), width))).reshape(x.shape)


def attention(x: Array, block: TransformerBlock, rng: np.random.Generator, conditional: bool) -> tuple[Array, float]:
    """A X W_V with biases, and the participation mean_i sum_k A_ik^2."""
    product, width = multiplier(x, rng, conditional), x.shape[-1]
    queries, keys, values = product(), product(), product()
    scores = np.sqrt(number(block, "qk_var") / width) * queries @ keys.transpose(0, 2, 1)
    read = softmax(scores, axis=-1)
    out = np.sqrt(number(block, "ov_var")) * read @ values
    return out + _bias(block, width, rng), float(np.mean(np.sum(read**2, axis=-1)))


def mlp(x: Array, block: TransformerBlock, rng: np.random.Generator, conditional: bool) -> Array:
    """W_2 phi(W_1 x) with biases."""
    if block.mlp is None:
        raise ValueError(f"'{block}' has no MLP: give it an activation")
    width = x.shape[-1]
    hidden = np.sqrt(number(block, "weight_var")) * multiplier(x, rng, conditional)() + _bias(block, width, rng)
    active = evaluate(block.mlp.formula, hidden)
    out = np.sqrt(number(block, "out_var")) * multiplier(active, rng, conditional)()
    return np.asarray(out + _bias(block, width, rng))


def _bias(block: TransformerBlock, width: int, rng: np.random.Generator) -> Array:
    variance = number(block, "bias_var")
    return np.sqrt(variance) * rng.standard_normal(width) if variance else np.zeros(width)


def normed(x: Array) -> Array:
    return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True)))


def block_forward(
    x: Array, block: TransformerBlock, rng: np.random.Generator, *, conditional: bool = False
) -> tuple[Array, float]:
    """The tokens behind one block with fresh weights, and the participation of its attention."""
    branch, read = attention(normed(x) if block.norm == "pre" else x, block, rng, conditional)
    x = number(block, "attn_skip") * x + number(block, "attn_scale") * branch
    x = normed(x) if block.norm == "post" else x
    if block.mlp is None:
        return x, read
    branch = mlp(normed(x) if block.norm == "pre" else x, block, rng, conditional)
    x = number(block, "mlp_skip") * x + number(block, "mlp_scale") * branch
    return normed(x) if block.norm == "post" else x, read


def walk(
    block: TransformerBlock,
    *,
    depth: int,
    cosine: float,
    width: int,
    rng: np.random.Generator,
    q: float = 1.0,
    sequences: int = 1,
    conditional: bool = False,
) -> Array:
    """Rows (q, p, q - p, Y2) of layers 0 .. depth of one network; the last Y2 is that of the last block."""
    x, rows = tokens(block.tokens, cosine, width, rng, q, sequences), []
    for _ in range(depth):
        before = (*similarity(x), difference(x))
        x, read = block_forward(x, block, rng, conditional=conditional)
        rows.append((*before, read))
    return np.array([*rows, (*similarity(x), difference(x), rows[-1][3])])


def attention_gradients(x: Array, queries: Array, keys: Array, values: Array) -> Array:
    """||dS/dW_V||^2, ||dS/dW_Q||^2, ||dS/dW_K||^2 of all outputs of S = softmax(X W_Q W_K^T X^T/sqrt(d)) X W_V.

    x is (tokens, d). dS = A X dW_V; dS_ia = sum_k A_ik (V_ka - S_ia) dM_ik, and dM_ik = x_i dW_Q k_k/sqrt(d), or
    q_i dW_K^T x_k/sqrt(d), so that the squares of row i are |x_i|^2 or |q_i|^2 times those of a matrix.
    """
    width = x.shape[1]
    query, key, value = x @ queries, x @ keys, x @ values
    read = softmax(query @ key.T / np.sqrt(width), axis=-1)
    out = read @ value
    by_query = by_key = 0.0
    for i, row in enumerate(read):
        spread = (row[:, None] * (value - out[i])).T / np.sqrt(width)  # (outputs, keys)
        by_query += float(np.sum((spread @ key) ** 2) * np.sum(x[i] ** 2))
        by_key += float(np.sum((spread @ x) ** 2) * np.sum(query[i] ** 2))
    return np.array([np.sum((read @ x) ** 2) * width, by_query, by_key])
