"""Differences of order four in the logarithm of a variance, and the networks that they are taken through."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.kernels import diagonal
from meanfield.slopes import one_kernel, slope, uniform, whole

X = np.random.default_rng(0).standard_normal((4, 3))


@pytest.mark.parametrize("depth", [0, 3, 20])
def test_the_slope_of_a_power_is_exact(depth):
    """v ** (depth + 1) is what a homogeneous kernel does; its slope in log v is depth + 1 times itself."""
    found = slope(lambda factor: np.array([1.0, 2.0]) * (1.7 * factor) ** (depth + 1), depth)
    np.testing.assert_allclose(found, (depth + 1) * np.array([1.0, 2.0]) * 1.7 ** (depth + 1), rtol=1e-9)


def test_the_slope_is_of_order_four():
    """Exact for polynomials of degree four in the logarithm, wrong by h^4 d^5 K/d(log v)^5/30 for the next power."""
    assert slope(lambda factor: 3 + np.log(factor) - np.log(factor) ** 4, 0) == pytest.approx(1, rel=1e-12)
    assert slope(lambda factor: np.log(factor) ** 5, 0) == pytest.approx(-4 * 0.005**4, rel=1e-6)


def test_the_uniform_network_is_what_is_written_out():
    assert uniform("erf", np.int64(2), 1.5, 0.2) == mf.Dense(1.5, 0.2) >> (mf.erf >> mf.Dense(1.5, 0.2)) ** 2
    assert uniform("erf", 0, 1.5, 0.2) == mf.Dense(1.5, 0.2)
    assert uniform("erf", 2, 1.5, 0.2) != uniform("erf", 3, 1.5, 0.2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: one_kernel("ntkk"), ValueError, "get must be 'nngp' or 'ntk', not 'ntkk'"),
        (lambda: one_kernel(("nngp", "ntk")), ValueError, "get must be"),
        (lambda: whole(-1), ValueError, "depth must be at least 0, not -1"),
        (lambda: whole(1.5), TypeError, "depth must be a whole number, not 1.5"),
        (lambda: uniform("relu", 1, -1.0, 0.0), ValueError, "weight_var"),
        (lambda: uniform("rellu", 1, 1.0, 0.0), ValueError, "did you mean"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize(
    "net",
    [
        mf.Dense(1.5, 0.2) >> (mf.tanh >> mf.Dense(1.5, 0.2)) ** 2,
        mf.Dense(2, 0.1) >> mf.relu >> mf.Dropout(0.9) >> mf.Dense(2, 0.1),
        mf.Dense(2, 0.1) >> (mf.Identity() + 0.5 * (mf.gelu >> mf.Dense(2, 0.1))) ** 3,
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_diagonal_is_that_of_the_kernel(net, get, dtype):
    found = diagonal(net, X, get, dtype=dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.diag(mf.kernel(net, X, get=get, dtype=dtype)))
    assert not np.allclose(found, diagonal(net >> mf.relu >> mf.Dense(2, 0.1), X, get))


def test_a_diagonal_too_large_for_its_type_is_refused():
    net, x = mf.Dense(2, 0), [[1.0], [1e25]]
    assert np.isfinite(diagonal(net, x, "nngp")).all()
    with pytest.raises(mf.NotConverged, match=r"at points \(1, 1\) is not finite.*float32"):
        diagonal(net, x, "nngp", dtype=np.float32)
