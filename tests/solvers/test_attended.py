"""Means of softmax attention over random scores against two-dimensional integrals of SciPy, and against each other."""

import numpy as np
import pytest
from scipy.integrate import dblquad

from solvers.attended import softmax_means
from solvers.attended_grid import expanded
from solvers.attended_sample import sampled
from solvers.scores import Scores, factor


def scores(tokens, qk_var=1.0, features=5, tangent=True, keys=None, seed=0):
    x = np.random.default_rng(seed).standard_normal((2, tokens, features))
    left, right, cross = (x[i] @ x[j].T / features for i, j in ((0, 0), (1, 1), (0, 1)))
    keys = np.ones((tokens, tokens), dtype=bool) if keys is None else keys
    return Scores(left, right, cross, qk_var, keys, 1.2 * cross + 0.3 if tangent else None)


def integral(f, p, q, k):
    """E f(u, v) of two Gaussians."""
    c = k / np.sqrt(p * q)

    def density(z, w):
        return (
            f(np.sqrt(p) * z, np.sqrt(q) * (c * z + np.sqrt(1 - c * c) * w)) * np.exp(-(z * z + w * w) / 2) / 2 / np.pi
        )

    return dblquad(density, -9, 9, -9, 9, epsabs=1e-11, epsrel=1e-11)[0]


@pytest.mark.parametrize("qk_var", [0.5, 4.0])
def test_two_tokens_are_integrals_of_two_logistic_functions(qk_var):
    """A = (s(d), 1 - s(d)) for the difference d of two scores, J = s (1 - s) [[1, -1], [-1, 1]]."""
    given = scores(2, qk_var)
    values, errors = softmax_means(given)
    signs = np.array([1.0, -1.0])
    spread = [signs @ m @ signs for m in (given.left, given.right, given.cross)]

    def logistic(x):
        return 1 / (1 + np.exp(-x))

    a, b = 0, 1
    sizes = given.left[a, a], given.right[b, b], given.cross[a, b]
    p, q, k = (qk_var * size * each for size, each in zip(sizes, spread, strict=True))
    expected = []
    for form in (given.cross, given.tangent):
        both = integral(
            lambda u, v, form=form: np.array([logistic(u), 1 - logistic(u)]) @ form @ [logistic(v), 1 - logistic(v)],
            p,
            q,
            k,
        )
        expected.append(both)
    slopes = integral(lambda u, v: logistic(u) * logistic(-u) * logistic(v) * logistic(-v), p, q, k)
    expected += [slopes * (signs @ form @ signs) * spread[2] for form in (given.cross, given.tangent)]
    np.testing.assert_allclose(values[:, a, b], expected, rtol=1e-8)
    assert (np.abs(values[:, a, b] - expected) <= errors[:, a, b] + 1e-9).all()
    assert not np.allclose(values[:, a, a], expected, rtol=1e-2)


@pytest.mark.parametrize("tokens", [3, 4])
@pytest.mark.parametrize("causal", [False, True])
def test_points_and_grids_agree(tokens, causal):
    keys = np.tril(np.ones((tokens, tokens), dtype=bool)) if causal else None
    given = scores(tokens, 0.5, keys=keys)
    exact, off = expanded(given)
    found, errors = sampled(given, seed=3)
    assert (off <= 1e-7).all()
    assert (np.abs(found - exact) <= 5 * errors + off + 1e-12).all()
    assert not (np.abs(found - 1.03 * exact) <= 5 * errors + off).all()


def test_sequences_exchanged():
    given = scores(3)
    for means in (expanded, softmax_means):
        np.testing.assert_allclose(means(given.turned())[0].swapaxes(1, 2), means(given)[0], rtol=1e-11)
    many = scores(6)
    np.testing.assert_array_equal(softmax_means(many.turned())[0].swapaxes(1, 2), softmax_means(many)[0])


def test_grids_are_left_for_points_where_they_do_not_serve():
    assert expanded(scores(5)) is None
    assert expanded(scores(7, features=2)) is not None  # tokens in a plane
    wide = scores(4, 400.0, tangent=False)
    assert (expanded(wide)[1] > 1e-6).any() and (softmax_means(wide)[1] > 1e-6).any()


def test_a_factor_is_that_of_the_centred_gram():
    gram, centre = scores(6).left, np.eye(6) - 1 / 6
    f = factor(gram)
    np.testing.assert_allclose(f @ f.T, centre @ gram @ centre, atol=1e-13)
    assert f.shape == (6, 5) and factor(np.ones((4, 4))).shape == (4, 0)


def test_other_seeds_other_points():
    given = scores(6, tangent=False)
    first, second = sampled(given, 0), sampled(given, 1)
    assert (first[0] != second[0]).all()
    assert (np.abs(first[0] - second[0]) <= 6 * (first[1] + second[1])).all()
