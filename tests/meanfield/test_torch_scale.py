"""muP of a PyTorch module: learning rates and initialization against the tables of the theory; the report."""

import copy
import json
from fractions import Fraction

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import base_shapes, scale_  # noqa: E402
from tests.meanfield.scaled_nets import Words, column, factors, mlp, on_meta  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


# (c_in, c_hid, c_out) of lr ~ n^-c, without multipliers: Table 3 of Yang et al. 2022 (recalled) for SGD and Adam; Muon,
# Shampoo, SOAP of Qiu et al. 2025 (read); K-FAC of the public code of Ishikawa & Karakida 2024 (read).
MASTER = [
    ("sgd", {}, "-1 0 1"),
    ("momentum", {}, "-1 0 1"),
    ("adam", {}, "0 1 1"),
    ("adamw", {}, "0 1 1"),
    ("rmsprop", {}, "0 1 1"),
    ("lion", {}, "0 1 1"),
    ("adafactor", {}, "0 1/2 0"),
    ("normalized_sgd", {}, "-1/2 0 1/2"),
    ("muon", {}, "-1/2 0 1/2"),
    ("shampoo", {}, "-1/2 0 1/2"),
    ("shampoo", {"e_L": 0.5, "e_R": 0.5}, "0 0 0"),
    ("soap", {"sides": "right"}, "0 1/2 1/2"),
    ("kfac", {}, "0 0 0"),
    ("foof", {}, "-1 -1 0"),
]


@pytest.mark.parametrize(("optimizer", "exponents", "c"), MASTER, ids=lambda v: v if isinstance(v, str) else "")
def test_learning_rates_are_those_of_the_master_table(optimizer, exponents, c):
    into, hidden, out = (float(Fraction(each)) for each in c.split())
    found = column(scale_(mlp(24), on_meta(mlp, 8), optimizer=optimizer, **exponents), "lr_factor")
    for names, exponent in {
        "0.weight 0.bias 2.bias 3.weight 3.bias": into,
        "2.weight": hidden,
        "5.weight": out,
    }.items():
        for name in names.split():
            assert found.pop(name) == pytest.approx(3**-exponent, rel=1e-14)
    assert found == {"5.bias": 1.0}


def test_fans_that_grow_differently_have_their_own_ratios():
    """Adam 1/fan_in, SGD fan_out/fan_in; std fan_in^-1/2."""

    def block(d, wide):
        return nn.Sequential(nn.Linear(3, d), nn.Linear(d, wide), nn.Linear(wide, d), nn.Linear(d, 1))

    for optimizer, up, down in (("adam", 1 / 2, 1 / 6), ("sgd", 6 / 2, 2 / 6), ("muon", 3**0.5, 3**-0.5)):
        report, values = factors(block(16, 96), on_meta(block, 8, 16), optimizer=optimizer)
        found = column(report, "lr_factor")
        assert (found["1.weight"], found["2.weight"]) == pytest.approx((up, down), rel=1e-14)
        assert (values["1.weight"], values["2.weight"]) == pytest.approx((1, 1), rel=1e-6)


def test_initialization_is_that_of_table_3():
    """PyTorch has std 1/sqrt(3 fan_in) for weights and biases: biases become constant, readouts 1/fan_in."""
    report, found = factors(mlp(128), on_meta(mlp, 32))
    wanted = {"0.weight": 1, "0.bias": 1, "2.weight": 1, "2.bias": 2, "3.weight": 1, "5.weight": 1 / 2, "5.bias": 2}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    std = column(report, "init_std")
    law = {"0.weight": 24, "2.weight": 3 * 128, "5.weight": 3 * 32 * 4**2}
    assert {name: std[name] ** -2 for name in law} == pytest.approx(law, rel=0.15)
    assert column(report, "type") == {
        "0.weight": "input", "0.bias": "vector", "2.weight": "hidden", "2.bias": "vector", "3.weight": "vector",
        "3.bias": "vector", "5.weight": "output", "5.bias": "fixed",
    }  # fmt: skip
    assert report.multipliers == {} and {row.multiplier for row in report.rows} == {1.0}


