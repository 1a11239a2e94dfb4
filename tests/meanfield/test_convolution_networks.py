"""Real convolutional networks: their covariances against the recursion, and delta-orthogonal weights."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import meanfield as mf
from meanfield.convolution import convolved, delta_orthogonal, spatial_covariance
from meanfield.finite import draw_many, stream
from meanfield.finite.convolutions import convolve, position_covariances, taps
from meanfield.theories import xiao2018
from solvers.agreement import decide

TANH, DROPOUT = mf.tanh >> mf.Dense(2.25, 0.09), mf.erf >> mf.Dropout(0.8) >> mf.Dense(2, 0.05)
UNIFORM, DELTA, LOPSIDED = (1 / 3, 1 / 3, 1 / 3), (0.0, 1.0, 0.0), (0.1, 0.2, 0.7)
KERNELS = [pytest.param(k, id=n) for k, n in ((UNIFORM, "uniform"), (DELTA, "delta"), (LOPSIDED, "lopsided"))]


def field(n, seed=0):
    """A covariance of n positions without any symmetry."""
    a = np.random.default_rng(seed).standard_normal((n, 2 * n))
    return a @ a.T / (2 * n)


def against_networks(kernel, drawn, block=TANH, positions=10):
    """The recursion with one kernel against networks with another, from width 10 of the source's Monte Carlo."""
    start = 0.4 * field(positions, 3) + 0.6 * np.exp(-0.5 * np.abs(np.subtract.outer(*2 * [np.arange(positions)])))
    theory = spatial_covariance(block, start, kernel=kernel, depth=3)
    upper = np.triu_indices(positions)
    scale = np.sqrt(np.diag(theory))
    before, dense = convolved(block)

    def observe(rng, width):
        found = position_covariances(before, dense, drawn, start, channels=width, depth=3, rng=rng, inputs=8)
        return found[0, -1][upper]

    def draw(width, first, last):
        return draw_many(partial(observe, width=width), width=width, start=first, stop=last, seed=0)

    labels = [f"{a}, {b}" for a, b in zip(*upper, strict=True)]
    return decide(
        labels,
        theory[upper],
        np.outer(scale, scale)[upper],
        draw,
        widths=(64, 256),
        draws=100,
        max_draws=1600,
        margin=0.05,
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_real_networks_have_these_covariances(kernel):
    assert against_networks(kernel, kernel).outcome == "agrees"


def test_networks_with_dropout_have_these_covariances():
    assert against_networks(UNIFORM, UNIFORM, DROPOUT, positions=4).outcome == "agrees"


@pytest.mark.parametrize(("kernel", "other"), [(UNIFORM, DELTA), (DELTA, UNIFORM), (LOPSIDED, LOPSIDED[::-1])])
def test_networks_with_another_kernel_are_noticed(kernel, other):
    assert against_networks(kernel, other).outcome == "disagrees"


@pytest.mark.parametrize("case", xiao2018.THEORY.cases)
def test_the_theory_tells_its_kernel_from_another(case):
    def other(block, case, width, rng):
        return xiao2018.sample(block, replace(case, kernel=(0.7, 0.2, 0.1)), width, rng)

    assert mf.check(replace(xiao2018.THEORY, sample=other), case=case, draws=100).outcome == "disagrees"


def test_a_theory_without_a_kernel_is_refused():
    with pytest.raises(TypeError, match="write Convolved"):
        mf.check(replace(xiao2018.THEORY, cases={"": mf.Case(TANH, TANH)}))


def test_a_convolution_is_the_sum_over_its_taps():
    x, kernel, rng = np.random.default_rng(0).standard_normal((1, 2, 5, 3)), taps(LOPSIDED), stream(4)
    found = convolve(mf.Dense(2, 0.5), kernel, x, stream(4))
    weights = rng.standard_normal((3, 3, 3))
    bias = np.sqrt(0.5) * rng.standard_normal(3)
    for a in range(5):
        wanted = sum(
            np.sqrt(2 * v / 3) * x[0, :, (a + b) % 5] @ w for b, v, w in zip((-1, 0, 1), LOPSIDED, weights, strict=True)
        )
        assert found[0, :, a] == pytest.approx(wanted + bias)


def test_networks_are_drawn_in_batches_on_grids():
    start = field(12).reshape(2, 6, 2, 6)
    found = position_covariances(
        (mf.tanh,), mf.Dense(2.25, 0.09), np.full((3, 3), 1 / 9), start,
        channels=200, depth=1, rng=stream(0), networks=30, inputs=4,
    )  # fmt: skip
    assert found.shape == (30, 2, 2, 6, 2, 6)
    for layer, wanted in ((0, start), (1, spatial_covariance(TANH, start, kernel=np.full((3, 3), 1 / 9), depth=1))):
        error = found[:, layer].std(axis=0) / np.sqrt(30)
        assert np.max(np.abs(found[:, layer].mean(axis=0) - wanted) / error) < 5


# -- delta-orthogonal weights ---------------------------------------------------------------------------------------


def operator(weights, grid):
    """The circular convolution as a matrix from (positions, channels_in) to (positions, channels_out)."""
    out, into, *sizes = weights.shape
    matrix = np.zeros((*grid, out, *grid, into))
    for at in np.ndindex(*grid):
        for tap in np.ndindex(*sizes):
            source = tuple((a + t - s // 2) % n for a, t, s, n in zip(at, tap, sizes, grid, strict=True))
            matrix[at][(slice(None), *source)] += weights[(..., *tap)]
    return matrix.reshape(int(np.prod(grid)) * out, -1)


@pytest.mark.parametrize(
    ("out", "into", "size", "grid"), [(4, 4, 3, (5,)), (6, 4, 5, (7,)), (3, 2, (3, 3), (3, 4)), (2, 1, 1, (3,))]
)
def test_delta_orthogonal_convolutions_have_one_singular_value(out, into, size, grid):
    weights = delta_orthogonal(out, into, size, weight_var=1.7, seed=3)
    matrix = operator(weights, grid)
    assert np.linalg.svd(matrix, compute_uv=False) == pytest.approx(np.full(matrix.shape[1], np.sqrt(1.7)))
    middle = weights[(..., *(n // 2 for n in weights.shape[2:]))]
    assert middle.T @ middle == pytest.approx(1.7 * np.eye(into), abs=1e-14)
    assert np.count_nonzero(weights) == out * into


def test_gaussian_convolutions_have_many_singular_values():
    weights = np.random.default_rng(0).standard_normal((4, 4, 3)) / np.sqrt(12)
    values = np.linalg.svd(operator(weights, (5,)), compute_uv=False)
    assert values.max() > 3 * values.min()


def test_the_orthogonal_matrix_is_haar():
    middle = np.array([delta_orthogonal(3, 3, 1, seed=s)[..., 0] for s in range(2000)])
    traces = np.trace(middle, axis1=1, axis2=2)
    for sample, mean in ((traces, 0), (traces**2, 1), (middle[:, 0, 0], 0), (middle[:, 2, 2], 0)):
        assert abs(sample.mean() - mean) < 4 * sample.std() / np.sqrt(len(sample))


def test_weights_are_those_of_their_seed():
    one, same, other = (delta_orthogonal(3, 2, 3, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert delta_orthogonal(3, 2, 3, seed=np.random.default_rng(0)).shape == (3, 2, 3)
