"""Layers of neuraloperator at the edge of chaos: of the package, where it is there, and of its code as it was read."""

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import init_fno_  # noqa: E402
from tests.meanfield.mode_oracle import CHANNELS, MARGIN, expected, response, seeded  # noqa: E402
from tests.meanfield.neuralop_layers import as_read, installed  # noqa: E402

THERE = importlib.util.find_spec("neuralop") is not None
needs_package = pytest.mark.skipif(not THERE, reason="neuraloperator is not installed")


@pytest.fixture(params=["as read", pytest.param("installed", marks=needs_package)])
def layers(request):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield as_read if request.param == "as read" else installed()
    torch.set_num_threads(threads)


def box(n_modes):
    *others, last = n_modes
    return [range(-(n // 2), (n + 1) // 2) for n in others], range(last // 2 + 1)


def blocks(layers, **options):
    options = {"use_channel_mlp": False} | options
    return layers.FNOBlocks(4, 4, (4, 4), n_layers=2, **options)


CASES = [((6,), (8,)), ((8,), (8,)), ((4, 6), (8, 8)), ((5, 4), (6, 7)), ((4, 4), (4, 4)), ((2, 3, 4), (4, 4, 5))]


@pytest.mark.parametrize(("n_modes", "grid"), CASES)
def test_every_kept_mode_has_the_whole_variance(layers, n_modes, grid):
    conv, noise = layers.SpectralConv(CHANNELS, CHANNELS, n_modes, bias=False), seeded()
    found = response(conv, grid, lambda c: init_fno_(c, "tanh", grid=grid, generator=noise))
    np.testing.assert_allclose(found, expected(*box(n_modes), grid, naive=False), atol=MARGIN)


def test_as_it_starts_its_mean_has_half_the_variance(layers):
    if layers is as_read:
        pytest.skip("the layers as read start from other numbers")

    def start(conv):
        conv.weight.normal_(0, CHANNELS**-0.5)

    torch.manual_seed(0)
    conv = layers.SpectralConv(CHANNELS, CHANNELS, (4, 4), bias=False)
    np.testing.assert_allclose(response(conv, (8, 8), start), expected(*box((4, 4)), (8, 8), naive=True), atol=MARGIN)


def test_without_channel_mlp_the_activation_acts_twice(layers):
    part = blocks(layers, non_linearity=torch.tanh)
    x = torch.randn(2, 4, 8, 8, generator=seeded())
    with torch.no_grad():
        inside = part.convs[0](x) + part.fno_skips[0](x)
        torch.testing.assert_close(part(x, 0), torch.tanh(torch.tanh(inside)))
    assert init_fno_(blocks(layers, non_linearity=nn.ReLU())).activation == "relu"


def test_the_critical_variance_is_that_of_the_activation_twice():
    """E x^8 = 105 for a normal x, E x^4 = 3."""
    part, given = blocks(as_read, non_linearity=torch.square), {"activation": "x**2", "criterion": "second_moment"}
    report = init_fno_(part, **given)
    assert (report.activation, report.left) == ("x**2 applied twice", ())
    np.testing.assert_allclose(report.weight_var, 1 / 105, rtol=1e-12)
    once = init_fno_(blocks(as_read, non_linearity=torch.square, use_channel_mlp=True), skip=("channel_mlp",), **given)
    np.testing.assert_allclose(once.weight_var, 1 / 3, rtol=1e-12)


def test_lengths_stay_through_its_blocks(layers):
    """11 blocks that keep all modes; logarithms of one network of ReLU fluctuate around -5 layers/(2 width)."""
    noise, x, grown = seeded(), torch.randn(2, 96, 6, 8, generator=seeded(1)), []
    part = layers.FNOBlocks(96, 96, (6, 8), n_layers=12, use_channel_mlp=False, non_linearity=torch.relu)
    with torch.no_grad():
        for _ in range(6):
            report = init_fno_(part, grid=(6, 8), generator=noise)
            y = [part(x, 0)]
            for index in range(1, 11):
                y.append(part(y[-1], index))
            grown.append((y[-1].square().mean() / y[0].square().mean()).log().item())
    assert abs(np.mean(grown)) < np.log(2)
    assert [layer.pointwise_var for layer in report.layers] == [1.0] * 12


REFUSED = [
    ({"fno_skip": "identity"}, r"'fno_skips.0' \(Identity\) adds the input .* skip=\('fno_skips',\)"),
    ({"fno_skip": "soft-gating"}, r"'fno_skips.0' \(SoftGating\) adds the input"),
    ({"use_channel_mlp": True}, r"has 'channel_mlp' between .* use_channel_mlp=False, .* skip=\('channel_mlp',\)"),
    ({"norm": "group_norm"}, r"has 'norm' between its Fourier layers, .* norm=None"),
    ({"stabilizer": "tanh"}, "has a stabilizer in front of its layers"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_stands_between_its_layers_is_refused_or_left_by_request(layers, options, message):
    part = blocks(layers, non_linearity=torch.relu, **options)
    kept = [parameter.clone() for parameter in part.parameters()]
    with pytest.raises(TypeError, match=message):
        init_fno_(part)
    assert all(torch.equal(a, b) for a, b in zip(kept, part.parameters(), strict=True))
    if "stabilizer" not in options:
        name = {"fno_skip": "fno_skips", "use_channel_mlp": "channel_mlp", "norm": "norm"}[next(iter(options))]
        report = init_fno_(part, skip=(name,), generator=seeded())
        assert len(report.layers) == 2 and (name in report.left or not list(part.get_submodule(name).parameters()))


def test_a_block_without_skips_has_the_spectral_path_alone(layers):
    report = init_fno_(blocks(layers, fno_skip=None, non_linearity=torch.relu), generator=seeded())
    assert [(layer.spectral_var, layer.pointwise_var) for layer in report.layers] == [(2.0, None)] * 2


def set_to(**attributes):
    def change(conv):
        for name, value in attributes.items():
            setattr(conv, name, value)

    return change


CONVS = [
    (set_to(separable=True), {}, TypeError, "is separable, so that channels are not mixed"),
    (set_to(complex_data=True), {}, TypeError, "is one of complex functions"),
    (set_to(resolution_scaling_factor=[2, 2]), {}, TypeError, "changes the grid"),
    (set_to(max_n_modes=[4, 5]), {}, ValueError, "uses 4 x 3 of its 4 x 5 modes"),
    (set_to(), {"grid": (9, 8)}, ValueError, "axis 0 of grid .9, 8. has 9 points: on an odd axis before the last"),
]


@pytest.mark.parametrize(("change", "options", "error", "message"), CONVS)
def test_other_layers_of_it_are_refused(layers, change, options, error, message):
    conv = layers.SpectralConv(2, 2, (4, 4))
    change(conv)
    with pytest.raises(error, match=message):
        init_fno_(conv, "tanh", **options)


def test_real_pairs_are_written_as_complex_numbers():
    conv, pairs = (as_read.SpectralConv(2, 2, (4, 4)) for _ in range(2))
    pairs.weight = nn.Parameter(torch.view_as_real(pairs.weight.detach()))
    for each in (conv, pairs):
        init_fno_(each, "tanh", generator=seeded())
    assert torch.equal(torch.view_as_complex(pairs.weight.detach()), conv.weight)


@needs_package
@pytest.mark.parametrize(
    ("factorization", "kind"), [("tucker", "TuckerTensor"), ("cp", "CPTensor"), ("tt", "TTTensor")]
)
def test_factorized_weights_are_refused(factorization, kind):
    conv = installed().SpectralConv(4, 4, (4, 4), factorization=factorization)
    with pytest.raises(TypeError, match=f"are a {kind}, not one array .* factorization=None"):
        init_fno_(conv, "tanh")


@needs_package
def test_on_an_odd_axis_the_package_moves_a_mode():
    """Why such a grid is refused: with R_k = 1 the layer should be the identity on k = 1."""
    conv = installed().SpectralConv(1, 1, (4, 4), bias=False)
    with torch.no_grad():
        conv.weight.tensor.fill_(1)
    for n, same in ((8, True), (9, False)):
        x = torch.cos(2 * torch.pi * torch.arange(n) / n).reshape(1, 1, n, 1).expand(1, 1, n, 10)
        assert torch.allclose(conv(x), x, atol=1e-5) == same


@needs_package
def test_a_whole_operator_of_the_package():
    from neuralop.models import FNO

    net = FNO((4, 6), 1, 1, 8, n_layers=3)
    report = init_fno_(net, skip=("fno_blocks.channel_mlp",), criterion="half_stable", generator=seeded())
    assert [layer.name for layer in report.layers] == [f"fno_blocks.convs.{at}" for at in range(3)]
    assert report.activation == "gelu" and report.layers[0].doubled == 1
    assert report.left == ("fno_blocks.channel_mlp", "fno_blocks.channel_mlp_skips", "lifting", "projection")
    with pytest.raises(TypeError, match=r"the weights of 'fno_blocks.convs.0' \(SpectralConv\) are a TuckerTensor"):
        init_fno_(FNO((4, 6), 1, 1, 8, factorization="tucker", use_channel_mlp=False))
