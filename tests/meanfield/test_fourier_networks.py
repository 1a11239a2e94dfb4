"""Real Fourier layers against explicit sums over modes, finite differences and the covariance of their outputs, and the
walks of deep ones against real weights and against numbers of the recursion computed with 30 digits elsewhere."""

from functools import partial
from itertools import product

import numpy as np
import pytest

import meanfield as mf
from meanfield.finite import Draw, Tape, empirical_kernels, forward, stream
from meanfield.finite.fields import fields, gradient_walk, lag_covariance, walk
from meanfield.finite.products import by_law, by_weights
from meanfield.modes import mode_shares
from tests.meanfield.shifted_draws import Shifted

RNG = np.random.default_rng
LAYERS = {
    "even": (mf.Spectral(3, 2, 0.3), (8,)),
    "odd": (mf.Spectral(3, 2, 0.3, spectrum=[0, 1, 0.5]), (7,)),
    "all": (mf.Spectral(5, 2, 0.3), (8,)),
    "complex": (mf.Spectral(5, 2, 0.3, dc="complex"), (8,)),
    "half open": (mf.Spectral((2, 3), 2, 0.3, half_open=True), (6, 4)),
    "2-D": (mf.Spectral((3, 2), 2, 0.3), (4, 5)),
    "reference": (mf.Spectral.from_reference((2, 3), weight_var=2, bias_var=0.3), (6, 4)),
    "3-D": (mf.Spectral((2, 3, 2), 2, 0.3), (4, 4, 3)),
    "3-D reference": (mf.Spectral.from_reference((2, 1, 2), weight_var=2, bias_var=0.3), (4, 3, 4)),
}
EACH = pytest.mark.parametrize("name", LAYERS)


def x_of(shape, points=2, channels=3):
    return RNG(5).standard_normal((points, *shape, channels)) + 0.3


