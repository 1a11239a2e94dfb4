"""Laws of quadratic forms of attention weights, their mixtures, against printed numbers, plain NumPy and mpmath."""

import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad

from solvers import mixtures
from solvers.covariances import covariance
from solvers.rules import Form, gathered, gram_factor
from solvers.softmax_moments import participation_moments, series_power
from tests.symbolic import softmax_oracle

# Gamma = I, v = 1: E Q, E Q^2, excess kurtosis of one head; found once by another quadrature.
TABLE = {
    1: ("1", "1", "0"),
    2: ("0.63683815396837", "0.42178275627969", "0.119980830757"),
    3: ("0.48156572077722", "0.24679871263659", "0.192662525295"),
    4: ("0.39197144357570", "0.16610289098582", "0.243318425220"),
    8: ("0.23231344723237", "0.060318678488506", "0.352929132977"),
    16: ("0.13245221721987", "0.020040380601946", "0.426957785266"),
    32: ("0.072814328335604", "0.0060910304363404", "0.446500364703"),
}
# Four tokens, other v: E Q and the kurtosis.
OTHER = {0.25: ("0.29374511616043", "0.048367454546602"), 0.5: ("0.33136643748924", "0.126833143612764")}


@pytest.mark.parametrize("tokens", TABLE)
def test_moments_of_independent_scores(tokens: int) -> None:
    (first, second), errors = participation_moments(tokens, 1.0, 2)
    for found, printed in zip((first, second, 3 * (second / first**2 - 1)), TABLE[tokens], strict=True):
        assert abs(found - float(printed)) < 1e-12
    assert (errors < 1e-12).all()


@pytest.mark.parametrize("v", OTHER)
def test_moments_of_other_variances(v: float) -> None:
    (first, second), _ = participation_moments(4, v, 2)
    mean, kurtosis = map(float, OTHER[v])
    assert abs(first - mean) < 1e-13 and abs(3 * (second / first**2 - 1) - kurtosis) < 1e-13


@pytest.mark.parametrize(("tokens", "v"), [(4, "2"), (4, "4"), (1, "1"), (3, "1"), (32, "1")])
@pytest.mark.parametrize("k", [1, 2])
def test_moments_against_mpmath(tokens: int, v: str, k: int) -> None:
    found, _ = participation_moments(tokens, float(v), 2)
    assert abs(found[k - 1] - softmax_oracle.moment(k, tokens, v)) < 1e-13


def two_tokens(power: int, v: str) -> mpmath.mpf:
    """E (A^2 + (1 - A)^2)^power, A = sigmoid(sqrt(2 v) z), in 30 digits."""
    with mpmath.workdps(30):
        h, root = mpmath.mpf(1) / 16, mpmath.sqrt(2 * mpmath.mpf(v))

        def q(z: mpmath.mpf) -> mpmath.mpf:
            a = 1 / (1 + mpmath.exp(-root * z))
            return a**2 + (1 - a) ** 2

        return h * mpmath.fsum(mpmath.npdf(h * n) * q(h * n) ** power for n in range(-220, 221))


@pytest.mark.parametrize(("v", "power"), [("1", 1), ("1", 2), ("1", 5), ("0.25", 3), ("4", 2)])
def test_two_tokens_against_mpmath(v: str, power: int) -> None:
    found, errors = participation_moments(2, float(v), power)
    exact = float(two_tokens(power, v))
    assert abs(found[-1] - exact) < 1e-11 and abs(found[-1] - exact) <= errors[-1] + 1e-15


def test_large_scores_against_the_lattice() -> None:
    v = 100.0
    form = Form(np.eye(3), v, "softmax")
    found, errors = form.mean(lambda rule: np.array([rule.places @ rule.masses, rule.places**2 @ rule.masses]))
    exact, _ = participation_moments(3, v, 2)
    assert np.abs(found / exact - 1).max() < 1e-10 and (errors < 1e-8).all()


