"""The law of attention as formulas, against mpmath and against numbers of other quadratures."""

import mpmath
import pytest
from sympy import IndexedBase, Rational, Symbol, exp, gamma, integrate, oo, symbols

from symbolic.attention_law import (
    MU,
    NU,
    ConditionalGaussian,
    excess_kurtosis,
    moment,
    participation_moment,
    scale_moment,
    score_covariance,
    wick,
)
from tests.symbolic import softmax_oracle


def test_six_gaussians_have_fifteen_pairings() -> None:
    assert wick("aaaaaa", lambda x, y: 1) == 15
    assert wick("aab", lambda x, y: 1) == 0


def test_scores_of_queries_and_keys_are_products() -> None:
    i, j, k, m = symbols("i j k m", integer=True)
    g, tau = IndexedBase("Gamma", symmetric=True), Symbol("tau", positive=True)
    assert score_covariance(i, j, k, m) == tau**2 * g[i, k] * g[j, m]
    # queries that are keys would pair across, too: the twin
    tied = wick([("q", i), ("q", j), ("q", k), ("q", m)], lambda a, b: g[tuple(sorted((a[1], b[1]), key=str))])
    assert tied != g[i, k] * g[j, m]


@pytest.mark.parametrize("heads", [1, 3])
def test_outputs_given_the_scores_have_covariance_a_gamma_at(heads: int) -> None:
    law = ConditionalGaussian(2, heads)
    g = IndexedBase("Gamma", symmetric=True)
    for i in range(2):
        for k in range(2):
            expected = sum(
                a[i, j] * g[tuple(sorted((j, m)))] * a[k, m] for a in law.weights for j in range(2) for m in range(2)
            )
            assert (law.covariance[i, k] - NU**2 * expected / heads).expand() == 0


def test_the_kurtosis_is_three_times_the_relative_variance_of_q_over_heads() -> None:
    heads = Symbol("H", positive=True, integer=True)
    assert (excess_kurtosis() - 3 * (MU[2] - MU[1] ** 2) / (heads * MU[1] ** 2)).simplify() == 0
    assert excess_kurtosis().limit(heads, oo) == 0
    assert moment(2) == NU**2 * MU[1] and moment(3) == 0
    assert moment(4, 1) == 3 * NU**4 * MU[2]


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_moments_of_a_sum_of_heads_by_hand(heads: int) -> None:
    """Q is 0 or 1 with probability 1/2: the sum is binomial."""
    half = dict.fromkeys((MU[k] for k in range(1, 5)), Rational(1, 2))
    for k in range(1, 5):
        found = scale_moment(k, heads).subs(half) * heads**k / NU ** (2 * k)
        law = {1: [1, 1], 2: [1, 2, 1], 3: [1, 3, 3, 1]}[heads]
        assert found == Rational(sum(w * n**k for n, w in enumerate(law)), 2**heads)


def test_the_integral_that_makes_tokens_independent() -> None:
    t, total = Symbol("t", positive=True), Symbol("S", positive=True)
    assert integrate(t**3 * exp(-t * total), (t, 0, oo)) == gamma(4) / total**4


@pytest.mark.parametrize(("k", "anchor"), [(1, "0.39197144357570"), (2, "0.16610289098582")])
def test_the_integrals_of_four_tokens(k: int, anchor: str) -> None:
    """The partitions evaluated in 25 digits against numbers of another quadrature."""
    assert abs(softmax_oracle.moment(k, 4, "1") - mpmath.mpf(anchor)) < 1e-14


def test_the_partitions_of_two_are_the_known_integrals() -> None:
    t, s, laplace = Symbol("t", positive=True), Symbol("s"), Symbol("L")
    text = str(participation_moment(2, s))
    assert "L(0, t)**(s - 1)*L(4, t)/6" in text and "L(0, t)**(s - 2)*L(2, t)**2/6" in text
    assert laplace not in participation_moment(2, s).free_symbols and t not in participation_moment(2, s).free_symbols
