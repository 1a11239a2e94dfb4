"""Kernels of real networks: explicit Jacobians of the very same weights, the limits they approach, what is refused."""

import tracemalloc

import numpy as np
import pytest
import sympy as sp

import meanfield as mf
from meanfield.finite import Draw, draw_many, empirical_kernels, forward, stream
from meanfield.observe import inputs, over_pairs
from meanfield.theory import Case
from solvers.agreement import decide
from symbolic.functions import X

RNG = np.random.default_rng(3)
A, B = RNG.standard_normal((3, 2)), RNG.standard_normal((2, 2))
DENSE = mf.Dense(1.7, 0.3)
BLOCKS = {
    "tanh": mf.tanh,
    "gelu": mf.gelu,
    "relu": mf.relu,
    "no activation": mf.Identity(),
    "dropout": mf.erf >> mf.Dropout(0.7),
    "layer norm": mf.LayerNorm() >> mf.tanh,
    "rms norm": mf.RMSNorm() >> mf.gelu,
    "scale": 0.6 * mf.tanh,
    "residual": mf.Identity() + 0.5 * (mf.tanh >> mf.Dense(1.2, 0.1)),
    "two branches": mf.Dense(0.8, 0.2) + (mf.gelu >> mf.Dropout(0.6) >> mf.Dense(2, 0)),
    "repeat": (mf.LayerNorm() >> mf.sin >> mf.Dense(1.5, 0.1)) ** 2,
}
NETWORKS = {name: DENSE >> block >> DENSE for name, block in BLOCKS.items()} | {
    "one layer": DENSE,
    "ends in an activation": DENSE >> mf.tanh,
    "ends in a mask": DENSE >> mf.tanh >> DENSE >> mf.Dropout(0.7),
    "ends in layer norm": DENSE >> mf.gelu >> DENSE >> mf.LayerNorm(),
    "ends in rms norm": DENSE >> mf.gelu >> DENSE >> mf.RMSNorm(),
    "norms first": mf.RMSNorm() >> DENSE >> mf.tanh >> mf.Dense(2, 0),
}


# -- the very same weights, one parameter at a time ------------------------------------------------------------------


class Nudged(np.random.Generator):
    """The random numbers of a generator, the normal number `index`, which is a parameter, shifted by `shift`."""

    def __init__(self, seed, index=-1, shift=0.0):
        super().__init__(stream(seed).bit_generator)
        self.index, self.shift, self.seen = index, shift, 0

    def standard_normal(self, size):
        values = super().standard_normal(size)
        if 0 <= self.index - self.seen < values.size:
            values.flat[self.index - self.seen] += self.shift
        self.seen += values.size
        return values


def jacobian(network, x, width, seed, step=1e-5):
    """d y/d parameter by central differences, (parameters, points, neurons), and y."""
    whole = Nudged(seed)
    y, _ = forward(network, x, Draw(width, whole))

    def moved(index, shift):
        return forward(network, x, Draw(width, Nudged(seed, index, shift)))[0]

    return np.stack([(moved(i, step) - moved(i, -step)) / (2 * step) for i in range(whole.seen)]), y


@pytest.mark.parametrize("other", [None, B], ids=["square", "rectangular"])
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_of_an_explicit_jacobian(name, other):
    both = A if other is None else np.concatenate([A, other])
    j, y = jacobian(NETWORKS[name], both, width=4, seed=7)
    right = slice(0, None) if other is None else slice(len(A), None)
    for outputs in (1, 3):
        options = {"width": 4, "rng": stream(7), "outputs": outputs}
        nngp, ntk = empirical_kernels(NETWORKS[name], A, other, **options)
        expected = np.einsum("wax,wbx->ab", j[:, : len(A), :outputs], j[:, right, :outputs]) / outputs
        np.testing.assert_allclose(ntk, expected, rtol=2e-8, atol=1e-9)
        np.testing.assert_allclose(nngp, y[: len(A)] @ y[right].T / y.shape[1], rtol=1e-13, atol=1e-14)


