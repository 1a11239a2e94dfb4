"""Initialization scales of Fourier neural operators, against an own walk of covariances over a grid."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import meanfield as mf

N = 12
ERF = {  # bias_var: weight_var, q on the edge of chaos
    0.01: (1.11428006340378, 0.253209656331142),
    0.05: (1.37583900734668, 0.517176837980564),
    0.5: (2.23365963454541, 1.77206092979647),
    1.0: (2.71838135233546, 2.74489093034349),
}
TANH = {
    0.01: (1.4242052904886, 0.273300913458231),
    0.05: (1.76095463960674, 0.570047881640764),
    0.2: (2.28515247372019, 1.16449628745798),
    1.0: (3.44321091226544, 3.0363963946237),
}
GELU = {
    0.00399565985497832: (3.30019990659161, 0.1),
    0.034542695179638: (2.4555064168259, 0.5),
    0.116321991513115: (2.04285109881331, 2),
}


def relu_pair(q, g):
    c = np.clip(g / q, -1, 1)
    return q / (2 * np.pi) * (np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c), (np.pi - np.arccos(c)) / (2 * np.pi)


def erf_pair(q, g):
    return 2 / np.pi * np.arcsin(2 * g / (1 + 2 * q)), 4 / np.pi / np.sqrt((1 + 2 * q) ** 2 - 4 * g * g)


def variances(found, modes, halved=False):
    """s_k in the order of the DFT of N points."""
    k = np.abs(np.rint(np.fft.fftfreq(N) * N))
    return found.weight_var * np.where((2 * k) % N == 0, 0.5 if halved else 1.0, 1.0) * (k < modes)


def filtered(s, values):
    return np.fft.ifft(s * np.fft.fft(values)).real


def forward(pair, s, found, start, layers, skip=0.0):
    """Covariances at the lags of the grid, layer after layer."""
    walk = [start]
    for _ in range(layers):
        covariance = pair(walk[-1][0], walk[-1])[0]
        after = filtered(s, covariance) + found.pointwise_var * covariance + found.bias_var
        walk.append(after + skip**2 * walk[-1])
    return np.array(walk)


def backward(pair, s, found, walk, skip=0.0):
    """Squared gradients of white gradients behind the last layer, layer before layer."""
    gradient, norms = np.eye(N)[0], []
    for sigma in walk[::-1]:
        slopes = pair(sigma[0], sigma)[1]
        gradient = slopes * (filtered(s, gradient) + found.pointwise_var * gradient) + skip**2 * gradient
        norms.append(gradient[0])
    return np.array(norms)


@pytest.mark.parametrize("modes", [1, 4, (3, 5)])
def test_relu_is_critical_at_two(modes):
    found = mf.init_scale(mf.relu >> mf.Spectral(modes=modes))
    assert (found.weight_var, found.pointwise_var, found.bias_var, found.chi_1, found.chi_q) == (2, 0, 0, 1, 1)
    assert found.gain == math.sqrt(2) and found.note == ""
    for criterion in ("second_moment", "he", "gradient", "half_stable"):
        assert mf.init_scale(mf.relu >> mf.Spectral(modes), criterion=criterion).weight_var == pytest.approx(2)


@pytest.mark.parametrize(
    ("name", "bias_var", "weight_var", "q"),
    [(name, b, *at) for name, table in (("erf", ERF), ("tanh", TANH), ("gelu", GELU)) for b, at in table.items()]
    + [("erf", 0, math.pi / 4, 0), ("tanh", 0, 1, 0), ("gelu", 0, 4, 0)],
)
def test_the_edge_of_chaos(name, bias_var, weight_var, q):
    found = mf.init_scale(mf.activation(name) >> mf.Spectral(9), bias_var=bias_var)
    assert found.weight_var == pytest.approx(weight_var, rel=1e-12)
    assert found.q == pytest.approx(q, rel=1e-12)


def test_the_half_stable_point():
    found = mf.init_scale(mf.FourierBlock(9, "gelu"), criterion="half_stable", split=0.25)
    total = 1.98305825743754713
    assert (found.weight_var, found.pointwise_var) == (pytest.approx(total / 4), pytest.approx(0.75 * total))
    assert found.q == pytest.approx((3 + math.sqrt(17)) / 2, rel=1e-11)
    assert (found.chi_1, found.chi_q) == (1, pytest.approx(1, abs=1e-12))
    assert found.bias_var == pytest.approx(0.172922390756067, rel=1e-11)


@pytest.mark.parametrize(
    ("options", "split", "pair"),
    [
        ({}, None, (1, 1)),
        ({}, 0.75, (1.5, 0.5)),
        ({"pointwise_var": 0.5}, None, (1.5, 0.5)),
        ({"weight_var": 0.25}, None, (0.25, 1.75)),
        ({"skip": 0.6}, None, (0.64, 0.64)),
        ({"pointwise_var": 0}, None, (2, 0)),
    ],
)
def test_paths_share_a_variance(options, split, pair):
    found = mf.init_scale(mf.FourierBlock(4, "relu", **options), split=split)
    assert (found.weight_var, found.pointwise_var) == (pytest.approx(pair[0]), pytest.approx(pair[1]))


def test_variances_are_those_of_the_layers_that_were_written():
    """A factor before paths multiplies their variances by its square."""
    found = mf.init_scale(0.5 * (mf.erf >> (mf.Spectral(4) + 2 * mf.Conv(1))), bias_var=0.04)
    total, effective = 0.25 * found.weight_var + found.pointwise_var, (0.25 + 1) * 0.04
    assert 0.25 * found.weight_var == pytest.approx(found.pointwise_var) and found.bias_var == 0.04
    assert total == pytest.approx(ERF[0.05][0]) and effective == pytest.approx(0.05)
    kept = mf.init_scale(mf.FourierBlock(4, "erf", bias_var=0.05))
    assert (kept.bias_var, kept.q) == (0.05, pytest.approx(ERF[0.05][1]))


@pytest.mark.parametrize(("modes", "options"), [(4, {"pointwise_var": 0}), (7, {}), (2, {"skip": 0.5}), (1, {})])
def test_lengths_of_constant_functions_and_gradients_stay(modes, options):
    found = mf.init_scale(mf.FourierBlock(modes, "relu", **options))
    skip = options.get("skip", 0)
    for factor, growth in ((1, 1), (1.1, 1.1), (0.9, 0.9)):
        s = factor * variances(found, modes)
        off = replace(found, pointwise_var=factor * found.pointwise_var)
        walk = forward(relu_pair, s, off, np.full(N, 0.7), 30, skip)
        per_layer = skip**2 + (1 - skip**2) * growth
        assert walk[-1] / 0.7 == pytest.approx(np.full(N, per_layer**30), rel=1e-9)
        # Modes that are dropped die first, unless the pointwise path keeps them alive for a while.
        norms = backward(relu_pair, s, off, np.full((200, N), 0.7), skip)
        assert norms[-1] / norms[-2] == pytest.approx(per_layer, rel=1e-6)


@pytest.mark.parametrize("options", [{"pointwise_var": 0}, {"split": 0.3}, {"skip": 0.5, "pointwise_var": 0.1}])
def test_deviations_of_each_kept_mode_stay(options):
    split, skip = options.pop("split", None), options.get("skip", 0)
    found = mf.init_scale(mf.FourierBlock(4, "erf", **options), bias_var=0.05, split=split)
    modes, start = np.arange(1, 4), 1e-7 * (1 + np.cos(2 * np.pi * np.arange(N) * 2 / N))
    for factor in (1, 0.9):
        s = factor * variances(found, 4)
        for k in modes:
            start = 1e-7 * np.cos(2 * np.pi * k * np.arange(N) / N)
            walk = forward(erf_pair, s, found, found.q + start, 5, skip)
            rate = np.fft.fft(walk, axis=1)[:, k].real
            if factor == 1:
                assert walk[-1] == pytest.approx(np.full(N, found.q), abs=1e-6)
                assert rate[1:] / rate[:-1] == pytest.approx(np.ones(5), abs=1e-5)
            else:
                assert rate[-1] / rate[-2] < 0.99


def test_a_depth_scale_is_that_of_the_modes():
    found = mf.init_scale(mf.erf >> mf.Spectral(4), bias_var=0.05, depth_scale=7)
    walk = forward(erf_pair, variances(found, 4), found, found.q + 1e-7 * np.cos(np.pi * np.arange(N) / 3), 5)
    rate = np.fft.fft(walk, axis=1)[:, 2].real
    assert rate[1:] / rate[:-1] == pytest.approx(np.full(5, math.exp(-1 / 7)), abs=1e-5)
    assert found.chi_1 == pytest.approx(math.exp(-1 / 7))


@pytest.mark.parametrize(
    ("options", "split"), [({"pointwise_var": 0}, None), ({}, 0.6), ({"pointwise_var": 0.4}, None)]
)
@pytest.mark.parametrize("skip", [0, 0.4])
def test_weights_drawn_complex_have_an_edge_of_their_own(options, split, skip):
    """The mean keeps half of its variance: the length that stays is that of s_0, the modes that stay those of s_k."""
    found = mf.init_scale(mf.FourierBlock(4, "erf", dc="complex", skip=skip, **options), bias_var=0.05, split=split)
    start = found.q + 1e-7 * np.cos(2 * np.pi * np.arange(N) / N)
    walk = forward(erf_pair, variances(found, 4, halved=True), found, start, 5, skip)
    rate = np.fft.fft(walk, axis=1)[:, 1].real
    assert walk[-1] == pytest.approx(np.full(N, found.q), abs=1e-6) and found.q > 0
    assert rate[1:] / rate[:-1] == pytest.approx(np.ones(5), abs=1e-5)
    up = forward(erf_pair, variances(found, 4, halved=True), found, np.full(N, found.q + 1e-5), 1, skip)
    assert (up[1, 0] - found.q) / 1e-5 == pytest.approx(found.chi_q, abs=1e-4) and found.chi_q < 1
    whole = forward(erf_pair, variances(found, 4), found, start, 5, skip)
    assert whole[-1, 0] > 1.1 * found.q
    assert "0.5 of the variance of the strongest mode" in found.note and "dc='real'" in str(found)


def test_a_mean_drawn_complex_alone_takes_twice_the_variance():
    found = mf.init_scale(mf.relu >> mf.Spectral(1, dc="complex"))
    assert found.weight_var == 4 and found.note == ""
    walk = forward(relu_pair, variances(found, 1, halved=True), found, np.full(N, 0.7), 30)
    assert walk[-1] == pytest.approx(np.full(N, 0.7))


def test_a_spectrum():
    strong = mf.init_scale(mf.erf >> mf.Spectral(3, spectrum=[2, 1, 0.5]), bias_var=0.05)
    assert 2 * strong.weight_var == pytest.approx(ERF[0.05][0]) and "times the spectrum" in strong.note
    weak = mf.init_scale(mf.erf >> mf.Spectral(3, spectrum=[0.2, 1, 0.5]), bias_var=0.05)
    k = np.abs(np.rint(np.fft.fftfreq(N) * N)).astype(int)
    s = weak.weight_var * np.append([0.2, 1, 0.5], np.zeros(N))[k]
    start = weak.q + 1e-7 * (np.cos(2 * np.pi * np.arange(N) / N) + np.cos(4 * np.pi * np.arange(N) / N))
    walk = forward(erf_pair, s, weak, start, 5)
    rates = np.fft.fft(walk, axis=1)[:, 1:3].real
    assert walk[-1] == pytest.approx(np.full(N, weak.q), abs=1e-6)
    assert rates[-1] / rates[-2] == pytest.approx([1, 0.5], abs=1e-5)


def test_relu_drawn_complex_vanishes_at_its_edge():
    found = mf.init_scale(mf.relu >> mf.Spectral(4, dc="complex"))
    assert (found.weight_var, found.q, found.chi_q) == (pytest.approx(2), 0, pytest.approx(0.5))
    assert "depending on grid and modes" in found.note
    signal = 0.4 + 0.3 * np.cos(2 * np.pi * np.arange(N) / N)
    walk = forward(relu_pair, variances(found, 4, halved=True), found, signal, 30)
    assert walk[-1, 0] < 1e-3 < 0.1 < forward(relu_pair, variances(found, 4), found, signal, 30)[-1, 0]


@pytest.mark.parametrize("dc", ["real", "complex"])
def test_real_weights_with_these_deviations(dc):
    """One layer of weights drawn as `std` says, against the variance that covariances predict."""
    channels, draws, modes, rng = 64, 300, 7, np.random.default_rng(1)
    found = mf.init_scale(mf.FourierBlock(modes, "relu", dc=dc), bias_var=0.0 if dc == "real" else 0.1)
    std, h = found.std(channels), np.maximum(rng.standard_normal((N, channels)), 0)
    hat, squares = np.fft.rfft(h, axis=0), []
    for _ in range(draws):
        a, b = std.real_and_imaginary * rng.standard_normal((2, modes, channels, channels))
        for k in (0, N // 2):
            a[k] = std.self_conjugate * rng.standard_normal((channels, channels))
            b[k] = 0 if dc == "real" else std.self_conjugate * rng.standard_normal((channels, channels))
        y = np.fft.irfft(np.einsum("kc,kcd->kd", hat, a + 1j * b), N, axis=0)
        y += h @ (std.pointwise * rng.standard_normal((channels, channels))) + std.bias * rng.standard_normal(channels)
        squares.append(np.mean(y**2))

    def predicted(halved):
        power = np.mean(np.abs(np.fft.fft(h, axis=0)) ** 2, axis=1) / N**2
        s = variances(found, modes, halved) + found.pointwise_var
        return np.sum(s * power) + found.bias_var

    error = np.std(squares) / np.sqrt(draws)
    assert abs(np.mean(squares) - predicted(dc == "complex")) < 4 * error
    assert abs(np.mean(squares) - predicted(dc == "real")) > 20 * error


def test_deviations_by_hand_and_the_record():
    found = mf.init_scale(mf.FourierBlock(4, "relu"))
    std = found.std(50)
    assert (std.real_and_imaginary, std.self_conjugate) == (0.1, pytest.approx(math.sqrt(0.02)))
    assert (std.pointwise, std.bias) == (pytest.approx(math.sqrt(0.02)), 0)
    assert json.loads(json.dumps(found.to_dict()))["pointwise_var"] == 1
    text = str(found)
    assert text.startswith("relu (edge_of_chaos): Re R_k and Im R_k N(0, 0.5/channels), gain 1\n")
    for part in ("real, N(0, 1/channels)", "half of the variance", "W N(0, 1/channels)", "biases N(0, 0)", "chi_1 = 1"):
        assert part in text
    with pytest.raises(ValueError, match="channels must be"):
        found.std(0)


FREE = mf.FourierBlock(4, "relu")
UNEVEN = mf.tanh >> mf.Spectral(4, dc="complex")


@pytest.mark.parametrize(
    ("block", "options", "error", "message"),
    [
        (FREE, {"split": 1}, ValueError, "between 0 and 1, not 1"),
        (FREE, {"criterion": "isometry"}, ValueError, "those are edge_of_chaos, half_stable"),
        (FREE, {"criterion": "hee"}, ValueError, "unknown criterion 'hee'"),
        (FREE, {"criterion": "he", "bias_var": 0.1}, ValueError, "leave bias_var out"),
        (FREE, {"depth": 3}, ValueError, "leave depth, width and q0 out: mf.fourier_operator"),
        (FREE, {"cosine": 0.5}, ValueError, "leave them out"),
        (FREE, {"bias_var": 0.1}, mf.NoEdge, "critical only at bias_var = 0"),
        (mf.FourierBlock(4, weight_var=1), {"split": 0.5}, ValueError, "leaves one free: leave it out"),
        (mf.FourierBlock(4, pointwise_var=0), {"split": 0.5}, ValueError, "leaves one free: leave it out"),
        (
            mf.FourierBlock(4, weight_var=1, pointwise_var=1),
            {},
            ValueError,
            "weight_var and pointwise_var of .* left out",
        ),
        (mf.relu >> mf.Spectral(4, 2), {}, ValueError, "weight_var of .* must be left out"),
        (mf.FourierBlock(4, pointwise_var=2), {}, mf.NoEdge, "pointwise_var = 2 of .* nothing for weight_var.*have 2"),
        (mf.FourierBlock(4, weight_var=3), {}, mf.NoEdge, "weight_var = 3 of .* leaves nothing for pointwise_var"),
        (mf.FourierBlock(4, bias_var=0.1), {"bias_var": 0.1}, ValueError, "is 0.1 already: leave bias_var out"),
        (mf.FourierBlock(4, skip=1), {}, mf.NoEdge, "no edge of chaos"),
        (mf.LayerNorm() >> mf.relu >> mf.Spectral(4), {}, mf.NoRule, "write mf.FourierBlock"),
        (FREE + (mf.relu >> mf.Spectral(4)), {}, mf.NoRule, "write mf.FourierBlock"),
        (mf.relu >> (mf.Spectral(4) + mf.Conv(1) + mf.Conv(1)), {}, ValueError, "2 pointwise paths"),
        (
            mf.relu >> (mf.Spectral(4) + mf.Conv(1, bias_var=1)),
            {},
            ValueError,
            "variances 1 and bias_var: give them one",
        ),
        (mf.relu >> mf.Spectral(4, 2 * mf.Spectral(1).weight_var), {}, ValueError, "must be a number, or left out"),
        (mf.relu >> mf.Spectral(1).weight_var * mf.Spectral(4), {}, ValueError, "factors of paths must be numbers"),
        (mf.FourierBlock(4, skip=mf.Spectral(1).weight_var), {}, ValueError, "the skip weight_var .* must be a number"),
        (UNEVEN, {"criterion": "he"}, ValueError, "use 'edge_of_chaos', or dc='real'"),
        (UNEVEN, {"bias_var": -1}, ValueError, "finite and at least 0, not -1"),
        (
            mf.FourierBlock(4, "tanh", dc="complex", skip=1),
            {},
            mf.NoEdge,
            "its skip alone gives slopes of 1, not below",
        ),
        (mf.FourierBlock(4, "tanh", dc="complex", weight_var=3), {}, mf.NoEdge, "weight_var = 3 of .* leaves nothing"),
        (mf.relu >> mf.Spectral(4, dc="complex"), {"bias_var": 1e9}, mf.NoEdge, "nearest that has one: about 5e.03"),
        ("relu", {"split": 0.5}, ValueError, "split is the share of the spectral path"),
    ],
    ids=str,
)
def test_refusals(block, options, error, message):
    with pytest.raises(error, match=message):
        mf.init_scale(block, **options)
