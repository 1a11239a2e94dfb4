"""What init_ refuses, and what it says then; the model is bitwise untouched."""

import pytest

from symbolic.critical import NoEdge

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import init_  # noqa: E402
from tests.meanfield.face_nets import mlp, noise  # noqa: E402


class Own(nn.Module):
    """An MLP with parameters that no step explains."""

    def __init__(self):
        super().__init__()
        self.body, self.mix = mlp(), nn.Parameter(torch.ones(4, 4))

    def forward(self, x):
        return torch.linalg.matrix_exp(self.mix) @ self.body(x).T


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(11, 8), nn.Linear(8, 8), nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.mix(self.embed(tokens))))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()

    def forward(self, x):
        return self.body(x) if x.sum() > 0 else self.body(-x)


class Ending(nn.Module):
    """A branch whose mean square is at least 1/4."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        h = self.one(x)
        return h + torch.sigmoid(self.two(h))


def twice():
    layer = nn.Linear(16, 16)
    return nn.Sequential(layer, nn.Tanh(), layer)


def parametrized():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(16, 16)), nn.Tanh(), nn.Linear(16, 2))


def whole_numbers():
    model = mlp()
    model.register_parameter("count", nn.Parameter(torch.zeros(2, dtype=torch.int64), requires_grad=False))
    return model


def on_meta():
    with torch.device("meta"):
        return nn.Linear(16, 4)


def phi(kind):
    return lambda: mlp(phi=kind)


X = noise(8, 16)
REFUSED = [
    (Own, X, {}, TypeError, "'mix' .4, 4. of the Own is not understood"),
    (Tied, torch.arange(8), {}, ValueError, "share 'embed.weight': layers of one weight are not independent"),
    (twice, X, {}, ValueError, "share '0.weight'"),
    (Branching, X, {}, (TypeError, ValueError), "depend"),
    (parametrized, X, {}, (TypeError, ValueError), "parametriz"),
    (whole_numbers, X, {}, TypeError, "'count' is torch.int64"),
    (lambda: nn.LazyLinear(4), X, {}, ValueError, "has no shape yet"),
    (on_meta, X, {}, ValueError, "on the meta device"),
    (phi(nn.Softplus), X, {}, NoEdge, "'1': softplus has no edge of chaos.*depth_scale=.*skip="),
    (phi(nn.GELU), X, {"bias_var": 0.0}, NoEdge, "'1': .*leave bias_var out, for the half-stable point"),
    (phi(nn.Tanh), X, {"criterion": "half_stable"}, NoEdge, "'1': tanh has no half-stable point"),
    (phi(nn.Tanh), X, {"criterion": "self_normalizing"}, ValueError, "tanh is not self-normalizing"),
    (lambda: mlp(phi=nn.GELU, bias=False), X, {}, ValueError, "has no bias, but .* wants biases of variance"),
    (Ending, X, {}, ValueError, "a residual branch ends in sigmoid, whose mean square is never"),
    (mlp, X, {"criterion": "isometry"}, ValueError, "wants orthogonal weights"),
    (mlp, X, {"criterion": "best"}, ValueError, "unknown criterion 'best'; known are edge_of_chaos"),
    (mlp, X, {"bias_var": -1}, ValueError, "bias_var must be finite and at least 0, not -1"),
    (mlp, X, {"depth_scale": 9, "criterion": "he"}, ValueError, "for criterion 'edge_of_chaos' alone, not 9"),
    (mlp, X, {"seed": 0, "generator": torch.Generator()}, ValueError, "give seed or generator, not both"),
    (mlp, X, {"seed": 0.5}, TypeError, "seed is a whole number, not 0.5"),
    (mlp, X, {"generator": 0}, TypeError, "generator is a torch.Generator, not 0"),
    (mlp, X, {"skip": "0"}, TypeError, "skip is a tuple of names or classes of modules, not '0'"),
    (Own, X, {"skip": ("boby",)}, ValueError, "skip names 'boby', which is no module .*: near are body"),
    (mlp, X, {"skip": ("zzz",)}, ValueError, "names are those of named_modules"),
    (mlp, X, {"skip": (nn.LSTM,)}, ValueError, "skip names the class LSTM, of which Sequential has no module"),
    (mlp, 0 * X, {}, ValueError, "of example is zero everywhere"),
    (mlp, X / 0, {}, ValueError, "of example is not finite everywhere"),
]


@pytest.mark.parametrize(("build", "x", "options", "kind", "message"), REFUSED)
def test_the_reason_is_said_and_nothing_written(build, x, options, kind, message):
    model = build()
    lazy = any(isinstance(p, nn.parameter.UninitializedParameter) or p.is_meta for p in model.parameters())
    before = {} if lazy else {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    with pytest.raises(kind, match=message):
        init_(model, x, **options)
    assert torch.equal(state, torch.random.get_rng_state())
    for name, value in before.items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"initializes a torch.nn.Module, not 3"):
        init_(3)


def test_what_is_skipped_stays():
    """By name, by class, of a parameter; and what is behind it takes its variance as it is."""
    model = Own()
    before = model.mix.clone()
    report = init_(model, X, skip=("mix",))
    assert torch.equal(before, model.mix) and report.left == ("mix",)
    model = mlp()
    held = {name: value.clone() for name, value in model.named_parameters()}
    report = init_(model, X, skip=("2", nn.Tanh))
    changed = [name for name, value in model.named_parameters() if not torch.equal(value, held[name])]
    assert report.left == ("2.weight", "2.bias")
    assert changed == [f"{at}.{own}" for at in (0, 4, 6) for own in ("weight", "bias")]
    assert init_(model, X, skip=(nn.Linear,)).rows == ()


def test_softplus_goes_with_what_the_refusal_says():
    assert init_(mlp(phi=nn.Softplus), X, criterion="he").rows[1].activation == "softplus"
    assert init_(mlp(phi=nn.Softplus), X, depth_scale=20).rows[1].weight_var > 0
