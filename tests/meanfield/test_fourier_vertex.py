"""Fluctuations at finite width against printed numbers, closed forms, brute force over lags, and walks of networks."""

import numpy as np
import pytest
from scipy.special import erf

import meanfield as mf
from meanfield import fourier_vertex
from meanfield.build import Block
from meanfield.finite.fields import lag_covariance, walk
from meanfield.lattice import pair_map, through_length
from solvers.iterate import NotConverged

R = np.arange(8)
START = 0.4 + 0.3 * np.cos(2 * np.pi * R / 8) + 0.2 * np.cos(4 * np.pi * R / 8) + 0.1 * np.cos(6 * np.pi * R / 8)
RELU = mf.relu >> mf.Spectral(2, 2, 0)


def vertex(block, grid=8, depth=4, start=START, **options):
    return mf.fourier_operator(block, grid).vertex(depth, start, **options)


@pytest.mark.parametrize(
    ("modes", "printed"), [(5, [1.553, 3.779, 6.499, 9.603]), (2, [1.193, 3.061, 5.088, 7.215])], ids=str
)
def test_printed_vertices_of_relu(modes, printed):
    """Computed elsewhere with the covariance of one channel from 2e6 plain draws, 0.25 % of a layer's own share."""
    found = vertex(mf.relu >> mf.Spectral(modes, 2, 0))
    error = np.hypot(found.length_error[1:], 0.0025 * np.array(printed))
    assert (np.abs(found.length[1:] - printed) < 4 * error).all()
    assert (found.length_error[1:] < 2e-3 * found.length[1:]).all()
    assert found.length[0] == 0


def relu_square(q, k):
    """E phi(u)^2 phi(v)^2, the arc-cosine kernel of order 2 (Cho and Saul 2009), and E phi(u) phi(v)."""
    c = np.clip(k / q, -1, 1)
    a, s = np.arccos(c), np.sqrt(1 - c**2)
    fourth = q**2 * (3 * s * c + (np.pi - a) * (1 + 2 * c**2)) / (2 * np.pi)
    return fourth, q * (s + (np.pi - a) * c) / (2 * np.pi)


def test_with_all_modes_the_length_has_a_closed_recursion():
    found, Sigma, exact = vertex(mf.relu >> mf.Spectral(5, 2, 0), depth=6), START, [0.0]
    for _ in range(6):
        fourth, second = relu_square(Sigma[0], Sigma)
        exact.append(4 * (fourth.mean() - second[0] ** 2) + (2 * 0.5) ** 2 * exact[-1])
        Sigma = 2 * second
    z = (found.length[1:] - exact[1:]) / found.length_error[1:]
    assert (np.abs(z) < 4).all()
    assert (np.abs(found.length[2:] - np.diff(exact)[1:]) > 50 * found.length_error[2:]).all()  # J V J^T forgotten


# -- all pairs of lags, by brute force -------------------------------------------------------------------------------

GRID = (4, 3)


def erf_maps(Sigma):
    """C and J of erf by hand, lags flat."""
    q, g = Sigma[0], Sigma
    root = np.sqrt((1 + 2 * q) ** 2 - 4 * g**2)
    J = np.diag(4 / np.pi / root)
    J[:, 0] += -8 * g / (np.pi * (1 + 2 * q) * root)  # d/dq of (2/pi) asin(2 g/(1 + 2 q)), at lag 0 of both
    return 2 / np.pi * np.arcsin(2 * g / (1 + 2 * q)), J


def by_lags(shares, bias_var, start, depth, draws):
    """V' = S (Phi + J V J^T) S^T over all lags, Phi by plain draws of fields and explicit sums, ten times."""
    at = np.stack([x.ravel() for x in np.indices(GRID)], axis=1)
    place = np.arange(len(at)).reshape(GRID)
    shift = np.array([[place[tuple((b + r) % GRID)] for b in at] for r in at])  # of b + r
    apart = np.array([[place[tuple((b - a) % GRID)] for b in at] for a in at])
    S = sum(s * np.cos(2 * np.pi * (at[:, None] - at) @ (k / GRID)) for s, k in zip(shares.ravel(), at, strict=True))
    S, rng, Sigma = S / len(at), np.random.default_rng(3), start.ravel()
    V = [np.zeros((10, len(at), len(at)))]
    for _ in range(depth):
        C, J = erf_maps(Sigma)
        values, vectors = np.linalg.eigh(Sigma[apart])
        h = erf(rng.standard_normal((draws, len(at))) @ (vectors * np.sqrt(np.maximum(values, 0))).T)
        f = np.stack([(h * h[:, to]).mean(axis=1) - c for to, c in zip(shift, C, strict=True)])
        Phi = np.stack([x @ x.T / x.shape[1] for x in np.split(f, 10, axis=1)])
        V.append(S @ (Phi + J @ V[-1] @ J.T) @ S.T)
        Sigma = S @ C + bias_var
    return np.stack(V, axis=1)


