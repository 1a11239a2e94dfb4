"""Predictive coding: states u_1..u_{D-1} at the minimum of F = sum_l gamma_l/2 |e_l|^2, then a local gradient step.

e_l = u_l - a_l w_l phi(u_{l-1}),  u_0 = x, u_D = y;  the gradient of w_l is -gamma_l a_l e_l phi(u_{l-1})^T.
With P_l = du_D/du_l, a Gauss-Newton step solves for K outputs only (derived here, after Ishikawa et al. 2024):
    e_l = P_l^T z/gamma_l,   (sum_l P_l P_l^T/gamma_l) z = sum_l P_l e_l(now),
one step for a linear network: e_D = (I + C)^{-1} (y - f). Only gamma_D differs from 1.
"""

from collections.abc import Callable, Sequence

import numpy as np

from meanfield.finite.training.gradients import Gradient
from meanfield.finite.training.mlp import Array, Network

ITERATIONS, HALVINGS, TOLERANCE = 1000, 30, 1e-4
Signals = Callable[[Network, Array, Array], list[Gradient]]


def errors(network: Network, u: Sequence[Array], x: Array) -> list[Array]:
    """e_1..e_D at states u_1..u_D."""
    inputs = [x, *(network.phi.value(s) for s in u[:-1])]
    return [state - network.apply(layer, each) for layer, (state, each) in enumerate(zip(u, inputs, strict=True))]


def energy(e: Sequence[Array], gamma_L: float) -> Array:
    """F of each sample."""
    return np.asarray(sum((s**2).sum(axis=0) for s in e[:-1]) + gamma_L * (e[-1] ** 2).sum(axis=0)) / 2


def imbalance(network: Network, u: Sequence[Array], x: Array, gamma_L: float) -> float:
    """Largest entry of dF/du_l over the largest of the two forces, from below and from above, that it is between."""
    e = errors(network, u, x)
    forces = [*e[:-1], gamma_L * e[-1]]
    above = [network.phi.slope(v) * network.back(layer + 1, forces[layer + 1]) for layer, v in enumerate(u[:-1])]
    left = max(float(np.abs(f - a).max()) for f, a in zip(forces, above, strict=False))
    return left / max(float(np.abs(a).max()) for a in above) if left else 0.0


def equilibrium(network: Network, x: Array, y: Array, gamma_L: float, tolerance: float = TOLERANCE) -> list[Array]:
    """States u_1..u_D = y of imbalance at most `tolerance`, from the forward pass; ArithmeticError if none is found."""
    u = [*network.forward(x).h[:-1], y]
    for _ in range(ITERATIONS):
        if imbalance(network, u, x, gamma_L) <= tolerance:
            return u
        u = shortened(network, u, gauss_newton(network, u, x, gamma_L), x, gamma_L)
    raise ArithmeticError(
        f"predictive coding reached no equilibrium in {ITERATIONS} steps of inference: lower gamma_L = {gamma_L:g}, or "
        "take smaller targets"
    )


def gauss_newton(network: Network, u: Sequence[Array], x: Array, gamma_L: float) -> list[Array]:
    """The change of u_1..u_D that minimises F linearised, sample by sample; that of u_D is 0."""
    gammas = np.array([*[1.0] * (len(u) - 1), gamma_L])
    outputs, samples = u[-1].shape
    each = np.broadcast_to(np.eye(outputs)[:, :, None], (outputs, outputs, samples))
    jacobians = network.backward(u, each)
    e = errors(network, u, x)
    square = sum(np.einsum("nks,njs->skj", p, p) / g for p, g in zip(jacobians, gammas, strict=True))
    pull = sum(np.einsum("nks,ns->sk", p, s) for p, s in zip(jacobians, e, strict=True))
    z = np.linalg.solve(square, np.asarray(pull)[:, :, None])[:, :, 0]
    wanted = [np.einsum("nks,sk->ns", p, z) / g for p, g in zip(jacobians, gammas, strict=True)]
    steps = [wanted[0] - e[0]]
    for layer in range(1, len(u)):
        along = network.apply(layer, network.phi.slope(u[layer - 1]) * steps[-1])
        steps.append(along + wanted[layer] - e[layer])
    return [*steps[:-1], np.zeros_like(u[-1])]


def shortened(network: Network, u: Sequence[Array], steps: Sequence[Array], x: Array, gamma_L: float) -> list[Array]:
    """u + t steps, t = 1, 1/2, ... for each sample until F does not grow."""
    before = energy(errors(network, u, x), gamma_L)
    size = np.ones_like(before)
    for _ in range(HALVINGS):
        tried = [v + size * s for v, s in zip(u, steps, strict=True)]
        grown = energy(errors(network, tried, x), gamma_L) > before * (1 + 1e-12)
        if not grown.any():
            break
        size = np.where(grown, size / 2, size)
    return tried


def predictive_coding(gamma_L: float = 1.0) -> Signals:
    """Signals of a network whose output error weighs gamma_L, in place of those of backpropagation."""

    def signals(network: Network, x: Array, y: Array) -> list[Gradient]:
        u = equilibrium(network, x, y, gamma_L)
        inputs = [x, *(network.phi.value(s) for s in u[:-1])]
        gammas = [*[1.0] * (len(u) - 1), gamma_L]
        found = zip(gammas, network.multipliers, errors(network, u, x), inputs, strict=True)
        return [Gradient(-g * a * e, v) for g, a, e, v in found]

    return signals
