"""The diagnosis of PyTorch modules: the culprit is found where it was put, and nothing of the module changes."""

import json
import re

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import Analysis, analyze  # noqa: E402
from meanfield.torch.measure import measure  # noqa: E402
from meanfield.torch.trace import trace  # noqa: E402
from tests.meanfield.face_nets import EXAMPLES, mlp, noise, seeded  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def he(model, seed=3):
    """ReLU's critical weights, no biases."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw) * (2 / layer.in_features) ** 0.5)
                layer.bias.zero_()
    return model


def bits(tensors):
    return {name: None if t is None else t.detach().clone().numpy().tobytes() for name, t in tensors}


def state(model):
    """All that analyze must leave as it was."""
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()]
    grads = bits((name, p.grad) for name, p in model.named_parameters())
    wanted = [p.requires_grad for p in model.parameters()]
    random = torch.get_rng_state().numpy().tobytes()
    return bits(model.state_dict().items()), grads, wanted, [m.training for m in model.modules()], hooks, random


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_of_the_model_changes(name):
    build, x = EXAMPLES[name]
    model = build().eval()
    next(iter(model.modules())).train()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.full_like(parameters[-1], 3.0)
    before, given = state(model), x.clone()
    found = analyze(model, x, passes=2)
    assert state(model) == before
    assert torch.equal(x, given) and not x.requires_grad
    assert found.passes == 2 and len(found.rows) > 3


def test_a_failing_loss_leaves_the_model_as_it_was():
    model = mlp()
    before = state(model)
    with pytest.raises(ZeroDivisionError):
        analyze(model, noise(4, 16), loss=lambda y: y / (1 // 0))
    assert state(model) == before


@pytest.mark.parametrize(
    ("phi", "squared", "advice"),
    [
        (nn.Tanh, 0.33, "weight_var 1, the edge"),
        (nn.GELU, 0.083, "weight_var 1.983, the half-stable point of the edge"),
    ],
)
def test_fifty_plain_layers_lose_their_gradients(phi, squared, advice):
    """weight_var 1/3 times phi'(0)^2 = 1 or 1/4 in each layer, as lengths fall to those of the biases."""
    found = analyze(mlp(50, 128, phi), noise(6, 16), passes=2)
    assert found.gradient_ratio < 1e-10
    assert found.findings[0].kind == "gradient" and found.findings[0].per_layer == pytest.approx(squared, rel=0.05)
    assert found.culprit.startswith(f"each of the 48 layers 2 to 96, {phi.__name__} behind Linear: squared gradients")
    assert f"({advice} of chaos)" in found.advice
    weight_var = float(advice.split()[1].strip(","))
    assert f"set their weight std to {(weight_var / 128) ** 0.5:.4g} " in found.advice
    assert {each.kind for each in found.findings} >= {"gradient", "correlation"}


@pytest.mark.parametrize("phi", [nn.Tanh, nn.GELU, nn.ReLU, nn.SiLU])
def test_who_follows_the_advice_loses_no_gradients(phi):
    """Lengths and gradients cross 30 layers then; GELU and SiLU at the critical point of q = 0 would explode."""
    model, x = mlp(30, 256, phi), noise(6, 16)
    said = analyze(model, x, passes=2).advice
    weight_std, bias_std = (float(word) for word in re.findall(r"std to ([\d.]+)", said))
    follow(model, weight_std, bias_std)
    assert {each.kind for each in analyze(model, x, passes=2).findings} <= {"correlation"}
    if bias_std:
        follow(model, (4 / 256) ** 0.5, 0)
        assert "length" in {each.kind for each in analyze(model, x, passes=2).findings}


def follow(model, weight_std, bias_std):
    with torch.no_grad():
        for seed, layer in enumerate([part for part in model if isinstance(part, nn.Linear)][1:-1]):
            layer.weight.copy_(weight_std * noise(*layer.weight.shape, seed=seed))
            layer.bias.copy_(bias_std * noise(*layer.bias.shape, seed=1000 + seed))


def test_the_half_stable_point_needs_a_bias():
    advice = analyze(mlp(50, 64, nn.GELU, bias=False), noise(6, 16), passes=2).advice
    assert "half-stable" in advice and "and add a bias of std 0.4158" in advice


def test_critical_networks_are_in_order():
    found = analyze(he(mlp(8, 256, nn.ReLU)), noise(6, 16))
    assert found.findings == () and found.culprit is None and found.advice == ""
    assert 1 / 3 < found.gradient_ratio < 3
    assert str(found).startswith("nothing is wrong")


def test_one_layer_at_fault_is_named():
    model = he(mlp(8, 256, nn.ReLU))
    with torch.no_grad():
        model[6].weight.mul_(0.02)
    found = analyze(model, noise(6, 16))
    assert found.findings[0].layers == ("6",)
    assert found.culprit.startswith("6, ReLU behind Linear: squared gradients shrink to 0.000")
    assert "set its weight std to 0.08839 (weight_var 2, the edge of chaos)" in found.advice
    assert "it is 0.001766 now" in found.advice


class Loud(nn.Module):
    """x + f x, whose branch is as large as its input."""

    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