def test_larger_scores_are_left_to_rules() -> None:
    assert not Form(np.eye(3), 2000.0, "softmax").even


@pytest.mark.parametrize(("tokens", "v"), [(2, 1.0), (3, 0.3), (4, 1.0), (4, 4.0), (4, 1e-3)])
def test_the_lattice_knows_the_same_moments(tokens: int, v: float) -> None:
    form, k = Form(np.eye(tokens), v, "softmax"), np.arange(1, 5)
    found, errors = form.mean(lambda rule: (rule.places[:, None] ** k * rule.masses[:, None]).sum(axis=0))
    exact, _ = participation_moments(tokens, v, 4)
    assert np.abs(found / exact - 1).max() < 1e-11
    assert (np.abs(found - exact) <= errors + 1e-14).all()


def test_points_know_their_error() -> None:
    form, k = Form(np.eye(8), 1.0, "softmax"), np.arange(1, 3)
    assert form.how == "integrals over one variable" and not form._lattice
    found, errors = form.mean(lambda rule: (rule.places[:, None] ** k * rule.masses[:, None]).sum(axis=0))
    exact, _ = participation_moments(8, 1.0, 2)
    assert (np.abs(found - exact) <= 1.5 * errors).all() and (errors < 1e-3 * exact).all()


def test_a_form_of_relu_tokens() -> None:
    """Gamma_ii = 1/2, Gamma_ij = 1/(2 pi): what the scores share is not seen."""
    gram = np.full((4, 4), 0.5 / math.pi) + (0.5 - 0.5 / math.pi) * np.eye(4)
    (first, second), errors = Form(gram, 0.5, "softmax").moments(2)
    assert abs(first - 0.25476594676766) < 1e-13 and abs(second - 0.064983985211918) < 1e-13
    assert abs(3 * (second / first**2 - 1) - 0.003618985439579) < 1e-12 and errors.max() < 1e-12


def test_identity_scores_have_the_moments_of_a_quadratic_form() -> None:
    gram = np.array([[1.0, 0.4], [0.4, 0.7]])
    form, k = Form(gram, 1.3, "identity"), np.arange(1, 4)
    exact, _ = form.moments(3)
    found, _ = form.mean(lambda rule: (rule.places[:, None] ** k * rule.masses[:, None]).sum(axis=0))
    assert np.abs(found / exact - 1).max() < 1e-10
    assert exact[0] == pytest.approx(1.3 * np.trace(gram @ gram), rel=1e-14)


def test_relu_scores_against_closed_forms() -> None:
    """Independent scores: E Q = s v/2, E Q^2 = s 3 v^2/2 + s (s - 1) v^2/4."""
    (first, second), (first_error, second_error) = Form(np.eye(3), 0.8, "relu").moments(2)
    assert abs(first - 1.2) <= 1.5 * first_error and abs(second - 0.64 * (4.5 + 1.5)) <= 1.5 * second_error
    assert first_error < 1e-4


def test_scores_that_do_not_vary() -> None:
    assert Form(np.ones((3, 3)), 1.0, "softmax").constant
    assert Form(np.eye(3), 0.0, "softmax").moments(2)[0] == pytest.approx([1 / 3, 1 / 9])
    assert not Form(np.outer([1, -1], [1, -1]), 1.0, "softmax").constant


def test_rules_keep_moments_and_masses() -> None:
    rng = np.random.default_rng(0)
    places, masses = rng.random(500), rng.random(500)
    rule = gathered(places, masses / masses.sum(), 8)
    for k in range(16):
        assert (rule.places**k) @ rule.masses == pytest.approx((places**k) @ masses / masses.sum(), rel=1e-12)
    assert len(gathered(np.ones(3), np.ones(3)).places) == 1


def test_a_singular_gram_has_a_factor_of_its_rank() -> None:
    x = np.array([[1.0, 2.0], [2.0, 4.0], [1.0, 0.0]])
    factor = gram_factor(x @ x.T)
    assert factor.shape == (3, 2) and np.allclose(factor @ factor.T, x @ x.T)


