"""Finite networks: exact gradients, two samplers of one law, the tangent kernel, the limits they approach."""

from dataclasses import dataclass

import numpy as np
import pytest
import sympy as sp

from meanfield.finite import (
    Draw,
    draw_many,
    empirical_ntk,
    entropy,
    forward,
    gradient_profile,
    grams,
    sample,
    stream,
)
from meanfield.finite.formulas import evaluate, slope
from symbolic.activations import ACTIVATIONS, activation
from symbolic.functions import X
from symbolic.networks import Dense, Dropout, Identity, Layer, LayerNorm, RMSNorm
from symbolic.signals import NoRule

relu, tanh, gelu = (ACTIVATIONS[name] for name in ("relu", "tanh", "gelu"))


def points_with_cosine(features: int) -> np.ndarray:
    """Two points of <x, x>/features = 1 and cosine 1/2."""
    x = np.zeros((2, features))
    x[0, 0] = np.sqrt(features)
    x[1, :2] = np.sqrt(features) * np.array([0.5, np.sqrt(0.75)])
    return x


def standard_error(values: np.ndarray) -> np.ndarray:
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))


def agrees(values: np.ndarray, limit: float) -> bool:
    """Is the mean of the draws within four of its standard errors of the limit, and is a tenth more not?

    The bias of order 1/width is below one standard error at the widths and draws used here.
    """
    mean, error = values.mean(), standard_error(values)
    return abs(mean - limit) < 4 * error < abs(mean - 1.1 * limit)


# -- formulas ------------------------------------------------------------------------------------------------

JUMPING = {"step", "sign"}
GRID = np.array([-3.1, -1.7, -0.6, -0.013, 0.02, 0.5, 1.3, 2.9])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_agrees_with_sympy(name):
    formula = ACTIVATIONS[name].formula
    expected = [float(formula.subs(X, sp.Rational(str(v)))) for v in GRID]
    np.testing.assert_allclose(evaluate(formula, GRID), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"exp"}))
def test_every_activation_is_quiet_far_out(name):
    far = np.array([-1e6, -800.0, 800.0, 1e6])
    assert np.isfinite(evaluate(ACTIVATIONS[name].formula, far)).all()
    if name not in JUMPING:
        assert np.isfinite(evaluate(slope(ACTIVATIONS[name].formula), far)).all()


def test_a_true_overflow_is_an_error_and_not_a_number():
    with pytest.raises(ValueError, match=r"exp\(x\) is not a finite real number at x = 800"):
        evaluate(sp.exp(X), np.array([0.0, 800.0]))
    with pytest.raises(ValueError, match=r"sqrt\(x\) is not a finite real number at x = -1"):
        evaluate(sp.sqrt(X), np.array([-1.0]))


@pytest.mark.parametrize("name", sorted(JUMPING))
def test_no_gradient_passes_through_a_jump(name):
    _, back = forward(ACTIVATIONS[name], np.ones((1, 3)), Draw(3, stream(0)))
    with pytest.raises(ValueError, match="jumps"):
        back(np.ones((1, 3)))


def test_a_constant_formula_has_the_shape_of_its_input():
    assert evaluate(sp.Integer(3), np.zeros((2, 5))).tolist() == [[3.0] * 5] * 2


def test_values_at_the_kinks():
    zero = np.zeros(1)
    assert evaluate(ACTIVATIONS["step"].formula, zero) == evaluate(slope(relu.formula), zero) == 0.5
    assert evaluate(ACTIVATIONS["sign"].formula, zero) == 0.0


def test_formulas_that_cannot_be_computed_say_why():
    with pytest.raises(ValueError, match=r"beta in the activation .* has no value"):
        evaluate(sp.tanh(sp.Symbol("beta") * X), GRID)
    with pytest.raises(ValueError, match="NumPy has no bump"):
        evaluate(sp.Function("bump")(X), GRID)


# -- gradients -----------------------------------------------------------------------------------------------

SMOOTH = [activation(n) for n in ("tanh", "gelu", "silu", "mish", "elu", "x*exp(-x**2)")]
DIFFERENTIABLE = [
    Identity(),
    Dense(1.5, 0.3),
    *SMOOTH,
    relu,
    Dropout(0.7),
    LayerNorm(),
    RMSNorm(),
    0.7 * RMSNorm(),
    tanh >> Dense(2, 0.1) >> LayerNorm() >> gelu >> Dense(1, 0),
    Identity() + 0.5 * (tanh >> Dense(1.3, 0.2)),
    Dense(1, 1) + (gelu >> Dropout(0.5) >> Dense(2, 0)) + Identity(),
    (LayerNorm() >> tanh >> Dense(1.5, 0.1)) ** 3,
    (Identity() + (RMSNorm() >> gelu >> Dense(1, 0))) ** 2,
]