def test_every_pair_of_lags_on_two_axes():
    block = mf.erf >> mf.Spectral((2, 2), 1.5, 0.1, spectrum=[[1, 0.7], [0.4, 0.2]])
    turn, other = (2 * np.pi * x / n for x, n in zip(np.indices(GRID), GRID, strict=True))
    start = 0.5 + 0.4 * np.cos(turn) + 0.3 * np.cos(turn + other) + 0.2 * np.cos(2 * turn)
    start = (start + 0.3 * np.cos(turn - other)).round(15)
    shares = 1.5 * np.array([[1, 0.7, 0.7], [0.4, 0.2, 0.2], [0, 0, 0], [0.4, 0.2, 0.2]])
    found, expected = vertex(block, GRID, 3, start), by_lags(shares, 0.1, start, 3, 40_000)
    error = expected.std(axis=0, ddof=1) / np.sqrt(10)
    for first, second in [((0, 0), (0, 0)), ((0, 0), (2, 1)), ((1, 1), (1, 1)), ((1, 2), (3, 0)), ((2, 0), (1, 0))]:
        value, own = found.between(first, second)
        at = (slice(1, None), *(3 * x[0] + x[1] for x in (first, second)))
        z = (value[1:] - expected.mean(axis=0)[at]) / np.hypot(error[at], own[1:])
        assert (np.abs(z) < 5).all(), (first, second, z)  # a t of nine degrees
    assert found.between((0, 0), (0, 0))[0] == pytest.approx(found.length)
    assert found.V.shape == (4, 5, 5) and np.abs(found.V - np.swapaxes(found.V, 1, 2)).max() < 1e-15


# -- exact cases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modes", [1, 3, 5])
def test_the_vertex_of_a_uniform_relu_grows_by_five_squares_a_layer(modes):
    found = vertex(mf.relu >> mf.Spectral(modes, 2, 0), depth=6, start=np.full(8, 1.7))
    np.testing.assert_allclose(found.length, 5 * 1.7**2 * np.arange(7), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found.relative_std(100), np.sqrt(5 * np.arange(7) / 100), rtol=1e-13)
    assert (found.length_error < 1e-13).all()


def test_a_uniform_state_scatters_as_a_dense_network():
    found = vertex(mf.erf >> mf.Spectral(3, 1.6, 0.05), depth=5, start=np.full(8, 0.8))
    dense = mf.finite_width(mf.erf >> mf.Dense(1.6, 0.05), depth=5, width=1, q0=0.8)
    np.testing.assert_allclose(found.length, dense.V, rtol=1e-11)


@pytest.mark.parametrize("skip", [0.8, -0.5])
def test_a_linear_network_with_a_skip_in_closed_form(skip):
    """One point: g' = (a + W) g, Cov(g_i^2, g_j^2) = 2 (a^|i-j| q_min)^2, Y' = (a^2 + s) Y + s (g^2 - q)."""
    s, depth = 0.7, 4
    found = vertex(
        mf.FourierBlock(1, "linear", weight_var=s, pointwise_var=0, bias_var=0.2, skip=skip), 1, depth, [0.9]
    )
    rate, q = skip**2 + s, found.covariance[:, 0]

    def pair(i, j):
        return 2 * (skip ** abs(i - j) * q[min(i, j)]) ** 2

    for layer in range(depth + 1):
        weights = [s * rate ** (layer - 1 - i) for i in range(layer)]
        V = sum(a * b * pair(i, j) for i, a in enumerate(weights) for j, b in enumerate(weights))
        both = sum(a * pair(i, layer) for i, a in enumerate(weights))
        assert abs(found.length[layer] - V) <= 5 * found.length_error[layer]
        assert found.measured[layer] == pytest.approx(V + 2 * q[layer] ** 2 + 2 * both, rel=0.01)
        untied = sum(a**2 * pair(i, i) for i, a in enumerate(weights))
        assert layer < 2 or abs(found.length[layer] - untied) > 20 * found.length_error[layer]


def test_a_fraction_of_the_modes_tends_to_the_uniform_growth():
    found = vertex(RELU, depth=60, draws=2048)
    growth = np.diff(found.length) / found.covariance[:-1, 0] ** 2
    assert growth[0] < 2 and growth[1:6].mean() < 4
    assert growth[-10:].mean() == pytest.approx(5, abs=0.25)


# -- networks ----------------------------------------------------------------------------------------------------------

BLOCKS = {
    "relu": RELU,
    "erf, complex": mf.FourierBlock(3, "erf", weight_var=2, pointwise_var=0, bias_var=0.1, dc="complex"),
    "pointwise path": mf.FourierBlock(2, "relu", weight_var=1, pointwise_var=1, bias_var=0.1),
    "skip": mf.FourierBlock(3, "relu", weight_var=1, pointwise_var=0, bias_var=0.1, skip=0.7),
    "both": mf.FourierBlock(3, "erf", weight_var=1, pointwise_var=0.5, bias_var=0, skip=-0.9),
}


