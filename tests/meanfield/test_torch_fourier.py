"""Fourier neural operators at the edge of chaos: the variance of every mode, measured, and what is refused."""

import numpy as np
import pytest

import meanfield as mf

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import FNO, SpectralConv, init_fno_  # noqa: E402
from tests.meanfield.mode_oracle import CHANNELS, MARGIN, expected, response, seeded  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def naive(conv):
    """Free complex numbers of the variance 1/channels, as other code draws them."""
    with torch.no_grad():
        for weight in conv.parameters():
            weight.copy_(torch.randn(weight.shape, dtype=weight.dtype, generator=naive.noise) / CHANNELS**0.5)


naive.noise = seeded(5)
CASES = [((3,), (8,)), ((5,), (8,)), ((4,), (7,)), ((2, 3), (6, 8)), ((2, 3), (4, 4)), ((1, 2, 2), (4, 4, 3))]


@pytest.mark.parametrize(("modes", "grid"), CASES)
def test_every_kept_mode_has_the_whole_variance(modes, grid):
    """On grids where kept modes are Nyquist as well."""
    conv, noise = SpectralConv(CHANNELS, CHANNELS, modes, bias=False), seeded()
    *others, last = modes
    box = [range(-m, m) for m in others], range(last), grid
    found = response(conv, grid, lambda c: init_fno_(c, "tanh", grid=grid, generator=noise))
    wanted = expected(*box, naive=False)
    np.testing.assert_allclose(found, wanted, atol=MARGIN)
    assert found[wanted == 0].max(initial=0) < 1e-10
    # Free complex draws have half of it, or a quarter, in the plane of the self-conjugate modes.
    np.testing.assert_allclose(response(conv, grid, naive), expected(*box, naive=True), atol=MARGIN)
    assert np.abs(expected(*box, naive=True) - wanted).max() >= 0.5 > MARGIN


def test_without_the_grid_a_nyquist_mode_keeps_half():
    conv, noise = SpectralConv(CHANNELS, CHANNELS, 5, bias=False), seeded()
    found = response(conv, (8,), lambda c: init_fno_(c, "tanh", generator=noise))
    np.testing.assert_allclose(found, [1, 1, 1, 1, 0.5, 1, 1, 1], atol=MARGIN)


def test_real_and_conjugate_weights_are_exactly_so():
    conv = SpectralConv(3, 2, (2, 3), bias=False)
    report = init_fno_(conv, "relu", generator=seeded())
    (upper, lower), row = conv.weights, report.layers[0]
    assert upper[..., 0, 0].imag.abs().max() == 0 < upper[..., 0, 0].real.abs().min()
    torch.testing.assert_close(lower[..., 1, 0], upper[..., 1, 0].conj(), rtol=0, atol=0)
    assert row.name == "SpectralConv"
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
    """Logarithms of the mean squares of pre-activations, and of gradients by them, after each layer."""
    v, states = net.lift(x), []
    for place in range(len(net.spectral)):
        v = net.layer(place, v)
        v.retain_grad()
        states.append(v)
    (v * torch.randn(v.shape, generator=seeded(3))).sum().backward()
    return np.log([[f.square().mean().item() for f in (state, state.grad)] for state in states])


@pytest.mark.parametrize(("activation", "bias_var", "width"), [("relu", 0, 128), ("tanh", 0.05, 64)])
def test_a_deep_operator_keeps_lengths_and_gradients(activation, bias_var, width):
    """Over 32 layers; logarithms of one network of ReLU fluctuate around -5 layers/(2 width)."""
    torch.manual_seed(0)
    x, net, noise = torch.randn(4, 2, 32), FNO(2, 1, width, 12, 32, activation), seeded()
    default, draws = passed(net, x), []
    for _ in range(4):
        init_fno_(net, bias_var=bias_var, generator=noise)
        draws.append(passed(net, x))
    last, first = np.mean(draws, axis=0)[[-1, 0]]
    assert np.abs(last - first).max() < np.log(3)
    # As it starts, the gradient is smaller by many orders of magnitude at the first layer than at the last.
    assert (default[-1] - default[0])[1] > np.log(1e10)


def test_free_complex_draws_of_the_same_variance_lose_the_length():
    torch.manual_seed(0)
    x, net, noise = torch.randn(4, 2, 32), FNO(2, 1, 64, 12, 32, "relu"), seeded()
    row = init_fno_(net, generator=noise).layers[0]
    with torch.no_grad():
        for weight in (conv.weights[0] for conv in net.spectral):
            free = torch.randn(weight.shape, dtype=weight.dtype, generator=noise)
            weight.copy_((row.spectral_var / 64) ** 0.5 * free)
    states = passed(net, x)
    assert states[-1, 0] - states[0, 0] < -np.log(30)


