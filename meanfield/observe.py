"""Observables that theories share: what a pair of signals looks like at each depth, solved and sampled.

Two pre-activations with variances p, q and covariance k are what a first Dense layer (weight_var 1, no bias) makes of
two inputs with that Gram, the rows of L, L L^T = [[p, k], [k, q]]; then the block is applied `depth` times. Every
network is shown PAIRS such pairs, orthogonal to each other, and observables are averaged over them: each pair obeys
the theory, and random weights cost more than inputs do.
"""

import numpy as np

from meanfield.build import Array, Block
from meanfield.finite import empirical_ntk, gradient_profile, grams
from meanfield.theory import Case, Prediction
from solvers.iterate import orbit
from symbolic.networks import Dense, Layer, Repeat

PAIRS = 16


def network(block: Layer, depth: int) -> Layer:
    return Dense(1, 0) >> Repeat(block, depth)


def inputs(case: Case, pairs: int = PAIRS) -> Array:
    """(2 pairs, 2 pairs): rows 2j and 2j + 1 are a pair with the case's Gram, orthogonal to all others."""
    p, q, k = case.start
    return np.sqrt(2 * pairs) * np.kron(np.eye(pairs), np.linalg.cholesky(np.array([[p, k], [k, q]])))


def over_pairs(grams: Array) -> tuple[Array, Array]:
    """Mean (second input with itself, first with second) over the pairs of Grams (..., 2 pairs, 2 pairs)."""
    first, second = np.arange(0, grams.shape[-1], 2), np.arange(1, grams.shape[-1], 2)
    return grams[..., second, second].mean(-1), grams[..., first, second].mean(-1)


def solve_pair(block: Layer, case: Case) -> Prediction:
    """Lengths q and covariances k after 1 .. depth applications of the block (limit nngp)."""
    built = Block(block)
    p, q, k = orbit(lambda state: built("orbit", state)[0], case.start, case.depth)[1:].T
    labels = (f"{name} at layer {layer}" for layer in range(1, case.depth + 1) for name in "qk")
    return Prediction(tuple(labels), np.stack([q, k], 1).ravel(), np.stack([q, np.sqrt(p * q)], 1).ravel())


def sample_pair(block: Layer, case: Case, width: int, rng: np.random.Generator, *, conditional: bool = False) -> Array:
    """The same in one network: entries of the empirical Gram behind each block."""
    found = grams(network(block, case.depth), inputs(case), width=width, rng=rng, conditional=conditional)[2:]
    return np.stack(over_pairs(found), axis=1).ravel()


def solve_gradient(block: Layer, case: Case) -> Prediction:
    """Mean squared gradient before 1 .. depth last blocks, per neuron, relative to the output's (limit gradient)."""
    built, q, factors = Block(block), case.start[1], []
    for _ in range(case.depth):
        factors.append(float(built("gradient", [q])[0, 0]))
        q = float(built("nngp_diagonal", [q])[0, 0])
    values: Array = np.cumprod(factors[::-1], dtype=np.float64)
    labels = tuple(f"gradient {n} blocks before the output" for n in range(1, case.depth + 1))
    return Prediction(labels, values, values)


def sample_gradient(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    found = gradient_profile(network(block, case.depth), inputs(case), width=width, rng=rng)
    return found[1:-1, 1::2].mean(axis=1)[::-1]


def solve_tangent(block: Layer, case: Case) -> Prediction:
    """The tangent kernel of the network on its two inputs: with itself and between them (limit ntk)."""
    built, (p, q, k) = Block(block), case.start
    state, own = np.array([p, q, k, k]), np.array([q, q])
    for _ in range(case.depth):
        after, pair = built("ntk", state)[0], built("orbit", state[:3])[0]
        state, own = np.array([*pair[:2], *after]), built("ntk_diagonal", own)[0]
    return Prediction(
        ("tangent of one input", "tangent of two inputs"),
        np.array([own[1], state[3]]),
        np.array([own[1], own[1]]),
    )


def sample_tangent(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    found = empirical_ntk(network(block, case.depth), inputs(case), width=width, rng=rng)
    return np.array(over_pairs(found))
