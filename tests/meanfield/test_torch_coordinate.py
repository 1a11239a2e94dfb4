"""The coordinate check of PyTorch modules: scaled ones agree, others do not, and what cannot be recorded is said."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import coordinate_check, scale_  # noqa: E402
from tests.meanfield.scaled_nets import Words, on_meta  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


WIDTHS = (64, 128, 256, 512)
SMALL = (8, 16, 32)


def net(n):
    return nn.Sequential(nn.Linear(8, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh(), nn.Linear(n, 2))


def batch():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(4, 8, generator=draw), torch.randn(4, 2, generator=draw)


def adam(groups):
    return torch.optim.AdamW(groups, lr=1e-3)


def sgd(groups):
    return torch.optim.SGD(groups, lr=1e-3)


def scaled(name, build=net, **options):
    def groups(model, width):
        return scale_(model, on_meta(build, 64), on_meta(build, 96), optimizer=name, **options).groups

    return groups


def small(make=net, **options):
    return coordinate_check(make, options.pop("data", batch()), **({"widths": SMALL, "optimizer": adam} | options))


@pytest.mark.parametrize(("name", "optimizer", "seeds"), [("adam", adam, 4), ("sgd", sgd, 8)])
def test_scaled_modules_agree_and_those_of_one_learning_rate_do_not(name, optimizer, seeds):
    given = {"widths": WIDTHS, "optimizer": optimizer, "seeds": seeds}
    found = coordinate_check(net, batch(), groups=scaled(name), **given)
    changes = [row for row in found.rows if row.part == "change"]
    assert len(changes) == 5 * 3 and not any(row.outcome == "disagrees" for row in changes)
    assert max(abs(row.measured) for row in changes) < 0.15
    if name == "adam":
        assert found.outcome == "agrees"
    twin = coordinate_check(net, batch(), **given)
    assert twin.outcome == "disagrees"
    assert twin["change", "2", 1].outcome == twin["change", "4", 1].outcome == "disagrees"


def test_the_numbers_are_those_of_training_by_hand():
    found = coordinate_check(net, batch(), widths=SMALL, optimizer=sgd, seeds=[3, 5], steps=2)
    sizes = np.empty((2, 3, 3))
    for s, seed in enumerate([3, 5]):
        for w, width in enumerate(SMALL):
            torch.manual_seed(seed)
            model = net(width)
            start, (x, y) = model[:3](x := batch()[0]).detach(), (x, batch()[1])
            sizes[s, w, 0] = start.square().mean().sqrt()
            for step in (1, 2):
                grads = torch.autograd.grad((model(x) - y).square().mean(), [*model.parameters()])
                with torch.no_grad():
                    for parameter, grad in zip(model.parameters(), grads, strict=True):
                        parameter -= 1e-3 * grad
                sizes[s, w, step] = (model[:3](x).detach() - start).square().mean().sqrt()
    np.testing.assert_allclose(found.sizes[..., 2], sizes, rtol=1e-3)
    for part, step in (("initial", 0), ("change", 2)):
        slope = [np.polyfit(np.log(SMALL), np.log(one), 1)[0] for one in found.sizes[:, :, step, 2]]
        np.testing.assert_allclose(found[part, "2", step].measured, np.mean(slope), rtol=1e-9)


def test_the_output_before_training_is_reported_and_falls():
    def build(n):
        return nn.Sequential(nn.Linear(8, n), nn.Tanh(), nn.Linear(n, 2, bias=False))

    found = coordinate_check(build, batch(), widths=WIDTHS, optimizer=adam, groups=scaled("adam", build), seeds=16)
    row = found["initial", "2"]
    assert (row.predicted, row.outcome) == (None, "reported") and row.low < -0.5 < row.high < -0.2
    assert found.outcome == "agrees"
    assert "initial" in str(found) and "reported" in str(found) and "agrees" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["rows"][0]["module"] == "0"


def test_a_tied_readout_is_seen_through_the_output_of_the_model():
    def groups(model, width):
        report = scale_(model, on_meta(Words, 64), on_meta(Words, 96), tied="multiply")
        model.multiplier = report.multipliers["head.weight"] / 8
        return report.groups

    tokens = torch.arange(8)
    given = {"widths": WIDTHS, "optimizer": adam, "groups": groups, "loss": nn.functional.cross_entropy}
    found = coordinate_check(Words, (tokens, tokens), modules=["head", ""], **given)
    assert found["change", ""].outcome != "disagrees" and abs(found["change", ""].measured) < 0.15
    assert found["change", "head"].outcome == "disagrees" and found["change", "head"].measured > 0.5


def test_seeds_give_the_same_numbers_and_the_generator_is_left_as_it_was():
    def build(n):
        return nn.Sequential(nn.Linear(8, n), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(n, 2))

    before = torch.random.get_rng_state()
    first, other = small(build), small(build, seeds=[4, 5, 6, 7])
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    np.testing.assert_array_equal(small(build).sizes, first.sizes)
    assert (other.sizes != first.sizes).all()
    with pytest.raises(ValueError, match="nothing moved"):  # dropout draws the same masks, and alone changes nothing
        small(build, optimizer=lambda groups: torch.optim.SGD(groups, lr=0.0))


def test_hooks_are_removed_after_training_and_after_errors():
    made = []

    def build(n):
        made.append(net(n))
        return made[-1]

    small(build)

    def fails(output, target):
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        small(build, loss=fails)
    with pytest.raises(RuntimeError, match="shapes"):
        small(build, data=(torch.ones(4, 7), torch.ones(4, 2)))
    assert len(made) == 14 and not any(module._forward_hooks for model in made for module in model.modules())


class Recurrent(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.flat, self.spare, self.cell, self.head = nn.Flatten(1), nn.Linear(2, n), nn.LSTM(8, n), nn.Linear(n, 2)

    def forward(self, x):
        return self.head(self.cell(self.flat(x))[0])


def test_what_has_no_slope_is_named():
    found = small(Recurrent)
    assert {name: why.split()[-1] for name, why in found.skipped.items()} == {
        "spare": "forward",
        "cell": "numbers",
        "flat": "changes",
    }
    assert {row.module for row in found.rows if row.part == "change"} == {"head"}
    assert "skipped 'cell'" in str(found)
    with pytest.raises(TypeError, match="'cell' cannot be recorded, as its output is no tensor"):
        small(Recurrent, modules=["cell"])
    with pytest.raises(ValueError, match="'spare' cannot be recorded, as it is not called"):
        small(Recurrent, modules=["head", "spare"])


def test_what_a_readout_of_zeros_leaves_still_has_no_slope_yet():
    found = small(groups=scaled("adam", zero_readout=True), widths=WIDTHS, modules=["2", "4"])
    steps = {(row.part, row.module, row.step) for row in found.rows}
    assert ("change", "4", 1) in steps and ("change", "2", 1) not in steps and ("change", "2", 2) in steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8, 16)}, "at least 3 different widths, not \\(8, 16\\)"),
        ({"widths": (8, 16, 16, 32)}, "different widths"),
        ({"widths": (0, 16, 32)}, "widths are at least 1"),
        ({"seeds": 1}, "at least 2 different seeds"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        ({"modules": ["0", "readout"]}, "not \\['readout'\\]"),
        ({"modules": []}, "modules are names"),
        ({"optimizer": lambda groups: torch.optim.SGD(groups, lr=1e30)}, "blew up at width 8 with seed 0"),
        ({"optimizer": lambda groups: torch.optim.SGD(groups, lr=0.0)}, "nothing moved"),
        (
            {"make": lambda n: net(n) if n < 32 else net(n).append(nn.Tanh())},
            "different modules at width 32: \\['5'\\]",
        ),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_other_refusals():
    with pytest.raises(TypeError, match=r"make\(width\) gives a fresh torch.nn.Module, not 8"):
        small(lambda n: n)
    found = small()
    with pytest.raises(TypeError, match="three outcomes"):
        bool(found)
    with pytest.raises(KeyError, match="no slope"):
        found["change", "9"]


def test_a_module_still_at_some_widths_only_is_named():
    def groups(model, width):
        return [*model.parameters()] if width < 32 else [*model[4].parameters()]

    with pytest.raises(ValueError, match="'0' gives or moves by exactly 0 at some widths or seeds, at step 1"):
        small(groups=groups)
