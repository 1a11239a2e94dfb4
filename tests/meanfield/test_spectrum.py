"""The spectrum of random attention against drawn matrices of 1024 tokens, and what is refused."""

import numpy as np
import pytest

import meanfield as mf

TOKENS = 1024


@pytest.fixture(scope="module")
def drawn():
    rows = np.exp(0.5 * np.random.default_rng(0).standard_normal((TOKENS, TOKENS)))
    A = rows / rows.sum(axis=1, keepdims=True)
    singular = np.linalg.svd(A, compute_uv=False)
    small = A[:512, :512] / A[:512, :512].sum(axis=1, keepdims=True)  # 512 tokens: eigenvalues cost the cube
    return A, singular, np.sort(np.abs(np.linalg.eigvals(small)))[::-1]


def test_edges_and_stable_rank_are_those_of_a_drawn_matrix(drawn):
    """Edges to 2 %: they scatter by T^(-2/3) = 1 %."""
    A, singular, eigenvalues = drawn
    found, small = mf.attention_spectrum(0.5, TOKENS), mf.attention_spectrum(0.5, 512)
    assert singular[1] == pytest.approx(found.singular_edge, rel=0.02)
    assert np.sum(A**2) == pytest.approx(found.frobenius, rel=0.005)
    assert np.sum(singular**2) / singular[0] ** 2 == pytest.approx(found.stable_rank, rel=0.005)
    assert eigenvalues[0] == pytest.approx(small.outlier, rel=1e-12)
    assert eigenvalues[1] == pytest.approx(small.eigenvalue_edge, rel=0.05)
    assert found.gap == 1 - found.eigenvalue_edge


def test_the_variance_of_scores_is_not_that_of_weights(drawn):
    """sigma = s, its first order, in place of sqrt(exp(s^2) - 1) is seen by the edge and by the norm."""
    A, singular, _ = drawn
    assert singular[1] != pytest.approx(2 * 0.5 / np.sqrt(TOKENS), rel=0.02)
    assert np.sum(A**2) != pytest.approx(1 + 0.5**2, rel=0.005)


def test_the_numbers_in_print():
    found = mf.attention_spectrum(0.5, TOKENS)
    assert round(found.singular_edge * np.sqrt(TOKENS), 3) == 1.066
    assert round(found.stable_rank, 3) == 1.284
    assert "stable rank 1.28403" in str(found)


@pytest.mark.parametrize(
    ("s", "tokens", "error", "message"),
    [
        (1.0, 64, ValueError, "at s = 1 the edges are not converged"),
        (-0.1, 64, ValueError, "standard deviation of scores"),
        (float("nan"), 64, ValueError, "standard deviation of scores"),
        (0.5, 0, ValueError, "tokens must be at least 1"),
        (0.5, 2.5, TypeError, "tokens must be a whole number"),
    ],
)
def test_what_is_not_known_is_refused(s, tokens, error, message):
    with pytest.raises(error, match=message):
        mf.attention_spectrum(s, tokens)
