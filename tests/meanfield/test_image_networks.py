"""Kernels of convolutional networks against real ones: means of independent draws, and exact gradients.

Draws have seeds of their own; the mean must lie within 4.5 standard errors and a bias of 3 % (of order 1/width) of the
kernel, and a twin with one constant off must not.
"""

import numpy as np
import pytest

import meanfield as mf
from meanfield.finite import Draw, empirical_kernels, forward, stream
from meanfield.finite.networks import Tape

CONV, DENSE = mf.Conv(3, weight_var=2, bias_var=0.1), mf.Dense(1.5, 0.2)
TURNED = mf.Conv((2, 3), (1, 2), "CIRCULAR", 1.5, 0.1)
NETWORKS = {
    "flat": CONV >> mf.relu >> TURNED >> mf.relu >> mf.Flatten() >> DENSE,
    "pooled": CONV >> mf.relu >> mf.AvgPool(2, 1, "SAME") >> CONV >> mf.relu >> mf.GlobalAvgPool() >> DENSE,
    "residual": CONV >> (mf.Identity() + 0.7 * (mf.relu >> CONV)) >> mf.AvgPool((2, 1)) >> mf.Flatten() >> DENSE,
    "dropout": CONV >> mf.relu >> mf.Dropout(0.7) >> mf.GlobalAvgPool() >> DENSE,
    "norm": CONV >> mf.RMSNorm() >> mf.erf >> mf.GlobalAvgPool() >> DENSE,
}
# The same with one constant off: a stride's share, an area, a weight, a mask, a norm.
TWINS = {
    "flat": CONV >> mf.relu >> mf.Conv((2, 3), (1, 2), "CIRCULAR", 2.0, 0.1) >> mf.relu >> mf.Flatten() >> DENSE,
    "pooled": CONV >> mf.relu >> mf.AvgPool(2, 1, "CIRCULAR") >> CONV >> mf.relu >> mf.GlobalAvgPool() >> DENSE,
    "residual": CONV >> (mf.Identity() + (mf.relu >> CONV)) >> mf.AvgPool((2, 1)) >> mf.Flatten() >> DENSE,
    "dropout": CONV >> mf.relu >> mf.Dropout(0.2) >> mf.GlobalAvgPool() >> DENSE,
    "norm": CONV >> mf.erf >> mf.GlobalAvgPool() >> DENSE,
}
DRAWS, WIDTH = 150, 48
X = np.random.default_rng(5).standard_normal((2, 4, 3, 2)) + 0.5


def drawn(net):
    found = [empirical_kernels(net, X, width=WIDTH, rng=stream(3, draw), outputs=4) for draw in range(DRAWS)]
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(DRAWS)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_the_kernel_and_not_that_of_a_twin(name):
    mean, error = drawn(NETWORKS[name])

    def agrees(net):
        kernel = np.stack(mf.kernel(net, X, get=("nngp", "ntk")))
        return np.abs(mean - kernel) <= 4.5 * error + 0.03 * kernel

    assert agrees(NETWORKS[name]).all()
    assert not agrees(TWINS[name]).all()


@pytest.mark.parametrize("name", ["flat", "pooled", "residual", "norm"])
def test_gradients_are_finite_differences(name):
    """The way back through every layer for pictures: g . dy along random directions."""
    net, rng = NETWORKS[name], np.random.default_rng(0)
    y, back = forward(net, X, Draw(5, stream(1)))
    g, direction, step = rng.standard_normal(y.shape), rng.standard_normal(X.shape), 1e-6
    ahead, behind = (forward(net, X + s * step * direction, Draw(5, stream(1)))[0] for s in (1, -1))
    assert (back(g) * direction).sum() == pytest.approx((g * (ahead - behind)).sum() / (2 * step), rel=1e-6)


def test_the_tangent_kernel_of_a_network_is_the_gram_of_its_parameter_gradients():
    """Perturb each standard normal parameter of a small network in turn."""
    net, x = CONV >> mf.gelu >> mf.AvgPool(2, 1) >> TURNED >> mf.GlobalAvgPool(), X[:, :3, :2]

    def outputs(at, change):
        class Shifted:
            """Draws of `stream(1)`, with parameter number `at` changed."""

            def __init__(self):
                self.inner, self.seen = stream(1), 0

            def standard_normal(self, size):
                values = self.inner.standard_normal(size)
                if 0 <= at - self.seen < values.size:
                    values.flat[at - self.seen] += change
                self.seen += values.size
                return values

        draw = Draw(2, stream(1), tape=Tape())
        object.__setattr__(draw, "rng", Shifted())
        y = forward(net, x, draw)[0]
        return y, draw.rng.seen

    count = outputs(-1, 0.0)[1]
    slopes = np.stack([(outputs(i, 1e-5)[0] - outputs(i, -1e-5)[0]) / 2e-5 for i in range(count)])
    expected = np.einsum("iao,ibo->ab", slopes, slopes) / 2
    found = empirical_kernels(net, x, width=2, rng=stream(1), outputs=2)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_real_networks_between_other_pictures():
    net, x = NETWORKS["pooled"], np.concatenate([X, X[:1] + 1])
    options = {"width": 8, "draws": 3, "outputs": 2, "get": ("nngp", "ntk")}
    for whole, block in zip(
        mf.empirical_kernel(net, x, **options), mf.empirical_kernel(net, X, x[2:], **options), strict=True
    ):
        np.testing.assert_allclose(block, whole[:2, 2:], rtol=1e-12)


@pytest.mark.parametrize(
    ("net", "x", "message"),
    [
        (NETWORKS["flat"], X * np.nan, r"x1 must be finite, but x1\["),
        (CONV, X, "outputs are no pictures, as those of 'Conv"),
        (NETWORKS["flat"], X[:, 0, 0], r"x1 must be non-empty pictures of shape"),
    ],
)
def test_what_real_networks_refuse(net, x, message):
    with pytest.raises(ValueError, match=message):
        mf.empirical_kernel(net, x, width=5, get="ntk")
