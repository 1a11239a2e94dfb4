"""Growth of gradients through batch normalization: closed formulas, printed tables, real networks."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.batchnorm import batchnorm
from meanfield.finite import stream
from meanfield.finite.batches import batch_gradients
from solvers.iterate import NotConverged

RELU = {
    4: "3.084060948088", 5: "2.273706648193", 8: "1.788189976659", 10: "1.696009869420", 16: "1.589950416765",
    32: "1.521952830552", 64: "1.493062937804", 128: "1.479681272322", 1024: "1.468500991973",
}  # fmt: skip
SLOW = [("relu", 32), ("tanh", 8), ("gelu", 8), ("linear", 8)]


@pytest.mark.parametrize(("batch", "growth"), RELU.items())
def test_relu_has_its_closed_growth_and_the_printed_one(printed, batch, growth):
    found, rho = batchnorm("relu", batch=batch), -1 / (batch - 1)
    angle = np.pi - np.arccos(rho)
    j_0, j_1 = angle / np.pi, (np.sqrt(1 - rho**2) + rho * angle) / np.pi
    assert found.growth == pytest.approx(((batch - 1 + j_0) / (1 - j_1) - 1) / (batch - 3), rel=1e-12)
    assert found.growth == printed(growth)
    assert found.diagonal == pytest.approx(0.5, rel=1e-13)
    assert found.off_diagonal == pytest.approx(j_1 / 2, rel=1e-12)


@pytest.mark.parametrize("batch", [4, 5, 8, 16, 64, 1000])
def test_linear_grows_by_its_closed_formula(batch):
    found = batchnorm("linear", batch=batch)
    assert found.growth == pytest.approx((batch - 2) / (batch - 3), rel=1e-12)
    assert (found.diagonal, found.off_diagonal) == pytest.approx((1, -1 / (batch - 1)), abs=1e-13)


@pytest.mark.parametrize(
    ("batch", "growth"),
    [
        (8, "1.35854812541136"),  # an expansion in 120 Gegenbauer polynomials, see tests/solvers/test_spheres.py
        (32, "1.2083"),
    ],
)
def test_tanh(printed, batch, growth):
    assert batchnorm("tanh", batch=batch).growth == printed(growth)


@pytest.mark.parametrize(
    ("name", "slope"),
    [("gelu", "1.318844970866"), ("silu", "1.212081114757"), ("relu", "1.46694220692426"), ("tanh", "1.177807232304")],
)
def test_large_batches_are_layernorm_behind_the_activation(printed, name, slope):
    found = batchnorm(name, batch=1024)
    assert found.limit == printed(slope)
    assert 2 * found.growth - batchnorm(name, batch=512).growth == pytest.approx(found.limit, abs=2e-5)


@pytest.mark.parametrize("name", ["hard_tanh", "elu", "x**2", "sin"])
def test_errors_are_bounded_and_weights_do_not_matter(name):
    found, twice = batchnorm(name, batch=6), batchnorm(3 * mf.activation(name).formula, batch=6)
    assert twice.growth == pytest.approx(found.growth, abs=found.error + twice.error + 1e-13)
    assert found.error < 1e-10


@pytest.mark.parametrize("batch", [4, 8, 32])
def test_the_square_has_moments_in_closed_form(batch):
    d, rho = batch - 1, -1 / (batch - 1)
    moments = 4 * d + 4 * rho - 12 * d / (d + 2) + 4 * d * (1 + 2 * rho**2) / (d + 2)
    spread = 2 * d * (1 - rho**2) / (d + 2)
    assert batchnorm("x**2", batch=batch).growth == pytest.approx(moments / ((batch - 3) * spread), rel=1e-12)


def test_the_limit_is_the_slope_of_layernorm_behind_the_activation():
    assert batchnorm("relu", batch=8).limit == pytest.approx(
        mf.phase(mf.relu >> mf.LayerNorm() >> mf.Dense(1, 0)).chi_1
    )


@pytest.mark.parametrize(
    ("name", "batch"), [("relu", 8), ("tanh", 32), *(pytest.param(*p, marks=pytest.mark.slow) for p in SLOW)]
)
def test_real_networks_grow_as_said_and_ten_per_cent_are_noticed(name, batch):
    theory, ratios = batchnorm(name, batch=batch), []
    for draw in range(3):
        sizes = batch_gradients(
            theory.phi, mf.Dense(2, 0.3), batch=batch, width=1500, depth=8, rng=stream(0, batch, draw)
        )
        ratios.append(sizes[1:-1] / sizes[2:])  # the first layer meets the kernel of the input
    growth, error = np.mean(ratios), np.std(ratios) / np.sqrt(np.size(ratios))
    assert abs(growth - theory.growth) < 3.5 * error
    assert abs(growth - 1.1 * theory.growth) > 3.5 * error


def test_gradients_of_a_small_network_are_those_of_finite_differences():
    phi, dense, h = mf.tanh, mf.Dense(1, 0), 1e-6
    sizes = batch_gradients(phi, dense, batch=5, width=3, depth=2, rng=stream(4))
    rng = stream(4)
    x = rng.standard_normal((5, 3))
    weights = []
    for _ in range(2):
        weights.append(rng.standard_normal((3, 3)) / np.sqrt(3))
        rng.standard_normal(3)
    noise = rng.standard_normal((5, 3))

    def normalized(a):
        return np.tanh((a - a.mean(axis=0)) / a.std(axis=0))

    def loss(first):
        return np.sum(noise * normalized(normalized(first) @ weights[1].T))

    first = x @ weights[0].T
    units = h * np.eye(15).reshape(15, 5, 3)
    gradient = [(loss(first + u) - loss(first - u)) / (2 * h) for u in units]
    assert sizes[0] == pytest.approx(np.mean(np.square(gradient)), rel=1e-7)


def test_it_says_what_it_found():
    assert "squared gradients grow by 1.2 per layer" in str(batchnorm("linear", batch=8))


@pytest.mark.parametrize("batch", [-1, 0, 1, 3])
def test_small_batches_are_refused_with_the_reason(batch):
    with pytest.raises(ValueError, match="batch must be at least"):
        batchnorm("relu", batch=batch)
    with pytest.raises(ValueError, match=r"has the mean B/\(B-3\), infinite for B <= 3"):
        batchnorm("relu", batch=3)


@pytest.mark.parametrize(
    ("phi", "error", "message"),
    [
        ("sign", ValueError, "jumps, so no gradient passes"),
        ("1 + 0*x", ValueError, "nothing is left to be normalized"),
        ("rela", ValueError, "did you mean relu"),
        ("tanh(100*x)", NotConverged, "too sharp"),
        (3, TypeError, "an activation is a name"),
    ],
)
def test_bad_activations_are_refused(phi, error, message):
    with pytest.raises(error, match=message):
        batchnorm(phi, batch=8)


@pytest.mark.parametrize("batch", [8.0, "8", True])
def test_a_batch_is_a_whole_number(batch):
    with pytest.raises(TypeError, match="batch must be a whole number"):
        batchnorm("relu", batch=batch)
