"""Training of real networks: passes against finite differences, low-rank formulas against dense ones, gauges."""

from fractions import Fraction as F
from itertools import islice

import numpy as np
import pytest
import sympy as sp

from meanfield.finite.training.coordinates import Task, coordinates
from meanfield.finite.training.gradients import Gradient
from meanfield.finite.training.mlp import TANH, LayerNumbers, Network, activation, draw
from meanfield.finite.training.optimizers import OPTIMIZERS, backpropagation, optimizer, train, train_on

N, M = 24, 4


def network(width=N, layers=4, phi=TANH, seed=1, inputs=5, outputs=2):
    sizes = [inputs, *[width] * (layers - 1), outputs]
    numbers = [LayerNumbers(before**-0.5, 1.5 - 0.2 * at) for at, before in enumerate(sizes[:-1])]
    return draw(numbers, width, inputs, outputs, np.random.default_rng(seed), phi)


def batch(seed=2, inputs=5, outputs=2):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((inputs, M)), rng.standard_normal((outputs, M))


# -- passes --------------------------------------------------------------------------------------------------------

SMOOTH = {"tanh": TANH, "gelu": activation(sp.sympify("x*(1 + erf(x/sqrt(2)))/2", locals={"x": sp.Symbol("x")}))}


@pytest.mark.parametrize("layers", [2, 4])
def test_gradients_are_finite_differences_of_the_loss(layers):
    net, (x, y) = network(6, layers), batch()

    def loss(weights):
        return ((net.moved(weights).forward(x).h[-1] - y) ** 2).sum() / (2 * M)

    step = 1e-6
    for layer, found in enumerate(backpropagation(net, x, y)):
        for at in [(0, 0), (1, 2), (1, 4)]:
            around = []
            for sign in (1, -1):
                moved = [w.copy() for w in net.weights]
                moved[layer][at] += sign * step
                around.append(loss(moved))
            assert found.dense[at] == pytest.approx((around[0] - around[1]) / (2 * step), rel=1e-6, abs=1e-9)


def test_a_formula_serves_as_an_activation():
    from symbolic.functions import X

    by_formula, x = activation(sp.tanh(X)), np.linspace(-3, 3, 7)
    assert np.allclose(by_formula.value(x), TANH.value(x), rtol=1e-15)
    assert np.allclose(by_formula.slope(x), TANH.slope(x), rtol=1e-13, atol=1e-16)


def test_a_network_has_two_layers():
    with pytest.raises(ValueError, match="at least 2 layers, not 1"):
        draw([LayerNumbers(1.0)], 4, 3, 2, np.random.default_rng(0))


# -- low rank against dense -----------------------------------------------------------------------------------------


def power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def dense_direction(name, g, damping, options):
    """The formulas with every matrix written out."""
    G, m = g.left @ g.right.T / g.samples, g.samples
    eye_L, eye_R = np.eye(len(G)), np.eye(G.shape[1])
    if name in ("kfac", "foof"):
        e_A, e_B = (1, 0) if name == "foof" else (options["e_A"], options["e_B"])
        A, B = g.right @ g.right.T / m, g.left @ g.left.T / m
        rho_B = damping[1] if e_B else 0.0
        return power(B + rho_B * eye_L, -e_B) @ G @ power(A + damping[0] * eye_R, -e_A)
    L, R, eps = G @ G.T, G.T @ G, damping[0]
    if name == "shampoo":
        return power(L + eps * eye_L, -options["e_L"]) @ G @ power(R + eps * eye_R, -options["e_R"])
    if name == "muon":
        u, s, v = np.linalg.svd(G, full_matrices=False)
        return u @ np.diag(s / (s + eps)) @ v
    left = np.linalg.eigh(L)[1] if options["sides"] in ("both", "left") else eye_L
    right = np.linalg.eigh(R)[1] if options["sides"] in ("both", "right") else eye_R
    turned = left.T @ G @ right
    return left @ (turned / (abs(turned) + eps)) @ right.T


