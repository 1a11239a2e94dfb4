"""Training of scaled PyTorch modules at several widths: what moves the same, and what does not without scale_."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import scale_  # noqa: E402
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


def deep(n):
    return nn.Sequential(
        nn.Linear(8, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh(), nn.Linear(n, 2)
    )


def moved(n, seed, optimizer, lr, scaled):
    """The RMS by which the hidden and the last pre-activations move in three steps."""
    torch.manual_seed(seed)
    model, x, y = deep(n), torch.randn(4, 8), torch.randn(4, 2)
    groups = (
        scale_(model, on_meta(deep, 64), on_meta(deep, 96), optimizer=optimizer, lr=lr).groups
        if scaled
        else model.parameters()
    )
    steps = {"adam": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer](groups, lr=lr)

    def layers():
        with torch.no_grad():
            return [model[: at + 1](x) for at in (2, 4, 6)]

    before = layers()
    for _ in range(3):
        steps.zero_grad()
        (model(x) - y).square().mean().backward()
        steps.step()
    return [(after - first).square().mean().sqrt().log().item() for after, first in zip(layers(), before, strict=True)]


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 1e-3), ("sgd", 1e-3)])
def test_changes_do_not_depend_on_width(optimizer, lr):
    """The coordinate check; PyTorch's own initialization and one learning rate fail it."""
    slopes = {}
    for scaled in (True, False):
        logs = np.array([[moved(n, seed, optimizer, lr, scaled) for seed in range(6)] for n in WIDTHS]).mean(1)
        slopes[scaled] = np.polyfit(np.log(WIDTHS), logs, 1)[0]
    assert np.abs(slopes[True]).max() < 0.15
    assert slopes[False].min() > 0.3


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_logits_of_tied_weights_move_the_same_at_any_width(optimizer):
    """With the multiplier; without it they grow."""
    lr, slopes = {"adam": 1e-3, "sgd": 0.1}[optimizer], {}
    for multiply in (True, False):
        logs = []
        for n in WIDTHS:
            for seed in range(4):
                torch.manual_seed(seed)
                model = Words(n)
                report = scale_(
                    model, on_meta(Words, 64), on_meta(Words, 96), optimizer=optimizer, lr=lr, tied="multiply"
                )
                model.multiplier = (report.multipliers["head.weight"] if multiply else 1.0) / 8
                tokens = torch.arange(8)
                steps = {"adam": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer](report.groups, lr=lr)
                before = model(tokens).detach()
                for _ in range(3):
                    steps.zero_grad()
                    nn.functional.cross_entropy(model(tokens), (tokens + 1) % 11).backward()
                    steps.step()
                logs.append((model(tokens).detach() - before).square().mean().log().item() / 2)
        slopes[multiply] = np.polyfit(np.repeat(np.log(WIDTHS), 4), logs, 1)[0]
    assert abs(slopes[True]) < 0.15 and slopes[False] > 0.3


@pytest.mark.parametrize(("optimizer", "factor", "wrong"), [("adam", 1.0, 1 / 4), ("sgd", 4.0, 1.0)])
def test_it_is_table_8_in_another_gauge(optimizer, factor, wrong):
    """Table 8 of Yang et al. 2022 has a multiplier 1/ratio; readout weights and rates do not shrink."""

    def trained(rate):
        torch.manual_seed(0)
        model, x, y = deep(128).double(), torch.randn(4, 8).double(), torch.randn(4, 2).double()
        groups = scale_(model, on_meta(deep, 32), optimizer=optimizer, lr=0.01).groups
        multiplier = 1.0
        if rate is not None:
            multiplier = 1 / 4
            readout = next(group for group in groups if any(p is model[6].weight for p in group["params"]))
            assert len(readout["params"]) == 1
            readout["lr"] = 0.01 * rate
            if "eps" in readout:
                readout["eps"] /= 4
            with torch.no_grad():
                model[6].weight.mul_(4)
        steps = {"adam": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer](groups)
        for _ in range(4):
            steps.zero_grad()
            out = multiplier * nn.functional.linear(model[:6](x), model[6].weight) + model[6].bias
            (out - y).square().mean().backward()
            steps.step()
        return out.detach()

    torch.testing.assert_close(trained(factor), trained(None), rtol=1e-10, atol=1e-12)
    assert (trained(wrong) - trained(None)).abs().max() > 1e-4


class Encoder(nn.Module):
    """Attention whose heads grow in number."""

    def __init__(self, n):
        super().__init__()
        self.embed, self.head = nn.Embedding(11, n), nn.Linear(n, 11, bias=False)
        self.layer = nn.TransformerEncoderLayer(n, n // 16, 2 * n, dropout=0.0, batch_first=True)

    def forward(self, tokens):
        hidden = self.layer(self.embed(tokens))
        return hidden, self.head(hidden)


def encoded(n, seed, scaled):
    torch.manual_seed(seed)
    model, tokens = Encoder(n), torch.arange(8).reshape(2, 4)
    groups = scale_(model, on_meta(Encoder, 32), on_meta(Encoder, 48)).groups if scaled else model.parameters()
    steps, before = torch.optim.AdamW(groups, lr=1e-3), [part.detach() for part in model(tokens)]
    for _ in range(3):
        steps.zero_grad()
        nn.functional.cross_entropy(model(tokens)[1].flatten(0, 1), (tokens.flatten() + 1) % 11).backward()
        steps.step()
    return [(a.detach() - b).square().mean().log().item() / 2 for a, b in zip(model(tokens), before, strict=True)]


def test_a_transformer_moves_the_same_at_any_width():
    slopes = {}
    for scaled in (True, False):
        logs = np.array([[encoded(n, seed, scaled) for seed in range(3)] for n in (32, 64, 128, 256)]).mean(1)
        slopes[scaled] = np.polyfit(np.log([32, 64, 128, 256]), logs, 1)[0]
    assert np.abs(slopes[True]).max() < 0.15
    assert slopes[False].min() > 0.3
