"""Real residual stacks and heads of attention: their gradients against finite differences of a loss written out."""

import numpy as np
import pytest

from meanfield.finite.training.head import gradients
from meanfield.finite.training.optimizers import optimizer
from meanfield.finite.training.residual import Stack, branch_sizes

STEP = 1e-6


def slope(loss, weights, at):
    """d loss/d weights[at] by central differences."""
    ends = []
    for sign in (1, -1):
        moved = weights.copy()
        moved[at] += sign * STEP
        ends.append(loss(moved))
    return (ends[0] - ends[1]) / (2 * STEP)


def test_gradients_of_branches():
    rng = np.random.default_rng(0)
    w, h0, last, y = (rng.standard_normal(s) for s in ((3, 6, 6), (6, 4), (2, 6), (2, 4)))
    scale = 0.4

    def output(w):
        h = h0
        for one in w:
            h = h + scale * one @ np.tanh(h)
        return last @ h

    def loss(w):
        return ((output(w) - y) ** 2).sum() / 2 / 4

    stack = Stack(w, scale)
    states, inputs = stack.forward(h0)
    assert np.allclose(last @ states[-1], output(w), rtol=1e-13)
    found = stack.gradients(states, inputs, last.T @ (output(w) - y))
    for at in ((0, 1, 2), (1, 5, 0), (2, 3, 3)):
        assert found[at[0]].dense[at[1:]] == pytest.approx(slope(loss, w, at), rel=1e-6)
    assert found[0].dense[1, 2] != pytest.approx(slope(loss, w, (1, 1, 2)), rel=1e-2)


@pytest.mark.parametrize("which", [0, 1], ids=["queries", "keys"])
def test_gradients_of_a_head(which):
    rng = np.random.default_rng(1)
    both, x, v, y = (rng.standard_normal(s) for s in ((2, 3, 5), (5, 4), 4, 4))

    def loss(one):
        q, k = (one if at == which else both[at] for at in (0, 1))
        e = np.exp(0.3 * (q @ x).T @ (k @ x))
        return (((e / e.sum(axis=1, keepdims=True)) @ v - y) ** 2).mean() / 2

    found, other = (gradients(*both, x, v, y, 0.3)[at].dense for at in (which, 1 - which))
    for at in ((0, 0), (2, 4), (1, 3)):
        wanted = slope(loss, both[which], at)
        assert found[at] == pytest.approx(wanted, rel=1e-6) and other[at] != pytest.approx(wanted, rel=1e-2)


def test_a_step_without_a_rate_moves_nothing():
    still = branch_sizes(3, 0.5, 0.0, optimizer("sgd").update, np.random.default_rng(2))
    assert still[0] > 0.1 and (still[1:] == 0).all()
    moved = branch_sizes(3, 0.5, 0.1, optimizer("sgd").update, np.random.default_rng(2))
    assert moved[0] == still[0] and (moved[1:] > 0).all()