@pytest.mark.parametrize("layer", DIFFERENTIABLE, ids=str)
def test_every_gradient_is_the_slope_of_its_layer(layer):
    rng = np.random.default_rng(1)
    x, direction, weights = (rng.standard_normal((3, 6)) for _ in range(3))

    def passed(z):  # the same stream each time: the same weights and masks
        return forward(layer, z, Draw(6, stream(5)))

    _, back = passed(x)
    step = 1e-5
    difference = (passed(x + step * direction)[0] - passed(x - step * direction)[0]) / (2 * step)
    assert np.sum(back(weights) * direction) == pytest.approx(np.sum(weights * difference), rel=2e-8, abs=1e-9)
    stacked = back(np.stack([weights, 2 * weights]))
    np.testing.assert_allclose(stacked, np.stack([back(weights), 2 * back(weights)]), rtol=1e-12, atol=1e-14)


def test_a_wrong_gradient_would_be_noticed():
    x, direction, weights = np.random.default_rng(1).standard_normal((3, 3, 6))
    _, right = forward(LayerNorm(), x, Draw(6, stream(0)))
    _, wrong = forward(RMSNorm(), x - x.mean(axis=1, keepdims=True), Draw(6, stream(0)))
    assert np.sum(right(weights) * direction) != pytest.approx(np.sum(wrong(weights) * direction), rel=1e-3)