MATRICES = [
    ("kfac", {"e_A": 1, "e_B": 1}),
    ("kfac", {"e_A": 0.5, "e_B": 0.25}),
    ("foof", {}),
    ("muon", {}),
    ("shampoo", {"e_L": 0.25, "e_R": 0.25}),
    ("shampoo", {"e_L": 0.5, "e_R": 0.125}),
    *(("soap", {"sides": sides}) for sides in ("both", "left", "right")),
]


@pytest.mark.parametrize(("name", "options"), MATRICES)
@pytest.mark.parametrize("shape", [(7, 9), (2, 9), (9, 3)])
def test_low_rank_directions_are_those_of_dense_matrices(name, options, shape):
    rng = np.random.default_rng(3)
    g = Gradient(rng.standard_normal((shape[0], M)), rng.standard_normal((shape[1], M)))
    damping = (0.3, 0.7) if name == "kfac" else (0.3,)
    found, _ = optimizer(name, **options).update(g, np.zeros(shape), damping, None)
    assert np.allclose(found, dense_direction(name, g, damping, options), rtol=1e-11, atol=1e-12)


def test_another_exponent_is_noticed():
    rng = np.random.default_rng(3)
    g = Gradient(rng.standard_normal((7, M)), rng.standard_normal((9, M)))
    found, _ = optimizer("kfac", e_A=1, e_B=0.75).update(g, np.zeros((7, 9)), (0.3, 0.7), None)
    assert not np.allclose(found, dense_direction("kfac", g, (0.3, 0.7), {"e_A": 1, "e_B": 1}), rtol=1e-2)


def test_the_pi_heuristic_splits_one_damping_by_the_traces():
    rng = np.random.default_rng(3)
    g = Gradient(rng.standard_normal((7, M)), 3 * rng.standard_normal((9, M)))
    pi = np.sqrt((np.trace(g.right @ g.right.T) / 9) / (np.trace(g.left @ g.left.T) / 7))
    found, _ = optimizer("kfac", pi=True).update(g, np.zeros((7, 9)), (0.04,), None)
    wanted, _ = optimizer("kfac").update(g, np.zeros((7, 9)), (0.2 * pi, 0.2 / pi), None)
    assert np.allclose(found, wanted, rtol=1e-13)


# -- single directions ----------------------------------------------------------------------------------------------


def directions(name, steps=1, **options):
    """Of the same gradient step after step."""
    rng = np.random.default_rng(4)
    g, w = Gradient(rng.standard_normal((6, M)), rng.standard_normal((5, M))), 0.1 * rng.standard_normal((6, 5))
    memory, rule = None, optimizer(name, **options).update
    for _ in range(steps):
        found, memory = rule(g, w, (), memory)
    return found, g.dense, w


def test_directions_of_a_constant_gradient():
    for name in ("adam", "sign", "lion"):
        found, g, _ = directions(name, steps=3)
        assert np.allclose(found, np.sign(g), rtol=1e-12)
    found, g, _ = directions("rmsprop", steps=2)
    assert np.allclose(found, np.sign(g) / np.sqrt(1 - 0.99**2))
    found, g, _ = directions("momentum", steps=3)
    assert np.allclose(found, (1 + 0.9 + 0.81) * g)


@pytest.mark.parametrize("name", ["lamb", "lars"])
def test_directions_as_long_as_the_weights(name):
    found, _, w = directions(name)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(w), rel=1e-12)


