"""What init_ draws: lengths and gradients through depth, and what changes them when a variance is off."""

import json
from math import e, log

import numpy as np
import pytest

import meanfield as mf

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import init_  # noqa: E402
from tests.meanfield.face_nets import (  # noqa: E402
    EXAMPLES,
    BasicBlock,
    HandBlock,
    MixedBlock,
    mlp,
    noise,
    resnet,
    seeded,
    vit,
)

PHIS = {"tanh": nn.Tanh, "gelu": nn.GELU, "relu": nn.ReLU}


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def outputs(model, x, kind):
    """What each module of a kind gives, in order, with gradients of a random sum of the output."""
    kept = []

    def keep(module, given, out):
        out.retain_grad()
        kept.append(out)

    hooks = [module.register_forward_hook(keep) for module in model.modules() if isinstance(module, kind)]
    y = model(x)
    (y * noise(*y.shape, seed=7)).sum().backward()
    for hook in hooks:
        hook.remove()
    return kept


def ratios(model, x, kind=nn.Linear):
    """log of first over last but one: of mean squares, and of mean squared gradients."""
    kept = outputs(model, x, kind)
    return [relative(kept[0], kept[-2]), relative(kept[0].grad, kept[-2].grad)]


def relative(a, b):
    """log of the ratio of mean squares."""
    return log(a.detach().double().square().mean() / b.detach().double().square().mean())


def deep(phi, factor=1.0, seeds=6, depth=50):
    """log of the mean over seeds of the gradients' ratio, hidden weight variances multiplied by factor."""
    found = []
    for seed in range(seeds):
        model, x = mlp(depth, 128, PHIS[phi], sizes=(16, 4)), noise(16, 16, seed=seed)
        init_(model, x, seed=seed)
        with torch.no_grad():
            for layer in [part for part in model if isinstance(part, nn.Linear)][1:-1]:
                layer.weight.mul_(factor**0.5)
        found.append(ratios(model, x)[1])
    return log(np.mean(np.exp(found)))


@pytest.mark.parametrize("phi", PHIS)
def test_gradients_cross_fifty_layers(phi):
    """Within a factor of 3 in the mean over seeds; from PyTorch's own initialization they vanish."""
    assert abs(deep(phi)) < log(3)
    assert ratios(mlp(50, 128, PHIS[phi]), noise(16, 16))[1] < log(1e-10)


@pytest.mark.parametrize(("phi", "factor"), [("tanh", 0.8), ("gelu", 0.8), ("relu", 0.9), ("relu", 1.1)])
def test_gradients_betray_a_wrong_variance(phi, factor):
    """10 to 20 % off in each layer."""
    assert abs(deep(phi, factor, seeds=2)) > log(3)


def test_variances_are_those_of_the_criterion():
    """ReLU and he: 2; tanh: 1/E sech^4 at the length of each layer; erf at a bias_var: the point of mf.init_scale."""
    x, model = noise(8, 16), mlp(5, 32, nn.ReLU)
    for criterion in ("edge_of_chaos", "he", "gradient"):
        report = init_(model, x, criterion=criterion)
        assert [row.weight_var for row in report.rows[1:-1]] == pytest.approx([2, 2, 2])
        assert report["0"].weight_var == pytest.approx(1 / x.square().mean().item(), rel=1e-6)
    report, q = init_(mlp(5, 32), x), 1.0
    z, w = np.polynomial.hermite_e.hermegauss(201)
    for row in report.rows[1:-1]:
        u = np.sqrt(q) * z
        slope, square = (np.sum(w * f) / w.sum() for f in (np.cosh(u) ** -4.0, np.tanh(u) ** 2))
        assert row.weight_var == pytest.approx(1 / slope, rel=1e-9)
        q = square / slope
    assert report.rows[-1].weight_var == pytest.approx(1 / (np.sum(w * np.tanh(np.sqrt(q) * z) ** 2) / w.sum()))
    point = mf.init_scale("tanh", bias_var=0.05)
    report = init_(mlp(5, 32), x, bias_var=0.05)
    assert [row.weight_var for row in report.rows[1:-1]] == pytest.approx([point.weight_var] * 3)
    assert report["2"].bias_std ** 2 == pytest.approx(0.05) and report.rows[-1].bias_std == 0


