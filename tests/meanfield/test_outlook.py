"""Depth as time: residual branches scaled by a^2 = t/L approach a flow, unscaled ones explode; LayerNorm stays."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import meanfield as mf
from meanfield.outlook import outlook

Z, W = np.polynomial.legendre.leggauss(200)
Z, W = 8 * Z, 8 * W * np.exp(-32 * Z * Z) / math.sqrt(2 * math.pi)


def residual(phi, weight_var, bias_var, scale):
    return mf.Identity() + scale * (mf.activation(phi) >> mf.Dense(weight_var, bias_var))


def flow(time, weight_var, bias_var):
    """q and the log of the gradient after dq/dt = weight_var E tanh^2 + bias_var, dg/dt = weight_var E tanh'^2."""

    def rate(_, state):
        x = np.tanh(math.sqrt(state[0]) * Z)
        return [weight_var * float(W @ x**2) + bias_var, weight_var * float(W @ (1 - x**2) ** 2)]

    q, g = solve_ivp(rate, (0, time), [1.0, 0.0], rtol=1e-11, atol=1e-12).y[:, -1]
    return q, math.exp(g)


def test_scaled_branches_approach_a_flow():
    time, wanted = 2.0, flow(2.0, 1.5, 0.1)
    errors = []
    for depth in (25, 100, 400):
        found = outlook(residual("tanh", 1.5, 0.1, math.sqrt(time / depth)), depth=depth)
        errors.append([found.forward / wanted[0] - 1, found.gradient / wanted[1] - 1])
    # Euler's method: errors fall as 1/L.
    np.testing.assert_allclose(np.array(errors[:-1]) / np.array(errors[1:]), 4, rtol=0.05)
    assert abs(np.array(errors[-1])).max() < 3e-3
    assert abs(outlook(residual("tanh", 1.5, 0.1, 1.0), depth=25).forward / wanted[0] - 1) > 1


@pytest.mark.parametrize("depth", [10, 1000])
def test_relu_branches_grow_as_a_power_that_scaling_tames(depth):
    """(1 + a^2 weight_var/2)^L, which is exp(t weight_var/2) for a^2 = t/L."""
    scaled = outlook(residual("relu", 2, 0, math.sqrt(1 / depth)), depth=depth)
    assert scaled.forward == pytest.approx((1 + 1 / depth) ** depth, rel=1e-11)
    assert scaled.gradient == pytest.approx(scaled.forward, rel=1e-11)
    assert outlook(residual("relu", 2, 0, 1.0), depth=min(depth, 60)).forward == pytest.approx(2.0 ** min(depth, 60))


def test_normalization_before_the_branch_grows_by_steps_and_behind_it_not_at_all():
    """x + W phi(LN x) adds weight_var E phi^2 per layer; LN(x + W phi(x)) would return to 1."""
    block = mf.Identity() + (mf.LayerNorm() >> mf.relu >> mf.Dense(2, 0))
    assert outlook(block, depth=50).forward == pytest.approx(51)
    post = (mf.Identity() + (mf.relu >> mf.Dense(2, 0))) >> mf.LayerNorm()
    assert outlook(post, depth=50).forward == pytest.approx(1)


@pytest.mark.parametrize("keep", [0.9, 0.99])
def test_dropout_lets_no_correlation_reach_one(keep):
    block = mf.tanh >> mf.Dropout(keep) >> mf.Dense(1.69, 0.05)
    assert outlook(block, depth=200).correlation == pytest.approx(mf.phase(block).c, abs=1e-6)
    assert outlook(block, depth=200).correlation < 0.81
    with pytest.raises(mf.NoEdge):
        mf.edge_of_chaos(mf.tanh >> mf.Dropout(keep) >> mf.Dense())


def test_lengths_that_leave_all_bounds_are_said_to():
    assert outlook(mf.relu >> mf.Dense(1e9, 0), depth=50).forward == math.inf