def drawn_modes(layer, shape):
    """(k, s_k, kind) of each mode that has weights, kind of its place: inside, alone, pair or free, by plain loops."""
    modes = layer.modes if isinstance(layer.modes, tuple) else (layer.modes,)
    last, found = len(shape) - 1, {}

    def in_box(k):
        each = enumerate(zip(k, modes, strict=True))
        return all(abs(c) < m or (layer.half_open and i < last and c == -m) for i, (c, m) in each)

    def signed(k):
        return tuple(c - n if 2 * c >= n else c for c, n in zip(k, shape, strict=True))

    for place in product(*map(range, (*shape[:-1], shape[-1] // 2 + 1))):
        other = tuple(-c % n for c, n in zip(place, shape, strict=True))
        plane = other[-1] == place[-1]
        real = plane and layer.dc == "real"
        if not (in_box(signed(place)) or (real and in_box(signed(other)))) or (real and other in found):
            continue
        share = 1.0 if layer.spectrum is None else layer.spectrum[abs(signed(place)[0])]
        kind = "inside" if not plane else "free" if not real else "alone" if other == place else "pair"
        found[place] = 2.0 * share, kind
    return [(k, *rest) for k, rest in found.items()]


def plain(layer, x, width, rng):
    """The layer written out, drawing in the same order."""
    shape, channels = x.shape[1:-1], x.shape[-1]
    modes = drawn_modes(layer, shape)
    a, b = rng.standard_normal((2, len(modes), channels, width))
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, len(shape))
    flat, total = x.reshape(len(x), -1, channels), np.zeros((len(x), len(places), width))
    for i, (k, variance, kind) in enumerate(modes):
        weights = a[i] if kind == "alone" else (a[i] + 1j * b[i]) / np.sqrt(2)
        wave = np.exp(2j * np.pi * (places / shape) @ k)
        hat = np.einsum("a,paj->pj", wave.conj(), flat) / len(places)
        once = np.einsum("a,pj,ji->pai", wave, hat, np.sqrt(variance / channels) * weights)
        total += (2 if kind in ("inside", "pair") else 1) * once.real
    return (total + np.sqrt(0.3) * rng.standard_normal(width)).reshape(*x.shape[:-1], width)


@EACH
def test_a_layer_is_what_is_written(name):
    layer, shape = LAYERS[name]
    found, _ = forward(layer, x_of(shape), Draw(4, stream(2)))
    np.testing.assert_allclose(found, plain(layer, x_of(shape), 4, stream(2)), rtol=1e-11, atol=1e-13)


@EACH
def test_gradients_are_finite_differences(name):
    layer, shape = LAYERS[name]
    net, x, rng = layer >> mf.erf >> (mf.Identity() + layer), x_of(shape), RNG(0)
    y, back = forward(net, x, Draw(4, stream(1)))
    g, direction, step = rng.standard_normal((2, *y.shape)), rng.standard_normal(x.shape), 1e-5
    ahead, behind = (forward(net, x + s * step * direction, Draw(4, stream(1)))[0] for s in (1, -1))
    axes = tuple(range(1, g.ndim))
    found, wanted = (back(g) * direction).sum(axes), (g * (ahead - behind)).sum(axes) / (2 * step)
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert 1.1 * found != pytest.approx(wanted, rel=1e-2)


@pytest.mark.parametrize("name", ["odd", "complex", "half open", "reference"])
def test_the_tangent_kernel_of_a_network_is_the_gram_of_its_parameter_gradients(name):
    layer, shape = LAYERS[name]
    net = layer >> mf.erf >> mf.Spectral(2, 1, 0.1) >> mf.GlobalAvgPool() >> mf.Dense(2, 0.1)
    x = x_of(shape, channels=2)

    def outputs(at, change):
        draw = Draw(2, stream(1), tape=Tape())
        object.__setattr__(draw, "rng", Shifted(at, change))
        return forward(net, x, draw)[0], draw.rng.seen

    count = outputs(-1, 0.0)[1]
    slopes = np.stack([(outputs(i, 1e-4)[0] - outputs(i, -1e-4)[0]) / 2e-4 for i in range(count)])
    expected = np.einsum("iao,ibo->ab", slopes, slopes) / 2
    found = empirical_kernels(net, x, width=2, rng=stream(1), outputs=2)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def covariance(layer, x, shares):
    """Cov(y_a(x), y_b(x')) (points N, points N) = (1/N^2) sum_k s_k e^(2 pi i k (a - b)/N) xhat_k(x) xhat_k(x')^H."""
    shape, channels = x.shape[1:-1], x.shape[-1]
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, len(shape))
    waves = np.exp(2j * np.pi * (places / shape) @ places.T)  # (a, k)
    hat = np.einsum("ak,paj->pkj", waves.conj(), x.reshape(len(x), -1, channels)) / len(places)
    power = 2.0 * shares.ravel()[:, None, None] * np.einsum("pkj,qkj->kpq", hat, hat.conj()) / channels
    size = len(x) * len(places)
    return np.einsum("ak,bk,kpq->paqb", waves, waves.conj(), power).real.reshape(size, size) + 0.3


def furthest(y, wanted):
    """The largest difference of the covariance over channels from what is wanted, in standard errors."""
    rows = y.reshape(-1, y.shape[-1])
    scale = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / rows.shape[1])
    return np.abs((rows @ rows.T / rows.shape[1] - wanted) / scale).max()


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("name", ["even", "all", "complex", "half open", "reference"])
def test_outputs_have_the_covariance_of_the_filter(name, conditional):
    layer, shape = LAYERS[name]
    x = x_of(shape)
    y, _ = forward(layer, x, Draw(20000, stream(3), conditional=conditional))
    wanted = covariance(layer, x, mode_shares(layer, shape))
    assert furthest(y, wanted) < 5
    if layer.dc == "complex":  # and not that of the numbers drawn
        assert furthest(y, covariance(layer, x, np.ones(shape))) > 10
    else:
        assert furthest(1.05 * y, wanted) > 6


# -- products with random matrices from their law -------------------------------------------------------------------


def back_of_a_product(multiply, x, rng, kind):
    """x R for independent R, one for each of the first axis of x, a gradient that depends on it, and that times R^H."""

    def entries(rows, columns):
        a, b = rng.standard_normal((2, len(x), rows, columns))
        return a if kind == "real" else (a + 1j * b) / np.sqrt(2)

    y, back = multiply(x, x.shape[-1], entries)
    g = y * np.abs(y) + y.conj()[:, ::-1]
    return y, g, back(g)


