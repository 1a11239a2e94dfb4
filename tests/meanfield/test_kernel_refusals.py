"""What `kernel` refuses, and how it says so."""

import numpy as np
import pytest

import meanfield as mf

NET = mf.Dense(2, 0.1) >> mf.relu >> mf.Dense(2, 0.1)
X = np.ones((3, 2))


def holed(value):
    x = np.ones((3, 2))
    x[2, 1] = value
    return x


@pytest.mark.parametrize(
    ("x1", "x2", "error", "message"),
    [
        (holed(np.nan), None, ValueError, r"x1 must be finite, but x1\[2, 1\] is nan"),
        (X, holed(np.inf), ValueError, r"x2 must be finite, but x2\[2, 1\] is inf"),
        (np.ones(3), None, ValueError, r"non-empty array of shape \(points, features\), not of shape \(3,\)"),
        (np.ones((2, 3, 4)), None, ValueError, r"not of shape \(2, 3, 4\)"),
        (np.ones((0, 3)), None, ValueError, r"non-empty .* not of shape \(0, 3\)"),
        (X, np.ones((3, 5)), ValueError, r"the same number of features, not 2 and 5"),
        ("data", None, TypeError, r"x1 must be an array of numbers .* not str"),
        ([[1j, 2]], None, TypeError, r"x1 must be an array of numbers"),
    ],
    ids=["nan", "inf", "vector", "images", "empty", "features", "text", "complex"],
)
def test_data(x1, x2, error, message):
    with pytest.raises(error, match=message):
        mf.kernel(NET, x1, x2)


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        (lambda: mf.relu >> mf.Dense(2, 0), ValueError, "starts with an activation, but data are not Gaussian"),
        (
            lambda: mf.LayerNorm() >> mf.Dense(2, 0),
            mf.NoRule,
            "normalises by the mean of a signal that is not Gaussian",
        ),
        (lambda: mf.Dense() >> mf.relu >> mf.Dense(2, 0), ValueError, "bias_var and weight_var of .* has no value"),
        (lambda: mf.Dense(2, 0) >> mf.relu >> mf.Dense(2), ValueError, "bias_var of .* has no value"),
        (lambda: "relu", TypeError, "a kernel is that of a network"),
    ],
    ids=["activation first", "layer norm first", "free first", "free bias", "text"],
)
def test_networks(net, error, message):
    with pytest.raises(error, match=message):
        mf.kernel(net(), X)


@pytest.mark.parametrize("get", ["ntkk", ("nngp", "cov")])
def test_kernels(get):
    with pytest.raises(ValueError, match=r"unknown kernel .* known are nngp and ntk"):
        mf.kernel(NET, X, get=get)


def test_a_kernel_that_overflows_is_not_returned():
    net = mf.Dense(1, 0) >> mf.exp >> mf.Dense(1, 0)
    with pytest.raises(mf.NotConverged, match=r"at points \(0, 0\) is not finite"):
        mf.kernel(net, 30 * X)


def test_the_data_are_left_alone():
    x = np.arange(6.0).reshape(3, 2)
    before = x.copy()
    mf.kernel(NET, x, get="ntk")
    assert (x == before).all()
