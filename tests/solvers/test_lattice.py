"""Filters on lattices, against sums over all pairs of positions and modes."""

import numpy as np
import pytest

from solvers.lattice import Filter, half, mirror, rows, unfolded

SHAPES = [(1,), (2,), (7,), (8,), (6, 5), (4, 4), (3, 4, 4)]


def even(rng, shape):
    x = rng.random(shape)
    return x + x.ravel()[mirror(shape)].reshape(shape)


def by_sums(variances, x):
    """The definition, mode by mode."""
    at = np.indices(x.shape).reshape(x.ndim, -1)
    turns = sum(np.outer(k, r) / n for k, r, n in zip(at, at, x.shape, strict=True))
    waves = np.exp(2j * np.pi * turns)
    return np.real(waves @ (variances.ravel() * (waves.conj() @ x.ravel())) / x.size).reshape(x.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_filter_is_its_sum_over_modes(shape):
    rng = np.random.default_rng(0)
    variances, x = even(rng, shape), rng.random(shape)
    variances[variances < 0.8] = 0  # both of a pair
    assert np.abs(Filter(variances)(x) - by_sums(variances, x)).max() < 1e-14 * x.size
    assert np.abs(Filter(variances)(np.stack([x, 2 * x]))[1] - 2 * by_sums(variances, x)).max() < 1e-14 * x.size


@pytest.mark.parametrize("shape", SHAPES)
def test_small_matrices_are_the_filter_of_even_functions(shape):
    rng = np.random.default_rng(1)
    variances, x = even(rng, shape), even(rng, shape)
    variances.flat[0] = 2.5
    lags, weights, place = half(shape)
    inward, outward = Filter(variances).matrices
    found = (inward @ x.ravel()[lags]) @ outward
    white = len(np.unique(variances)) == 1
    expected = 0 * x if white else by_sums(variances, x)
    assert np.abs(found[place].reshape(shape) - expected).max() < 1e-14 * x.size
    assert weights.sum() == x.size


def test_matrices_of_functions_that_are_not_even_are_wrong():
    variances, x = np.ones(8), np.arange(8.0)
    variances[4] = 0
    lags, _, place = half((8,))
    inward, outward = Filter(variances).matrices
    assert np.abs(((inward @ x[lags]) @ outward)[place] - Filter(variances)(x)).max() > 1


def test_a_white_filter_touches_no_digit():
    x = np.random.default_rng(2).random((5, 6))
    assert np.array_equal(Filter(np.full((5, 6), 3.0))(x), 3 * x)


def test_large_matrices_are_not_made():
    assert Filter(np.r_[0.5, np.ones(4095)]).matrices is None
    assert Filter(np.r_[1.0, 1.0, np.zeros(4093), 1.0]).matrices[0].shape == (2, 2049)


def test_sums_and_roots():
    variances = np.array([4.0, 1.0, 0.0, 1.0])
    found = Filter(variances)
    x = np.array([1.0, 2.0, 5.0, 0.0])
    assert np.allclose(found.root()(found.root()(x)), found(x), atol=1e-15)
    assert np.allclose(found.plus(2.0)(x), found(x) + 2 * x, atol=1e-15)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_even_functions_are_enough(shape):
    rng = np.random.default_rng(4)
    variances, x = even(rng, shape), even(rng, shape)
    variances[variances < 0.8] = 0
    found = Filter(variances).on_rows(rows(x))
    assert np.abs(unfolded(found[None], shape)[0] - by_sums(variances, x)).max() < 1e-14 * x.size
    assert np.array_equal(unfolded(np.stack([rows(x), 2 * rows(x)]), shape)[1], 2 * x)
