"""What kernels of pictures refuse, and how they say so."""

import numpy as np
import pytest

import meanfield as mf
from meanfield import series

CONV, DENSE = mf.Conv(3, weight_var=2, bias_var=0.1), mf.Dense(2, 0.1)
NET = CONV >> mf.relu >> mf.Flatten() >> DENSE
X = np.ones((3, 4, 5, 2))


def holed(value):
    x = X.copy()
    x[2, 1, 4, 0] = value
    return x


@pytest.mark.parametrize(
    ("x1", "x2", "error", "message"),
    [
        (holed(np.nan), None, ValueError, r"x1 must be finite, but x1\[2, 1, 4, 0\] is nan"),
        (X, holed(np.inf), ValueError, r"x2 must be finite, but x2\[2, 1, 4, 0\] is inf"),
        (np.ones((3, 4)), None, ValueError, r"pictures of shape \(points, height, width, channels\) .* \(3, 4\)"),
        (np.ones((0, 4, 5, 2)), None, ValueError, r"non-empty pictures .* not of shape \(0, 4, 5, 2\)"),
        (X, np.ones((3, 4, 6, 2)), ValueError, r"the same shape .* not \(4, 5, 2\) and \(4, 6, 2\)"),
        (X, np.ones((3, 4, 5, 1)), ValueError, r"the same shape .* not \(4, 5, 2\) and \(4, 5, 1\)"),
        ("pictures", None, TypeError, "x1 must be an array of numbers .* not str"),
    ],
    ids=["nan", "inf", "flat", "empty", "shape", "channels", "text"],
)
def test_pictures(x1, x2, error, message):
    with pytest.raises(error, match=message):
        mf.kernel(NET, x1, x2)


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        (lambda: mf.relu >> CONV, ValueError, "starts with an activation, but pictures are not Gaussian: put a Conv"),
        (lambda: CONV >> mf.relu >> DENSE, ValueError, r"'Dense\(.*reads flat .*\(4, 5\).*or use Conv\(1\)"),
        (
            lambda: DENSE >> mf.relu >> CONV,
            ValueError,
            r"reads flat signals or tokens of sequences, but its input is a picture",
        ),
        (lambda: CONV >> mf.Flatten() >> mf.Flatten(), ValueError, "its input is already flat: leave it out"),
        (lambda: CONV >> mf.Flatten() >> mf.GlobalAvgPool(), ValueError, "its input is already flat: leave it out"),
        (lambda: CONV >> mf.Flatten() >> DENSE >> CONV, ValueError, r"reads pictures .* but its input is flat"),
        (
            lambda: CONV >> mf.Flatten() >> DENSE >> mf.AvgPool(2),
            ValueError,
            r"reads pictures .* but its input is flat",
        ),
        (
            lambda: mf.Conv(5, 1, "VALID", 2, 0),
            ValueError,
            r"filter_shape \(5, 5\) .* larger than its picture \(4, 5\)",
        ),
        (lambda: CONV >> mf.AvgPool((2, 6)), ValueError, r"window \(2, 6\) .* larger than its picture \(4, 5\)"),
        (
            lambda: mf.Conv((3, 3, 3), 1, "SAME", 2, 0),
            ValueError,
            "filter_shape of .* has 3 axes, but its picture has 2",
        ),
        (lambda: mf.Conv(3, (1,), "SAME", 2, 0), ValueError, "strides of .* has 1 axes, but its picture has 2"),
        (
            lambda: CONV >> (mf.Identity() + mf.Conv(3, 2, "SAME", 2, 0)),
            ValueError,
            r"pictures of different shapes, \(4, 5\) \('Identity\(\)'\) and \(2, 3\) .* let their strides agree",
        ),
        (lambda: CONV >> (mf.Conv(1, 1, "SAME", 2, 0) + mf.Flatten()), ValueError, r"different shapes, .* flat"),
        (lambda: mf.Conv(3) >> mf.Flatten(), ValueError, "weight_var of 'Conv.*' has no value"),
        (lambda: mf.Conv(3, weight_var=2) >> mf.Flatten(), ValueError, "bias_var of 'Conv.*' has no value"),
        (lambda: CONV >> mf.relu >> mf.AvgPool(2) >> mf.LayerNorm(), mf.NoRule, "normalises by the mean of a signal"),
    ],
)
def test_networks(net, error, message):
    with pytest.raises(error, match=message):
        mf.kernel(net(), X)