def walked(block, networks, channels, conditional=True):
    """D Var of the lag covariance at lag 0, (depth + 1,)."""
    each = [
        walk(block, START, channels=channels, depth=4, rng=np.random.default_rng([7, i]), conditional=conditional)
        for i in range(networks)
    ]
    return channels * np.array(each)[:, :, 0].var(axis=0, ddof=1)


def agree(block, networks, channels):
    scatter, found = walked(block, networks, channels), vertex(block)
    sampling = np.sqrt(2 / networks)
    assert (np.abs(scatter / found.measured - 1) < 4 * sampling).all(), scatter / found.measured
    return scatter, found, sampling


@pytest.mark.parametrize("name", ["relu", "pointwise path", "skip"])
def test_networks_scatter_as_the_vertex_says(name):
    scatter, found, sampling = agree(BLOCKS[name], 400, 256)
    alone = np.diff(found.length, prepend=0) + (found.measured - found.length)  # less than without J V J^T
    assert (scatter[3:] > (1 + 4 * sampling) * alone[3:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_many_networks_scatter_as_the_vertex_says(name):
    agree(BLOCKS[name], 8000, 512)


@pytest.mark.slow
def test_networks_with_real_weights_scatter_as_the_vertex_says():
    scatter, found = walked(RELU, 1500, 192, conditional=False), vertex(RELU)
    assert (np.abs(scatter / found.measured - 1) < 4 * np.sqrt(2 / 1500)).all()


# -- what it is made of, and what it refuses -----------------------------------------------------------------------


@pytest.mark.parametrize("phi", [mf.relu, mf.erf, mf.tanh], ids=str)
def test_through_length_is_the_slope_in_both_variances(phi):
    block, q, k, h = Block(phi), 0.9, np.array([-0.3, 0.0, 0.5]), 1e-4
    up, down = (pair_map(block, "nngp", q + s, q + s, k) for s in (h, -h))
    assert np.abs((up - down) / (2 * h) - through_length(block, q, k)).max() < 1e-8
    assert np.abs((up - down) / (2 * h) - pair_map(block, "pullback", q, q, k)).max() > 0.1
    ends = through_length(block, q, np.array([q, q * (1 - 1e-9)]))
    total = block("length", [[q]])[0, 1]  # E phi'^2 + E phi phi''
    assert ends[0] + pair_map(block, "pullback", q, q, np.array([q]))[0] == pytest.approx(total, rel=1e-12)
    assert ends[1] == pytest.approx(ends[0], abs=1e-4)


def test_fields_have_their_covariance():
    waves = fourier_vertex._Waves(mf.fourier_operator(RELU, 8).form, (8,))
    rows = waves.fields(START)
    g = fourier_vertex._normals(len(rows), 12, np.random.default_rng(0)) @ rows
    np.testing.assert_allclose(lag_covariance(g.T), START, atol=2e-3)
    np.testing.assert_allclose(g.T @ g / len(g), START[np.abs(R[:, None] - R)], atol=1e-2)


def test_a_seed_names_its_draws():
    first, second, third = (vertex(RELU, depth=2, draws=256, seed=seed).V for seed in (0, 0, 1))
    assert (first == second).all() and (first[2] != third[2]).any()


def test_it_says_what_it_is():
    found = vertex(RELU, depth=1, draws=1024)
    assert str(found).startswith(f"{RELU}: 2 modes, layer 1: Sigma_0 = ") and str(found) == repr(found)
    assert found.modes.tolist() == [[0], [1]]
    assert found.V_error.shape == found.V.shape
    ratio = found.relative_std(64, measured=True) / found.relative_std(256, measured=True)
    np.testing.assert_allclose(ratio, 2)


@pytest.mark.parametrize("lag", [0.5, (1, 2), "0"])
def test_a_lag_is_whole_numbers(lag):
    with pytest.raises(ValueError, match=r"a lag is a whole number for each axis of the grid \(8,\)"):
        vertex(RELU, depth=1, draws=16).between(0, lag)


@pytest.mark.parametrize("block", [mf.activation("sign") >> mf.Spectral(2, 1, 0), RELU], ids=str)
def test_a_vertex_that_is_not_finite_is_refused(block):
    with pytest.raises(NotConverged, match=r"the vertex is not finite where Sigma_0 = [01]:"):
        vertex(block, start=np.full(8, 1.0 if block is not RELU else 0.0))


def test_a_vertex_that_overflows_is_refused():
    with pytest.raises(NotConverged, match="its numbers overflow, take fewer layers"), np.errstate(all="ignore"):
        vertex(mf.relu >> mf.Spectral(2, 1e90, 0), depth=3, draws=16)


def test_more_than_fits_into_memory_is_refused():
    with pytest.raises(
        ValueError, match=r"by 10000000000 draws of 8 points does not fit into memory: take fewer modes"
    ):
        vertex(RELU, draws=10**10)
    with pytest.raises(ValueError, match="draws must be at least 1"):
        vertex(RELU, draws=0)
    with pytest.raises(ValueError, match=r"8 paths of 21202 normal numbers, in all layers together where a skip"):
        fourier_vertex._normals(21202, 3, np.random.default_rng(0))
