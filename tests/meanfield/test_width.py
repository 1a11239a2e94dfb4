"""Fluctuations of lengths: printed anchors, exact laws, the exact sampler, and a vertex off by ten per cent."""

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import binom

import meanfield as mf
from meanfield.finite import grams, stream
from meanfield.width import finite_width
from symbolic.critical import NoEdge

TANH = finite_width("tanh", depth=3000, width=100)


def off_by(values, expected):
    """(mean - expected) in standard errors."""
    return (values.mean(axis=0) - expected) / (values.std(axis=0) / np.sqrt(len(values)))


def squares(samples):
    """What has the variance as its mean."""
    return (samples - samples.mean(axis=0)) ** 2


@pytest.mark.parametrize(
    ("layer", "length", "vertex"),
    [
        (1, ".3942944904", ".097523738086"),
        (10, ".0522000828", ".016782773642"),
        (100, ".0050690192", "1.6821896276e-3"),
    ],
)
def test_critical_tanh_has_the_printed_lengths_and_vertices(printed, layer, length, vertex):
    assert TANH.K[layer] == printed(length)
    assert TANH.V[layer] == printed(vertex)


@pytest.mark.parametrize(("layer", "ratio"), [(100, ".654677"), (3000, ".665947")])
def test_far_down_the_vertex_of_tanh_grows_as_nu(printed, layer, ratio):
    assert TANH.V[layer] / TANH.K[layer] ** 2 / layer == printed(ratio)
    assert TANH.V[3000] / TANH.K[3000] ** 2 / 3000 == pytest.approx(TANH.nu, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "nu"),
    [("relu", 5), ("linear", 2), ("abs", 2), ("tanh", 2 / 3), ("sin", 2 / 3), ("erf", 2 / 3), ("hard_tanh", 2 / 3)],
)
def test_nu_comes_from_the_vertex(name, nu):
    found = finite_width(name, depth=5, width=100)
    assert found.nu == pytest.approx(nu, rel=1e-14)
    if nu > 1:
        np.testing.assert_allclose(found.V / found.K**2, nu * np.arange(6), rtol=1e-13)


def test_a_bend_at_0_is_seen_by_nu_in_the_deep_limit():
    found = finite_width("Max(tanh(x), tanh(x)/2)", depth=4000, width=1)
    assert found.nu == pytest.approx((3 * (17 / 16) / 2 / (5 / 8) ** 2 - 1) / 3, rel=1e-14)
    assert found.V[-1] / found.K[-1] ** 2 / 4000 == pytest.approx(found.nu, rel=5e-3)


@pytest.mark.parametrize(("name", "ratio"), [("relu", ".034783"), ("linear", ".086957"), ("tanh", ".260870")])
def test_optimal_aspect_ratios(printed, name, ratio):
    found = finite_width(name, depth=1, width=10)
    assert found.aspect_ratio() == printed(ratio)
    assert found.aspect_ratio(outputs=10) == pytest.approx(found.aspect_ratio() * 23 / 50)


@pytest.mark.parametrize(
    ("name", "width", "depth", "moment"),
    [("linear", 20, 5, "1.6105"), ("relu", 20, 5, "3.052"), ("linear", 50, 20, "2.191"), ("relu", 50, 20, "6.73")],
)
def test_norm_products(printed, name, width, depth, moment):
    assert finite_width(name, depth=depth, width=width).second_moment() == printed(moment)


def test_each_layer_may_have_its_own_width():
    widths = (30, 7, 100)
    found = finite_width("linear", depth=3, width=widths)
    assert found.scale == pytest.approx(sum(1 / n for n in widths))
    assert found.relative[-1] == pytest.approx(2 * found.scale)
    assert found.second_moment() == pytest.approx(np.prod([1 + 2 / n for n in widths]))
    assert found.sample(networks=10).shape == (10, 4)


@pytest.mark.parametrize("n", [1, 2, 5, 50, 1000])
def test_mean_logarithms_are_digamma_functions(n):
    linear, relu = (finite_width(name, depth=3, width=n).log_length() for name in ("linear", "relu"))
    m = np.arange(1, n + 1)
    alive = binom.pmf(m, n, 0.5) / (1 - 0.5**n)
    assert linear == pytest.approx(3 * (digamma(n / 2) - np.log(n / 2)), abs=1e-12)
    assert relu == pytest.approx(3 * (alive @ digamma(m / 2) - np.log(n / 4)), abs=1e-12)
    if n == 1000:
        assert linear == pytest.approx(-3 / n, rel=1e-2)
        assert relu == pytest.approx(-7.5 / n, rel=1e-2)


