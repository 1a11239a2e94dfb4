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
from meanfield.finite.training.updates import quotient

ITERATIONS, HALVINGS, TOLERANCE = 1000, 30, 1e-4
NEAREST, FARTHEST = 0.05, 4.0  # of a step along a direction, in Gauss-Newton's unit
Signals = Callable[[Network, Array, Array], list[Gradient]]


def errors(network: Network, u: Sequence[Array], x: Array) -> list[Array]:
    """e_1..e_D at states u_1..u_D."""
    inputs = [x, *(network.phi.value(s) for s in u[:-1])]
    return [state - network.apply(layer, each) for layer, (state, each) in enumerate(zip(u, inputs, strict=True))]


def energy(e: Sequence[Array], gamma_L: float) -> Array:
    """F of each sample."""
    return np.asarray(sum((s**2).sum(axis=0) for s in e[:-1]) + gamma_L * (e[-1] ** 2).sum(axis=0)) / 2


def forces(network: Network, u: Sequence[Array], x: Array, gamma_L: float) -> tuple[list[Array], list[Array]]:
    """On u_1..u_{D-1}: dF/du_l, and the part of it that comes from above."""
    e = errors(network, u, x)
    pulls = [*e[:-1], gamma_L * e[-1]]
    above = [network.phi.slope(v) * network.back(layer + 1, pulls[layer + 1]) for layer, v in enumerate(u[:-1])]
    return [p - a for p, a in zip(pulls, above, strict=False)], above


def equilibrium(network: Network, x: Array, y: Array, gamma_L: float, tolerance: float = TOLERANCE) -> list[Array]:
    """States u_1..u_D = y where no dF/du exceeds `tolerance` times the largest force, from the forward pass.

    Conjugate gradients (Polak, Ribiere) with Gauss-Newton steps for gradients; ArithmeticError if none is found.
    """
    u = [*network.forward(x).h[:-1], y]
    along, before = None, None
    for _ in range(ITERATIONS):
        slope, above = forces(network, u, x, gamma_L)
        if max(abs(g).max() for g in slope) <= tolerance * max(abs(a).max() for a in above):
            return u
        steps = gauss_newton(network, u, x, gamma_L)[:-1]
        if along is not None and before is not None:
            turn = quotient(dot(slope, [s - o for s, o in zip(steps, before[1], strict=True)]), dot(*before))
            along = [s + np.maximum(turn, 0.0) * d for s, d in zip(steps, along, strict=True)]
        if along is None or not (dot(slope, along) <= 0).all():
            along = steps
        before = slope, steps
        u = moved(network, u, along, x, gamma_L)
    raise ArithmeticError(
        f"predictive coding reached no equilibrium in {ITERATIONS} steps of inference: lower gamma_L = {gamma_L:g}"
    )


def dot(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """The product of two directions, sample by sample."""
    return np.asarray(sum((v * w).sum(axis=0) for v, w in zip(a, b, strict=True)))


def moved(network: Network, u: Sequence[Array], along: Sequence[Array], x: Array, gamma_L: float) -> list[Array]:
    """u + t along, with t for each sample where F's slope would vanish if it were linear in t; halved while F grows."""

    def at(t: Array) -> list[Array]:
        return [*(v + t * d for v, d in zip(u, along, strict=False)), u[-1]]

    energy_before = energy(errors(network, u, x), gamma_L)
    here, there = (
        dot(forces(network, at(t), x, gamma_L)[0], along) for t in (0 * energy_before, 1 + 0 * energy_before)
    )
    bent = there > here
    t = np.clip(np.divide(here, here - there, out=np.full_like(here, FARTHEST), where=bent), NEAREST, FARTHEST)
    for _ in range(HALVINGS):
        grown = energy(errors(network, at(t), x), gamma_L) > energy_before * (1 + 1e-12)
        if not grown.any():
            break
        t = np.where(grown, t / 2, t)
    return at(t)


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


def predictive_coding(gamma_L: float = 1.0) -> Signals:
    """Signals of a network whose output error weighs gamma_L, in place of those of backpropagation."""

    def signals(network: Network, x: Array, y: Array) -> list[Gradient]:
        u = equilibrium(network, x, y, gamma_L)
        inputs = [x, *(network.phi.value(s) for s in u[:-1])]
        gammas = [*[1.0] * (len(u) - 1), gamma_L]
        found = zip(gammas, network.multipliers, errors(network, u, x), inputs, strict=True)
        return [Gradient(-g * a * e, v) for g, a, e, v in found]

    return signals
