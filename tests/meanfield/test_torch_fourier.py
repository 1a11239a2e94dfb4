"""Fourier neural operators at the edge of chaos: the variance of every mode, measured, and what is refused."""

from itertools import product

import numpy as np
import pytest

import meanfield as mf

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import FNO, SpectralConv, init_fno_  # noqa: E402

CHANNELS, DRAWS = 32, 60


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def response(conv, grid, draw, kept_by=None):
    """E|yhat_k|^2/E|xhat_k|^2 of every mode k, measured on white functions: channels and draws are averaged."""
    axes, noise, total = tuple(range(2, 2 + len(grid))), seeded(9), 0
    for _ in range(DRAWS):
        draw(conv)
        x = torch.randn(1, CHANNELS, *grid, generator=noise)
        with torch.no_grad():
            power = [torch.fft.fftn(f, dim=axes).abs().square().mean((0, 1)) for f in (conv(x), x)]
        total = total + power[0] / power[1]
    return (total / DRAWS).numpy()


def expected(others, last, grid, *, naive):
    """s_k by hand, one mode after the other: weights at R_k, of which a real function keeps (R_k + conj R_-k)/2 in the
    plane where the last k is 0 or Nyquist."""
    box = {tuple(np.mod(k, grid)) for k in product(*others, last)}
    shares = np.zeros(grid)
    for k in product(*map(range, grid)):
        minus, plane = tuple(np.mod(np.negative(k), grid)), 2 * k[-1] % grid[-1] == 0
        halves = [other in box for other in (k, minus)]
        shares[k] = sum(halves) / 4 if plane and naive else float(any(halves))
    return shares


def naive(conv):
    """Free complex numbers of the variance 1/channels, as other code draws them."""
    with torch.no_grad():
        for weight in conv.parameters():
            weight.copy_(torch.randn(weight.shape, dtype=weight.dtype, generator=naive.noise) / CHANNELS**0.5)


naive.noise = seeded(5)
CASES = [((3,), (8,)), ((5,), (8,)), ((4,), (7,)), ((2, 3), (6, 8)), ((2, 3), (4, 4)), ((1, 2, 2), (4, 4, 3))]


@pytest.mark.parametrize(("modes", "grid"), CASES)
def test_every_kept_mode_has_the_whole_variance(modes, grid):
    """On grids where kept modes are Nyquist as well. The deviation of a mean of n squared normal numbers is sqrt(2/n)."""
    conv, noise = SpectralConv(CHANNELS, CHANNELS, modes, bias=False), seeded()
    *others, last = modes
    box = [range(-m, m) for m in others], range(last), grid
    margin = 5 * np.sqrt(2 / (CHANNELS * DRAWS))
    found = response(conv, grid, lambda c: init_fno_(c, "tanh", grid=grid, generator=noise))
    wanted = expected(*box, naive=False)
    np.testing.assert_allclose(found, wanted, atol=margin)
    assert found[wanted == 0].max(initial=0) < 1e-10
    # Free complex draws have half of it, or a quarter, in the plane of the self-conjugate modes.
    np.testing.assert_allclose(response(conv, grid, naive), expected(*box, naive=True), atol=margin)
    assert np.abs(expected(*box, naive=True) - wanted).max() >= 0.5 > margin


def test_without_the_grid_a_nyquist_mode_keeps_half():
    conv, noise = SpectralConv(CHANNELS, CHANNELS, 5, bias=False), seeded()
    found = response(conv, (8,), lambda c: init_fno_(c, "tanh", generator=noise))
    np.testing.assert_allclose(found, [1, 1, 1, 1, 0.5, 1, 1, 1], atol=5 * np.sqrt(2 / (CHANNELS * DRAWS)))


def test_real_and_conjugate_weights_are_exactly_so():
    conv = SpectralConv(3, 2, (2, 3), bias=False)
    report = init_fno_(conv, "relu", generator=seeded())
    (upper, lower), row = conv.weights, report.layers[0]
    assert upper[..., 0, 0].imag.abs().max() == 0 < upper[..., 0, 0].real.abs().min()
    torch.testing.assert_close(lower[..., 1, 0], upper[..., 1, 0].conj(), rtol=0, atol=0)
    assert (row.modes, row.real, row.tied, row.doubled, row.spectral_var, row.pointwise_var) == (12, 1, 1, 1, 2, None)
    at_nyquist = init_fno_(conv, "relu", grid=(4, 4), generator=seeded()).layers[0]
    assert (at_nyquist.real, at_nyquist.tied, at_nyquist.doubled) == (4, 2, 0)
    assert conv.weights[1][..., 0, 2].imag.abs().max() == 0


@pytest.mark.parametrize(("split", "shares"), [(None, (1, 1)), (0.25, (0.5, 1.5)), (1, (2, 0))])
def test_both_paths_share_the_critical_variance(split, shares):
    net = FNO(2, 1, 64, 6, 3, "relu")
    report = init_fno_(net, split=split, generator=seeded())
    for layer, conv, beside in zip(report.layers, net.spectral, net.pointwise, strict=True):
        assert (layer.spectral_var, layer.pointwise_var) == shares
        measured = 64 * conv.weights[0].abs().square().mean().item(), 64 * beside.weight.square().mean().item()
        np.testing.assert_allclose(measured, shares, rtol=0.1, atol=1e-12)
    assert all(beside.bias.abs().max() == 0 for beside in net.pointwise)


def passed(net, x):
    """Mean squares of pre-activations, and of gradients by them, after each layer."""
    v, states = net.lift(x), []
    for place in range(len(net.spectral)):
        v = net.layer(place, v)
        v.retain_grad()
        states.append(v)
    (v * torch.randn(v.shape, generator=seeded(3))).sum().backward()
    return np.log([[f.square().mean().item() for f in (state, state.grad)] for state in states])


@pytest.mark.parametrize(("activation", "bias_var"), [("relu", 0), ("tanh", 0.05)])
def test_a_deep_operator_keeps_lengths_and_gradients(activation, bias_var):
    torch.manual_seed(0)
    x, net = torch.randn(4, 2, 32), FNO(2, 1, 64, 12, 32, activation)
    default = passed(net, x)
    noise = seeded()
    draws = []
    for _ in range(6):
        init_fno_(net, bias_var=bias_var, generator=noise)
        draws.append(passed(net, x))
    ends = np.mean(draws, axis=0)
    ratios = np.abs(ends[-1] - ends[0])
    print(ratios, default[-1] - default[0])
    assert ratios.max() < np.log(3)
    assert np.abs(default[-1] - default[0])[1] > np.log(1e3)
