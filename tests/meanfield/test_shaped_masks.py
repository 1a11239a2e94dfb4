"""Prescribed causal kernels: against Cholesky factors in 60 digits, a deep network, refused schedules."""

import mpmath
import numpy as np
import pytest
from sympy import Rational, Symbol

import meanfield as mf
from symbolic.causal import KINDS, CausalAttention, causal_step

STEPS = [
    ("rho", 0.0, 0.3), ("rho", 0.2, 0.7), ("rho", 0.5, 0.500001), ("rho", 0.3, 0.999), ("rho", 0.9, 0.9 + 1e-12),
    ("gamma", np.inf, 0.5), ("gamma", 2.0, 0.5), ("gamma", 0.5, 0.499999), ("gamma", 0.01, 0.005),
    ("gamma", 30.0, 1e-3), ("gamma", 0.5, 0.5 - 1e-12),
]  # fmt: skip
DEEP = {"rho": np.linspace(0, 0.8, 51), "gamma": [np.inf, *np.geomspace(5, 0.005, 50)]}
TOKENS = 20


def factor(name, value, tokens):
    v = mpmath.mpf(value)
    entry = (lambda lag: v) if name == "rho" else (lambda lag: mpmath.exp(-v * lag))
    rows = [[entry(abs(i - j)) if i != j else mpmath.mpf(1) for j in range(tokens)] for i in range(tokens)]
    return mpmath.cholesky(mpmath.matrix(rows))


def largest_error(found, name, old, new):
    """Relative, entry by entry."""
    with mpmath.workdps(60):
        wanted = factor(name, new, len(found)) * factor(name, old, len(found)) ** -1
        pairs = ((mpmath.mpf(found[i, j]), wanted[i, j]) for i in range(len(found)) for j in range(i + 1))
        return float(max(abs(a - b) / abs(b) for a, b in pairs if a or abs(b) > 1e-300))


@pytest.mark.parametrize(("name", "old", "new"), STEPS)
def test_every_entry_is_that_of_the_cholesky_factors(name, old, new):
    found = mf.shaped_masks(TOKENS, **{name: [old, new]}).attention[0]
    assert largest_error(found, name, old, new) < 5e-15
    assert (np.triu(found, 1) == 0).all()


def test_an_error_of_a_constant_would_be_seen():
    found = mf.shaped_masks(TOKENS, rho=[0.2, 0.7]).attention[0]
    assert largest_error(found, "rho", 0.2, 0.7 + 1e-12) > 1e-13


@pytest.mark.parametrize("name", DEEP)
def test_the_product_of_all_layers_telescopes(name):
    found, product = mf.shaped_masks(TOKENS, **{name: DEEP[name]}), np.eye(TOKENS)
    for A, kernel in zip(found.attention, found.kernels[1:], strict=True):
        product = A @ product
        np.testing.assert_allclose(product @ product.T, kernel, atol=1e-13)


@pytest.mark.parametrize("name", DEEP)
def test_a_softmax_of_the_bias_has_the_weights(name):
    found = mf.shaped_masks(TOKENS, **{name: DEEP[name]})
    rows = np.exp(found.bias - found.bias.max(axis=2, keepdims=True))
    np.testing.assert_allclose(rows / rows.sum(axis=2, keepdims=True), found.weights, atol=1e-15)
    np.testing.assert_allclose(found.weights.sum(axis=2), 1, rtol=1e-15)
    np.testing.assert_allclose(found.scales[:, :, None] * found.weights, found.attention, rtol=1e-15)
    assert (found.bias[:, *np.triu_indices(TOKENS, 1)] == -np.inf).all()


def deep_kernel(attentions, width=64, seed=0):
    """X X^T/n behind attention and orthogonal values alone, from orthogonal tokens."""
    rng, X = np.random.default_rng(seed), np.sqrt(width) * np.eye(TOKENS, width)
    for A in attentions:
        X = A @ X @ np.linalg.qr(rng.standard_normal((width, width)))[0]
    return X @ X.T / width


@pytest.mark.parametrize("name", DEEP)
def test_fifty_layers_keep_the_kernel_where_a_plain_mask_collapses(name):
    found = mf.shaped_masks(TOKENS, **{name: DEEP[name]})
    np.testing.assert_allclose(deep_kernel(found.attention), found.kernels[-1], atol=1e-12)
    plain = np.tri(TOKENS) / np.arange(1, TOKENS + 1)[:, None]
    collapsed = deep_kernel([plain] * 50)
    deviations = np.sqrt(np.diag(collapsed))
    assert (collapsed / np.outer(deviations, deviations)).min() > 0.999
    without_scales = deep_kernel(found.weights)
    assert np.abs(without_scales - found.kernels[-1]).max() > 0.1


@pytest.mark.parametrize("kind", KINDS[:2])
def test_the_derivation_is_what_is_computed(kind):
    name, old, new = ("rho", 0.25, 0.5) if kind == "u-spa" else ("a", 0.25, 0.5)
    step = causal_step(CausalAttention(kind, (0.25, 0.5)), tokens=4).attention
    values = {Symbol(name, positive=True): Rational(1, 4), Symbol(f"{name}'", positive=True): Rational(1, 2)}
    given = {"rho": [old, new]} if kind == "u-spa" else {"gamma": [-np.log(old), -np.log(new)]}
    wanted = np.array(step.subs(values).evalf(), float)
    np.testing.assert_allclose(mf.shaped_masks(4, **given).attention[0], wanted, rtol=1e-13, atol=1e-16)


def test_schedules_may_rest():
    for given in ({"rho": [0.3, 0.3]}, {"gamma": [0.7, 0.7]}, {"gamma": [np.inf, np.inf]}, {"rho": [0, 0]}):
        np.testing.assert_allclose(mf.shaped_masks(5, **given).attention[0], np.eye(5), atol=1e-16)
    np.testing.assert_allclose(mf.shaped_masks(1, rho=[0, 0.5]).attention, 1, rtol=1e-15)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"rho": [0, 0.5, 0.4]}, ValueError, r"rho = 0.5 to 0.4: weight \[1, 0\] of layer 2 would be -0.12"),
        ({"gamma": [2, 1, 3]}, ValueError, r"gamma = 1 to 3: weight \[1, 0\] of layer 2 .* gamma must not grow"),
        ({"rho": [0, 1.0]}, ValueError, r"rho\[1\] must be at least 0 and below 1, not 1.0"),
        ({"gamma": [1, 0]}, ValueError, r"gamma\[1\] must be greater than 0"),
        ({"rho": [0, float("nan")]}, ValueError, r"rho\[1\] must be"),
        ({"rho": [0.5]}, ValueError, "at least 2, not 1"),
        ({"rho": 0.5}, TypeError, "sequence of numbers"),
        ({}, ValueError, "either rho= .* or gamma="),
        ({"rho": [0, 0.5], "gamma": [2, 1]}, ValueError, "either rho= .* or gamma="),
    ],
)
def test_what_is_no_schedule_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        mf.shaped_masks(4, **given)


def test_a_kind_is_one_of_three():
    with pytest.raises(ValueError, match="known are u-spa, e-spa, uniform"):
        CausalAttention("spa", (0, 0.5))