@pytest.mark.parametrize("init", ["default", "base", "keep"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_at_the_size_of_base_nothing_changes(optimizer, init):
    model, base = mlp(16), mlp(16)
    before = copy.deepcopy(model.state_dict())
    report = scale_(model, base, mlp(32), optimizer=optimizer, lr=0.1, weight_decay=0.01, init=init)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    [group] = report.groups
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.01) and len(group["params"]) == 8


def test_delta_settles_a_width_that_base_and_model_share():
    def two(d, k):
        return nn.Sequential(nn.Linear(3, d), nn.Linear(d, k), nn.Linear(k, 1))

    types = [column(scale_(two(32, 8), two(16, 8), *more), "type")["1.weight"] for more in ((), (two(32, 16),))]
    assert types == ["output", "hidden"]


def test_epsilon_follows_the_gradient():
    """Entries of gradients shrink as 1/width but for the readout."""
    report = scale_(mlp(64), on_meta(mlp, 16), eps=1e-6)
    assert column(report, "eps_factor") == dict.fromkeys(column(report, "type"), 1 / 4) | {"5.weight": 1, "5.bias": 1}
    assert {group["eps"] for group in report.groups} == {1e-6, 2.5e-7}
    assert all("eps" not in group for group in scale_(mlp(64), on_meta(mlp, 16), optimizer="sgd").groups)


def test_weight_decay_stays_in_step():
    base = on_meta(mlp, 16)
    report = scale_(mlp(64), base, lr=0.1, weight_decay=0.01)
    assert [g["lr"] * g["weight_decay"] for g in report.groups] == pytest.approx([0.001] * len(report.groups))
    assert column(report, "weight_decay_factor")["2.weight"] == 4
    decoupled = scale_(mlp(64), base, lr=0.1, weight_decay=0.01, decoupled=True)
    assert {g["weight_decay"] for g in decoupled.groups} == {0.01}


def gpt(n):
    model = Words(n, tie=False)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.02)
    return model


def test_another_law_is_noticed_and_measured_in_base():
    message = r"'embed.weight' has RMS 0.02\d*, where PyTorch's own initialization gives 1: .* init='base'"
    with pytest.raises(ValueError, match=message):
        scale_(gpt(256), gpt(64))
    with pytest.raises(ValueError, match="give it as a module with values, not shapes alone"):
        scale_(gpt(256), on_meta(gpt, 64), init="base")
    report = scale_(gpt(256), gpt(64), init="base")
    wanted = {"embed.weight": 0.02, "mix.weight": 0.01, "head.weight": 0.005}
    std = column(report, "init_std")
    assert {name: std[name] for name in wanted} == pytest.approx(wanted, rel=0.1)
    blank = gpt(64)
    nn.init.zeros_(blank.mix.weight)
    with pytest.raises(ValueError, match=r"'mix.weight' has RMS 0 in base and .*, one of which is zero"):
        scale_(gpt(256), blank, init="base")


def test_scaling_twice_is_noticed():
    model = mlp(256)
    scale_(model, on_meta(mlp, 16))
    with pytest.raises(ValueError, match=r"'2.bias' has RMS .* it was scaled before"):
        scale_(model, on_meta(mlp, 16))


def test_weights_can_be_drawn_anew():
    one, two = mlp(128), mlp(128)
    for model in (one, two):
        report = scale_(model, on_meta(mlp, 32), init="normal", generator=torch.Generator().manual_seed(3))
    assert torch.equal(one[2].weight, two[2].weight)
    assert column(report, "init_std")["2.weight"] == pytest.approx((3 * 128) ** -0.5, rel=0.02)
    kurtosis = (one[2].weight ** 4).mean() / (one[2].weight ** 2).mean() ** 2
    assert kurtosis.item() == pytest.approx(3, abs=0.15)  # 1.8 for PyTorch's uniform law


