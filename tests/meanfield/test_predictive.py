"""Predictive coding and target propagation: equilibria against brute force, their gradients against their limits."""

import numpy as np
import pytest

from meanfield.finite.training.mlp import IDENTITY, TANH, LayerNumbers, Network, draw
from meanfield.finite.training.optimizers import backpropagation
from meanfield.finite.training.predictive import energy, equilibrium, errors, predictive_coding
from meanfield.finite.training.targets import target_propagation

M = 3


def setting(width, phi=IDENTITY, layers=4, b_out=1.0, seed=0):
    stds = [5**-0.5, *[width**-0.5] * (layers - 2), float(width) ** -b_out]
    rng = np.random.default_rng(seed)
    net = draw([LayerNumbers(s, 1.0) for s in stds], width, 5, 2, rng, phi)
    return net, rng.standard_normal((5, M)), rng.standard_normal((2, M))


def brute_force(net, x, y, gamma_L):
    """States of a linear network by one dense system for all of them together."""
    w, n = net.weights, len(net.weights[0])
    gammas, count = [*[1.0] * (len(w) - 1), gamma_L], len(w) - 1
    matrix, right = np.zeros((count * n, count * n)), np.zeros((count * n, x.shape[1]))
    for k in range(count):
        at, after = slice(k * n, (k + 1) * n), slice((k + 1) * n, (k + 2) * n)
        matrix[at, at] += gammas[k] * np.eye(n) + gammas[k + 1] * w[k + 1].T @ w[k + 1]
        if k + 1 < count:
            matrix[at, after] -= gammas[k + 1] * w[k + 1].T
            matrix[after, at] -= gammas[k + 1] * w[k + 1]
    right[:n] += gammas[0] * w[0] @ x
    right[-n:] += gamma_L * w[-1].T @ y
    return np.linalg.solve(matrix, right).reshape(count, n, -1)


@pytest.mark.parametrize("gamma_L", [0.3, 1.0, 20.0])
def test_a_linear_network_is_at_its_fixed_point(gamma_L):
    """F* = gamma_L/2 (y - f)^T (I + C)^-1 (y - f), C = gamma_L sum_{i>=2} W_{L:i} W_{L:i}^T."""
    net, x, y = setting(20)
    u = equilibrium(net, x, y, gamma_L)
    states = brute_force(net, x, y, gamma_L)
    assert all(np.allclose(a, b, rtol=1e-13, atol=1e-13) for a, b in zip(u, states, strict=False))
    behind, C = np.eye(2), np.zeros((2, 2))
    for w in net.weights[:0:-1]:
        behind = behind @ w
        C += gamma_L * behind @ behind.T
    apart = y - behind @ net.weights[0] @ x
    e_L = np.linalg.solve(np.eye(2) + C, apart)
    found = errors(net, u, x)
    assert np.allclose(found[-1], e_L, rtol=1e-13, atol=1e-13)
    assert np.allclose(found[0], gamma_L * behind.T @ e_L, rtol=1e-13, atol=1e-13)
    assert np.allclose(energy(found, gamma_L), gamma_L / 2 * (apart * e_L).sum(axis=0), rtol=1e-13)
    without = gamma_L / 2 * (apart**2).sum(axis=0)
    assert not np.allclose(energy(found, gamma_L), without, rtol=1e-3)


def test_states_of_a_nonlinear_network_are_stationary():
    net, x, y = setting(20, TANH)
    u = equilibrium(net, x, y, 2.0, tolerance=1e-11)
    step, before = 1e-5, energy(errors(net, u, x), 2.0)
    forward = energy(errors(net, [*net.forward(x).h[:-1], y], x), 2.0)
    assert (before < forward).all()
    for layer in range(len(u) - 1):
        for neuron in (0, 7):
            around = []
            for sign in (1, -1):
                moved = [v.copy() for v in u]
                moved[layer][neuron] += sign * step
                around.append(energy(errors(net, moved, x), 2.0))
            assert np.allclose((around[0] - around[1]) / (2 * step), 0, atol=1e-9)
            assert (np.minimum(*around) > before).all()


