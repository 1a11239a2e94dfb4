"""Drift, diffusion and paths of shaped attention: against the derivation, real weights, and known laws."""

import numpy as np
import pytest
from sympy import Rational

from solvers import shaped
from symbolic.shaped import ShapedAttention, shaped_limit

G, T = 0.6, 0.8


def gram(m, seed=0):
    rows = np.random.default_rng(seed).standard_normal((m, m + 2))
    return rows @ rows.T / (m + 2)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_every_entry_is_that_of_the_derivation(m):
    V = gram(m)
    found = shaped_limit(ShapedAttention(Rational(3, 5), Rational(4, 5)), m)
    values = {found.gram[a, b]: V[a, b] for a in range(m) for b in range(a, m)}
    np.testing.assert_allclose(np.array(found.drift.subs(values), float), shaped.drift(V, G, T), rtol=1e-12, atol=1e-15)
    Sigma = shaped.diffusion(V, G, T)
    for entry, expression in found.diffusion.items():
        assert float(expression.subs(values)) == pytest.approx(Sigma[entry], rel=1e-12, abs=1e-15)


def test_the_drift_of_a_path_is_the_drift():
    V = gram(5)
    np.testing.assert_allclose(shaped._slope.py_func(V, G, T), shaped.drift(V, G, T), rtol=1e-13)


def test_stacks_are_taken_apart():
    stack = np.stack([gram(3, seed) for seed in (1, 2)])
    for each, b, Sigma in zip(stack, shaped.drift(stack, G, T), shaped.diffusion(stack, G, T), strict=True):
        np.testing.assert_allclose(b, shaped.drift(each, G, T), rtol=1e-14)
        np.testing.assert_allclose(Sigma, shaped.diffusion(each, G, T), rtol=1e-14)


class Units:
    """Stands for a Generator whose numbers are 0 but for the one at `at`."""

    def __init__(self, at):
        self.at = at

    def standard_normal(self):
        self.at -= 1
        return float(self.at == -1)


def test_the_noise_of_a_path_has_exactly_this_covariance():
    V, total, m = gram(4), 0, 4
    L, N = np.empty((2, m, m))
    assert shaped._factor.py_func(V, L)
    for at in range(2 * m * m):
        shaped._noise.py_func(V, L, G, T, Units(at), np.empty((2, m, m)), N)
        total = total + np.einsum("ab,cd->abcd", N + N.T, N + N.T)
    np.testing.assert_allclose(total, shaped.diffusion(V, G, T), rtol=1e-12, atol=1e-15)


def test_singular_covariances_are_factored_and_others_refused():
    L = np.empty((3, 3))
    rows = np.array([[1.0, 0, 0], [1, 0, 0], [0.5, 0.3, 0]])
    assert shaped._factor.py_func(rows @ rows.T, L)
    np.testing.assert_allclose(L @ L.T, rows @ rows.T, atol=1e-15)
    assert not shaped._factor.py_func(np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]]), L)


def simulated_drift(V, draws, rng, n=256, keys=32):
    """n E[V' - V] of one real layer and its standard error: all of W_Q, W_K; the mean over W is V -> A V A^T."""
    m = len(V)
    basis = np.linalg.qr(rng.standard_normal((n, m)))[0].T
    X, found = np.sqrt(n) * np.linalg.cholesky(V) @ basis, []
    for _ in range(draws):
        Q, K = rng.standard_normal((2, n, keys))
        scores = (X @ Q) @ (X @ K).T / n / (T * np.sqrt(n * keys))
        both = 0
        for sign in (1, -1):
            rows = np.exp(sign * scores)
            A = np.eye(m) + rows / rows.sum(axis=1, keepdims=True) - 1 / m
            both = both + G**2 * n * (A @ V @ A.T - V) / 2
        found.append(both)
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(draws)


def test_the_drift_is_that_of_real_weights_and_needs_its_second_term():
    V = gram(4, seed=7)
    mean, error = simulated_drift(V, 3000, np.random.default_rng(1))
    found = shaped.drift(V, G, T)
    room = 4.5 * error + 0.01 * np.abs(found).max()  # 1 % for what is of the order 1/n
    assert (np.abs(mean - found) < room).all()
    shared = (G / T) ** 2 * V * (shaped.centred(V) * V).sum() / 16
    assert (np.abs(mean - shared) > room).any()


def ends(m, T_end, steps, paths, gamma, tau, seed=0):
    V, ended = np.empty((paths, steps + 1, m, m)), np.zeros((paths, 2), np.int64)
    V[:, 0] = gram(m, 3)
    shaped.walk(V, ended, gamma, tau, T_end / steps, np.random.default_rng(seed))
    return V, ended


def test_one_token_is_lognormal():
    """dV = sqrt(2 gamma^2 (2 - gamma^2)) V dB."""
    V, ended = ends(1, 0.5, 200, 20_000, G, T)
    rate = G**2 * (2 - G**2)
    logs = np.log(V[:, -1, 0, 0] / V[:, 0, 0, 0])
    assert not ended.any()
    assert abs(logs.mean() + rate * 0.5) < 4.5 * logs.std() / np.sqrt(len(logs)) + rate / 200
    assert logs.var() == pytest.approx(2 * rate * 0.5, rel=0.05)


def test_paths_that_end_say_how_and_leave_no_numbers():
    V, ended = ends(3, 3.0, 64, 200, 0.9, 0.3)
    how, at = ended[ended[:, 0] > 0].T
    assert {shaped.LEFT, shaped.EXPLODED} == set(how)
    for path, time in zip(V[ended[:, 0] > 0], at, strict=True):
        assert np.isnan(path[time:]).all() and np.isfinite(path[:time]).all()