def test_residual_branches_that_are_too_large_are_named():
    model = he(seeded(lambda: nn.Sequential(nn.Linear(16, 128), *(Loud(128) for _ in range(8)), nn.Linear(128, 4))))
    found = analyze(model, noise(6, 16), passes=2)
    assert [each.kind for each in found.findings][:2] == ["gradient", "length"]
    assert "each of the 8 layers 1 to 8, residual block: squared gradients grow by" in found.culprit
    assert "multiply the weights that end each branch, as 1.down, by 0.354" in found.advice


@pytest.mark.parametrize("name", ["mlp", "residual", "resnet", "fno"])
def test_models_people_bring_do_as_predicted(name):
    build, x = EXAMPLES[name]
    rows = analyze(build(), x).rows
    assert [row.name for row in rows if row.outcome == "disagrees"] == []
    assert sum(row.outcome == "agrees" for row in rows) > len(rows) / 2


@pytest.mark.parametrize("name", ["vit_pre", "vit_post", "vit_hand", "vit_mixed"])
def test_transformers_send_their_signals_as_predicted(name):
    """Their gradients do not: a class token that is read out gets them all, which the mean over positions misses."""
    build, x = EXAMPLES[name]
    rows = analyze(build(), x).rows
    assert [row.name for row in rows if row.q.outcome == "disagrees"] == []
    assert sum(row.q.outcome == "agrees" for row in rows) > len(rows) / 3


def test_gradients_are_those_of_autograd():
    model, x = mlp(4, 32).double(), noise(8, 16).double()
    graph = trace(model, x)
    found = measure(model, x, graph, passes=1, loss=lambda y: (y**2).sum(), seed=0)
    values = [x]
    for layer in model:
        values.append(layer(values[-1]))
    wanted = torch.autograd.grad((values[-1] ** 2).sum(), values[1:])
    assert [m.gradient for m in found[1:]] == pytest.approx([float((g**2).mean()) for g in wanted], rel=1e-12)
    assert [m.q for m in found] == pytest.approx([float((v.detach() ** 2).mean()) for v in values], rel=1e-12)
    rows = values[2].detach()
    products = (rows @ rows.T / 32)[torch.triu(torch.ones(8, 8), 1) > 0]
    assert found[2].gram[0, 1] == pytest.approx(float(products[0]), rel=1e-12)


def test_other_seeds_draw_other_readouts_and_the_same_seed_the_same():
    model, x = mlp(), noise(4, 16)
    first, again, other = (analyze(model, x, passes=2, seed=seed) for seed in (0, 0, 7))
    assert first.to_dict() == again.to_dict() != other.to_dict()


def test_it_says_what_it_found():
    found = analyze(EXAMPLES["vit_mixed"][0](), EXAMPLES["vit_mixed"][1], passes=2)
    assert isinstance(found, Analysis)
    assert max(map(len, str(found).splitlines())) <= 80
    assert json.loads(json.dumps(found.to_dict()))["rows"][1]["name"] == "patch"
    assert found["patch"].layer == "Conv2d"
    with pytest.raises(KeyError, match="no step 'nowhere'"):
        found["nowhere"]


def test_the_picture_shows_what_was_predicted_and_measured():
    pytest.importorskip("matplotlib")
    found = analyze(mlp(), noise(4, 16), passes=2)
    ax = found.plot()
    assert ax.get_yscale() == "log"
    assert list(ax.lines[0].get_ydata()) == [row.q.predicted for row in found.rows]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mean square", "mean squared gradient"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((torch.relu, noise(2, 16)), TypeError, "reads a torch.nn.Module, not"),
        ((mlp(), [1.0]), TypeError, "an example is a tensor, a tuple .* not list"),
        ((mlp(), None), TypeError, "example_input is a batch of what the model is called with, not None"),
        ((mlp(), torch.ones(())), ValueError, "a batch of at least one input, not of shape"),
        ((mlp(), torch.ones(0, 16)), ValueError, "a batch of at least one input, not of shape"),
    ],
)
def test_refusals(given, error, message):
    with pytest.raises(error, match=message):
        analyze(*given)


@pytest.mark.parametrize(("passes", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_passes_are_counted(passes, error):
    with pytest.raises(error, match="passes"):
        analyze(mlp(), noise(2, 16), passes=passes)


def test_a_loss_is_a_scalar():
    with pytest.raises(ValueError, match="loss gives a scalar tensor, not one of shape"):
        analyze(mlp(), noise(2, 16), loss=lambda y: y)
    with pytest.raises(TypeError, match="loss gives a scalar tensor, not 3"):
        analyze(mlp(), noise(2, 16), loss=lambda y: 3)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else x


def test_what_cannot_be_traced_is_refused_and_left_as_it_was():
    model = Branching()
    before = state(model)
    with pytest.raises((TypeError, ValueError)):
        analyze(model, noise(2, 16))
    assert state(model) == before


def test_shared_weights_are_noted():
    """The prediction takes two calls of a layer for independent, and says so; of two layers it says nothing."""
    layer = nn.Linear(8, 8)
    found = analyze(nn.Sequential(layer, nn.Tanh(), layer), torch.randn(4, 8))
    assert found.notes == ("'0' and '0 (call 2)' share a parameter: the prediction takes them for independent",)
    assert found.notes[0] in " ".join(str(found).split())
    apart = analyze(nn.Sequential(layer, nn.Tanh(), nn.Linear(8, 8)), torch.randn(4, 8))
    assert apart.notes == () and "share" not in str(apart) and "nan" not in str(apart)