def test_an_activation_needs_gaussian_pictures():
    with pytest.raises(mf.NoRule, match="needs a Gaussian pre-activation"):
        CONV >> mf.relu >> mf.AvgPool(2) >> mf.relu
    with pytest.raises(mf.NoRule, match="needs a Gaussian pre-activation"):
        CONV >> mf.Flatten() >> mf.relu


@pytest.mark.parametrize("get", ["ntkk", ("nngp", "cov")])
def test_kernels(get):
    with pytest.raises(ValueError, match=r"unknown kernel .* known are nngp and ntk"):
        mf.kernel(NET, X, get=get)


@pytest.mark.parametrize("limit", ["nngp", "ntk", "length", "gradient"])
@pytest.mark.parametrize("layer", [mf.relu >> CONV, mf.AvgPool(2), mf.Flatten() >> DENSE, mf.Identity() + CONV])
def test_no_map_of_one_pair_is_derived(layer, limit):
    with pytest.raises(mf.NoRule, match=r"mixes positions, .* mf\.kernel .* mf\.spatial_covariance"):
        mf.derive(layer, limit)


def test_other_verbs_say_the_same():
    for verb in (mf.phase, mf.check):
        with pytest.raises(mf.NoRule, match="mixes positions"):
            verb(mf.relu >> CONV)


def test_a_kernel_that_overflows_is_not_returned():
    net = CONV >> mf.exp >> CONV >> mf.Flatten()
    with pytest.raises(mf.NotConverged, match=r"at \(0, 0\) is not finite"):
        mf.kernel(net, 30 * X)


def test_a_black_picture_is_no_problem_for_a_closed_activation():
    net = mf.Conv(3, weight_var=2, bias_var=0) >> mf.relu >> mf.GlobalAvgPool()
    x = X.copy()
    x[1] = 0
    found = mf.kernel(net, x, get="ntk")
    assert np.isfinite(found).all()
    assert (found[1] == 0).all()


def test_a_black_picture_is_a_constant_and_refused_where_a_map_is_interpolated(monkeypatch):
    net = mf.Conv(3, weight_var=2, bias_var=0) >> mf.tanh >> mf.GlobalAvgPool()
    x = np.random.default_rng(0).standard_normal((3, 6, 6, 2))
    x[1] = 0
    found = mf.kernel(net, x)
    assert (found[1] == 0).all() and (found[[0, 2], [0, 2]] > 0).all()
    monkeypatch.setattr(series, "SPARE", -1.0)
    with pytest.raises(ValueError, match=r"a position of some image is zero, .* use bias_var > 0"):
        mf.kernel(net, x[1:2])


def test_predictions():
    with pytest.raises(ValueError, match=r"outputs are no pictures, as those of '.*' are: end it with Flatten"):
        mf.predict(CONV, X, [1, 2, 3], X, get="nngp")
    with pytest.raises(ValueError, match=r"x_train and x_test must have pictures of the same shape"):
        mf.predict(NET, X, [1, 2, 3], X[:, :2], get="nngp")
    with pytest.raises(ValueError, match=r"x_test must be finite, but x_test\[2, 1, 4, 0\] is nan"):
        mf.predict(NET, X, [1, 2, 3], holed(np.nan), get="nngp")


def test_a_stored_kernel_is_a_matrix(tmp_path):
    pytest.importorskip("zarr")
    with pytest.raises(ValueError, match=r"a stored kernel is a matrix, but .* ends in pictures"):
        mf.kernel(CONV, X, out=tmp_path / "kernel")
