"""The reference Fourier neural operator, against sums over modes written out in NumPy."""

from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn.functional import mse_loss  # noqa: E402

from meanfield.torch import FNO, SpectralConv  # noqa: E402

GRIDS = [((2,), (8,)), ((5,), (8,)), ((4,), (7,)), ((2, 3), (4, 5)), ((2, 3), (5, 4)), ((1, 2, 2), (3, 4, 3))]


def points(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def by_hand(conv, x):
    """(1/N) sum_k c_k Re(e^(2 pi i k.a/N) xhat_k R_k), c = 1 where the last k is 0 or Nyquist, else 2, mode by mode."""
    *others, last = conv.modes
    grid, x = x.shape[2:], x.numpy()
    at = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(-1, len(grid)) / grid
    flat, weights = x.reshape(*x.shape[:2], -1), [w.detach().numpy() for w in conv.weights]
    y = np.zeros((len(x), weights[0].shape[1], flat.shape[2]))
    for k in product(*(range(-m, m) for m in others), range(last)):
        corner = sum((part < 0) << axis for axis, part in enumerate(k[:-1]))
        wave = np.exp(2j * np.pi * at @ k)
        mode = flat @ wave.conj() @ weights[corner][(..., *k)]
        y += (1 if 2 * k[-1] in (0, grid[-1]) else 2) * (mode[:, :, None] * wave).real / len(wave)
    return y.reshape(*y.shape[:2], *grid)


@pytest.mark.parametrize(("modes", "grid"), GRIDS)
def test_a_spectral_layer_is_the_sum_over_its_modes(modes, grid):
    torch.manual_seed(1)
    conv, x = SpectralConv(3, 2, modes, dtype=torch.float64), points(2, 3, *grid)
    expected = by_hand(conv, x)
    np.testing.assert_allclose(conv(x).detach(), expected, atol=1e-14)
    with torch.no_grad():
        conv.bias += torch.tensor([1.0, -2.0])
        shifted = conv(x) - conv.bias.reshape(2, *(1 for _ in grid))
        np.testing.assert_allclose(shifted, expected, atol=1e-14)
        conv.weights[-1].mul_(1.01)
    assert np.abs((conv(x) - shifted - conv.bias.reshape(2, *(1 for _ in grid))).detach().numpy()).max() > 1e-5


def test_weights_start_as_in_the_code_of_the_authors():
    torch.manual_seed(0)
    conv = SpectralConv(16, 8, (6, 7))
    assert [tuple(w.shape) for w in conv.weights] == [(16, 8, 6, 7)] * 2
    parts = torch.stack([torch.view_as_real(w) for w in conv.weights]).flatten() * 16 * 8
    assert parts.min() >= 0 and parts.max() <= 1 and conv.bias.abs().max() == 0
    # The mean of U(0, 1) is 1/2, its variance 1/12.
    assert abs(parts.mean() - 0.5) < 5 / np.sqrt(12 * len(parts)) and abs(parts.var() - 1 / 12) < 2e-3
    assert SpectralConv(1, 1, 2, bias=False).bias is None


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("pointwise", [False, True])
def test_an_operator_is_the_chain_of_its_layers(pointwise, skip):
    torch.manual_seed(2)
    net = FNO(2, 1, width=4, modes=3, depth=3, activation="tanh", pointwise=pointwise, skip=skip, dtype=torch.float64)
    x = points(5, 2, 6)

    def matrix(conv, v):
        return (
            np.einsum("oi,bi...->bo...", conv.weight.detach().numpy()[..., 0], v) + conv.bias.detach().numpy()[:, None]
        )

    v = matrix(net.lift, x.numpy())
    for place, spectral in enumerate(net.spectral):
        h = np.tanh(v) if place else v
        found = by_hand(spectral, torch.from_numpy(h))
        found = found + (matrix(net.pointwise[place], h) if pointwise else spectral.bias.detach().numpy()[:, None])
        v = v + found if skip else found
    np.testing.assert_allclose(net(x).detach(), matrix(net.project, v), atol=1e-14)
    assert (net.spectral[0].bias is None) == pointwise


def test_one_operator_reads_grids_of_any_size():
    """A band-limited function and its samples on a finer grid: the layers agree at common points."""
    net = FNO(1, 1, width=3, modes=2, depth=1, dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * torch.arange(24, dtype=torch.float64) / 24).reshape(1, 1, 24)
    np.testing.assert_allclose(net(wave)[..., ::3].detach(), net(wave[..., ::3]).detach(), atol=1e-14)


@pytest.mark.parametrize(("modes", "grid"), [(3, (8,)), ((2, 2), (5, 6)), ((1, 1, 2), (3, 3, 4))])
def test_gradients_reach_every_parameter(modes, grid):
    torch.manual_seed(0)
    net = FNO(1, 1, width=3, modes=modes, depth=2, activation="gelu")
    x = points(4, 1, *grid).float()
    loss = mse_loss(net(x), x)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        later = mse_loss(net(x), x)
        later.backward()
        optimizer.step()
    assert later < 0.9 * loss


def test_a_gradient_of_a_spectral_weight_is_that_of_finite_differences():
    torch.manual_seed(0)
    net, x = FNO(1, 1, width=2, modes=(1, 2), depth=2, activation="erf", dtype=torch.float64), points(2, 1, 3, 4)
    weight = net.spectral[0].weights[1]
    (net(x) ** 2).sum().backward()
    for unit in (1, 1j):
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight[1, 0, 0, 1] += step * unit
                ends.append((net(x) ** 2).sum().item())
                weight[1, 0, 0, 1] -= step * unit
        slope = (ends[0] - ends[1]) / 2e-5
        found = weight.grad[1, 0, 0, 1].item()
        assert slope == pytest.approx(found.real if unit == 1 else found.imag, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("modes", "grid", "message"),
    [
        (6, (8,), "keeps 6 non-negative modes, but axis 0 of the grid .* has N = 8 points: at most N/2 . 1 = 5"),
        ((3, 2), (5, 6), "axis 0 .* at most N/2 = 2 with half_open"),
        ((1, 2), (5,), "has 2 axes, but its grid has 1"),
    ],
)
def test_too_many_modes_are_refused(modes, grid, message):
    with pytest.raises(ValueError, match=message):
        SpectralConv(1, 1, modes)(torch.zeros(1, 1, *grid))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"modes": 0}, ValueError, "modes must be at least 1"),
        ({"modes": 1.5}, TypeError, "modes is a whole number"),
        ({"modes": (1, 1, 1, 1)}, ValueError, "one to three axes, but .* has 4"),
        ({"width": 0}, ValueError, "width must be at least 1"),
        ({"depth": 2.0}, TypeError, "depth must be a whole number"),
        ({"activation": "rellu"}, ValueError, "activation must be one of relu, gelu, .* not 'rellu'"),
    ],
)
def test_wrong_arguments_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        FNO(**{"channels_in": 1, "channels_out": 1, "width": 2, "modes": 2, "depth": 1} | changed)