def test_no_equilibrium_is_an_error():
    net, x, y = setting(20, TANH)
    with pytest.raises(ArithmeticError, match="no equilibrium in 1000 steps of inference: lower gamma_L"):
        equilibrium(net, x, y, 2.0, tolerance=-1.0)


def cosine(a, b):
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def cosines(width, b_out, g):
    """Of the error e_2 of predictive coding with the gradient and with Gauss-Newton; the readout is 9.4 times larger
    in one output than in the other, for an isotropic one would not tell them apart."""
    net, x, _ = setting(width, b_out=b_out)
    tall, (first, *others) = np.diag([np.sqrt(9.4), 1 / np.sqrt(9.4)]), net.weights[::-1]
    net = Network((*others[::-1], tall @ first), net.multipliers, IDENTITY)
    y = net.forward(x).h[-1] + 1.0
    e = errors(net, equilibrium(net, x, y, float(width) ** g), x)
    behind = net.weights[3] @ net.weights[2]
    gradient = behind.T @ np.ones((2, M))
    newton = behind.T @ np.linalg.solve(behind @ behind.T, np.ones((2, M)))
    return cosine(e[1], gradient), cosine(e[1], newton)


@pytest.mark.parametrize("width", [256, pytest.param(2048, marks=pytest.mark.slow)])
def test_signals_turn_from_the_gradient_to_gauss_newton(width):
    """Limits, for r = (1, 1), of the cosines between S r, S^-1 r and S (I + 3 S^2)^-1 r; the first is 0.21."""
    s = np.array([np.sqrt(9.4), 1 / np.sqrt(9.4)])
    apart, near, sharp = cosine(s, 1 / s), 4 / np.sqrt(width), 1 - (40 / width) ** 2
    gradient, newton = cosines(width, b_out=1, g=0)
    assert gradient > sharp and newton == pytest.approx(apart, abs=near)
    gradient, newton = cosines(width, b_out=0.5, g=1)
    assert newton > sharp and gradient == pytest.approx(apart, abs=near)
    between = s / (1 + 3 * s**2)
    assert cosines(width, b_out=1, g=1) == pytest.approx((cosine(between, s), cosine(between, 1 / s)), abs=near)


@pytest.mark.parametrize(("targets", "slope"), [(0.1, -0.5), (2.0, 0.0)])
def test_an_output_error_of_heavy_weight_vanishes_only_for_targets_within_reach(targets, slope):
    """e_L of slope 1 - g at g = 3/2 in the linear theory; a readout of order 1/n on features of tanh reaches 0.8."""
    found = []
    data = [setting(8, seed=seed)[1:] for seed in range(4)]  # the same at both widths
    for width in (64, 256):
        sizes = []
        for seed, (x, y) in enumerate(data):
            net, *_ = setting(width, TANH, seed=seed)
            e = errors(net, equilibrium(net, x, targets * y, float(width) ** 1.5), x)
            sizes.append(np.log(np.sqrt((e[-1] ** 2).mean())))
        found.append(np.mean(sizes))
    assert (found[1] - found[0]) / np.log(4) == pytest.approx(slope, abs=0.12)


def test_a_small_output_weight_is_backpropagation():
    net, x, y = setting(40, TANH)
    for found, wanted in zip(predictive_coding(1e-8)(net, x, y), backpropagation(net, x, y), strict=True):
        assert np.allclose(found.dense * 1e8, wanted.dense, rtol=0, atol=1e-4 * abs(wanted.dense).max())


def test_targets_are_reconstructions():
    """W Q = I on the span of the batch: for a linear network with a square batch the targets lie where f is asked."""
    net, x, y = setting(20, IDENTITY)
    x, y = x[:, :2], y[:, :2]
    signals = target_propagation(0.5)(net, x, y)
    states = net.forward(x)
    for layer in range(3):
        target = states.h[layer] - signals[layer].left
        for later in range(layer + 1, 4):
            target = net.apply(later, target)
        assert np.allclose(target, (states.h[-1] + y) / 2, rtol=1e-9, atol=1e-10)
    shorter = target_propagation(0.25)(net, x, y)
    assert np.allclose(shorter[0].left, signals[0].left / 2, rtol=1e-12)
