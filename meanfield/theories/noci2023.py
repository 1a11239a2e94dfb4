"""Noci, Li, Li, He, Hofmann, Maddison, Roy 2023, The shaped transformer: attention models in the infinite
depth-and-width limit, arXiv 2306.17759.

One layer of shaped attention moves the Gram V of tokens by b(V)/n on average, with the covariance Sigma(V)/n. Model
recalled, not re-read in the paper; b and Sigma are derived here (`symbolic.shaped`). Real softmax; weights from their
exact law. b/n is 1/sqrt(n) of the noise: from each move that of the same layer without attention is subtracted, whose
mean is exactly 0, and layers with W_Q and with -W_Q are averaged.
"""

import numpy as np

from meanfield.build import Array
from meanfield.finite.networks import number
from meanfield.finite.shaped import drawn_layers
from meanfield.shaped_attention import shaped_attention
from meanfield.theory import Case, Prediction, Theory
from symbolic.networks import Layer
from symbolic.shaped import ShapedAttention, ShapedLimit, shaped_limit

TOGETHER = 1000  # layers in one draw
TOKENS, KEYS_PER_NEURON = 3, 8
FIRST, SECOND = np.triu_indices(TOKENS)


def start(case: Case) -> Array:
    """Variances p, (p + q)/2, q; the neighbours' covariance is k, that of the outer two k/2."""
    p, q, k = case.start
    return np.array([[p, k, k / 2], [k, (p + q) / 2, k], [k / 2, k, q]])


def numbers(block: Layer) -> tuple[float, float]:
    if not isinstance(block, ShapedAttention):
        raise TypeError(f"noci2023 is about ShapedAttention(gamma, tau), not '{block}'")
    return number(block, "gamma"), number(block, "tau")


def derived(block: Layer) -> ShapedLimit:
    numbers(block)
    return shaped_limit(ShapedAttention(), tokens=2)


def solve(block: Layer, case: Case) -> Prediction:
    """b^(ab) and Sigma^(ab,ab) for a <= b; margins of b refer to its largest entry."""
    gamma, tau = numbers(block)
    sde, V = shaped_attention(gamma=gamma, tau=tau), start(case)
    b, Sigma = sde.drift(V)[FIRST, SECOND], np.diag(sde.diffusion(V, packed=True))
    labels = [f"{name}[{a}, {c}]" for name in ("drift", "diffusion") for a, c in zip(FIRST, SECOND, strict=True)]
    return Prediction(tuple(labels), np.append(b, Sigma), np.append(np.full(b.size, np.abs(b).max()), Sigma))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """n E[V' - V] and n Var V', over the layers of one draw."""
    (gamma, tau), V = numbers(block), start(case)
    layers = drawn_layers(np.tile(V, (TOGETHER, 1, 1)), width=width, keys=width // KEYS_PER_NEURON, rng=rng)
    moves = np.array([layers.after(gamma, tau, sign)[:, FIRST, SECOND] - V[FIRST, SECOND] for sign in (1.0, -1.0)])
    X, H = layers.X, layers.H
    new = np.sqrt(1 - gamma**2) * X + gamma * H
    without = (new @ np.swapaxes(new, 1, 2) / width)[:, FIRST, SECOND] - V[FIRST, SECOND]
    drift = width * (moves.mean(axis=0) - without).mean(axis=0)
    return np.append(drift, width * (moves**2).mean(axis=(0, 1)))


THEORY = Theory(
    name="noci2023",
    title="Shaped attention at depth in proportion to width",
    cite="arXiv 2306.17759; drift and diffusion derived here",
    claim="Per layer the Gram of tokens moves by b(V)/n with the covariance Sigma(V)/n: dV = b dT + Sigma^(1/2) dB.",
    derive=derived,
    solve=solve,
    sample=sample,
    cases={
        "one layer": Case(ShapedAttention(0.8, 0.6), ShapedAttention(0.8, 0.66), start=(1.0, 0.8, 0.4)),
    },
)
