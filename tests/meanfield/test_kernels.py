"""Kernels on data: anchors at cosine 1/2, laws, means without a formula against the plain recursion."""

import math
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf
import solvers.gram
from meanfield import interpolants, series, tiles
from meanfield.build import Block
from meanfield.depth import stages

HALF_STABLE = ("gelu", 1.98305825743754713, 0.172922390756067352)
# activation, weight_var, bias_var, layers, Kxx, Kxy, Txx, Txy at |x|^2/features = 1 and cosine 1/2
ANCHORS = [
    ("relu", 2, 0, 2, "2.", "1.2179955620885", "4.", "1.8846622287551"),
    ("relu", 2, 0, 3, "2.", "1.3678113017974", "6.", "2.7029591222470"),
    ("relu", 2, 0, 5, "2.", "1.5577902747887", "10.", "4.2142250767932"),
    ("relu", 2, 0, 10, "2.", "1.7720669566807", "20.", "7.5853887124351"),
    ("relu", 2, 0.1, 5, "2.5", "2.0379116812622", "11.5", "5.3929982722727"),
    ("relu", 2, 0.1, 10, "3.", "2.7433045093004", "25.5", "11.4750527889126"),
    ("erf", 2.25, 0.01, 2, "1.3842224797268", ".6170560837951", "3.4275322869896", "1.2632726525107"),
    ("erf", 2.25, 0.01, 10, "1.0932959163026", ".2771398621206", "36.7784411219736", "2.6284692253485"),
    (*HALF_STABLE, 2, "2.1569015684619", "1.3357970037521", "4.2607100312324", "2.1613868293866"),
    (*HALF_STABLE, 10, "2.1641745485586", "1.8459936172426", "19.4085204409370", "8.6312604291823"),
]


def network(name, weight_var, bias_var, layers):
    dense = mf.Dense(weight_var, bias_var)
    return dense >> (mf.activation(name) >> dense) ** (layers - 1)


def two_points(features=3):
    x = np.zeros((2, features))
    x[0, 0], x[1, 0], x[1, 1] = 1, 0.5, math.sqrt(0.75)
    return x * math.sqrt(features)


def data(points, features=5, seed=1):
    return np.random.default_rng(seed).standard_normal((points, features))


NETWORKS = {
    "relu": network("relu", 2, 0.1, 4),
    "erf": network("erf", 2.25, 0.01, 3),
    "residual": mf.Dense(1, 0) >> (mf.Identity() + 0.5 * (mf.relu >> mf.Dense(2, 0))) ** 3,
    "layer norm": mf.Dense(1, 0.1) >> (mf.relu >> mf.Dense(2, 0.1) >> mf.LayerNorm()) ** 3,
    "rms norm": mf.Dense(1, 0.1) >> (mf.RMSNorm() >> mf.gelu >> mf.Dense(2, 0.1)) ** 2,
    "dropout": mf.Dense(1, 0.1) >> (mf.erf >> mf.Dropout(0.8) >> mf.Dense(2, 0.1)) ** 2,
    "two activations": mf.Dense(1, 0.1) >> mf.erf >> mf.Dense(2, 0) >> mf.relu >> mf.Dense(2, 0.1),
}


@pytest.mark.parametrize("row", ANCHORS, ids=lambda r: " ".join(map(str, r[:4])))
def test_anchor(printed, row):
    *of, k_own, k_pair, t_own, t_pair = row
    nngp, ntk = mf.kernel(network(*of), two_points(), get=("nngp", "ntk"))
    assert (nngp[0, 0], nngp[0, 1], ntk[0, 0], ntk[0, 1]) == tuple(map(printed, (k_own, k_pair, t_own, t_pair)))


def test_one_per_cent_of_a_weight_variance_would_be_noticed(printed):
    nngp = mf.kernel(network("erf", 2.2725, 0.01, 2), two_points())
    assert nngp[0, 1] != printed(".6170560837951")