def test_gelu_needs_the_half_stable_point():
    with pytest.raises(mf.NoEdge, match="lengths leave q = 0 and grow with depth: use criterion='half_stable'"):
        init_fno_(FNO(1, 1, 4, 2, 1, "gelu"))
    with pytest.raises(mf.NoEdge, match=r"lengths leave q = 0.72"):
        init_fno_(FNO(1, 1, 4, 2, 1, "gelu"), bias_var=0.05)
    net = FNO(1, 1, 64, 16, 1, "gelu")
    report = init_fno_(net, criterion="half_stable", generator=seeded())
    np.testing.assert_allclose((report.weight_var, report.bias_var), (1.98305825743755, 0.172922390756067), rtol=1e-9)
    bias = net.pointwise[0].bias
    np.testing.assert_allclose(bias.square().mean().item(), report.bias_var, rtol=5 * np.sqrt(2 / 64))


def test_it_is_reproducible_keeps_types_and_touches_nothing_else():
    nets = [FNO(2, 3, 6, (2, 2), 2, "tanh", dtype=torch.float64) for _ in range(2)]
    nets[1].requires_grad_(False)
    before = [net.state_dict()["lift.weight"].clone() for net in nets]
    reports = [init_fno_(net, generator=seeded(7)) for net in nets]
    assert reports[0] == reports[1] and reports[0].left == ("lift", "project")
    for name, one in nets[0].spectral.state_dict().items():
        assert one.dtype == torch.complex128 and torch.equal(one, nets[1].spectral.state_dict()[name])
    assert all(torch.equal(net.lift.weight, kept) for net, kept in zip(nets, before, strict=True))
    assert all(p.requires_grad for p in nets[0].parameters()) and not any(p.requires_grad for p in nets[1].parameters())
    assert not all(torch.equal(a, b) for a, b in zip(*(n.parameters() for n in nets), strict=True))
    torch.manual_seed(0)
    first = init_fno_(nets[0]) and nets[0].spectral[0].weights[0].clone()
    torch.manual_seed(0)
    assert init_fno_(nets[0]) and torch.equal(first, nets[0].spectral[0].weights[0])


def test_the_report_is_a_table_that_fits():
    report = init_fno_(FNO(1, 1, 4, (2, 3), 3, "tanh"), bias_var=0.05, grid=(8, 8), generator=seeded())
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 120 and lines[0].startswith("tanh (edge_of_chaos): sigma_R^2 + sigma_W^2 = 1.7609")
    assert lines[1] == "grid: 8 x 8" and lines[-1] == "left as they are: lift, project"
    assert lines[3].split() == ["spectral.0", "0.880477", "0.880477", "12", "1", "1", "1"]
    assert report.to_dict()["layers"][0]["name"] == "spectral.0"


class Own(nn.Module):
    """A network that someone wrote around a layer."""

    def __init__(self, beside=None, conv=None):
        super().__init__()
        self.conv = SpectralConv(3, 4, 2, bias=False) if conv is None else conv
        self.beside = nn.Conv1d(3, 4, 1) if beside is None else beside


def test_a_layer_that_stands_alone_is_told_what_is_beside_it():
    net = Own()
    with pytest.raises(ValueError, match=r"give pointwise={'conv': the name of its module}, or pointwise={} where"):
        init_fno_(net, "tanh")
    report = init_fno_(net, "tanh", pointwise={"conv": "beside"}, bias_var=0.05, generator=seeded())
    assert report.layers[0].pointwise_var == report.layers[0].spectral_var == report.weight_var / 2
    assert report.left == () and net.beside.bias.abs().min() > 0
    report = init_fno_(net, "tanh", pointwise={}, generator=seeded())
    assert report.left == ("beside",) and report.layers[0].spectral_var == 1
    assert init_fno_(nn.Sequential(SpectralConv(2, 2, 2), nn.Tanh()), "tanh").layers[0].name == "0"


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(2, 2, 3, dtype=torch.cfloat))
        self.phase = nn.Parameter(torch.zeros(2, dtype=torch.cfloat))


def shared():
    net = FNO(1, 1, 2, 2, 2)
    net.spectral[1] = net.spectral[0]
    return net


def twice():
    conv = SpectralConv(2, 2, 2)
    return nn.Sequential(conv, nn.Tanh(), conv)


def fno(**changes):
    return FNO(**{"channels_in": 1, "channels_out": 1, "width": 2, "modes": 2, "depth": 1} | changes)


def changed(change):
    net = fno()
    change(net.spectral[0])
    return net


def real(conv):
    conv.weights[0] = nn.Parameter(torch.zeros(2, 2, 2))


def with_conv(*args, **kwargs):
    return Own(nn.Conv1d(*args, **kwargs))