def moments(multiply, x, kind, rng):
    y, _, at_x = back_of_a_product(multiply, x, rng, kind)
    parts = np.concatenate([y.reshape(len(x), -1), at_x.reshape(len(x), -1)], axis=1)
    squares = (parts[:, :, None] * parts.conj()[:, None]).reshape(len(x), -1)
    both = np.concatenate([parts, squares], axis=1)
    return np.concatenate([both.real, both.imag], axis=1)


def unconditioned(x, width, entries):
    """What ignores that the gradient goes back through the same matrix."""
    y, _ = by_law(x, width, entries)
    return y, lambda g: by_law(g, x.shape[-1], entries)[0]


@pytest.mark.parametrize(("kind", "rows"), [("real", 2), ("complex", 1), ("complex", 2), ("real", 4)])
def test_products_from_their_law_go_back_as_those_with_weights(kind, rows):
    one = RNG(1).standard_normal((rows, 3)) + (1j * RNG(2).standard_normal((rows, 3)) if kind == "complex" else 0)
    x = np.broadcast_to(one, (4000, rows, 3))
    weights, law, other = (
        moments(multiply, x, kind, stream(7, i)) for i, multiply in enumerate((by_weights, by_law, unconditioned))
    )

    def apart(a, b):
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a))
        return np.max(np.abs(a.mean(axis=0) - b.mean(axis=0))[error > 1e-9] / error[error > 1e-9])

    assert apart(weights, law) < 5
    assert apart(weights, other) > 10


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_product_and_its_way_back_are_adjoint(rows):
    x = RNG(1).standard_normal((1, rows, 3)) + 1j * RNG(2).standard_normal((1, rows, 3))
    for multiply, holds in ((by_law, True), (by_weights, True), (unconditioned, False)):
        y, g, at_x = back_of_a_product(multiply, x, stream(0), "complex")
        assert (abs(np.vdot(x, at_x) - np.vdot(y, g)) < 1e-12 * abs(np.vdot(y, g))) == holds


# -- walks ----------------------------------------------------------------------------------------------------------

START = 0.4 + sum(v * np.cos(2 * np.pi * k * np.arange(16) / 16) for k, v in ((1, 0.3), (3, 0.2), (6, 0.1)))
RESIDUAL = mf.FourierBlock(3, "relu", weight_var=1.5, pointwise_var=0.7, bias_var=0.2, skip=0.5, dc="complex")
REAL_MEAN = mf.FourierBlock(3, "relu", weight_var=1.5, pointwise_var=0.7, bias_var=0.2, skip=0.5)


def walked(block, draws, *, channels, depth, start=START, key=0, conditional=True):
    """Means over networks and their errors: (2, depth + 1, *grid) forward and backward, and (depth, *half)."""
    pull = partial(gradient_walk, block, start, channels=channels, depth=depth, conditional=conditional)
    found = [pull(rng=stream(key, i)) for i in range(draws)]
    lags = np.stack([(g.forward, g.backward) for g in found])
    weights = np.stack([g.weights for g in found])
    return [(each.mean(axis=0), each.std(axis=0) / np.sqrt(draws)) for each in (lags, weights)]


def one_layer(first, shares):
    """Lag covariances behind one RESIDUAL layer, and of the gradient before it of a white one behind, by plain sums."""
    q, g = first[0], first
    angle = np.arccos(g / q)
    c = q * (np.sin(angle) + (np.pi - angle) * g / q) / (2 * np.pi)
    slopes = (np.pi - angle) / (2 * np.pi)
    k = np.arange(len(g))
    waves = np.exp(2j * np.pi * np.outer(k, k) / len(g))
    white = np.eye(len(g))[0]

    def filtered(values):
        return (waves @ (1.5 * shares * (waves.conj() @ values)) / len(g)).real

    return np.stack([0.25 * g + filtered(c) + 0.7 * c + 0.2, 0.25 * white + slopes * (filtered(white) + 0.7 * white)])