def test_the_tangent_kernel_of_a_deep_relu_network_is_linear_in_depth():
    nngp, ntk = mf.kernel(network("relu", 2, 0, 64), data(4), get=("nngp", "ntk"))
    size = (data(4) ** 2).mean(axis=1)
    np.testing.assert_allclose(np.diag(nngp), 2 * size, rtol=1e-13)
    np.testing.assert_allclose(np.diag(ntk), 128 * size, rtol=1e-13)
    assert np.isfinite(ntk).all()


# -- laws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_kernel_is_exactly_symmetric(name, get):
    found = mf.kernel(NETWORKS[name], data(70), get=get)
    assert (found == found.T).all()


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_rectangle_is_a_block_of_the_symmetric_kernel(name, get):
    x = data(30)
    whole, block = mf.kernel(NETWORKS[name], x, get=get), mf.kernel(NETWORKS[name], x[:12], x[12:], get=get)
    np.testing.assert_allclose(block, whole[:12, 12:], rtol=1e-13)


@pytest.mark.parametrize("name", NETWORKS)
def test_rotating_the_features_changes_nothing(name):
    x = data(6)
    rotation = np.linalg.qr(data(5, seed=2))[0]
    turned = mf.kernel(NETWORKS[name], x @ rotation, get="ntk")
    np.testing.assert_allclose(turned, mf.kernel(NETWORKS[name], x, get="ntk"), rtol=1e-11)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_number_of_threads_changes_nothing(monkeypatch, threads):
    whole = mf.kernel(NETWORKS["relu"], data(200), get="ntk")
    monkeypatch.setattr(solvers.gram.os, "cpu_count", lambda: threads)
    assert (mf.kernel(NETWORKS["relu"], data(200), get="ntk") == whole).all()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("get", ["nngp", "ntk"])
@settings(max_examples=15, deadline=None)
@given(points=st.integers(1, 6), features=st.integers(1, 4), seed=st.integers(0, 10**6), size=st.floats(0.1, 10))
def test_a_kernel_is_positive_semidefinite(name, get, points, features, seed, size):
    found = mf.kernel(NETWORKS[name], size * data(points, features, seed), get=get)
    values = np.linalg.eigvalsh(found)
    # A kinked activation's tangent dual goes as sqrt(1 - c): the last bit of c = 1 is worth sqrt(eps) there.
    assert values[0] >= -(1e-12 if get == "nngp" else 2e-8) * values[-1]


@settings(max_examples=30, deadline=None)
@given(size=st.floats(1e-3, 1e3), seed=st.integers(0, 10**6))
def test_a_relu_network_without_bias_is_homogeneous(size, seed):
    net, x = network("relu", 2, 0, 3), data(4, seed=seed)
    np.testing.assert_allclose(mf.kernel(net, size * x), size**2 * mf.kernel(net, x), rtol=1e-11)


def test_equal_rows_have_equal_kernels():
    found = mf.kernel(NETWORKS["relu"], data(3)[[0, 1, 0, 2]], get="ntk")
    np.testing.assert_allclose(found[0], found[2], rtol=1e-12)
    assert found[0, 2] == pytest.approx(found[0, 0], rel=1e-7)  # closed forms lose half the digits at correlation 1


def test_dropout_separates_an_input_from_its_equal():
    keep, x = 0.8, two_points()
    net = mf.Dense(1, 0) >> mf.relu >> mf.Dropout(keep) >> mf.Dense(2, 0)
    nngp, ntk = mf.kernel(net, x, get=("nngp", "ntk"))
    again = mf.kernel(net, x, x.copy(), get=("nngp", "ntk"))
    np.testing.assert_allclose(np.diag(nngp), np.diag(again[0]) / keep, rtol=1e-12)
    np.testing.assert_allclose(np.diag(ntk), np.diag(again[1]) / keep, rtol=1e-7)
    np.testing.assert_allclose(nngp[0, 1], again[0][0, 1], rtol=1e-13)


