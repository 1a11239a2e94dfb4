"""Regression from kernels on disk: the dense solution, its stated residual, and what is refused."""

import numpy as np
import pytest

import meanfield as mf
import meanfield.stored_solve as stored_solve

zarr = pytest.importorskip("zarr")

NET = mf.Dense(1, 0.1) >> (mf.relu >> mf.Dense(2, 0.1)) ** 2
RIDGE = 1e-2


def data(points, seed=1):
    return np.random.default_rng(seed).standard_normal((points, 5))


X, Y = data(60), data(60, seed=2)[:, :2]


def write(path, x1=X, x2=None, get="nngp", net=NET):
    mf.stored_kernel(net, x1, x2, get=get, out=path, tile=32)
    return path


def operator(get="nngp", ridge=RIDGE):
    kernel = mf.kernel(NET, X, get=get)
    return kernel + ridge * np.diag(kernel).mean() * np.eye(len(kernel))


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_the_solution_is_that_of_the_dense_system(tmp_path, get):
    path = write(tmp_path / "k", get=("nngp", "ntk"))
    found = mf.solve_stored(path, Y, ridge=RIDGE, tol=1e-10, get=get)
    dense = np.linalg.solve(operator(get), Y)
    np.testing.assert_allclose(found.a, dense, atol=1e-7 * abs(dense).max())
    assert found.get == get and found.a.shape == Y.shape and 0 < found.steps < 4 * len(X)


@pytest.mark.parametrize("tol", [1e-2, 1e-6, 1e-10])
def test_the_stated_residual_is_the_true_one(tmp_path, tol):
    found = mf.solve_stored(write(tmp_path / "k"), Y, ridge=RIDGE, tol=tol)
    true = np.linalg.norm(operator() @ found.a - Y, axis=0) / np.linalg.norm(Y, axis=0)
    assert found.residual == pytest.approx(true.max(), rel=1e-3) and found.residual <= tol


def test_another_ridge_leaves_another_residual(tmp_path):
    found = mf.solve_stored(write(tmp_path / "k"), Y, ridge=1.1 * RIDGE, tol=1e-10)
    assert np.linalg.norm(operator() @ found.a - Y) > 1e-3 * np.linalg.norm(Y)


@pytest.mark.parametrize("get", ["nngp", "ntk"])
def test_predictions_are_those_in_memory(tmp_path, get):
    new = data(37, seed=3)
    found = mf.solve_stored(write(tmp_path / "train", get=get), Y, ridge=RIDGE, tol=1e-11)
    guesses = found.predict(write(tmp_path / "cross", new, X, get=get))
    expected = mf.predict(NET, X, Y, new, get=get, ridge=RIDGE)
    np.testing.assert_allclose(guesses, expected, atol=1e-8 * abs(expected).max())
    other = mf.predict(NET, X, Y, new, get=get, ridge=1.1 * RIDGE)
    assert abs(guesses - other).max() > 1e-4 * abs(expected).max()


def test_one_output_and_one_that_is_zero(tmp_path):
    path = write(tmp_path / "k")
    one = mf.solve_stored(path, Y[:, 0], ridge=RIDGE)
    both = mf.solve_stored(path, np.stack([Y[:, 0], 0 * Y[:, 0]], axis=1), ridge=RIDGE)
    assert (both.a[:, :1] == one.a).all() and not both.a[:, 1].any() and both.steps == one.steps


def test_too_few_steps_raise_with_the_residual_that_was_reached(tmp_path):
    path = write(tmp_path / "k")
    with pytest.raises(mf.NotConverged, match=r"residual of [0-9.]+, not tol=1e-08, with steps=3: raise ridge=0\.01"):
        mf.solve_stored(path, Y, ridge=RIDGE, steps=3)


def test_a_singular_kernel_without_ridge_does_not_pass_for_solved(tmp_path):
    path = write(tmp_path / "k", X[[0] * 30 + [1] * 30])
    with pytest.raises(mf.NotConverged, match="raise ridge=0"):
        mf.solve_stored(path, Y, ridge=0.0, steps=50)


def test_a_lost_chunk_does_not_pass_for_solved(tmp_path):
    path = write(tmp_path / "k")
    (path / "nngp" / "c" / "1" / "0").unlink()
    with pytest.raises(ValueError, match=r"rows from 32 and columns from 0 are lost from .*: remove the store"):
        mf.solve_stored(path, Y, ridge=RIDGE)


def test_the_residual_is_not_taken_on_trust(tmp_path, monkeypatch):
    """A solver that says it is done, and is not."""
    monkeypatch.setattr(stored_solve, "cg", lambda operator, y, x0, **_: (x0 + 0.5 * y, 0))
    with pytest.raises(mf.NotConverged, match="relative residual"):
        mf.solve_stored(write(tmp_path / "k"), Y, ridge=RIDGE)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"y": Y[:59]}, "one row for each of the 60 points"),
        ({"y": Y * np.nan}, r"y\[0, 0\] is nan"),
        ({"ridge": -1}, "ridge must be finite and at least 0"),
        ({"ridge": np.inf}, "ridge must be finite"),
        ({"tol": 0}, "tol must lie between 0 and 1"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"get": "ntk"}, r"get must name a kernel that .* holds \(nngp\), not 'ntk'"),
        ({"path": "nowhere"}, "there is no kernel at nowhere"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, asked, said):
    asked = {"path": write(tmp_path / "k"), "y": Y, **asked}
    with pytest.raises(ValueError, match=said):
        mf.solve_stored(asked.pop("path"), asked.pop("y"), **asked)


def test_which_of_two_kernels_must_be_said(tmp_path):
    with pytest.raises(ValueError, match=r"holds \(nngp or ntk\), not None"):
        mf.solve_stored(write(tmp_path / "k", get=("ntk", "nngp")), Y)


def test_a_rectangle_and_an_unfinished_kernel_are_not_solved(tmp_path):
    with pytest.raises(ValueError, match="between two sets of points"):
        mf.solve_stored(write(tmp_path / "rectangle", X, X), Y)
    zarr.open_group(write(tmp_path / "k"), mode="r+").attrs["complete"] = False
    with pytest.raises(ValueError, match="not finished"):
        mf.solve_stored(tmp_path / "k", Y)


@pytest.mark.parametrize(
    "other",
    [
        {"x2": X[::-1]},
        {"x2": None},
        {"get": "ntk"},
        {"net": mf.Dense(1, 0.1) >> (mf.relu >> mf.Dense(2.0001, 0.1)) ** 2},
    ],
    ids=str,
)
def test_predictions_need_the_kernel_between_the_same_training_data_and_the_same_network(tmp_path, other):
    found = mf.solve_stored(write(tmp_path / "k"), Y, ridge=RIDGE)
    cross = write(tmp_path / "cross", **{"x1": data(7, seed=3), "x2": X, **other})
    with pytest.raises(ValueError, match="must hold the nngp of the same network"):
        found.predict(cross)
