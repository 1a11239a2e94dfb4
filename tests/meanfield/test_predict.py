"""Kernel regression against a plain solve, and on handwritten digits."""

import numpy as np
import pytest

import meanfield as mf

NET = mf.Dense(2, 0.1) >> (mf.relu >> mf.Dense(2, 0.1)) ** 2


def problem(points=20, test=7, features=4, outputs=3):
    rng = np.random.default_rng(3)
    return tuple(rng.standard_normal(s) for s in ((points, features), (points, outputs), (test, features)))


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_the_prediction_is_kernel_regression(get):
    x, y, test = problem()
    gram = mf.kernel(NET, x, get=get)
    gram += 1e-3 * np.diag(gram).mean() * np.eye(len(x))
    expected = mf.kernel(NET, test, x, get=get) @ np.linalg.solve(gram, y)
    np.testing.assert_allclose(mf.predict(NET, x, y, test, get=get, ridge=1e-3), expected, rtol=1e-9, atol=1e-11)


def test_training_points_are_interpolated():
    x, y, _ = problem()
    np.testing.assert_allclose(mf.predict(NET, x, y, x, ridge=0), y, atol=1e-8)


def test_one_output_may_be_a_vector():
    x, y, test = problem()
    assert mf.predict(NET, x, y[:, 0], test).shape == (7, 1)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_digits_are_read(get):
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    x = (x - x.mean()) / x.std()
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1000], order[1000:]
    targets = np.eye(10)[labels] - 0.1
    net = mf.Dense(2, 0.01) >> (mf.relu >> mf.Dense(2, 0.01)) ** 3
    found = mf.predict(net, x[train], targets[train], x[test], get=get).argmax(axis=1)
    assert (found == labels[test]).mean() > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.ones(3)}, "same number of points, not 20 and 3"),
        ({"ridge": -1.0}, "ridge must be finite and at least 0"),
        ({"x_test": np.ones((2, 9))}, "same number of features"),
        ({"x_train": np.ones((20, 4)), "ridge": 0.0}, r"not positive definite \(smallest eigenvalue .*raise ridge=0"),
        ({"y_train": np.full(20, np.nan)}, r"y_train must be finite, but y_train\[0, 0\] is nan"),
        ({"get": ("nngp", "ntk")}, "made with one kernel"),
    ],
    ids=["points", "ridge", "features", "singular", "nan", "two kernels"],
)
def test_refusals(change, message):
    x, y, test = problem()
    given = {"x_train": x, "y_train": y, "x_test": test} | change
    with pytest.raises(ValueError, match=message):
        mf.predict(NET, **given)