def test_two_kernels_come_in_the_order_asked_for():
    net, x = NETWORKS["relu"], data(5)
    ntk, nngp = mf.kernel(net, x, get=("ntk", "nngp"))
    assert (ntk == mf.kernel(net, x, get="ntk")).all()
    assert (nngp == mf.kernel(net, x)).all()


def test_one_point_and_one_feature():
    assert mf.kernel(mf.Dense(3, 0.5), [[2.0]]) == pytest.approx(12.5)


# -- means without a formula, against the plain recursion ---------------------------------------------


def recursion(net_block, depth, x, weight_var, bias_var):
    """K and T of Dense(weight_var, bias_var) >> block ** depth, entry by entry, without an interpolant."""
    block, n = Block(net_block), len(x)
    k = weight_var * x @ x.T / x.shape[1] + bias_var
    t, (i, j) = k.copy(), np.tril_indices(n, -1)
    for _ in range(depth):
        q = np.diag(k)
        off = block("ntk", np.stack([q[i], q[j], k[i, j], t[i, j]], axis=1))
        own = block("ntk_diagonal", np.stack([q, np.diag(t)], axis=1))
        k, t = np.diag(own[:, 0]), np.diag(own[:, 1])
        for matrix, values in ((k, off[:, 0]), (t, off[:, 1])):
            matrix[i, j] = matrix[j, i] = values
    return k, t


@pytest.mark.parametrize("norms", ["equal", pytest.param("unequal", marks=pytest.mark.slow)])
def test_an_integrated_kernel_is_the_recursion(norms):
    x, block = data(12), mf.tanh >> mf.Dense(1.5, 0.05)
    if norms == "equal":
        x *= np.sqrt(5 / (x**2).sum(axis=1, keepdims=True))
    found = mf.kernel(mf.Dense(1.2, 0.1) >> block**2, x, get=("nngp", "ntk"))
    for one, expected in zip(found, recursion(block, 2, x, 1.2, 0.1), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-11 * abs(expected).max(), rtol=0)


@pytest.mark.slow
def test_an_integrated_rectangle_is_a_block_of_the_symmetric_kernel():
    x, net = data(20), mf.Dense(1.2, 0.1) >> (mf.tanh >> mf.Dense(1.5, 0.05)) ** 2
    whole, block = mf.kernel(net, x, get="ntk"), mf.kernel(net, x[:8], x[8:], get="ntk")
    np.testing.assert_allclose(block, whole[:8, 8:], atol=1e-11 * whole.max(), rtol=0)


def test_an_interpolated_kernel_is_the_series_to_what_it_is_trusted_and_exactly_symmetric(monkeypatch):
    net, x = mf.Dense(1, 0.1) >> mf.tanh >> mf.Dense(1.5, 0.05), data(100)
    x *= np.sqrt(5 / (x**2).sum(axis=1, keepdims=True))
    summed = mf.kernel(net, x)
    monkeypatch.setattr(series, "SPARE", -1.0)  # nothing is left to the series
    found = mf.kernel(net, x)
    assert (found == found.T).all() and (found != summed).any()
    np.testing.assert_allclose(found, summed, atol=interpolants.TRUSTED * summed.max())


@pytest.mark.slow
def test_a_summed_kernel_is_exactly_symmetric():
    found = mf.kernel(mf.Dense(1, 0.1) >> mf.tanh >> mf.Dense(1.5, 0.05), data(70))
    assert (found == found.T).all()


@pytest.mark.slow
@pytest.mark.parametrize("points", [1, 2, 3])
def test_an_integrated_kernel_of_few_points(points):
    x, block = data(points), mf.tanh >> mf.Dense(1.5, 0.05)
    found = mf.kernel(mf.Dense(1, 0.1) >> block, x)
    np.testing.assert_allclose(found, recursion(block, 1, x, 1, 0.1)[0], atol=1e-11)


