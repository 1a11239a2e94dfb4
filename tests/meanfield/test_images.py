"""Kernels of convolutional networks against the plain recursion over all pairs of pixels, and their laws.

Seven networks such as those of NETWORKS (strides, three paddings, pools before and behind an activation, residual,
LayerNorm, dropout, pixel kernels) were also compared once by hand with neural-tangents 0.6.5 in double precision: every
entry agreed to 2e-15, but for the tangent kernel of an image with itself behind Flatten, 2e-9, where the recursion
here sides with ours.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf
import solvers.gram
from meanfield import images
from tests.meanfield.picture_oracle import kernels as plain

MAKE = {
    "conv": mf.Conv,
    "pool": mf.AvgPool,
    "gap": mf.GlobalAvgPool,
    "flat": mf.Flatten,
    "dense": mf.Dense,
    "relu": lambda: mf.relu,
    "norm": mf.LayerNorm,
    "dropout": mf.Dropout,
    "residual": lambda factor, branch: mf.Identity() + factor * network(branch),
}


def network(spec):
    first, *others = [MAKE[name](*numbers) for name, *numbers in spec]
    for layer in others:
        first = first >> layer
    return first


def pictures(points, *shape, seed=1, channels=2):
    return np.random.default_rng(seed).standard_normal((points, *shape, channels))


def compare(spec, x):
    found = mf.kernel(network(spec), x, get=("nngp", "ntk"))
    for ours, expected in zip(found, plain(spec, x), strict=True):
        axes = (ours.ndim - 2) // 2
        for (a, i, b, j), value in expected.items():
            at = ours[(a, b, *i, *j)]
            assert at == pytest.approx(value, rel=1e-11, abs=1e-12), (a, i, b, j, axes)


CONV, RELU, GAP, FLAT, DENSE = ("conv", 3, 1, "SAME", 2, 0.1), ("relu",), ("gap",), ("flat",), ("dense", 2, 0.3)
NETWORKS = {
    "flat": [CONV, RELU, CONV, RELU, FLAT, DENSE],
    "global pool": [CONV, RELU, CONV, RELU, GAP, DENSE],
    "pool then flat": [CONV, RELU, ("pool", 2), CONV, RELU, FLAT, DENSE],
    "pool before an activation": [CONV, ("pool", 2, 1, "SAME"), RELU, CONV, RELU, GAP, DENSE, RELU, DENSE],
    "strides": [("conv", 2, 2, "VALID", 1.5, 0.2), RELU, ("conv", 2, 1, "CIRCULAR", 2, 0), RELU, GAP, DENSE],
    "pixels": [CONV, RELU, ("conv", 2, 2, "SAME", 1.5, 0.1)],
    "pooled pixels": [CONV, RELU, ("pool", 2)],
    "residual": [CONV, ("residual", 0.5, [RELU, CONV]), ("residual", 0.5, [RELU, CONV]), GAP, DENSE],
    "residual flat": [CONV, ("residual", 0.5, [RELU, CONV]), RELU, FLAT, DENSE],
    "norm": [CONV, ("norm",), RELU, CONV, ("norm",), RELU, GAP, DENSE],
    "dropout flat": [CONV, RELU, ("dropout", 0.8), CONV, RELU, FLAT, DENSE],
    "dropout pooled": [CONV, RELU, ("dropout", 0.8), ("pool", 2), CONV, RELU, ("dropout", 0.5), GAP, DENSE],
    "dropout pixels": [CONV, RELU, ("dropout", 0.8)],
}


@pytest.mark.parametrize("shape", [(5,), (4, 3)], ids=["1-D", "2-D"])
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_of_the_plain_recursion(name, shape):
    compare(NETWORKS[name], pictures(2, *shape))


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_window_on_a_line(size, stride, padding):
    spec = [("conv", size, stride, padding, 1.5, 0.2), RELU, ("pool", size, stride, padding)]
    x = pictures(1, 11)
    if padding != "VALID" or (11 - size) // stride + 1 >= size:
        compare(spec, x)
    compare([spec[0], ("pool", 2, 1, padding), FLAT], pictures(1, 7))


@pytest.mark.parametrize("padding", ["SAME", "VALID", "CIRCULAR"])
@pytest.mark.parametrize("strides", [(1, 2), (3, 1)])
def test_windows_that_differ_from_axis_to_axis(strides, padding):
    compare([("conv", (2, 3), strides, padding, 1.5, 0.2)], pictures(2, 5, 4))
    compare([("pool", (3, 2), strides, padding)], pictures(2, 5, 4))


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR"])
def test_a_filter_may_be_larger_than_its_picture(padding):
    compare([("conv", 5, 1, padding, 1.5, 0.2), RELU, ("pool", 4, 1, padding)], pictures(2, 2))


def test_ten_per_cent_of_a_weight_variance_would_be_noticed():
    x = pictures(2, 4, 3)
    twin = [("conv", 3, 1, "SAME", 2.2, 0.1), *NETWORKS["flat"][1:]]
    assert not np.allclose(mf.kernel(network(twin), x), mf.kernel(network(NETWORKS["flat"]), x), rtol=1e-2)


# -- laws ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_a_rectangle_is_a_block_of_the_symmetric_kernel(name):
    x, net = pictures(5, 4, 3), network(NETWORKS[name])
    for get in ("nngp", "ntk"):
        whole, block = mf.kernel(net, x, get=get), mf.kernel(net, x[:2], x[2:], get=get)
        np.testing.assert_allclose(block, whole[:2, 2:], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_kernel_is_symmetric(name):
    found = mf.kernel(network(NETWORKS[name]), pictures(4, 4, 3), get="ntk")
    axes = (found.ndim - 2) // 2
    swapped = found.transpose(1, 0, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    np.testing.assert_allclose(found, swapped, rtol=1e-14)


@pytest.mark.parametrize("name", ["flat", "pool then flat", "dropout pooled", "pixels"])
@pytest.mark.parametrize("entries", [1, 150, 3000])
def test_tiles_and_threads_change_nothing(monkeypatch, name, entries):
    x, net = pictures(7, 4, 3), network(NETWORKS[name])
    whole = mf.kernel(net, x, get="ntk"), mf.kernel(net, x, x[:3] + 1, get="ntk")
    monkeypatch.setattr(images, "ENTRIES", entries)
    monkeypatch.setattr(solvers.gram.os, "cpu_count", lambda: 3)
    for before, after in zip(
        whole, (mf.kernel(net, x, get="ntk"), mf.kernel(net, x, x[:3] + 1, get="ntk")), strict=True
    ):
        np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["flat", "residual flat", "dropout flat"])
def test_following_pixels_alone_gives_what_all_pairs_give(name):
    """A network up to Flatten, by its pixel kernel, whose diagonal is averaged by hand."""
    x, *before = pictures(3, 4, 3), *NETWORKS[name][:-2]
    for get in ("nngp", "ntk"):
        pixels = mf.kernel(network(before), x, get=get).reshape(3, 3, 12, 12)
        expected = np.einsum("abii->ab", pixels) / 12
        np.testing.assert_allclose(mf.kernel(network([*before, FLAT]), x, get=get), expected, rtol=1e-8)


@settings(max_examples=20)
@given(shift=st.integers(0, 6), seed=st.integers(0, 1000), which=st.booleans())
def test_a_circle_has_no_first_pixel(shift, seed, which):
    """Turning both pictures turns the pixel kernel, and leaves a pooled one alone."""
    circular = [("conv", 3, 1, "CIRCULAR", 2, 0.1), RELU, ("conv", 2, 1, "CIRCULAR", 1.5, 0)]
    net, x = network(circular), pictures(2, 6, seed=seed)
    get = "ntk" if which else "nngp"
    turned, expected = mf.kernel(net, np.roll(x, shift, axis=1), get=get), mf.kernel(net, x, get=get)
    np.testing.assert_allclose(turned, np.roll(expected, (shift, shift), axis=(2, 3)), rtol=1e-7, atol=1e-12)
    pooled = network([*circular, RELU, GAP])
    again = mf.kernel(pooled, np.roll(x, shift, axis=1), x, get=get)
    np.testing.assert_allclose(again, mf.kernel(pooled, x, x.copy(), get=get), rtol=1e-7)


@settings(max_examples=10)
@given(points=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_kernel_is_positive_semidefinite(points, seed):
    for name in ("flat", "pool then flat", "residual"):
        for found in mf.kernel(network(NETWORKS[name]), pictures(points, 4, 3, seed=seed), get=("nngp", "ntk")):
            values = np.linalg.eigvalsh(found)
            assert values[0] >= -1e-12 * values[-1]


@pytest.mark.parametrize("end", [FLAT, GAP], ids=["flatten", "global pool"])
@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_pictures_of_one_pixel_are_dense_networks(end, shape):
    x = pictures(4, *shape, channels=3)
    conv, dense = mf.Conv(1, weight_var=2, bias_var=0.1), mf.Dense(2, 0.1)
    tail = mf.RMSNorm() >> dense >> (mf.relu >> dense) ** 3
    for get in ("nngp", "ntk"):
        found = mf.kernel(conv >> (mf.relu >> conv) ** 2 >> network([end]) >> tail, x, get=get)
        expected = mf.kernel(dense >> (mf.relu >> dense) ** 2 >> tail, x.reshape(4, 3), get=get)
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_open_activations_few_pixels_against_many():
    """Integrals where there are few entries, an interpolant where there are many."""
    net = (
        mf.Conv(2, weight_var=1.5, bias_var=0.5) >> mf.tanh >> mf.Conv(2, weight_var=1.5, bias_var=0.1) >> mf.Flatten()
    )
    x = pictures(40, 2)
    x /= np.sqrt((x**2).mean(axis=-1, keepdims=True))
    many = mf.kernel(net, x)
    np.testing.assert_allclose(mf.kernel(net, x[:3], x[3:9]), many[:3, 3:9], rtol=1e-9)


@pytest.mark.parametrize("get", ["nngp", pytest.param("ntk", marks=pytest.mark.slow)])
def test_open_activations_in_front_of_a_pool(get):
    conv = mf.Conv(3, weight_var=1.5, bias_var=0.1)
    net, x = conv >> mf.tanh >> conv >> mf.GlobalAvgPool(), pictures(2, 24)
    many = mf.kernel(net, x, get=get)
    np.testing.assert_allclose(mf.kernel(net, x[:1], x[1:], get=get), many[:1, 1:], rtol=1e-9)


def test_a_dense_layer_acts_on_each_token_of_a_sequence():
    spec = [("dense", 1.5, 0.2), ("norm",), RELU, ("dropout", 0.8), DENSE, ("residual", 0.5, [RELU, DENSE])]
    compare([*spec, RELU, GAP, DENSE], pictures(2, 4))
    compare([*spec, RELU, FLAT, DENSE], pictures(2, 4))
    x, end = pictures(3, 4), mf.Dense(2, 0.3) >> mf.relu >> mf.GlobalAvgPool()
    same = mf.Conv(1, weight_var=2, bias_var=0.3) >> mf.relu >> mf.GlobalAvgPool()
    np.testing.assert_array_equal(mf.kernel(end, x, get="ntk"), mf.kernel(same, x, get="ntk"))


def test_pictures_may_have_any_number_of_axes():
    compare([("conv", 2, 1, "SAME", 2, 0.1), RELU, GAP], pictures(2, 2, 2, 3))


def test_a_sum_may_hold_strided_branches():
    branch = mf.Conv(3, 2, weight_var=2, bias_var=0.1)
    net = mf.Conv(3, weight_var=2, bias_var=0.1) >> (mf.relu >> branch) + 0.7 * mf.AvgPool(2)
    x = pictures(2, 4, 6)
    first = mf.Conv(3, weight_var=2, bias_var=0.1)
    parts = mf.kernel(first >> mf.relu >> branch, x), mf.kernel(first >> mf.AvgPool(2), x)
    np.testing.assert_allclose(mf.kernel(net, x), parts[0] + 0.49 * parts[1], rtol=1e-12)


def test_the_pictures_are_left_alone():
    x = pictures(2, 4, 3)
    before = x.copy()
    mf.kernel(network(NETWORKS["residual"]), x, get="ntk")
    assert (x == before).all()


def test_single_precision_is_the_double_rounded():
    net, x = network(NETWORKS["global pool"]), pictures(3, 4, 3)
    found = mf.kernel(net, x, get=("ntk", "nngp"), dtype=np.float32)
    for one, name in zip(found, ("ntk", "nngp"), strict=True):
        assert (one == mf.kernel(net, x, get=name).astype(np.float32)).all()


def test_a_stored_kernel_is_the_kernel(tmp_path):
    pytest.importorskip("zarr")
    net, x = network(NETWORKS["flat"]), pictures(5, 4, 3)
    found = mf.stored_kernel(net, x, get="ntk", out=tmp_path / "kernel", tile=2)
    np.testing.assert_allclose(found[:], mf.kernel(net, x, get="ntk"), rtol=1e-12)


def test_predictions_read_pictures():
    net, x, y = network(NETWORKS["pool then flat"]), pictures(5, 4, 3), np.arange(5.0)
    nngp = mf.kernel(net, x)
    expected = nngp[3:, :3] @ np.linalg.solve(nngp[:3, :3], y[:3])
    np.testing.assert_allclose(mf.predict(net, x[:3], y[:3], x[3:], get="nngp", ridge=0)[:, 0], expected, rtol=1e-9)
    assert mf.predict(net, x[:3], y[:3], x[3:], get="ntk", cov=True).cov.shape == (2, 2)
