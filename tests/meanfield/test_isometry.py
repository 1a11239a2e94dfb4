"""Singular values of Jacobians: their laws against real networks, and against laws that must not fit."""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.finite.jacobians import factors, squared_singular_values
from meanfield.isometry import lyapunov_exponents, singular_values
from symbolic.activations import activation

WIDTH, SEEDS = 400, 4
# Kolmogorov's distance of WIDTH * SEEDS independent numbers exceeds this with probability 1e-3; slopes of neurons are
# nearly independent, eigenvalues repel each other and fluctuate less.
FAR = 1.95 / math.sqrt(WIDTH * SEEDS)


def jacobian(law, rng):
    """The squared singular values of one network with inputs of squared norm q * width."""
    dense = mf.Dense(law.weight_var, law.bias_var)
    phi, shape = activation(law.activation), {"depth": law.depth, "width": WIDTH, "ensemble": law.ensemble}
    return squared_singular_values(factors(phi, dense, **shape, q=law.q, rng=rng))


def distance(found, law):
    """Kolmogorov-Smirnov; numbers that rounding has moved off an atom are put back."""
    for place in law.atoms:
        found = np.where(abs(found - place) <= 1e-9 * max(place, 1e-9), place, found)
    x, counts = np.unique(found, return_counts=True)
    above = np.cumsum(counts) / len(found)
    left = law.cdf(x) - np.array([law.atoms.get(float(y), 0.0) for y in x])
    return max(abs(above - law.cdf(x)).max(), abs(above - counts / len(found) - left).max())


PAIRS = [
    ("linear", "gaussian", 0.0),
    ("relu", "gaussian", 0.0),
    ("relu", "orthogonal", 0.0),
    ("tanh", "gaussian", 0.09),
    ("tanh", "orthogonal", 0.09),
    ("hard_tanh", "orthogonal", 0.05),
    ("erf", "orthogonal", 0.05),
]


@pytest.mark.parametrize(("phi", "ensemble", "bias_var"), PAIRS)
def test_real_jacobians_have_the_predicted_law_and_not_another(phi, ensemble, bias_var):
    law = singular_values(phi, depth=5, ensemble=ensemble, bias_var=bias_var)
    other = {"gaussian": "orthogonal", "orthogonal": "gaussian"}[ensemble]
    twins = [
        singular_values(phi, depth=5, ensemble=other, bias_var=bias_var),
        singular_values(phi, depth=9, ensemble=ensemble, bias_var=bias_var),
    ]
    found = np.concatenate([jacobian(law, np.random.default_rng(seed)) for seed in range(SEEDS)])
    assert distance(found, law) < FAR
    assert all(distance(found, twin) > FAR for twin in twins)


@pytest.mark.parametrize(("phi", "ensemble", "bias_var"), PAIRS)
def test_density_distribution_and_moments_agree(phi, ensemble, bias_var):
    law = singular_values(phi, depth=3, ensemble=ensemble, bias_var=bias_var)
    assert law.cdf(law.largest * (1 + 1e-9)) == pytest.approx(1, abs=1e-8)
    assert law.cdf(-1.0) == pytest.approx(0, abs=1e-12)
    a, b = 0.3 * law.largest, 0.6 * law.largest
    t, w = np.polynomial.legendre.leggauss(60)
    x = a + (b - a) * (t + 1) / 2
    inside = sum(m for y, m in law.atoms.items() if a < y <= b)
    assert law.cdf(b) - law.cdf(a) == pytest.approx((b - a) / 2 * (w @ law.density(x)) + inside, abs=1e-7)
    edge = law.largest - law.largest * np.linspace(1, 0, 4001)[:-1] ** 4
    middle, f = (edge[1:] + edge[:-1]) / 2, np.diff(law.cdf(edge))
    second = sum(m * y**2 for y, m in law.atoms.items() if y == law.largest) + (middle**2 * f).sum()
    assert second == pytest.approx(law.moments(2)[1], rel=1e-3)


@pytest.mark.parametrize(
    ("phi", "ensemble", "per_layer"),
    [("linear", "gaussian", 1), ("linear", "orthogonal", 0), ("relu", "gaussian", 2), ("relu", "orthogonal", 1)],
)
@pytest.mark.parametrize("depth", [1, 10])
def test_variances_of_homogeneous_layers(phi, ensemble, per_layer, depth):
    law = singular_values(phi, depth=depth, ensemble=ensemble)
    assert law.variance == pytest.approx(per_layer * depth, abs=1e-12)
    assert law.mean == pytest.approx(1)
    m_1, m_2 = law.moments(2)
    assert m_2 / m_1**2 - 1 == pytest.approx(law.variance, abs=1e-9)