@pytest.mark.parametrize("factored", [False, True])
def test_adafactor_moves_by_a_share_of_the_weights(factored):
    found, g, w = directions("adafactor", factored=factored)
    assert (np.sign(found) == np.sign(g)).all()
    assert np.sqrt((found**2).mean() / (w**2).mean()) == pytest.approx(1, abs=0.2 if factored else 1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_readout_of_zeros_moves_alone_and_without_a_warning(name):
    numbers = [LayerNumbers(0.5), LayerNumbers(0.2), LayerNumbers(0.0)]
    net, (x, y) = draw(numbers, N, 5, 2, np.random.default_rng(0)), batch()
    if name == "target_propagation":
        pytest.skip("its targets do not come back through the readout")
    after = next(train(net, numbers, optimizer(name), x, y))
    moved = [not np.array_equal(a, b) for a, b in zip(net.weights, after.weights, strict=True)]
    assert moved == [False, False, name not in ("adafactor", "lamb", "lars")]


def test_refusals():
    with pytest.raises(ValueError, match="unknown optimizer 'shampo'; nearest: shampoo"):
        optimizer("shampo")
    with pytest.raises(ValueError, match="sides are 'both', 'left', 'right', not 'up'"):
        optimizer("soap", sides="up")
    with pytest.raises(TypeError, match="sgd has no options, given e_A"):
        optimizer("sgd", e_A=1)


# -- gauge ----------------------------------------------------------------------------------------------------------

# Of a layer multiplied by n^-theta and drawn with n^theta, learning rate and damping change by n^(kappa theta).
GAUGES = [
    ("sgd", {}, 2, ()),
    ("momentum", {}, 2, ()),
    ("adam", {}, 1, (-1,)),
    ("rmsprop", {}, 1, (-1,)),
    ("sign", {}, 1, ()),
    ("lion", {}, 1, ()),
    ("adafactor", {}, 0, ()),
    ("lamb", {}, 0, (-1,)),
    ("lars", {}, 0, (-1,)),
    ("normalized_sgd", {}, 1, (-1,)),
    ("muon", {}, 1, (-1,)),
    ("soap", {"sides": "right"}, 1, (-1,)),
    ("soap", {"sides": "left"}, 1, (-1,)),
    ("shampoo", {"e_L": 0.25, "e_R": 0.25}, 1, (-2,)),
    ("shampoo", {"e_L": 0.25, "e_R": 0.5}, F(1, 2), (-2,)),
    ("kfac", {"e_A": 1, "e_B": 1}, 0, (0, -2)),
    ("kfac", {"e_A": 1, "e_B": 0.25}, F(3, 2), (0, -2)),
    ("foof", {}, 2, (0,)),
    ("predictive_coding", {}, 2, ()),
    ("target_propagation", {}, 2, ()),
]


def outputs(name, options, theta, kappa, shifts, width=64, steps=4):
    x, y, at = Task().draw(0)
    numbers = []
    for t, std in zip(theta, (8**-0.5, width**-0.5, width**-0.5, 1 / width), strict=True):
        scale = float(width) ** t
        damping = tuple(0.01 * scale ** float(s) for s in shifts)
        numbers.append(LayerNumbers(std * scale, 1 / scale, 0.03 * scale ** float(kappa), damping))
    net = draw(numbers, width, 8, 2, np.random.default_rng(0))
    return np.array([n.forward(at).h[-1] for n in islice(train(net, numbers, optimizer(name, **options), x, y), steps)])


@pytest.mark.parametrize(("name", "options", "kappa", "shifts"), GAUGES)
def test_a_shifted_parametrization_trains_the_same_network(name, options, kappa, shifts):
    plain = outputs(name, options, (0, 0, 0, 0), kappa, shifts)
    shifted = outputs(name, options, (0.5, -0.25, 0.75, 0.3), kappa, shifts)
    assert abs(shifted - plain).max() <= 1e-12 * abs(plain).max()
    assert (
        abs(outputs(name, options, (0.5, -0.25, 0.75, 0.3), kappa + 1, shifts) - plain).max() > 1e-3 * abs(plain).max()
    )


# -- identities -----------------------------------------------------------------------------------------------------


def test_kfac_with_a_readout_of_zeros_is_ridge_regression_on_last_features():
    """f_1(x') = Y (K + rho m I)^-1 K(x'), K = X^T X/n, with B = I and rho_A = rho n (derived here)."""
    for width in (64, 512):
        rho, (x, y), at = 0.3, batch(), np.random.default_rng(5).standard_normal((5, 3))
        numbers = [LayerNumbers(0.5), LayerNumbers(width**-0.5), LayerNumbers(0.0, damping=(rho * width,))]
        net = draw(numbers, width, 5, 2, np.random.default_rng(0))
        found = next(train(net, numbers, optimizer("foof"), x, y)).forward(at).h[-1]
        X, new = net.forward(x).x[-1], net.forward(at).x[-1]
        wanted = y @ np.linalg.solve(X.T @ X / width + rho * M * np.eye(M), X.T @ new / width)
        assert np.allclose(found, wanted, rtol=1e-12, atol=1e-13)
        assert not np.allclose(
            found, y @ np.linalg.solve(X.T @ X / width + rho * np.eye(M), X.T @ new / width), rtol=0.01
        )


def test_the_change_is_the_sum_of_its_parts():
    numbers = [LayerNumbers(0.3, 1.0, 0.1), LayerNumbers(N**-0.5, 2.0, 0.1), LayerNumbers(1 / N, 1.0, 0.1)]
    found = coordinates(numbers, N, 3, optimizer("sgd"), seed=0)
    assert (found.dh <= found.own + found.prop + found.cross + 1e-15).all()
    assert np.allclose(found.dh[:, 0], found.own[:, 0], rtol=1e-14)
    assert (found.prop[:, 0] == 0).all()
    assert np.array_equal(found.df, found.dh[:, -1])
    assert np.array_equal(found.own, coordinates(numbers, N, 3, optimizer("sgd"), seed=0).own)


def test_parts_of_one_step_of_descent_by_hand():
    """Two layers, one step: own and prop of the readout written out from the weights of both networks."""
    numbers, task = [LayerNumbers(0.4, 1.0, 0.2), LayerNumbers(0.3, 1.0, 0.2)], Task(inputs=3, batch=2)
    found = coordinates(numbers, 5, 1, optimizer("sgd"), 7, task)
    (x, y, at), rng = task.draw(7), np.random.default_rng([7, 5])
    w, v = 0.4 * rng.standard_normal((5, 3)), 0.3 * rng.standard_normal((2, 5))
    features = np.tanh(w @ x)
    wrong = (v @ features - y) / 2
    new_v, new_w = v - 0.2 * wrong @ features.T, w - 0.2 * ((1 - features**2) * (v.T @ wrong)) @ x.T
    change = np.tanh(new_w @ at) - np.tanh(w @ at)
    parts = ((new_v - v) @ np.tanh(w @ at), v @ change, (new_v - v) @ change)
    for got, part in zip((found.own, found.prop, found.cross), parts, strict=True):
        assert got[0, 1] == pytest.approx(np.sqrt((part**2).mean()), rel=1e-12)


def test_a_network_carries_its_weights_only():
    net = network()
    assert isinstance(net.moved(net.weights), Network) and net.moved(net.weights).multipliers == net.multipliers


def test_each_step_takes_its_own_batch():
    """As the same optimizer steps one batch after the other; and another batch leads elsewhere."""
    net, numbers, batches = network(), [LayerNumbers(1.0, learning_rate=0.1)] * 4, [batch(2), batch(3)]
    first, second = train_on(net, numbers, optimizer("sgd"), batches)
    by_hand = next(train(first, numbers, optimizer("sgd"), *batches[1]))
    same = list(islice(train(net, numbers, optimizer("sgd"), *batches[0]), 2))
    for found, expected, other in zip(second.weights, by_hand.weights, same[1].weights, strict=True):
        assert np.array_equal(found, expected) and not np.allclose(found, other)
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, same[0].weights, strict=True))