BESIDE = {"pointwise": {"conv": "beside"}}
REFUSED = [
    (lambda: 3, {}, TypeError, "initializes a torch.nn.Module, not 3"),
    (lambda: nn.Linear(2, 2), {}, ValueError, "Linear has no Fourier layer to initialize: known are FNO and"),
    (Unknown, {}, TypeError, r"the Unknown owns complex weights, 'kernel' of shape \(2, 2, 3\), and is no"),
    (lambda: nn.Sequential(fno(), Unknown()), {}, TypeError, r"'1' \(Unknown\) owns .* skip=\('1',\)"),
    (lambda: fno(skip=True), {}, ValueError, "the FNO adds the input of each layer to its output, .* skip=False"),
    (lambda: fno(activation=lambda x: x), {}, ValueError, "does not tell the activation .* give its name"),
    (fno, {"activation": "tanh"}, ValueError, "the module applies relu, not tanh"),
    (fno, {"activation": "rellu"}, mf.ParseError, "unknown activation 'rellu': did you mean"),
    (lambda: nn.Sequential(fno(), fno(activation="tanh")), {}, ValueError, "several activations, relu, tanh, want"),
    (shared, {}, ValueError, "'spectral.0' and 'spectral.1' share weights"),
    (twice, {"activation": "tanh"}, ValueError, "'0' and '2' share weights, so that they are not independent"),
    (fno, {"split": 0}, ValueError, r"split is the share of the spectral path, in \(0, 1\], not 0"),
    (fno, {"split": 1.5}, ValueError, "not 1.5"),
    (fno, {"split": True}, TypeError, "a number in .* not True"),
    (fno, {"split": "half"}, TypeError, "not 'half'"),
    (lambda: fno(pointwise=False), {"split": 0.5}, ValueError, "leaves 0.5 of the variance .* 'spectral.0' has none"),
    (fno, {"bias_var": 0.1}, mf.NoEdge, "relu is critical only at bias_var = 0"),
    (fno, {"criterion": "isometry"}, ValueError, "'isometry' wants orthogonal weights"),
    (fno, {"generator": 0}, TypeError, "generator is a torch.Generator, not 0"),
    (fno, {"grid": (4, 4)}, ValueError, r"grid has 2 axes, \(4, 4\), but 'spectral.0' has modes on 1"),
    (fno, {"grid": 1}, ValueError, "has 1 points, too few for the modes k = 0 .. 1 of 'spectral.0': at least 2"),
    (lambda: fno(modes=(2, 2)), {"grid": (3, 8)}, ValueError, "axis 0 .* k = -2 .. 1 .* at least 4"),
    (fno, {"grid": 2.5}, TypeError, "grid is a whole number"),
    (fno, {"skip": ("spectral.7",)}, ValueError, "FNO has no module 'spectral.7'"),
    (fno, {"skip": "spectral"}, TypeError, r"skip is a tuple of names of modules, .* skip=\('spectral',\)"),
    (fno, {"skip": ("spectral",)}, ValueError, "no Fourier layer to initialize"),
    (fno, {"pointwise": {"spectral.0": "lift"}}, ValueError, "pointwise names 'spectral.0', which is no"),
    (lambda: fno().to(device="meta"), {}, ValueError, "'spectral.0' is on the meta device"),
    (lambda: changed(real), {}, TypeError, r"are torch.float32 of shape \(2, 2, 2\), not complex of shape"),
    (lambda: with_conv(3, 4, 2), BESIDE, ValueError, "'beside' .Conv1d. acts on more than one position"),
    (lambda: with_conv(4, 4, 1), BESIDE, ValueError, "'beside' has weights of shape .4, 4, 1., beside 'conv' from 3"),
    (lambda: Own(nn.Tanh()), BESIDE, TypeError, "'beside' .Tanh. is no matrix at each position"),
    (lambda: Own(nn.LazyConv1d(4, 1)), BESIDE, ValueError, "'beside' has no shape yet: call the module once"),
    (
        lambda: Own(nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 1))),
        BESIDE,
        TypeError,
        "a weight of 'beside' is computed from others",
    ),
    (
        lambda: SpectralConv(2, 2, 2, bias=False),
        {"activation": "gelu", "criterion": "half_stable"},
        ValueError,
        "has no bias, but gelu .half_stable. wants biases of variance 0.172922",
    ),
]


@pytest.mark.parametrize(("build", "options", "error", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_understood_is_refused_before_anything_is_written(build, options, error, message):
    module = build()
    kept = module.state_dict(keep_vars=False) if isinstance(module, nn.Module) else {}
    lazy = (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)
    kept = {name: p.clone() for name, p in kept.items() if not isinstance(p, lazy) and not p.is_meta}
    options = {"activation": "tanh"} | options if isinstance(module, Own | SpectralConv) else options
    with pytest.raises(error, match=message):
        init_fno_(module, generator=options.pop("generator", seeded()), **options)
    assert all(torch.equal(p, module.state_dict()[name]) for name, p in kept.items())


def test_what_is_not_understood_is_left_by_request():
    net = nn.Sequential(fno(depth=2), Unknown())
    report = init_fno_(net, skip=("1", "0.spectral.1", "0.pointwise.0"), generator=seeded())
    assert [(layer.name, layer.pointwise_var) for layer in report.layers] == [("0.spectral.0", None)]
    assert report.left == ("0.lift", "0.spectral.1", "0.pointwise", "0.project", "1")