def test_norms_normalise():
    x = np.random.default_rng(0).standard_normal((4, 9)) + 2
    centred, _ = forward(LayerNorm(), x, Draw(9, stream(0)))
    np.testing.assert_allclose(centred.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose((centred**2).mean(axis=1), 1)
    np.testing.assert_allclose((forward(RMSNorm(), x, Draw(9, stream(0)))[0] ** 2).mean(axis=1), 1)
    with pytest.raises(ValueError, match=r"LayerNorm\(\)' would divide by zero: the neurons of point 1"):
        forward(LayerNorm(), np.array([[1.0, 2, 3], [0.1, 0.1, 0.1]]), Draw(3, stream(0)))


# -- two samplers of one law ---------------------------------------------------------------------------------

# Three points of which one is the sum of the others, so that their Gram matrix is singular.
DEPENDENT = np.array([[1.0, 0.5, -0.3], [0.2, -1.1, 0.4], [1.2, -0.6, 0.1]])
LAWS = [
    Dense(1.7, 0.2) >> (tanh >> Dense(1.7, 0.2)) ** 2,
    Dense(2, 0) >> (Identity() + (relu >> Dropout(0.8) >> Dense(1, 0.1))) ** 2,
    Dense(1, 0.1) >> (LayerNorm() >> gelu >> Dense(2, 0)) ** 2,
]


def scores(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Two-sample z of means and of variances, over all entries of all Gram matrices after the input."""
    differences = []
    for of in (lambda g: g, lambda g: (g - g.mean(axis=0)) ** 2):
        a, b = of(one)[:, 1:], of(two)[:, 1:]
        differences.append((a.mean(axis=0) - b.mean(axis=0)) / np.hypot(standard_error(a), standard_error(b)))
    return np.stack(differences)


@pytest.mark.parametrize("network", LAWS, ids=str)
def test_the_conditional_law_is_the_law_of_the_weights(network):
    real = sample(network, DEPENDENT, width=12, draws=4000, seed=1).grams
    conditional = sample(network, DEPENDENT, width=12, draws=4000, seed=2, conditional=True).grams
    assert np.abs(scores(real, conditional)).max() < 4


def test_a_tenth_more_weight_is_noticed():
    real = sample(LAWS[0], DEPENDENT, width=12, draws=4000, seed=1).grams
    off = Dense(1.87, 0.2) >> (tanh >> Dense(1.87, 0.2)) ** 2
    wrong = sample(off, DEPENDENT, width=12, draws=4000, seed=2, conditional=True).grams
    assert np.abs(scores(real, wrong)).max() > 8


def test_a_conditional_draw_has_no_way_back():
    _, back = forward(Dense(1, 0), np.ones((2, 3)), Draw(4, stream(0), conditional=True))
    with pytest.raises(ValueError, match="no weights to go back through: draw with conditional=False"):
        back(np.ones((2, 4)))


# -- the tangent kernel --------------------------------------------------------------------------------------


class Nudged(np.random.Generator):
    """A stream whose number `at` is moved by `step`: the standard normals are the parameters w and beta."""

    def nudge(self, at: int, step: float) -> "Nudged":
        self.at, self.step, self.passed = at, step, 0
        return self

    def standard_normal(self, size):
        values = super().standard_normal(size)
        if self.passed <= self.at < self.passed + values.size:
            values.flat[self.at - self.passed] += self.step
        self.passed += values.size
        return values


def jacobian(network: Layer, x: np.ndarray, width: int, outputs: int, parameters: int) -> np.ndarray:
    """Finite differences of the outputs in every parameter: (parameters, points, outputs)."""

    def output(at: int, step: float) -> np.ndarray:
        rng = Nudged(np.random.PCG64DXSM(3)).nudge(at, step)
        y, _ = forward(network, x, Draw(width, rng))
        assert rng.passed == parameters
        return y[:, :outputs]

    return np.stack([(output(i, 1e-5) - output(i, -1e-5)) / 2e-5 for i in range(parameters)])


TANGENTS = [
    (Dense(1.5, 0.3) >> tanh >> Dense(2, 0.1), 3 * 5 + 5 + 5 * 5 + 5),
    (Dense(1, 0.1) >> (Identity() + (LayerNorm() >> gelu >> 0.5 * Dense(2, 0.2))) ** 2, 3 * 5 + 5 + 2 * 30),
    (Dense(1, 0.1) >> tanh, 3 * 5 + 5),
]


@pytest.mark.parametrize("network, parameters", TANGENTS, ids=lambda v: str(v))
def test_the_tangent_kernel_is_the_gram_of_the_jacobian(network, parameters):
    x = np.random.default_rng(0).standard_normal((2, 3))
    slopes = jacobian(network, x, width=5, outputs=4, parameters=parameters)
    expected = np.einsum("pao,pbo->ab", slopes, slopes) / 4
    rng = np.random.Generator(np.random.PCG64DXSM(3))
    np.testing.assert_allclose(empirical_ntk(network, x, width=5, rng=rng, outputs=4), expected, rtol=1e-8)


def test_the_tangent_kernel_of_a_deep_relu_network():
    """ReLU(2, 0.1), 5 layers, cosine 1/2: limits 11.5 and 5.393; 5.53 +- 0.09 is an earlier sample."""
    network, x = Dense(2, 0.1) >> (relu >> Dense(2, 0.1)) ** 4, points_with_cosine(8)
    kernels = draw_many(
        lambda rng: empirical_ntk(network, x, width=400, rng=rng), width=400, start=0, stop=150, seed=11
    )
    assert agrees(kernels[:, 0, 0], 11.5)
    assert agrees(kernels[:, 0, 1], 5.3929982722727)
    assert abs(kernels[:, 0, 1].mean() - 5.53) < 4 * np.hypot(standard_error(kernels)[0, 1], 0.09)


# -- the limits (13 digits, from the theory) ------------------------------------------------------------


def test_tanh_reaches_its_fixed_point_and_correlation():
    """tanh, weight_var 4, bias_var 0.05: q* = 2.1954939280345, c* = 0.1650649620223."""
    network = Dense(4, 0.05) >> (tanh >> Dense(4, 0.05)) ** 30
    x = np.sqrt(0.5) * points_with_cosine(10)
    last = sample(network, x, width=2000, draws=500, seed=3, conditional=True).grams[:, -1]
    assert agrees(last[:, 0, 0], 2.1954939280345)
    assert agrees(last[:, 1, 1], 2.1954939280345)
    assert agrees(last[:, 0, 1], 0.1650649620223 * 2.1954939280345)


def test_relu_kernels_layer_by_layer():
    """ReLU with weight_var 2, cosine 1/2: variance 2, and the covariances of layers 2, 3 and 5."""
    network = Dense(2, 0) >> (relu >> Dense(2, 0)) ** 4
    found = sample(network, points_with_cosine(10), width=1000, draws=500, seed=4, conditional=True).grams
    for depth, limit in ((2, 1.2179955620885), (3, 1.3678113017974), (5, 1.5577902747887)):
        assert agrees(found[:, depth, 0, 0], 2)
        assert agrees(found[:, depth, 0, 1], limit)


def test_a_residual_network_follows_its_recursion():
    """x + (tanh >> Dense(1, 0.1)), q_0 = 1, c_0 = 1/2: q_10 = 7.9687561792, c_10 = 0.545196983632."""
    # The recursion starts at a Gaussian signal: the first layer makes one and keeps the Gram.
    network = Dense(1, 0) >> (Identity() + (tanh >> Dense(1, 0.1))) ** 10
    last = sample(network, points_with_cosine(10), width=1000, draws=300, seed=5, conditional=True).grams[:, -1]
    assert agrees(last[:, 0, 0], 7.9687561792)
    assert agrees(last[:, 0, 1], 7.9687561792 * 0.545196983632)


def test_dropout_separates_two_equal_points():
    """tanh, weight_var 1.69, bias_var 0.05, keep 0.9: q* = 0.642963906909, c* = 0.381452398606."""
    block = tanh >> Dropout(0.9) >> Dense(1.69, 0.05)
    equal = np.full((2, 4), 0.6)
    last = sample(Dense(1.69, 0.05) >> block**30, equal, width=2000, draws=200, seed=12, conditional=True).grams[:, -1]
    assert agrees(last[:, 0, 0], 0.642963906909)
    assert agrees(last[:, 0, 1], 0.381452398606 * 0.642963906909)


def test_relu_lengths_fluctuate_by_five_over_width():
    """E r = 1, E r^2 = 1 + 5/n exactly, for the length ratio r of one ReLU layer with weight_var 2."""
    network = Dense(1, 0) >> (relu >> Dense(2, 0)) ** 1
    x = np.random.default_rng(0).standard_normal((1, 50))
    lengths = sample(network, x, width=50, draws=20000, seed=6, conditional=True).grams[:, 1:, 0, 0]
    ratio = lengths[:, -1] / lengths[:, 0]
    assert agrees(ratio**2, 1.1)


def test_gradients_grow_by_chi_in_the_chaotic_phase():
    """tanh at weight_var 4, bias_var 0.05: chi_1 = 1.3424024144452 per layer at the fixed point."""
    network = Dense(4, 0.05) >> (tanh >> Dense(4, 0.05)) ** 8
    x = np.sqrt(2.1954939280345 / 4) * points_with_cosine(400)
    profiles = draw_many(
        lambda rng: gradient_profile(network, x, width=400, rng=rng), width=400, start=0, stop=100, seed=7
    )
    assert profiles.shape == (100, 10, 2)
    assert (profiles[:, -1] == 1).all()
    assert agrees(profiles[:, 6, 0] / profiles[:, 7, 0], 1.3424024144452)
    assert agrees(profiles[:, 0, 0] / profiles[:, 1, 0], 4)


def test_the_gradient_of_narrow_inputs_is_a_mean_over_their_own_neurons():
    x = points_with_cosine(4)
    found = draw_many(
        lambda rng: gradient_profile(Dense(1.5, 0), x, width=64, rng=rng), width=64, start=0, stop=900, seed=8
    )
    assert agrees(found[:, 0, 0], 1.5 * 64 / 4)


# -- reproducibility -----------------------------------------------------------------------------------------

NETWORK = Dense(2, 0.1) >> (gelu >> Dropout(0.9) >> Dense(2, 0.1)) ** 2


@pytest.mark.parametrize("width", [40, 300])
@pytest.mark.parametrize("conditional", [False, True])
def test_draws_do_not_depend_on_threads_or_batches(width, conditional):
    def observe(rng):
        return grams(NETWORK, DEPENDENT, width=width, rng=rng, conditional=conditional)

    def run(start, stop, threads):
        return draw_many(observe, width=width, start=start, stop=stop, seed=9, threads=threads)

    whole = run(0, 20, 1)
    assert whole.shape == (20, 4, 3, 3)
    for threads in (None, 2, 5):
        assert np.array_equal(run(0, 20, threads), whole)
    assert np.array_equal(np.concatenate([run(0, 7, 1), run(7, 8, 3), run(8, 20, 2)]), whole)
    assert len({w[1, 0, 0] for w in whole}) == 20


def test_seeds():
    assert stream(3, 64, 1).random() == stream(3, 64, 1).random()
    assert len({stream(*key).random() for key in ((3, 64, 1), (3, 64, 2), (3, 65, 1), (4, 64, 1), (3,))}) == 5
    one, two = (sample(NETWORK, DEPENDENT, width=8, draws=3, seed=np.random.default_rng(1)) for _ in range(2))
    assert one.seed == two.seed
    assert np.array_equal(one.grams, two.grams)
    fresh = sample(NETWORK, DEPENDENT, width=8, draws=3, seed=None)
    again = sample(NETWORK, DEPENDENT, width=8, draws=3, seed=fresh.seed)
    assert np.array_equal(fresh.grams, again.grams)
    assert entropy(None) != entropy(None)


def test_a_sample_says_what_it_is():
    found = sample(NETWORK, DEPENDENT, width=8, draws=5, seed=3)
    assert str(found) == "5 x width 8: Gram matrices of 3 points after 3 blocks, seed 3"
    np.testing.assert_allclose(found.mean(), found.grams.mean(axis=0))
    np.testing.assert_allclose(found.std()[1:], found.grams.std(axis=0, ddof=1)[1:])
    np.testing.assert_allclose(found.grams[:, 0], np.broadcast_to(DEPENDENT @ DEPENDENT.T / 3, (5, 3, 3)))
    with pytest.raises(ValueError, match="draws=2"):
        sample(NETWORK, DEPENDENT, width=8, draws=1).std()


# -- refusals ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unknown(Layer):
    """A layer for which nothing is registered."""


def test_an_unknown_layer_is_an_error_and_never_an_identity():
    with pytest.raises(
        NoRule, match="no rule for Unknown; they have rules for Attention, AvgPool, Chain, Conv, Dense, Dropout"
    ):
        forward(Unknown(), DEPENDENT, Draw(3, stream(0)))


def test_a_symbol_has_no_number():
    with pytest.raises(ValueError, match=r"bias_var of 'Dense\(weight_var=2, bias_var=bias_var\)' has no value"):
        sample(Dense(2), DEPENDENT, width=8, draws=2)


def test_branches_of_different_widths_are_not_broadcast():
    network = Identity() + (tanh >> Dense(1, 0))
    for features in (1, 3):
        with pytest.raises(ValueError, match=f"have {features} and 8 neurons: put a Dense layer before it"):
            sample(network, np.ones((2, features)), width=8, draws=2)


GOOD = {"x": DEPENDENT, "width": 4, "draws": 2, "seed": 0}
BAD = [
    ({"x": [[1.0, 2.0], [3.0, np.nan]]}, ValueError, r"x\[1, 1\] is nan"),
    ({"x": [[1.0, np.inf]]}, ValueError, r"x\[0, 1\] is inf"),
    ({"x": [1.0, 2.0]}, ValueError, r"shape \(2,\)"),
    ({"x": np.ones((0, 3))}, ValueError, r"shape \(0, 3\)"),
    ({"x": [["1", "2"]]}, TypeError, "real numbers"),
    ({"x": [[1j]]}, TypeError, "complex128"),
    ({"width": 0}, ValueError, "width must be at least 1, not 0"),
    ({"width": True}, TypeError, "width must be a whole number, not True"),
    ({"width": 4.0}, TypeError, "width must be a whole number"),
    ({"draws": -1}, ValueError, "draws must be at least 1"),
    ({"draws": "2"}, TypeError, "draws must be a whole number"),
    ({"seed": -1}, ValueError, "not negative"),
    ({"seed": 1.5}, TypeError, "a seed is a whole number"),
    ({"threads": 0}, ValueError, "threads must be at least 1"),
]


@pytest.mark.parametrize("wrong, error, message", BAD, ids=lambda v: str(v)[:40])
def test_wrong_arguments_are_refused(wrong, error, message):
    given = {**GOOD, **wrong}
    with pytest.raises(error, match=message):
        sample(NETWORK, given.pop("x"), **given)


def test_wrong_arguments_of_the_observables_are_refused():
    with pytest.raises(TypeError, match="a network is made of layers"):
        grams("tanh", DEPENDENT, width=4, rng=stream(0))
    with pytest.raises(TypeError, match="rng must be"):
        grams(NETWORK, DEPENDENT, width=4, rng=0)
    with pytest.raises(ValueError, match="at most the network's 4 output neurons, not 8"):
        empirical_ntk(NETWORK, DEPENDENT, width=4, rng=stream(0))
    with pytest.raises(ValueError, match="draws run from start >= 0"):
        draw_many(lambda rng: 0.0, width=4, start=3, stop=3, seed=0)
