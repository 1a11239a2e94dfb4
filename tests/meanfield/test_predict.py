"""Predictions and their covariances against plain algebra, simulated gradient flow and real trained networks."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import meanfield as mf
from meanfield.predict import Posterior

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
        ({"x_train": np.ones((20, 4)), "ridge": 0.0, "t": 1e30}, r"not positive definite .*raise ridge=0 to 1e-1\d$"),
        ({"t": -1.0}, "t must be a time of at least 0"),
        ({"t": np.nan}, "t must be a time of at least 0"),
        ({"get": "nngpp"}, "made with one kernel, 'nngp' or 'ntk'"),
        ({"y_train": np.full(20, np.nan)}, r"y_train must be finite, but y_train\[0, 0\] is nan"),
        ({"get": ("nngp", "ntk")}, "made with one kernel"),
    ],
    ids=["points", "ridge", "features", "singular", "late", "time", "nan time", "one kernel", "nan", "two"],
)
def test_refusals(change, message):
    x, y, test = problem()
    given = {"x_train": x, "y_train": y, "x_test": test} | change
    with pytest.raises(ValueError, match=message):
        mf.predict(NET, **given)


def test_a_kernel_of_zeros_is_refused():
    net = mf.Dense(2, 0) >> mf.relu >> mf.Dense(2, 0)
    with pytest.raises(ValueError, match="kernel is zero: give inputs that are not zero, or bias_var > 0"):
        mf.predict(net, np.zeros((3, 2)), np.ones(3), np.ones((1, 2)))


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("apart", [0.0, 1e-12], ids=["equal", "nearly equal"])
def test_a_singular_kernel_is_named_and_the_advised_ridge_is_enough(get, apart):
    x, y, test = problem()
    x[1] = x[0] + apart
    with pytest.raises(ValueError, match="smallest eigenvalue") as refused:
        mf.predict(NET, x, y, test, get=get, ridge=0)
    advice = float(str(refused.value).rpartition(" ")[2])
    assert advice < 1e-9
    assert np.isfinite(mf.predict(NET, x, y, test, get=get, ridge=advice)).all()


def joint(x, test):
    return mf.kernel(NET, np.vstack([x, test]), get=("nngp", "ntk"))


def flow(features, initial, y, t, decay, rows):
    """Outputs at `rows` after gradient flow of f0 + features @ delta from delta = 0, one column per f0."""
    n, width = len(y), features.shape[1]

    def rate(_, flat):
        delta = flat.reshape(width, -1)
        return -(features[:n].T @ (features[:n] @ delta + initial[:n] - y) + decay * delta).ravel()

    start = np.zeros(width * initial.shape[1])
    end = solve_ivp(rate, (0, t), start, method="DOP853", rtol=1e-10, atol=1e-11).y[:, -1]
    return initial[rows] + features[rows] @ end.reshape(width, -1)


def simulated(get, t, ridge):
    """Mean and covariance at the test points by an ODE: the flow is linear, so each direction of f0 is one column."""
    x, y, test = problem(points=6, test=3, outputs=1)
    kernels = dict(zip(("nngp", "ntk"), joint(x, test), strict=True))
    jitter = ridge * np.diag(kernels[get])[:6].mean()
    factor, rows = np.linalg.cholesky(kernels[get]), slice(6, 9)
    mean = flow(factor, np.zeros((9, 1)), y, t, jitter, rows)
    spread = flow(factor, np.linalg.cholesky(kernels["nngp"]), 0 * y, t, jitter, rows)
    if get == "nngp":
        noise = flow(factor, np.zeros((9, 6)), np.sqrt(jitter) * np.eye(6), t, jitter, rows)
        spread = np.hstack([spread, noise])
    return mf.predict(NET, x, y, test, get=get, t=t, ridge=ridge, cov=True), mean, spread @ spread.T


@pytest.mark.parametrize("ridge", [0.0, 0.02])
@pytest.mark.parametrize("t", [0.03, 0.4])
@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_mean_and_covariance_are_those_of_simulated_gradient_flow(get, t, ridge):
    found, mean, cov = simulated(get, t, ridge)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found.cov, cov, rtol=1e-7, atol=1e-8)


def test_a_flow_of_another_duration_is_noticed():
    found, _, _ = simulated("ntk", 0.1, 0.0)
    _, mean, cov = simulated("ntk", 0.11, 0.0)
    assert np.abs(found.mean - mean).max() > 1e-3 < np.abs(found.cov - cov).max()


def trained_networks(x, y, test, *, width, nets, t, steps, weight_var=2.0, bias_var=0.1):
    """Outputs (nets, test) of Dense >> relu >> Dense in the NTK parametrisation, all weights trained, no theory."""
    rng = np.random.default_rng(8)
    v, a = rng.standard_normal((nets, x.shape[1], width)), rng.standard_normal((nets, 1, width))
    u, b = rng.standard_normal((nets, width, 1)), rng.standard_normal((nets, 1, 1))
    into, out, bias = np.sqrt(weight_var / x.shape[1]), np.sqrt(weight_var / width), np.sqrt(bias_var)
    for _ in range(steps):
        h = into * x @ v + bias * a
        r = out * np.maximum(h, 0) @ u + bias * b - y[:, None]
        back = out * (r @ u.transpose(0, 2, 1)) * (h > 0)
        u = u - t / steps * out * np.maximum(h, 0).transpose(0, 2, 1) @ r
        b = b - t / steps * bias * r.sum(axis=1, keepdims=True)
        v = v - t / steps * into * x.T @ back
        a = a - t / steps * bias * back.sum(axis=1, keepdims=True)
    return (out * np.maximum(into * test @ v + bias * a, 0) @ u + bias * b)[..., 0]


def test_real_networks_trained_by_gradient_descent_follow_the_ntk_and_not_the_nngp():
    """Within 4 standard errors plus what a width of 1000 may add; the last layer alone, or no training, is noticed."""
    x, y, test = problem(points=4, test=3, features=3, outputs=1)
    y, nets, t = 4 * y, 300, 0.3
    net = mf.Dense(2, 0.1) >> mf.relu >> mf.Dense(2, 0.1)
    outputs = trained_networks(x, y[:, 0], test, width=1000, nets=nets, t=t, steps=100)
    theory, last = (mf.predict(net, x, y, test, get=get, t=t, ridge=0, cov=True) for get in ("ntk", "nngp"))
    untrained = mf.predict(net, x, y, test, get="ntk", t=0, ridge=0, cov=True)
    allowed = 4 * theory.std / np.sqrt(nets) + 0.02
    assert (np.abs(outputs.mean(axis=0) - theory.mean[:, 0]) < allowed).all()
    assert (np.abs(outputs.mean(axis=0) - last.mean[:, 0]) > allowed).any()
    variance, allowed = outputs.var(axis=0, ddof=1), 4 * np.sqrt(2 / nets) + 0.05
    assert (np.abs(variance / theory.std**2 - 1) < allowed).all()
    assert (np.abs(variance / untrained.std**2 - 1) > allowed).any()


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_long_flow_is_the_end_of_training_and_none_is_the_prior(get):
    x, y, test = problem()
    end = mf.predict(NET, x, y, test, get=get, ridge=1e-3, cov=True)
    for t in (1e7, 1e300):
        late = mf.predict(NET, x, y, test, get=get, t=t, ridge=1e-3, cov=True)
        np.testing.assert_allclose(late.mean, end.mean, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(late.cov, end.cov, rtol=1e-9, atol=1e-11)
    start = mf.predict(NET, x, y, test, get=get, t=0, cov=True)
    np.testing.assert_array_equal(start.mean, 0)
    np.testing.assert_allclose(start.cov, mf.kernel(NET, test), rtol=1e-12)


def test_the_nngp_covariance_is_that_of_a_gaussian_process():
    x, y, test = problem()
    gram, cross, prior = mf.kernel(NET, x), mf.kernel(NET, test, x), mf.kernel(NET, test)
    found = mf.predict(NET, x, y, test, ridge=1e-2, cov=True)
    assert isinstance(found, Posterior) and found.jitter == pytest.approx(1e-2 * np.diag(gram).mean())
    expected = prior - cross @ np.linalg.solve(gram + found.jitter * np.eye(20), cross.T)
    np.testing.assert_allclose(found.cov, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.mean, mf.predict(NET, x, y, test, ridge=1e-2), rtol=1e-9)
    assert np.linalg.eigvalsh(found.cov)[0] > 0


@pytest.mark.parametrize("get", ["nngp", "ntk"])
@pytest.mark.parametrize("t", [1.0, np.inf])
def test_nothing_is_uncertain_at_the_training_points_but_at_the_end(get, t):
    x, y, _ = problem()
    std = mf.predict(NET, x, y, x, get=get, t=t, ridge=0, cov=True).std
    assert np.isfinite(std).all() and ((std < 1e-6) == (t == np.inf)).all()


def test_a_few_equal_points_are_fine_for_a_finite_time():
    x, y, test = problem()
    x[1], y[1] = x[0], y[0]
    assert np.isfinite(mf.predict(NET, x, y, test, get="ntk", t=5.0, ridge=0)).all()