def test_mean_logarithm_of_two_slopes_and_of_a_length_that_grows():
    found = finite_width("Max(x, x/4)", depth=2, width=6, weight_var=3)
    assert abs(off_by(np.log(found.sample()[:, -1]), found.log_length())) < 3.5


@pytest.mark.parametrize(("depth", "moment"), [(5, "1.3986"), (10, "2.0080")])
def test_moment_of_the_tangent_kernel_of_relu(printed, depth, moment):
    assert finite_width("relu", depth=depth, width=50).tangent_moment() == printed(moment)


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
def test_moment_of_the_tangent_kernel_at_a_fixed_ratio(beta):
    deep, deeper = (finite_width("relu", depth=n, width=round(n / beta)) for n in (500, 1000))
    formula = np.exp(5 * beta) * 2 * (1 / (4 * beta) - (1 - np.exp(-4 * beta)) / (16 * beta**2))
    assert deep.tangent_moment_limit() == pytest.approx(formula, rel=1e-10)
    assert 2 * deeper.tangent_moment() - deep.tangent_moment() == pytest.approx(formula, rel=2e-4)


def tangents(phi, slope, weight_var, depth, n, networks, rng):
    """Tangent kernels of one input, a sum over layers of |x|^2 |g|^2, of real networks with n neurons per layer."""
    x = np.ones((networks, n))
    scale, weights, forward, masks = np.sqrt(weight_var / n), [], [np.full(networks, float(n))], []
    for _ in range(depth):
        weights.append(scale * rng.standard_normal((networks, n, n)))
        h = np.einsum("bij,bj->bi", weights[-1], x)
        x = phi(h)
        masks.append(slope(h))
        forward.append((x * x).sum(axis=1))
    g, found = scale * rng.standard_normal((networks, n)), forward[-1].copy()
    for w, mask, size in zip(weights[::-1], masks[::-1], forward[-2::-1], strict=True):
        g = g * mask
        found += size * (g * g).sum(axis=1)
        g = np.einsum("bij,bi->bj", w, g)
    return found


@pytest.mark.parametrize(
    ("name", "phi", "slope"),
    [("relu", lambda h: np.maximum(h, 0), lambda h: h > 0), ("linear", lambda h: h, lambda h: np.ones_like(h))],
)
def test_tangent_kernels_of_real_networks_scatter_as_said(name, phi, slope):
    theory, rng = finite_width(name, depth=4, width=40), stream(0, len(name))
    weight_var = 2 if name == "relu" else 1
    kernels = np.concatenate([tangents(phi, slope, weight_var, 4, 40, 500, rng) for _ in range(12)])
    kernels /= kernels.mean()
    ratio = kernels**2 - 2 * np.mean(kernels**2) * (kernels - 1)  # with the noise of the mean taken out
    assert abs(off_by(ratio, theory.tangent_moment())) < 3.5
    assert abs(off_by(ratio, 1 + 1.2 * (theory.tangent_moment() - 1))) > 3.5


@pytest.mark.parametrize("name", ["relu", "linear", "leaky_relu"])
def test_the_norm_product_is_that_of_sampled_networks(name):
    found = finite_width(name, depth=3, width=20)
    lengths = found.sample()[:, -1]
    assert abs(off_by(lengths, 1.0)) < 3.5
    assert abs(off_by(lengths**2, found.second_moment())) < 3.5
    assert abs(off_by(lengths**2, 1 + 0.9 * (found.second_moment() - 1))) > 3.5


def test_the_first_vertex_is_exact_at_any_width():
    found = finite_width("tanh", depth=1, width=10)
    lengths = found.sample()[:, 1]
    assert abs(off_by(lengths, found.K[1])) < 3.5
    assert abs(off_by(squares(lengths), found.variance[1])) < 3.5
    assert abs(off_by(squares(lengths), 0.9 * found.variance[1])) > 3.5


def test_vertices_are_the_limit_of_wide_networks_and_ten_per_cent_are_noticed():
    narrow, wide = (finite_width("tanh", depth=4, width=n) for n in (60, 240))
    a, b = 60 * squares(narrow.sample(networks=40_000)), 240 * squares(wide.sample(networks=40_000))
    limit = (4 * b.mean(axis=0) - a.mean(axis=0))[1:] / 3
    error = np.hypot(4 * b.std(axis=0), a.std(axis=0))[1:] / 3 / np.sqrt(len(a))
    assert (abs(limit - wide.V[1:]) < 3.5 * error).all()
    assert (abs(limit - 1.1 * wide.V[1:]) > 3.5 * error).all()


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_lengths_drawn_without_weights_have_the_law_of_those_with(name):
    found = finite_width(name, depth=2, width=30, weight_var=1.5, bias_var=0.1)
    block = mf.activation(name) >> mf.Dense(1.5, 0.1)
    # A first Dense makes Gaussian pre-activations of the input; the length behind a last layer is a mean of given ones.
    network, x = mf.Dense(1, 0) >> block, np.ones((1, 30))
    weights = np.array([grams(network, x, width=30, rng=stream(0, i))[-1, 0, 0] for i in range(3000)])
    rng = stream(1)
    without = found.sample(networks=100_000)[:, 1] * rng.chisquare(30, 100_000) / 30
    for power in (1, 2):
        error = np.hypot((weights**power).std() / 3000**0.5, (without**power).std() / 100_000**0.5)
        assert abs((weights**power).mean() - (without**power).mean()) < 3.5 * error