def test_a_power_of_a_series() -> None:
    assert series_power(np.array([[1.0], [2.0], [3.0]]), 3)[:, 0].tolist() == [1, 6, 21]


# -- mixtures ------------------------------------------------------------------------------------------------------

PLACES, MASSES = np.array([0.2, 0.5, 1.1]), np.array([0.5, 0.3, 0.2])


def by_hand(y: float, heads: int) -> tuple[float, float]:
    """Density and tail of the mixture over all choices of `heads` places."""
    from itertools import product

    density, tail = 0.0, 0.0
    for choice in product(range(3), repeat=heads):
        v, weight = 1.7 * PLACES[list(choice)].mean(), MASSES[list(choice)].prod()
        density += weight * math.exp(-y * y / (2 * v)) / math.sqrt(2 * math.pi * v)
        tail += weight * math.erfc(y / math.sqrt(2 * v)) / 2
    return density, tail


@pytest.mark.parametrize("heads", [1, 2, 5])
@pytest.mark.parametrize("y", [0.0, 0.01, 1.0, 4.0, 15.0])
def test_densities_and_tails(y: float, heads: int) -> None:
    density = mixtures.evaluated(mixtures.log_densities, y, PLACES, MASSES, 1.7, heads)
    tail = mixtures.evaluated(mixtures.log_tails, y, PLACES, MASSES, 1.7, heads)
    expected = by_hand(y, heads)
    assert math.exp(density) == pytest.approx(expected[0], rel=1e-11)
    assert math.exp(tail) == pytest.approx(expected[1], rel=1e-11)


@pytest.mark.parametrize("heads", [1, 3])
def test_quantiles_invert_tails(heads: int) -> None:
    for u in (0.001, 0.3, 0.5, 0.975):
        y = mixtures.quantile(u, PLACES, MASSES, 1.7, heads)
        assert by_hand(abs(y), heads)[1] == pytest.approx(min(u, 1 - u), rel=1e-11) and (y < 0) == (u < 0.5)


def test_moments_of_many_heads() -> None:
    single = np.array([(PLACES**k) @ MASSES for k in range(1, 4)])
    found = mixtures.sum_moments(single, 2)
    total = (PLACES[:, None] + PLACES) / 2
    weights = MASSES[:, None] * MASSES
    assert found == pytest.approx([(total**k * weights).sum() for k in range(1, 4)], rel=1e-13)


def test_a_density_of_many_heads_is_nearly_gaussian() -> None:
    v = 1.7 * PLACES @ MASSES
    value = quad(
        lambda y: y**2 * math.exp(mixtures.evaluated(mixtures.log_densities, y, PLACES, MASSES, 1.7, 999)), -9, 9
    )
    assert value[0] == pytest.approx(v, rel=1e-9)


def test_covariances_of_rows() -> None:
    keys = np.ones((3, 3), dtype=bool)
    found, wide = covariance(np.eye(3), keys, 1.0, "softmax")
    assert found[0, 1] == pytest.approx(1 / 3) and wide[0, 1] < 1e-15
    gram = np.array([[1.0, 0.5], [0.5, 1.0]])
    found, wide = covariance(gram, np.ones((2, 2), dtype=bool), 1.0, "softmax")
    rng = np.random.default_rng(1)
    factor = np.linalg.cholesky(gram)
    p = factor @ rng.standard_normal((400_000, 2, 2)) @ factor.T
    a = np.exp(p) / np.exp(p).sum(axis=2, keepdims=True)
    sampled = (a @ gram @ a.swapaxes(1, 2))[:, 0, 1]
    assert abs(found[0, 1] - sampled.mean()) < 4 * sampled.std() / math.sqrt(len(sampled)) + wide[0, 1]
    exact, _ = covariance(gram, np.ones((2, 2), dtype=bool), 1.3, "identity")
    assert exact[0, 1] == pytest.approx(1.3 * 0.5 * (gram**2).sum())