def test_the_readout_can_start_at_zero():
    model = mlp(64)
    scale_(model, on_meta(mlp, 16), zero_readout=True)
    assert not model[5].weight.any() and model[2].weight.all() and model[5].bias.any()


def test_shapes_are_as_good_as_the_module():
    saved = json.loads(json.dumps(base_shapes(on_meta(mlp, 16))))
    assert saved["parameters"]["2.weight"] == [16, 16] and saved["heads"] == {}
    torch.manual_seed(1)
    one = scale_(mlp(64), saved, json.loads(json.dumps(base_shapes(mlp(32)))))
    torch.manual_seed(1)
    assert one == scale_(mlp(64), mlp(16)) or one.rows == scale_(mlp(64), saved).rows


def test_a_scaled_model_is_an_ordinary_module():
    model = mlp(64)
    kinds = [vars(parameter) for parameter in model.parameters()]
    report = scale_(model, on_meta(mlp, 16), lr=0.01)
    assert [vars(parameter) for parameter in model.parameters()] == kinds
    twin, loaded = copy.deepcopy(model), mlp(64)
    loaded.load_state_dict(model.state_dict())
    x = torch.randn(4, 8)
    trained = []
    for each in (model, twin, loaded):
        scaled = report if each is model else scale_(each, on_meta(mlp, 16), lr=0.01, init="keep")
        steps = torch.optim.AdamW(scaled.groups, lr=123.0)
        for _ in range(2):
            steps.zero_grad()
            each(x).square().mean().backward()
            steps.step()
        trained.append(each(x).detach())
    assert torch.equal(trained[0], trained[1]) and torch.equal(trained[0], trained[2])
    state = steps.state_dict()
    torch.optim.AdamW(scaled.groups, lr=1.0).load_state_dict(state)
    assert all({*group} == {"params", "lr", "weight_decay", "eps"} for group in report.groups)


def test_the_report_is_a_table():
    def long(n):
        return nn.ModuleDict({"a_module_with_a_name" * 4: mlp(n)})

    report = scale_(long(64), on_meta(long, 16), lr=0.01)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 120 and lines[0].startswith(
        "muP for adam, init = default; at the width of base: lr = 0.01"
    )
    assert lines[2].split() == ["parameter", "type", "width", "ratio", "init", "std", "multiplier", "lr", "factor"]
    row = next(line for line in str(scale_(mlp(64), on_meta(mlp, 16))).splitlines() if line.startswith("2.weight"))
    assert row.split()[1:4] == ["hidden", "4,", "4"] and row.split()[-2:] == ["1", "0.25"]
    assert json.loads(json.dumps(report.to_dict()))["rows"][0]["type"] == "input"


def test_all_or_nothing():
    class Half(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.known = mlp(n)
            self.other = nn.Linear(n, n)

    model = Half(64)
    with torch.no_grad():
        model.other.bias.mul_(100)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="drawn from another law"):
        scale_(model, on_meta(Half, 16))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        model.other.bias.div_(100)
    scale_(model, on_meta(Half, 16))
    assert not torch.equal(before["known.2.bias"], model.known[2].bias)


def test_several_optimizers_share_a_model():
    """Muon for the hidden matrices, Adam for the rest; torch.optim.Muon takes matrices alone."""
    model, base = mlp(64), on_meta(mlp, 16)
    first = scale_(model, base, optimizer="muon", lr=0.02).only("hidden")
    rest = scale_(model, base, init="keep").only("input", "vector", "output", "fixed")
    held = [parameter for scaled in (first, rest) for group in scaled.groups for parameter in group["params"]]
    assert {*map(id, held)} == {*map(id, model.parameters())} and len(held) == 8
    assert first.groups == [{"params": [model[2].weight], "lr": 0.02, "weight_decay": 0.0}]
    with pytest.raises(ValueError, match="no parameter is of type 'embedding': the model has input, vector"):
        rest.only("embedding")