@pytest.mark.parametrize("conditional", [False, True])
def test_one_layer_has_the_covariances_of_the_recursion_at_any_width(conditional):
    (mean, error), _ = walked(RESIDUAL, 200, channels=60, depth=1, conditional=conditional)
    k = np.fft.fftfreq(16) * 16
    wanted = one_layer(START, (np.abs(k) < 3) * np.where(k == 0, 0.5, 1.0))
    full = one_layer(START, (np.abs(k) < 3) * 1.0)
    found, spread = np.stack([mean[0, 1], mean[1, 0]]), np.stack([error[0, 1], error[1, 0]])
    assert np.max(np.abs(found - wanted) / spread) < 4.5
    assert np.max(np.abs(found - full) / spread) > 8  # weights of the mean that count in full


def test_walks_from_the_law_are_those_of_real_weights():
    law, weights, other = (
        walked(block, 200, channels=16, depth=2, key=key, conditional=conditional)
        for block, key, conditional in ((RESIDUAL, 1, True), (RESIDUAL, 2, False), (REAL_MEAN, 3, True))
    )
    apart = [
        [np.max(np.abs(a - b) / np.sqrt(s**2 + t**2 + 1e-30)) for (a, s), (b, t) in zip(each, weights, strict=True)]
        for each in (law, other)
    ]
    assert max(apart[0]) < 4.5
    assert apart[1][0] > 5


@pytest.mark.parametrize(
    ("phi", "forward_at", "back"),
    [
        (
            "erf",
            {1: (0.63144308814941, 0.60769326965085, 0.33960948595265), 2: (0.7517922641093, 0.72126091940215)},
            (0.376763044531, 0.429415710748, 0.490502625568, 0.561933415526, 0.646789274395),
        ),
        (
            "relu",
            {1: (0.76870044451378, 0.74829516489993, 0.53725384265075), 2: (0.76626025818962, 0.74875673690133)},
            (0.3125, 0.29826567906, 0.284005940962, 0.269708424865, 0.255359339549),
        ),
    ],
)
def test_deep_walks_come_to_the_numbers_of_the_recursion(phi, forward_at, back):
    block = mf.FourierBlock(3, phi, weight_var=2, pointwise_var=0, bias_var=0)
    (mean, error), _ = walked(block, 8, channels=3000, depth=10)
    pairs = [(mean[0, layer, r], error[0, layer, r], v) for layer in forward_at
             for r, v in zip((0, 1, 4), forward_at[layer], strict=False)]  # fmt: skip
    pairs += [(mean[1, 9 - i, 0], error[1, 9 - i, 0], v) for i, v in enumerate(back)]
    assert all(abs(found - wanted) < 5 * spread for found, spread, wanted in pairs)
    assert all(abs(1.1 * found - wanted) > 5 * spread for found, spread, wanted in pairs)


def test_a_walk_with_weights_is_that_of_its_layers():
    block = mf.tanh >> mf.Spectral((2, 3), 2, 0.3, half_open=True)
    start = np.multiply.outer(1 + 0.5 * np.cos(2 * np.pi * np.arange(6) / 6), np.eye(4)[0])
    rng = stream(4)
    g = fields(start, 5, rng)
    y, _ = forward(block, g[None], Draw(5, rng))
    found = walk(block, start, channels=5, depth=1, rng=stream(4), conditional=False)
    assert found == pytest.approx(np.stack([lag_covariance(g), lag_covariance(y[0])]))


def test_lag_covariances_are_means_over_pairs_of_positions():
    g = RNG(0).standard_normal((4, 3, 2))
    for r in product(range(4), range(3)):
        assert lag_covariance(g)[r] == pytest.approx((g * np.roll(g, (-r[0], -r[1]), (0, 1))).mean())


@pytest.mark.parametrize("start", [START, np.multiply.outer(START[:1].repeat(5), np.eye(3)[0] + 0.2)])
def test_fields_have_their_covariance_at_every_pair_of_positions(start):
    wanted = np.stack([np.roll(start, a, range(start.ndim)).ravel() for a in product(*map(range, start.shape))])
    g = fields(start, 20000, stream(0))
    assert furthest(g, wanted) < 5
    assert furthest(g, 1.1 * wanted) > 6