class Dropped(nn.Module):
    """Linear layers with Dropout behind each ReLU."""

    def __init__(self, depth):
        super().__init__()
        layers = [part for _ in range(depth) for part in (nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.3))]
        self.body, self.last = nn.Sequential(*layers), nn.Linear(256, 4)

    def forward(self, x):
        return self.last(self.body(x))


def test_dropout_and_padding_are_made_up_for():
    """Lengths stay through 20 layers; multiplied by what was made up for, they do not."""
    x = noise(16, 256)
    padded = [part for _ in range(20) for part in (nn.Conv1d(64, 64, 3, padding=1), nn.ReLU())]
    cases = [
        (seeded(Dropped, 20), x, nn.Linear, 1 / 0.7),
        (seeded(lambda: nn.Sequential(nn.Conv1d(64, 64, 1), *padded)), noise(16, 64, 8), nn.Conv1d, 1 / 0.917),
    ]
    for model, given, kind, factor in cases:
        init_(model, given, seed=0)
        lengths, gradients = ratios(model, given, kind)
        assert abs(lengths) < log(3) and abs(gradients) < log(3)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, kind):
                    module.weight.mul_(factor**-0.5 if kind is nn.Conv1d else factor**0.5)
        assert abs(ratios(model, given, kind)[0] - lengths) > 1


class Branch(nn.Module):
    """x + W_2 relu(W_1 x), with a LayerNorm in front of the branch, behind the sum, or nowhere."""

    def __init__(self, place, n=64):
        super().__init__()
        self.place, self.norm = place, nn.LayerNorm(n) if place != "none" else nn.Identity()
        self.up, self.down, self.end = nn.Linear(n, n), nn.Linear(n, n), nn.Identity()

    def forward(self, x):
        h = self.norm(x) if self.place == "pre" else x
        y = x + self.down(torch.relu(self.up(h)))
        return self.end(self.norm(y) if self.place == "post" else y)


@pytest.mark.parametrize("place", ["pre", "post", "none"])
def test_residual_streams_keep_lengths_and_gradients(place):
    """40 blocks: lengths grow by at most e, gradients by a factor of 3. With whole branches neither stays, but behind
    the sum, where LayerNorm divides gradients by what they grew."""
    model = seeded(lambda: nn.Sequential(nn.Linear(16, 64), *(Branch(place) for _ in range(40)), nn.Linear(64, 4)))
    x = noise(16, 16)
    report = init_(model, x, seed=0)
    assert "1/40 of the stream" in report["3.down"].reason and report["3.down"].role == "branch end"
    stream = outputs(model, x, Branch)
    lengths, gradients = relative(stream[-1], stream[0]), relative(stream[0].grad, stream[-1].grad)
    assert lengths < log(1.2 * e) and abs(gradients) < log(3)
    with torch.no_grad():
        for block in (module for module in model.modules() if isinstance(module, Branch)):
            block.down.weight.mul_(40**0.5)
    stream = outputs(model, x, Branch)
    lengths, gradients = relative(stream[-1], stream[0]), relative(stream[0].grad, stream[-1].grad)
    assert (max(lengths, gradients) > log(10)) == (place != "post")


