"""Laws of free products: against closed densities, against their own mass and mean, and where they must refuse."""

import math

import numpy as np
import pytest

from solvers.factors import discrete, smooth
from solvers.free import Product, Unresolved
from solvers.support import bands, edges

LINEAR, RELU = discrete([1.0], [1.0]), discrete([1.0, 0.0], [0.5, 0.5])


def tanh(q):
    r = math.sqrt(q)
    return smooth(lambda t: (1 - np.tanh(r * t) ** 2) ** 2, lambda t: -4 * r * np.tanh(r * t))


def erf(q):
    return smooth(lambda t: 4 / np.pi * np.exp(-2 * q * t * t), lambda t: -4 * q * t)


FACTORS = {
    "linear": LINEAR,
    "relu": RELU,
    "hard_tanh": discrete([1.0], [0.95]),
    "leaky": discrete([0.04, 1.0], [0.5, 0.5]),
    "tanh small": tanh(0.01),
    "tanh": tanh(0.5),
    "erf": erf(0.5),
}


def product(name, depth, gaussian):
    factor = FACTORS[name]
    return Product(factor, depth, 1 / factor.moment(1), gaussian)


def test_marchenko_pastur():
    x = np.array([1e-8, 0.1, 1, 3, 3.9999, 4.0001, 100, -1])
    found, reason = product("linear", 1, True).density(x)
    inside = (x > 0) & (x < 4)
    wanted = np.where(inside, np.sqrt(np.maximum(0, (4 - x) / np.where(inside, x, 1))) / (2 * np.pi), 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)
    assert not reason.any()


def test_two_gaussian_layers_agree_with_the_root_of_the_cubic():
    """z w = (1 + w)^3."""
    x = np.linspace(0.01, 6.7, 50)
    found, _ = product("linear", 2, True).density(x)
    wanted = [max(np.roots([1, 3, 3 - y, 1]).imag) / np.pi / y for y in x]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_marchenko_pastur_with_half_of_the_neurons():
    law = product("relu", 1, True)
    np.testing.assert_allclose(edges(law), [3 - math.sqrt(8), 3 + math.sqrt(8)], rtol=1e-12)


def test_two_random_projections_have_the_arcsine_law():
    """P Q P with halves of the space, times 4: density 1/(2 pi sqrt(x (4 - x))) beside the atom."""
    law = product("relu", 2, False)
    x = np.array([0.01, 1, 2, 3.99])
    np.testing.assert_allclose(law.density(x)[0], 1 / (2 * np.pi * np.sqrt(x * (4 - x))), rtol=1e-9)
    assert law.atoms == {0.0: 0.5}


def test_one_orthogonal_layer_has_the_law_of_the_slopes():
    q = 0.7
    law = Product(erf(q), 1, 1.0, False)
    d = np.array([1e-3, 0.1, 1.0, 1.27])
    t = np.sqrt(-np.log(d * np.pi / 4) / (2 * q))
    np.testing.assert_allclose(
        law.density(d)[0], 2 * np.exp(-t * t / 2) / np.sqrt(2 * np.pi) / (4 * q * t * d), rtol=1e-6
    )
    assert law.density(np.array([4 / np.pi + 1e-6]))[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("depth", [1, 2, 10, 100])
def test_the_largest_of_linear_gaussian_layers(depth):
    assert edges(product("linear", depth, True)) == pytest.approx(
        [math.exp((depth + 1) * math.log(depth + 1) - depth * math.log(depth))]
    )


@pytest.mark.parametrize("gaussian", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 10])
@pytest.mark.parametrize("name", FACTORS)
def test_mass_and_mean(name, depth, gaussian):
    law = product(name, depth, gaussian)
    found = bands(law)
    assert sum(law.atoms.values()) + sum(b.mass for b in found) == pytest.approx(1, abs=1e-8)
    assert sum(x * m for x, m in law.atoms.items()) + sum(b.mean for b in found) == pytest.approx(law.mean, rel=1e-8)


def test_the_wrong_mean_is_noticed():
    law, other = product("tanh", 3, True), product("tanh", 4, True)
    assert sum(b.mean for b in bands(law)) != pytest.approx(1.01 * other.mean, rel=1e-3)


def test_a_heavy_slope_leaves_an_atom_between_orthogonal_weights_alone():
    """Mass 1 - L (1 - p) at (s d)^L while that is positive."""
    found = product("hard_tanh", 2, False).atoms
    np.testing.assert_allclose([*found.items()], [(0.0, 0.05), (0.95**-2, 0.9)], rtol=1e-12)
    assert product("hard_tanh", 2, True).atoms == pytest.approx({0.0: 0.05})
    assert set(Product(discrete([1.0], [0.5]), 3, 2.0, False).atoms) == {0.0}


def test_a_law_may_have_a_gap():
    assert len(bands(product("leaky", 1, True))) == 2


def test_what_cannot_be_integrated_is_nan_with_a_reason():
    """cos^2 is not continued off the axis: with one orthogonal layer zeta lies on it."""
    law = Product(smooth(lambda t: np.cos(t) ** 2 + 0j, None), 1, 1.0, False)
    value, reason = law.density(np.array([0.5, 2.0]))
    assert math.isnan(value[0]) and value[1] == pytest.approx(0, abs=1e-12)
    assert Unresolved(reason[0]) in (Unresolved.RULE, Unresolved.STEPS) and Unresolved(reason[0]).why != "resolved"


def test_bad_laws_are_refused():
    with pytest.raises(ValueError, match="a finite value above 0"):
        discrete([0.0], [1.0])
    with pytest.raises(ValueError, match="depth >= 1"):
        Product(LINEAR, 0, 1.0, True)