@pytest.mark.parametrize("name", ["even", "complex", "half open"])
def test_gradients_of_weights_are_products_of_powers(name):
    """Of one layer by finite differences in every number that is drawn: R_k = sqrt(s_k/(2 D)) (a + ib), or real."""
    layer, shape = LAYERS[name]
    x, g = x_of(shape, points=1, channels=2), RNG(1).standard_normal((1, *shape, 2))
    modes = drawn_modes(layer, shape)

    def loss(at, change):
        draw = Draw(2, stream(1))
        object.__setattr__(draw, "rng", Shifted(at, change))
        return float((forward(layer, x, draw)[0] * g).sum())

    slopes = [(loss(i, 1e-4) - loss(i, -1e-4)) / 2e-4 for i in range(2 * len(modes) * 4)]
    squares = (np.reshape(slopes, (2, len(modes), 4)) ** 2).mean(axis=2).sum(axis=0)
    axes = range(1, 1 + len(shape))
    powers = [(np.abs(np.fft.fftn(each, axes=axes)) ** 2).mean(axis=(0, -1)) for each in (x, g)]
    for (k, variance, kind), square in zip(modes, squares, strict=True):
        twice = {"inside": 4, "pair": 4}.get(kind, 1)
        each = square * (2 if kind == "alone" else 4) / variance
        assert each == pytest.approx(twice * powers[0][k] * powers[1][k] / np.prod(shape) ** 2)


def test_walks_give_the_squares_of_the_gradients_of_their_weights():
    block = mf.tanh >> mf.Spectral((2, 3), 2, 0.3, half_open=True)
    start = np.multiply.outer(1 + 0.5 * np.cos(2 * np.pi * np.arange(6) / 6), np.eye(4)[0])
    found = gradient_walk(block, start, channels=5, depth=2, rng=stream(4))
    at_h = (np.abs(np.fft.fft2(np.tanh(fields(start, 5, stream(4))), axes=(0, 1))) ** 2).mean(axis=-1)
    power = at_h * 24 * np.fft.fft2(found.backward[1]).real / 24**2
    for k, _, kind in drawn_modes(block.layers[1], (6, 4)):
        assert found.weights[0][k] == pytest.approx((1 if kind == "alone" else 4) * power[k])
    assert found.weights.shape == (2, 6, 3) and found.weights[0][3, 0] == 0
    assert found.weights[0][2, 0] == found.weights[0][4, 0] > 0  # a pair has one matrix


# -- refusals -------------------------------------------------------------------------------------------------------


def test_what_real_fourier_layers_refuse():
    with pytest.raises(ValueError, match=r"weight_var of .* has no value"):
        forward(mf.Spectral(2), x_of((8,)), Draw(3, stream(0)))
    with pytest.raises(ValueError, match="reads functions on a grid"):
        forward(mf.Spectral(2, 1, 0), np.ones((2, 3)), Draw(3, stream(0)))
    with pytest.raises(ValueError, match=r"at most \(N \+ 1\)/2 = 4"):
        forward(mf.Spectral(5, 1, 0), x_of((7,)), Draw(3, stream(0)))
    _, back = forward(mf.Spectral(2, 1, 0), x_of((8,)), Draw(3, stream(0), conditional=True))
    with pytest.raises(ValueError, match="a conditional draw has no weights"):
        back(np.ones((2, 8, 3)))


def test_what_walks_refuse():
    go = partial(walk, channels=3, depth=1, rng=stream(0))
    with pytest.raises(ValueError, match=r"pointwise_var of .* has no value: write numbers"):
        go(mf.FourierBlock(3, weight_var=1, bias_var=0), START)
    with pytest.raises(ValueError, match=r"bias_var of .* has no value"):
        go(mf.FourierBlock(3, weight_var=1, pointwise_var=0), START)
    with pytest.raises(ValueError, match=r"its mode k = \(1,\) has the power -1 < 0"):
        go(RESIDUAL, 1 - 0.5 * np.cos(np.pi * np.arange(4) / 2))
    with pytest.raises(ValueError, match="covariance must be even"):
        go(RESIDUAL, [1, 0.5, 0, 0])
    with pytest.raises(ValueError, match=r"covariance\[1\] is nan"):
        go(RESIDUAL, [1, np.nan])
    with pytest.raises(ValueError, match="an entry for each lag of a grid"):
        go(RESIDUAL, 1.0)
    with pytest.raises(ValueError, match="depth must be at least 1"):
        go(RESIDUAL, START, depth=0)