DEEP = {
    "vit_pre": (lambda: vit("pre", width=64, depth=24), nn.TransformerEncoderLayer),
    "vit_hand": (lambda: vit("hand", width=64, depth=24), HandBlock),
    "vit_mixed": (lambda: vit("mixed", width=64, depth=24), MixedBlock),
    "resnet": (lambda: resnet(32, (24,)), BasicBlock),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_encoders_and_residual_networks_keep_lengths_and_gradients(name):
    """24 blocks, 24 or 48 branches: between the first and the last both grow by e at most, and half as much again for
    scatter; from PyTorch's own initialization by more than 10."""
    build, kind = DEEP[name]
    x = noise(16, 3, 16, 16)

    def growth(model):
        stream = outputs(model, x, kind)
        assert len(stream) == 24
        return relative(stream[-1], stream[0]), relative(stream[0].grad, stream[-1].grad)

    drawn, default = build(), build()
    init_(drawn, x, seed=0)
    lengths, gradients = growth(drawn)
    assert abs(lengths) < log(1.5 * e) and abs(gradients) < log(1.5 * e)
    assert max(growth(default)) > log(10)


def test_transformers_and_operators_get_their_roles():
    report = init_(vit("pre"), EXAMPLES["vit_pre"][1])
    at = "encoder.layers.0.self_attn."
    assert [report[at + name].role for name in ("q_proj", "k_proj", "v_proj")] == ["query", "key", "value"]
    assert [report[at + name].weight_var for name in ("q_proj", "k_proj", "v_proj")] == pytest.approx([1, 1, 1])
    assert report[at + "out_proj"].weight_var == pytest.approx(1 / 4)
    build, x = EXAMPLES["fno"]
    report = init_(build(activation="relu"), x)
    both = report["spectral.1"].weight_var + report["pointwise.1"].weight_var
    assert both == pytest.approx(mf.init_scale(mf.relu >> mf.Spectral(modes=4)).weight_var)


@pytest.mark.parametrize("name", EXAMPLES)
def test_outputs_have_mean_square_of_order_one(name):
    build, x = EXAMPLES[name]
    model = build()
    report = init_(model, x, seed=3)
    assert 0.02 < model(x).double().square().mean() < 10
    assert report.left == () and max(map(len, str(report).splitlines())) <= 80
    assert json.loads(json.dumps(report.to_dict()))["criterion"] == "edge_of_chaos"


def test_long_formulas_are_cut_in_the_table_and_whole_in_the_reasons():
    layers = [nn.Linear(16, 64), nn.GELU(approximate="tanh"), nn.Linear(64, 64), nn.GELU(approximate="tanh")]
    said = str(init_(seeded(lambda: nn.Sequential(*layers, nn.Linear(64, 4))), noise(8, 16)))
    assert said.count("x*(1 + tanh(s…") == 2 and "sqrt(2/pi)*(x + 0.044715*x**3)" in " ".join(said.split())
    assert [line.split()[0] for line in said.splitlines()[2:5]] == ["0", "2", "4"]


def test_a_seed_tells_every_number_and_touches_no_other():
    """Types, requires_grad and the global random state stay."""
    x, one, other = noise(8, 16).double(), mlp().double(), mlp().double()
    one[0].weight.requires_grad_(False)
    state = torch.random.get_rng_state()
    init_(one, x, seed=5)
    assert torch.equal(state, torch.random.get_rng_state())
    init_(other, x, generator=torch.Generator().manual_seed(5))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b) and a.dtype == torch.float64
    assert not one[0].weight.requires_grad and one[2].weight.requires_grad
    init_(other, x, seed=6)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_plain_batch_normalization_is_said_to_explode():
    """No weights help: the note has the growth of gradients, which a network shows; residual sums have no note."""
    layers = [part for _ in range(12) for part in (nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU())]
    model = seeded(lambda: nn.Sequential(*layers, nn.Linear(256, 4)))
    (note,) = init_(model, noise(256, 256), seed=0).notes
    assert "squared gradients grow by about" in note and "1.BatchNorm" not in note
    said = float(note.split("about ")[1].split()[0])
    assert said == pytest.approx((np.pi / (np.pi - 1)) ** 12, rel=0.01)
    assert ratios(model, noise(256, 256))[1] == pytest.approx(11 * log(np.pi / (np.pi - 1)), rel=0.3)
    build, x = EXAMPLES["resnet"]
    assert init_(build(), x).notes == ()
