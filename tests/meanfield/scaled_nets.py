"""Modules of any width, and what scale_ did to them."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from meanfield.torch import scale_  # noqa: E402


def mlp(n):
    return nn.Sequential(nn.Linear(8, n), nn.Tanh(), nn.Linear(n, n), nn.LayerNorm(n), nn.Tanh(), nn.Linear(n, 3))


def on_meta(build, *sizes):
    with torch.device("meta"):
        return build(*sizes)


def factors(model, *given, **options):
    """By what each parameter was multiplied."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    report = scale_(model, *given, **options)
    found = {}
    for name, parameter in model.named_parameters():
        at = before[name].abs().argmax()
        if before[name].any():
            found[name] = (parameter.detach().flatten()[at] / before[name].flatten()[at]).item()
        torch.testing.assert_close(parameter.detach(), found.get(name, 1.0) * before[name])
    return report, found


def column(report, name):
    return {row.name: getattr(row, name) for row in report.rows}


class Words(nn.Module):
    """A bag of words to logits; tied, its embedding is the readout."""

    def __init__(self, n, tie=True, multiplier=1.0):
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(11, n), nn.Linear(n, n), nn.Linear(n, 11, bias=False)
        self.multiplier = multiplier
        if tie:
            self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.multiplier * self.head(torch.tanh(self.mix(self.embed(tokens))))


class Own(nn.Module):
    """Parameters of its own: y = readout . (x @ mix + shift)."""

    def __init__(self, n, tokens=5):
        super().__init__()
        self.start = nn.Linear(2, n)
        self.mix = nn.Parameter(torch.randn(n, n) * n**-0.5)
        self.shift = nn.Parameter(torch.randn(1, tokens, n))
        self.readout = nn.Parameter(torch.randn(n) / n)
        self.temperature = nn.Parameter(torch.ones(()))


ROLES = {"mix": ("in", "out"), "shift": "input", "readout": "output"}


class Attention(nn.Module):
    def __init__(self, n, heads, **options):
        super().__init__()
        self.read, self.attend = nn.Linear(3, n), nn.MultiheadAttention(n, heads, **options)