@pytest.mark.parametrize(("ensemble", "wanted"), [("gaussian", 14.5532), ("orthogonal", 4.5532)])
def test_tanh_on_the_edge_of_chaos(ensemble, wanted):
    assert singular_values("tanh", depth=10, ensemble=ensemble, bias_var=0.09).variance == pytest.approx(
        wanted, abs=5e-5
    )


def test_linear_gaussian_layers():
    law = singular_values("linear", depth=10)
    assert law.moments(5) == pytest.approx([math.comb(11 * k, k) / (10 * k + 1) for k in range(1, 6)])
    assert law.largest == pytest.approx(11**11 / 10**10)
    assert law.largest == pytest.approx(28.5312, abs=5e-5)


def test_orthogonal_linear_layers_are_an_isometry():
    law = singular_values("linear", depth=20, ensemble="orthogonal")
    assert law.atoms == {1.0: 1.0} and law.support == [] and law.variance == 0
    assert law.cdf([0.999, 1.0]).tolist() == [0, 1]


def test_small_lengths_approach_isometry_for_orthogonal_weights():
    near, far = (singular_values("erf", depth=10, ensemble="orthogonal", bias_var=b) for b in (1e-6, 1e-1))
    assert near.variance < 0.05 * far.variance and near.largest < far.largest


def test_a_block_brings_its_own_variances():
    law = singular_values(mf.tanh >> mf.Dense(1.5, 0.05), depth=4)
    assert (law.weight_var, law.bias_var) == (1.5, 0.05)
    assert law.q == pytest.approx(mf.phase(mf.tanh >> mf.Dense(1.5, 0.05)).q)
    assert law.chi == pytest.approx(mf.phase(mf.tanh >> mf.Dense(1.5, 0.05)).chi_1)
    assert law.mean == pytest.approx(law.chi**4)


def test_zero_length_is_linear():
    law = singular_values("tanh", depth=3, weight_var=0.5, bias_var=0.0)
    assert law.q == 0 and law.variance == pytest.approx(3) and law.mean == pytest.approx(0.125)


def test_what_it_says_of_itself():
    law = singular_values("relu", depth=2)
    assert law.to_dict()["support"] == [[0.0, pytest.approx(11.0901699437)]]
    assert str(law).splitlines()[0] == "relu, 2 layers, gaussian weights: squared singular values of the Jacobian"
    value, why = law.density([0.0, 1.0], reasons=True)
    assert math.isnan(value[0]) and why[0] and value[1] > 0 and why[1] == ""


def test_an_activation_that_is_not_resolved_says_so():
    law = singular_values("sin", depth=1, ensemble="orthogonal", weight_var=1.0, bias_var=0.5)
    assert law.variance > 0 and len(law.moments(3)) == 3
    with pytest.raises(mf.NotConverged, match="its moments are known, its cdf not"):
        law.cdf(0.5)


def test_lyapunov_exponents(printed):
    table = ["-.0651", "-.1416", "-.2318", "-.3416", "-.4818", "-.6749", "-.9818", "-1.6749"]
    assert lyapunov_exponents(8).tolist() == [printed(text) for text in table]
    np.testing.assert_allclose(lyapunov_exponents(8, weight_var=4.0) - lyapunov_exponents(8), math.log(2))


def test_lyapunov_exponents_of_real_products():
    rng, n, steps = np.random.default_rng(0), 8, 4000
    q, total = np.eye(n), np.zeros(n)
    for _ in range(steps):
        q, r = np.linalg.qr(rng.standard_normal((n, n)) / math.sqrt(n) @ q)
        total += np.log(abs(np.diag(r)))
    # Each log of a chi variable has a standard deviation below 1.2 (n = 1); steps are independent.
    assert abs(total / steps - lyapunov_exponents(n)).max() < 4 * 1.2 / math.sqrt(steps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: singular_values("tanh", depth=0), "depth is a number of layers"),
        (lambda: singular_values("tanh", depth=2.5), "depth is a number of layers"),
        (lambda: singular_values("tanh", depth=2, ensemble="haar"), "'gaussian' or 'orthogonal', not 'haar'"),
        (lambda: singular_values("sign", depth=2, weight_var=1.0), "has no Jacobian"),
        (lambda: singular_values(mf.tanh >> mf.Dense(), depth=2), "give an activation >> Dense"),
        (lambda: singular_values(mf.tanh >> mf.Dense(1, 0), depth=2, weight_var=1.0), "has its variances already"),
        (lambda: singular_values("linear", depth=2).moments(0), "k is how many moments"),
        (lambda: singular_values("linear", depth=2).density(math.nan), "not NaN"),
        (lambda: lyapunov_exponents(0), "n is the size of a matrix"),
        (lambda: lyapunov_exponents(3, weight_var=-1.0), "weight_var must be finite"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
