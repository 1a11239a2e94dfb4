"""The face of the attention law: its numbers, its reasons, its refusals, and theories that are wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kurtosis, norm

import meanfield as mf
from meanfield.theories.sakai2025 import law, predicted

UNEVEN = np.array([[1.0, 0.5, 0.2], [0.5, 1.5, -0.4], [0.2, -0.4, 0.8]])
RELU = np.full((4, 4), 0.5 / math.pi) + (0.5 - 0.5 / math.pi) * np.eye(4)


@pytest.mark.parametrize("heads", [1, 2, 16])
def test_four_orthogonal_tokens(heads, printed):
    found = mf.attention_law(np.eye(4), heads=heads).moments(2)
    assert found.variance == printed("0.39197144357570")
    assert found.kurtosis * heads == printed("0.243318425220")
    assert found.variance_error < 1e-14 and found.kurtosis_error < 1e-12


def test_relu_tokens(printed):
    found = mf.attention_law(RELU)
    assert found.moments().variance == printed("0.25476594676766")
    assert found.moment(4) / 3 == printed("0.064983985211918")
    assert found.kurtosis() == printed("0.003618985439579")
    cross, error = (part[0, 1] for part in found.covariance(error=True))
    assert abs(cross - 0.247591) < 3e-6 + 2 * error


def test_variances_scale():
    one, other = mf.attention_law(UNEVEN), mf.attention_law(2 * UNEVEN, qk_var=0.25, ov_var=1.5)
    assert other.moments(1).variance == pytest.approx(3 * one.moments(1).variance, rel=1e-12)
    assert other.kurtosis(1) == pytest.approx(one.kurtosis(1), rel=1e-10)
    assert other.quantile(0.9, 1) == pytest.approx(math.sqrt(3) * one.quantile(0.9, 1), rel=1e-7)


@pytest.mark.parametrize("options", [{}, {"heads": 3}, {"mask": "causal"}, {"mask": [[1, 0, 1], [1, 1, 0], [1, 1, 1]]},
                                     {"score": "identity", "heads": 4}, {"score": "relu", "heads": 2}],
                         ids=str)  # fmt: skip
def test_samples_have_the_moments_and_the_distribution(options):
    """The sampler and the quadrature share the zeta of scores alone."""
    found = mf.attention_law(UNEVEN, ov_var=0.7, **options)
    x = found.sample(100_000, seed=1)
    cross, error = found.covariance(error=True)
    for i in range(3):
        for k in range(3):
            each = x[:, i] * x[:, k]
            assert abs(each.mean() - cross[i, k]) < 4.5 * each.std() / math.sqrt(len(x)) + error[i, k]
        fourth, wide = found.moment(4, i, error=True)
        assert abs((x[:, i] ** 4).mean() - fourth) < 4.5 * (x[:, i] ** 4).std() / math.sqrt(len(x)) + wide
        assert abs((x[:, i] < 0.3).mean() - found.cdf(0.3, i)) < 4.5 * 0.5 / math.sqrt(len(x))


@pytest.mark.parametrize("heads", [1, 2, math.inf])
def test_densities_integrate_to_the_moments(heads):
    found = mf.attention_law(UNEVEN, heads=heads)
    for m in (0, 2, 4):
        value = 2 * quad(lambda y, m=m: y**m * found.pdf(y, 1), 0, 14, epsabs=1e-12, limit=300)[0]
        assert value == pytest.approx(found.moment(m, 1) if m else 1, rel=1e-9)
    y = found.quantile([0.01, 0.5, 0.9], 1)
    assert found.cdf(y, 1) == pytest.approx([0.01, 0.5, 0.9], rel=1e-10) and y[1] == 0
    value, error = found.log_pdf([0.5, 9.0], 1, error=True)
    assert np.exp(value) == pytest.approx(found.pdf([0.5, -9.0], 1)) and (error < 1e-6).all()


def test_infinitely_many_heads_are_a_gaussian():
    found = mf.attention_law(np.eye(4), heads=math.inf, ov_var=2)
    assert found.kurtosis() == 0 and "infinitely many" in found.gaussian()
    assert found.pdf(0.7) == pytest.approx(norm(0, math.sqrt(found.moments().variance)).pdf(0.7), rel=1e-12)
    assert found.covariance()[0, 1] == pytest.approx(0.5)
    assert np.abs(np.cov(found.sample(50_000).T) - found.covariance()).max() < 0.03
    assert mf.attention_law(np.eye(4), heads=10**6, ov_var=2).pdf(0.7) == pytest.approx(found.pdf(0.7), rel=1e-5)


@pytest.mark.parametrize(
    ("gamma", "options", "words"),
    [
        ([[2.0]], {}, "one token only"),
        (np.ones((3, 3)), {}, "identical"),
        (UNEVEN, {"mask": "causal"}, "one token only"),
        (UNEVEN, {"qk_var": 0}, "do not vary"),
        (UNEVEN, {"scale": "1/d"}, "not random"),
        (UNEVEN, {"scale": "1/d", "tied": True}, "not random"),
    ],
)
def test_gaussian_laws_say_why(gamma, options, words):
    found = mf.attention_law(gamma, heads=2, **options)
    assert words in found.gaussian() and words in str(found) and found.kurtosis() == 0
    assert abs(kurtosis(found.sample(40_000)[:, 0])) < 4.5 * math.sqrt(24 / 40_000)
    deviation = math.sqrt(found.moments().variance)
    assert found.pdf(0.3) == pytest.approx(norm(0, deviation).pdf(0.3), rel=1e-12)
    assert found.quantile(0.8) == pytest.approx(norm(0, deviation).ppf(0.8), rel=1e-12)


def test_opposite_tokens_are_no_gaussian():
    """A Gamma of rank one that is not constant."""
    found = mf.attention_law([[1, -1], [-1, 1]])
    assert found.gaussian() == "" and found.kurtosis() > 1


def test_fixed_scores_that_are_tied():
    gamma = UNEVEN[:2, :2]
    a = np.exp(np.sqrt(2) * gamma)
    a /= a.sum(axis=1, keepdims=True)
    found = mf.attention_law(gamma, scale="1/d", tied=True, qk_var=2)
    assert found.covariance() == pytest.approx(a @ gamma @ a.T)


def test_more_tokens_than_a_lattice_can_hold():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 9))
    found = mf.attention_law(x @ x.T / 9)
    moments = found.moments(3)
    assert "Sobol" in moments.how and 0 < moments.variance_error < 1e-3
    y = found.sample(100_000)[:, 3]
    assert abs((y**2).mean() - moments.variance) < 4.5 * (y**2).std() / math.sqrt(y.size) + moments.variance_error
    value, error = found.pdf(0.4, 3, error=True)
    assert 0 < error < 1e-3 * value


def test_samples_are_reproducible():
    found = mf.attention_law(UNEVEN, heads=2)
    assert (found.sample(5, seed=3) == found.sample(5, seed=3)).all()
    assert found.sample(5, channels=2).shape == (5, 3, 2) and found.sample(5).shape == (5, 3)


def test_the_metric_of_the_paper_sees_a_wrong_variance():
    found = mf.attention_law(np.eye(4), heads=2)
    drawn = found.sample(5000, seed=5)[:, 0]
    floor, off = found.kl(drawn, seed=6), found.kl(1.2 * drawn, seed=6)
    assert 0 < floor < 0.01 < off
    assert found.kl(found.sample(5000)[:, 0]) > 1e-5  # the same seed, other draws
    with pytest.raises(ValueError, match="two distinct samples"):
        found.kl([1.0, 1.0])


@pytest.mark.parametrize(
    ("gamma", "options", "words"),
    [
        ([[1, 2], [2, 1]], {}, "smallest eigenvalue is -1"),
        ([[1, 0.5], [0.4, 1]], {}, "symmetric"),
        ([[1, math.nan], [math.nan, 1]], {}, "must be finite"),
        ([1, 2], {}, "square matrix"),
        (np.zeros((0, 0)), {}, "square matrix"),
        (UNEVEN, {"heads": 0}, "at least 1"),
        (UNEVEN, {"mask": [[1, 0, 0], [0, 0, 0], [1, 1, 1]]}, "row 1 of the mask is empty"),
        (UNEVEN, {"mask": [[1, 1], [1, 1]]}, "for 2 tokens"),
        (UNEVEN, {"tied": True}, "grow like sqrt"),
        (UNEVEN, {"score": "softmin"}, "did you mean 'softmax'"),
    ],
)
def test_what_is_refused(gamma, options, words):
    with pytest.raises(ValueError, match=words):
        mf.attention_law(gamma, **options)


def test_questions_that_have_no_answer():
    found = mf.attention_law(UNEVEN)
    with pytest.raises(ValueError, match="from 0 to 2"):
        found.kurtosis(3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        found.quantile([0.5, 1.0])
    with pytest.raises(ValueError, match="must be finite"):
        found.pdf(math.inf)
    nothing = mf.attention_law(UNEVEN, scale="1/d", score="relu")
    for ask in (nothing.moments, lambda: nothing.pdf(0.0)):
        with pytest.raises(ValueError, match="always 0"):
            ask()
    assert "token 0: 0" in str(nothing)
    with pytest.raises(ValueError, match="has no value"):
        from sympy import Symbol

        mf.attention_law(UNEVEN, ov_var=Symbol("nu", positive=True))


# -- theories that are wrong ---------------------------------------------------------------------------------------


def check_with(solve, case):
    theory = mf.theory("sakai2025")
    return mf.check(replace(theory, solve=solve), case=case)


def test_a_gaussian_theory_is_refuted():
    """The same covariance, fourth cumulant 0."""

    def gaussian(block, case):
        true = predicted(law(block, case))
        return replace(true, values=true.values * [1, 1, 0])

    found = check_with(gaussian, "one head")
    assert found.outcome == "disagrees" and [row.outcome for row in found.rows][2] == "disagrees"


def test_scores_without_gamma_are_refuted():
    """Scores independent of variance qk_var, whatever the tokens: that theory's means over 100,000 draws."""
    rng, keys = np.random.default_rng(0), np.tril(np.ones((3, 3), dtype=bool))
    a = np.where(keys, np.exp(rng.standard_normal((100_000, 3, 3))), 0)
    a /= a.sum(axis=2, keepdims=True)
    covariance = 0.8 * a @ UNEVEN @ a.swapaxes(1, 2)
    variances = covariance[:, range(3), range(3)]
    cross = covariance.mean(axis=0)[np.triu_indices(3, 1)].mean()
    wrong = np.array([variances.mean(), cross, 3 * variances.var(axis=0).mean()])

    def careless(block, case):
        return replace(predicted(law(block, case)), values=wrong)

    assert check_with(careless, "causal, uneven tokens").outcome == "disagrees"


@pytest.mark.slow
def test_the_kurtosis_to_two_per_cent_of_itself():
    """Half a per cent of variance^2, and kurtosis is a quarter of it."""
    found = mf.check("sakai2025", case="one head", margin=0.005, max_draws=16_000)
    assert found.outcome == "agrees", str(found)


def test_the_kernel_of_infinitely_many_heads_is_the_covariance_of_the_law() -> None:
    """Two ways to E A Gamma A^T that share no integral; heads do not matter to it."""
    x = np.random.default_rng(5).standard_normal((1, 3, 7))
    entries = mf.kernel(mf.Attention(qk_var=2, ov_var=0.5, mask="causal"), x)[0, 0]
    law = mf.attention_law(x[0] @ x[0].T / 7, heads=2, qk_var=2, ov_var=0.5, mask="causal")
    found, error = law.covariance(error=True)
    assert (np.abs(found - entries) <= error + 1e-8).all() and np.abs(np.diag(found - entries)).max() < 1e-8
    other = mf.attention_law(law.gamma, qk_var=1, ov_var=0.5, mask="causal").covariance()
    assert np.abs(other - entries).max() > 1e-3