def test_chi_is_the_slope_of_the_length_map():
    block, h = mf.tanh >> mf.Dense(1.7, 0.1), 1e-6
    found = finite_width(block, depth=3, width=10, q0=0.6)
    above, below = (finite_width(block, depth=1, width=10, q0=found.K[2] + s * h).K[1] for s in (1, -1))
    assert found.chi_par[2] == pytest.approx((above - below) / (2 * h), rel=1e-8)
    assert found.K[3] == pytest.approx(1.7 * mf.mean("tanh(x)**2")(found.K[2]) + 0.1, rel=1e-13)


def test_sampling_is_reproducible_and_streams_differ():
    found = finite_width("relu", depth=2, width=9)
    np.testing.assert_array_equal(found.sample(networks=50, seed=3), found.sample(networks=50, seed=3))
    assert (found.sample(networks=50, seed=3)[:, 1] != found.sample(networks=50, seed=4)[:, 1]).any()


def test_it_says_what_it_found():
    assert "L/n = 0.5" in str(finite_width("relu", depth=5, width=10))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"block": mf.relu >> mf.Dense(2, 0) >> mf.relu >> mf.Dense(2, 0)}, "the vertex is known for blocks such as"),
        ({"block": mf.relu >> mf.Dense(2, 0), "weight_var": 2}, "brings its own variances"),
        ({"block": mf.tanh >> mf.Dense(), "depth": 1}, "has no value"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"width": (3, 4)}, "one for each of the 3 layers, not 2"),
        ({"q0": 0.0}, "q0 is the length of the input"),
        ({"q0": float("nan")}, "q0 is the length of the input"),
        ({"weight_var": -1}, "weight_var must be"),
        ({"block": "tan"}, "unknown activation"),
        ({"block": "linear", "weight_var": 1e-4, "depth": 100}, "at layer 38, too far from 1"),
        ({"block": "linear", "weight_var": 1e60}, "is 1e[+]180 at layer 3, too far from 1"),
    ],
)
def test_bad_input_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        finite_width(**{"block": "tanh", "depth": 3, "width": 10} | given)


@pytest.mark.parametrize("given", [{"depth": 2.5}, {"width": 2.5}, {"width": "10"}, {"block": 3}])
def test_numbers_of_the_wrong_kind_are_refused(given):
    with pytest.raises((TypeError, ValueError)):
        finite_width(**{"block": "tanh", "depth": 3, "width": 10} | given)


def test_an_activation_without_an_edge_asks_for_its_variance():
    with pytest.raises(NoEdge):
        finite_width("softplus", depth=2, width=10)
    assert finite_width("softplus", depth=2, width=10, weight_var=1).V[1] > 0


@pytest.mark.parametrize("ask", ["second_moment", "log_length", "tangent_moment", "tangent_moment_limit"])
@pytest.mark.parametrize("given", [{"block": "tanh"}, {"block": "relu", "weight_var": 2, "bias_var": 0.1}])
def test_exact_laws_are_refused_where_there_are_none(ask, given):
    with pytest.raises(ValueError, match="known for scale-invariant activations"):
        getattr(finite_width(**given, depth=2, width=10), ask)()


def test_the_tangent_moment_asks_for_one_width():
    with pytest.raises(ValueError, match="layers of one width"):
        finite_width("relu", depth=2, width=(10, 20)).tangent_moment()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"block": "tanh", "weight_var": 1.5}, "weight_var = 1, not for"),
        ({"block": "tanh", "weight_var": 1, "bias_var": 0.1}, "bias_var = 0"),
        ({"block": "sigmoid", "weight_var": 1}, r"phi\(0\) = 0"),
        ({"block": "gelu"}, "grow away from it"),
    ],
)
def test_nu_is_refused_off_criticality(given, message):
    with pytest.raises(ValueError, match=message):
        _ = finite_width(**given, depth=2, width=10).nu
