"""S-transforms and the moments they imply: Fuss-Catalan numbers, known laws, means that close."""

import mpmath
import pytest
import sympy as sp

from symbolic.activations import ACTIVATIONS, activation
from symbolic.closing import formula
from symbolic.freeprob import (
    Z,
    atoms,
    from_moments,
    gaussian,
    moments,
    orthogonal,
    relative_variance,
    slope_moments,
    square_slope,
    two_valued,
)

L, s, p = sp.Symbol("L", positive=True), sp.Symbol("s", positive=True), sp.Symbol("p", positive=True)


@pytest.mark.parametrize("depth", [1, 2, 7, 10])
def test_linear_gaussian_moments_are_fuss_catalan_numbers(depth):
    found = moments(gaussian(1), depth, 5)
    assert found == tuple(sp.binomial(k * depth + k, k) / (k * depth + 1) for k in range(1, 6))


def test_fuss_catalan_numbers_hold_for_a_symbolic_depth():
    for k, found in enumerate(moments(gaussian(1), L, 5), 1):
        wanted = sp.prod([k * L + k - i for i in range(k - 1)]) / sp.factorial(k)
        assert sp.expand(found - wanted) == 0


def test_the_wrong_depth_has_other_moments():
    assert moments(gaussian(1), 6, 2) != moments(gaussian(1), 5, 2)


def test_a_scale_enters_moments_as_its_powers():
    assert [sp.simplify(m / s ** (3 * k)) for k, m in enumerate(moments(gaussian(s), 3, 3), 1)] == [1, 4, 22]


def test_orthogonal_linear_layers_have_one_singular_value():
    assert moments(orthogonal(s), 4, 3) == (s**4, s**8, s**12)


def test_a_two_valued_law_has_its_own_moments():
    assert moments(two_valued(s, p), 1, 4) == (p * s, p * s**2, p * s**3, p * s**4)


def test_reverted_moments_give_back_the_transform():
    mu = moments(two_valued(1, p), 1, 4)
    rest = sp.series(two_valued(1, p), Z, 0, 4).removeO() - from_moments(mu)
    assert sp.simplify(rest) == 0


@pytest.mark.parametrize("weights", [gaussian(s), orthogonal(s)])
def test_the_variance_formula_is_that_of_the_moments(weights):
    mu = sp.symbols("mu_1:3", positive=True)
    m_1, m_2 = moments(from_moments(mu) * weights, L, 2)
    assert sp.simplify(m_2 / m_1**2 - 1 - relative_variance(L, *mu, weights)) == 0


def test_relu_has_variance_2l_gaussian_and_l_orthogonal():
    mu = (sp.S.Half, sp.S.Half)
    assert relative_variance(L, *mu, gaussian(2)) == 2 * L
    assert relative_variance(L, *mu, orthogonal(2)) == L


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("linear", {1: 1}),
        ("relu", {0: sp.S.Half, 1: sp.S.Half}),
        ("hard_tanh", {0: 1 - sp.erf(1 / sp.sqrt(2 * s)), 1: sp.erf(1 / sp.sqrt(2 * s))}),
        ("leaky_relu", {sp.Rational(1, 10000): sp.S.Half, 1: sp.S.Half}),
        ("abs", {1: 1}),
        ("tanh", None),
    ],
)
def test_slopes_of_piecewise_linear_activations(name, found):
    assert atoms(ACTIVATIONS[name], s) == found


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("linear", 1), ("relu", (1 + Z) / (sp.S.Half + Z)), ("hard_tanh", (1 + Z) / (sp.erf(sp.sqrt(2) / 2) + Z))],
)
def test_transforms_of_squared_slopes(name, wanted):
    assert sp.simplify(square_slope(ACTIVATIONS[name], 1, 3) - wanted) == 0


def test_several_slopes_and_smooth_ones_are_expanded():
    a = activation("Max(x, x/2)")
    assert moments(square_slope(a, 1, 3), 1, 3) == tuple((1 + sp.Rational(1, 4) ** k) / 2 for k in (1, 2, 3))
    assert square_slope(ACTIVATIONS["tanh"], 1, 2).has(Z)


@pytest.mark.parametrize(
    ("name", "q", "ratio"),
    [
        ("tanh", ".01", ".000727323740"),
        ("tanh", ".1", ".039709122524"),
        ("tanh", ".5", ".299244126552"),
        ("tanh", "1", ".583479941367"),
        ("tanh", "2", "1.040523085779"),
        ("sin", "1", ".373822536208"),
    ],
)
def test_spread_of_squared_slopes(name, q, ratio):
    mu_1, mu_2 = (m.evalf(20) for m in slope_moments(ACTIVATIONS[name], sp.Rational(q), 2))
    assert float(mu_2 / mu_1**2 - 1) == pytest.approx(float(ratio), abs=5.1e-13)


def test_erf_closes_and_is_exact_at_one():
    q = sp.Symbol("q", positive=True)
    mu_1, mu_2 = (formula(m) for m in slope_moments(ACTIVATIONS["erf"], q, 2))
    assert sp.simplify(mu_1 - 4 / sp.pi / sp.sqrt(1 + 4 * q)) == 0
    assert sp.simplify((mu_2 / mu_1**2).subs(q, 1) - sp.Rational(5, 3)) == 0
    assert mpmath.almosteq(float(mu_2.subs(q, 2)), 16 / mpmath.pi**2 / mpmath.sqrt(17), 1e-14)