def test_a_wrong_layer_would_be_noticed():
    """The Jacobian without the biases, or of another network, is another kernel."""
    ntk = empirical_kernels(NETWORKS["layer norm"], A, width=4, rng=stream(7))[1]
    j, _ = jacobian(DENSE >> mf.RMSNorm() >> mf.tanh >> DENSE, A, width=4, seed=7)
    assert not np.allclose(np.einsum("wa,wb->ab", j[..., 0], j[..., 0]), ntk, rtol=1e-2)
    weights_only = np.concatenate([j[:8], j[12:28]])
    assert not np.allclose(np.einsum("wa,wb->ab", weights_only[..., 0], weights_only[..., 0]), ntk, rtol=1e-2)


# -- shapes and laws -------------------------------------------------------------------------------------------------

NETWORK = mf.Dense(2, 0.1) >> (mf.gelu >> mf.Dense(2, 0.1)) ** 2
WIDE = {"width": 24, "get": ("nngp", "ntk")}


def test_the_public_verb_draws_those_networks():
    networks = [empirical_kernels(NETWORK, A, B, width=24, rng=stream(5, 24, i)) for i in range(3)]
    found = mf.empirical_kernel(NETWORK, A, B, draws=3, seed=5, error=True, **WIDE)
    for i, (mean, error) in enumerate(found):
        np.testing.assert_allclose(mean, np.mean(networks, axis=0)[i], rtol=1e-13)
        np.testing.assert_allclose(error, np.std(networks, axis=0, ddof=1)[i] / np.sqrt(3), rtol=1e-12)
    nngp, ntk = mf.empirical_kernel(NETWORK, A, B, draws=3, seed=5, **WIDE)
    assert np.array_equal(nngp, found[0][0]) and np.array_equal(ntk, found[1][0])
    for get, expected in (("nngp", nngp), ("ntk", ntk)):
        assert np.array_equal(mf.empirical_kernel(NETWORK, A, B, width=24, draws=3, seed=5, get=get), expected)
    (swapped, _) = mf.empirical_kernel(NETWORK, A, B, width=24, draws=3, seed=5, get=("ntk", "nngp"))
    assert np.array_equal(swapped, ntk)


def test_a_rectangle_is_a_part_of_the_square():
    whole = mf.empirical_kernel(NETWORK, np.concatenate([A, B]), **WIDE)
    part = mf.empirical_kernel(NETWORK, A, B, **WIDE)
    for square, rectangle in zip(whole, part, strict=True):
        np.testing.assert_allclose(rectangle, square[:3, 3:], rtol=1e-12)
        assert np.array_equal(square, square.T)
        assert np.linalg.eigvalsh(square).min() > -1e-12


@pytest.mark.parametrize("points, features", [(1, 2), (3, 1), (1, 1)])
def test_one_point_and_one_feature(points, features):
    x = np.linspace(0.5, 1.5, points * features).reshape(points, features)
    for found in mf.empirical_kernel(NETWORK, x, **WIDE):
        assert found.shape == (points, points) and (found > 0).all()


def test_equal_points_have_equal_kernels_unless_masks_tell_them_apart():
    equal = np.ones((2, 3))
    for found in mf.empirical_kernel(NETWORK, equal, **WIDE):
        np.testing.assert_allclose(found, found[0, 0], rtol=1e-12)
    dropout = mf.Dense(2, 0.1) >> mf.tanh >> mf.Dropout(0.5) >> mf.Dense(2, 0.1)
    for square, pair in zip(
        mf.empirical_kernel(dropout, equal, draws=200, **WIDE),
        mf.empirical_kernel(dropout, equal[:1], equal[1:], draws=200, **WIDE),
        strict=True,
    ):
        assert square[0, 0] > 1.3 * square[0, 1]
        assert pair[0, 0] == pytest.approx(square[0, 1], rel=0.1)