@pytest.mark.parametrize("name", ["tanh", "softplus"])
def test_a_zero_row_is_a_constant(name):
    """Against bias 1e-18, which makes it nearly one."""
    x, phi = data(64), getattr(mf, name)
    x[2] = x[5] = 0
    nearly = (mf.Dense(1, b) >> phi >> mf.Dense(1.5, 0.05) for b in (0, 1e-18))
    found, wanted = (mf.kernel(net, x, get=("nngp", "ntk")) for net in nearly)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_a_zero_row_is_refused_where_a_map_is_interpolated(monkeypatch):
    monkeypatch.setattr(series, "SPARE", -1.0)
    x = data(64)
    x[2] = 0
    with pytest.raises(ValueError, match="row 2 of x1 is zero"):
        mf.kernel(mf.Dense(1, 0) >> mf.tanh >> mf.Dense(1.5, 0.05), x)


def test_a_zero_row_is_no_problem_for_a_closed_block():
    x = data(4)
    x[2] = 0
    assert np.isfinite(mf.kernel(NETWORKS["relu"], x, get="ntk")).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_single_precision_rounds_the_entries_at_the_end(name):
    x = data(40)
    for one, whole in zip(
        mf.kernel(NETWORKS[name], x, get=("ntk", "nngp"), dtype=np.float32),
        mf.kernel(NETWORKS[name], x, get=("ntk", "nngp")),
        strict=True,
    ):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, whole.astype(np.float32))


def test_tiles_of_any_size_give_the_same_entries(monkeypatch):
    x, net = data(50), NETWORKS["relu"]
    whole, part = mf.kernel(net, x, get="ntk"), mf.kernel(net, x[:20], x[20:], get="ntk")
    monkeypatch.setattr(tiles, "ENTRIES", 1)
    monkeypatch.setattr(tiles, "FEWEST", 3)
    np.testing.assert_allclose(mf.kernel(net, x, get="ntk"), whole, rtol=1e-13)
    np.testing.assert_allclose(mf.kernel(net, x[:20], x[20:], get="ntk"), part, rtol=1e-13)


def test_what_single_precision_cannot_hold_is_refused():
    net, x = mf.Dense(2, 0) >> mf.relu >> mf.Dense(2, 0), 1e20 * data(4)
    assert np.isfinite(mf.kernel(net, x)).all()
    with pytest.raises(mf.NotConverged, match=r"at points \(0, 0\) is not finite: .* too large for float32"):
        mf.kernel(net, x, dtype="float32")


@pytest.mark.parametrize("dtype", ["float16", int, "double precision", object])
def test_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match="dtype must be float64 or float32"):
        mf.kernel(NETWORKS["relu"], data(2), dtype=dtype)


def test_memory_is_the_result_and_tiles():
    x = data(1500)
    mf.kernel(NETWORKS["relu"], x[:8], get="ntk")
    tracemalloc.start()
    found = mf.kernel(NETWORKS["relu"], x, get="ntk")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < found.nbytes + 4 * 2 * 8 * 2 * tiles.ENTRIES * (os.cpu_count() or 1)


def test_a_network_written_out_is_the_one_that_is_repeated():
    x, dense = data(30), mf.Dense(1.5, 0.05)
    for phi in (mf.relu, mf.RMSNorm() >> mf.erf, mf.LayerNorm() >> mf.tanh):
        one = mf.kernel(dense >> (phi >> dense) ** 3, x, get="ntk")
        other = mf.kernel(dense >> phi >> dense >> phi >> dense >> phi >> dense, x, get="ntk")
        np.testing.assert_allclose(one, other, atol=1e-13 * one.max(), rtol=0)


def test_blocks_end_where_signals_are_gaussian():
    dense = mf.Dense(1.5, 0.05)
    net = dense >> mf.RMSNorm() >> mf.tanh >> dense >> (mf.relu >> dense) ** 2 >> mf.tanh
    found, _ = stages(net, np.ones(3), None, "nngp")
    assert [(str(s.block.layer), len(s.p)) for s in found] == [
        (str(dense), 1),
        ("RMSNorm()", 1),
        (str(mf.tanh >> dense), 1),
        (str(mf.relu >> dense), 2),
        ("tanh", 1),
    ]
