"""The data of Burgers' equation: exact solutions of Cole and Hopf, and the law of the initial functions."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def burgers(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    monkeypatch.delitem(sys.modules, "burgers", raising=False)
    return importlib.import_module("burgers")


def series(x, modes, order=0):
    """sum_k a_k cos 2 pi k x + b_k sin 2 pi k x (order 0), or its integral from 0 (order 1)."""
    k = 2 * np.pi * np.arange(1, 1 + len(modes))
    phase = np.multiply.outer(x, k)
    if not order:
        return np.cos(phase) @ modes[:, 0] + np.sin(phase) @ modes[:, 1]
    return np.sin(phase) @ (modes[:, 0] / k) + (1 - np.cos(phase)) @ (modes[:, 1] / k)


def cole_hopf(x, modes, viscosity, time):
    """u = int (x - y)/t w dy / int w dy, w = exp(-(x - y)^2/(4 nu t) - int_0^y u_0/(2 nu)), by the trapezoidal rule,
    which converges exponentially here."""
    apart = np.linspace(-5, 5, 4001)
    exponent = -(apart**2) / (4 * viscosity * time) - series(x[:, None] - apart, modes, 1) / (2 * viscosity)
    weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return weights @ apart / time / weights.sum(axis=1)


def modes_of(u, count):
    hat = np.fft.rfft(u)[1 : count + 1] * 2 / len(u)
    return np.stack([hat.real, -hat.imag], axis=1)


@pytest.mark.parametrize("viscosity", [0.01, 0.1])
def test_solutions_are_those_of_cole_and_hopf(burgers, viscosity):
    """Random initial functions, the grid and the steps of the data."""
    start = burgers.fields(2, np.random.default_rng(0))
    found, wrong = (burgers.solve(start, nu)[:, ::16] for nu in (viscosity, 1.001 * viscosity))
    x = np.arange(256) / 256
    for u, v, w in zip(start, found, wrong, strict=True):
        modes = modes_of(u, 85)
        np.testing.assert_allclose(series(x, modes), u, atol=1e-13)
        exact = cole_hopf(x[::16], modes, viscosity, 1.0)
        np.testing.assert_allclose(v, exact, atol=1e-9)
        assert np.abs(w - exact).max() > 1e-5


def test_products_below_two_thirds_keep_the_energy(burgers):
    """Without viscosity the sum of u^2 is constant; modes that alias change it."""
    start = burgers.fields(1, np.random.default_rng(0), grid=64)
    kept, aliased = (burgers.solve(start, 0, 0.4, dealias=on) for on in (True, False))
    energy = (start**2).sum()
    assert abs((kept**2).sum() / energy - 1) < 1e-9
    assert abs((aliased**2).sum() / energy - 1) > 0.1


def test_the_order_in_time_is_four(burgers):
    start = burgers.fields(1, np.random.default_rng(1), grid=64)
    fine = burgers.solve(start, steps=1600)
    coarse, half = (np.abs(burgers.solve(start, steps=n) - fine).max() for n in (100, 200))
    assert 12 < coarse / half < 20


def test_initial_functions_have_their_covariance(burgers):
    """E u(x)u(y) = sum_k 2 sigma^2 ((2 pi k)^2 + tau^2)^(-gamma) cos 2 pi k (x - y)."""
    u = burgers.fields(20_000, np.random.default_rng(2), grid=64, sigma=2, tau=3, gamma=1.5)
    k = 2 * np.pi * np.arange(1, 22)
    expected = 8 * (k**2 + 9) ** -1.5 @ np.cos(np.outer(k, np.arange(64) / 64))
    found = u[:, :1].T @ u / len(u)
    assert np.abs(found[0] - expected).max() < 4 * np.sqrt(2) * expected[0] / np.sqrt(len(u))
    assert np.abs(u.mean(axis=1)).max() < 1e-14


def test_pairs_are_samples_of_both_ends(burgers):
    start, end = burgers.pairs(2, 64, np.random.default_rng(3))
    assert start.shape == end.shape == (2, 64)
    whole = burgers.fields(2, np.random.default_rng(3))
    np.testing.assert_array_equal(start, whole[:, ::4])
    np.testing.assert_array_equal(end, burgers.solve(whole)[:, ::4])