def test_draws_do_not_depend_on_threads_or_on_how_many_there_are():
    options = {"width": 300, "get": ("nngp", "ntk"), "error": True}
    one, *others = (mf.empirical_kernel(NETWORK, A, draws=5, threads=t, **options) for t in (1, 2, 4, None))
    for other in others:
        assert np.array_equal(np.array(one), np.array(other))
    assert not np.array_equal(one, mf.empirical_kernel(NETWORK, A, draws=5, seed=1, **options))
    first, both = (mf.empirical_kernel(NETWORK, A, width=300, draws=n) for n in (1, 2))
    second = empirical_kernels(NETWORK, A, width=300, rng=stream(0, 300, 1))[0]
    np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-13)


@pytest.mark.parametrize("outputs, numbers", [(1, 5), (64, 18)])
def test_memory_is_that_of_the_weights_and_never_of_a_jacobian(outputs, numbers):
    width, points, hidden = 256, 60, 4
    network = mf.Dense(2, 0.1) >> (mf.relu >> mf.Dense(2, 0.1)) ** hidden
    parameters = hidden * width * (width + 1)
    mf.empirical_kernel(network, np.ones((2, 2)), width=8, get="ntk")
    x = np.random.default_rng(0).standard_normal((points, 10))
    tracemalloc.start()
    mf.empirical_kernel(network, x, width=width, draws=3, get="ntk", threads=1, outputs=outputs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Weights, and for each point and neuron signals and gradients, those of 8 output neurons at a time.
    assert peak < 8 * (1.5 * parameters + numbers * hidden * points * width) < 8 * points * parameters / 10


# -- the limit -------------------------------------------------------------------------------------------------------

# Eight pairs of inputs with lengths 1, 1 and covariance 1/2, orthogonal to each other: each obeys the same limit.
PAIRS = inputs(Case(mf.Identity(), mf.Identity(), start=(1, 1, 0.5), depth=1), pairs=8)
LIMITS = {
    "relu": mf.Dense(2, 0.1) >> (mf.relu >> mf.Dense(2, 0.1)) ** 2,
    "erf": mf.Dense(2.25, 0.01) >> (mf.erf >> mf.Dense(2.25, 0.01)) ** 2,
    "layer norm": mf.Dense(1, 0.1) >> mf.LayerNorm() >> mf.relu >> mf.Dense(2, 0.1),
    "residual": mf.Dense(1, 0.1) >> (mf.Identity() + 0.7 * (mf.relu >> mf.Dense(2, 0.1))) ** 2,
    "dropout": mf.Dense(1, 0.1) >> mf.erf >> mf.Dropout(0.8) >> mf.Dense(2, 0.1),
    "features": mf.Dense(2, 0.1) >> mf.erf >> mf.Dense(2, 0.1) >> mf.relu,
}
OFF = {
    "relu": mf.Dense(2, 0.1) >> (mf.relu >> mf.Dense(2.2, 0.1)) ** 2,
    "erf": mf.Dense(2.25, 0.01) >> (mf.erf >> mf.Dense(2.025, 0.01)) ** 2,
}


def verdict(network, drawn_from):
    """The limit of one network against networks of another, extrapolated from two widths."""
    own, pair = over_pairs(np.array(mf.kernel(network, PAIRS, get=("nngp", "ntk"))))

    def draw(width, start, stop):
        def observe(rng):
            return np.ravel(over_pairs(empirical_kernels(drawn_from, PAIRS, width=width, rng=rng, outputs=4)))

        return draw_many(observe, width=width, start=start, stop=stop, seed=1)

    names = ("nngp of one input", "ntk of one input", "nngp of two", "ntk of two")
    options = {"widths": (32, 128), "draws": 250, "max_draws": 4000, "margin": 0.03}
    return decide(names, np.ravel([own, pair]), np.ravel([own, own]), draw, **options)


@pytest.mark.parametrize("name", LIMITS)
def test_wide_networks_reach_the_kernel(name):
    found = verdict(LIMITS[name], LIMITS[name])
    assert found.outcome == "agrees", found.rows


@pytest.mark.parametrize("name", OFF)
def test_a_weight_variance_off_by_ten_per_cent_is_told_apart(name):
    assert verdict(LIMITS[name], OFF[name]).outcome == "disagrees"


def test_the_error_is_that_of_the_mean():
    """Within four standard errors of the limit, at a width where the bias is well below one."""
    network, x = LIMITS["erf"], PAIRS[:2]
    limits = mf.kernel(network, x, get=("nngp", "ntk"))
    found = mf.empirical_kernel(network, x, width=400, draws=160, get=("nngp", "ntk"), error=True)
    for limit, (mean, error) in zip(limits, found, strict=True):
        assert (np.abs(mean - limit) < 4 * error).all()
        assert (np.abs(mean - 1.1 * limit) > 4 * error).diagonal().all()


# -- refusals --------------------------------------------------------------------------------------------------------

BAD = [
    ({"width": 0}, ValueError, "width must be at least 1, not 0"),
    ({"width": 8.0}, TypeError, "width must be a whole number, not 8.0"),
    ({"draws": 0}, ValueError, "draws must be at least 1, not 0"),
    ({"draws": "2"}, TypeError, "draws must be a whole number"),
    ({"error": True}, ValueError, "needs draws=2 or more"),
    ({"outputs": 0}, ValueError, "outputs must be at least 1"),
    ({"outputs": 9, "get": "ntk"}, ValueError, "at most the network's 8 output neurons, not 9"),
    ({"threads": 0}, ValueError, "threads must be at least 1"),
    ({"seed": -1}, ValueError, "not negative"),
    ({"get": "gradient"}, ValueError, "unknown kernel 'gradient'; known are nngp and ntk"),
    (
        {"x1": [1.0, 2.0]},
        ValueError,
        r"x1 must be a non-empty array of shape \(points, features\), not of shape \(2,\)",
    ),
    ({"x1": np.ones((0, 2))}, ValueError, r"shape \(0, 2\)"),
    ({"x1": [[1.0, np.nan]]}, ValueError, r"x1\[0, 1\] is nan"),
    ({"x2": [[1.0, 2.0], [np.inf, 0.0]]}, ValueError, r"x2\[1, 0\] is inf"),
    ({"x2": np.ones((2, 3))}, ValueError, "same number of features, not 2 and 3"),
    ({"x1": "data"}, TypeError, "x1 must be an array of numbers"),
    ({"net": "relu"}, TypeError, "a kernel is that of a network"),
    ({"net": mf.relu >> mf.Dense(2, 0)}, ValueError, "starts with an activation"),
    ({"net": mf.Dense(2)}, ValueError, "bias_var of .* has no value"),
    (
        {"net": mf.Dense(2, 0) >> mf.Pointwise("tanh", sp.tanh(sp.Symbol("s") * X))},
        ValueError,
        "s in the activation .* has no value",
    ),
    ({"net": mf.Dense(2, 0) >> mf.sign >> mf.Dense(2, 0), "get": "ntk"}, ValueError, "no gradient passes through"),
]


@pytest.mark.parametrize("wrong, error, message", BAD, ids=lambda v: str(v)[:40])
def test_wrong_arguments_are_refused(wrong, error, message):
    given = {"net": NETWORK, "x1": A, "x2": None, "width": 8, **wrong}
    with pytest.raises(error, match=message):
        mf.empirical_kernel(given.pop("net"), given.pop("x1"), given.pop("x2"), **given)


def test_an_activation_that_jumps_has_an_nngp():
    assert mf.empirical_kernel(mf.Dense(2, 0) >> mf.sign >> mf.Dense(2, 0), A, width=8).shape == (3, 3)
