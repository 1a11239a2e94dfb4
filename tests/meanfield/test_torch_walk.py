"""Walks through traced modules against what really flows through wide ones, and against formulas of their own."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch.analysis import DISAGREES, FIRST_ORDER, figures  # noqa: E402
from meanfield.torch.graph import Affine, Function, Graph  # noqa: E402
from meanfield.torch.measure import measure  # noqa: E402
from meanfield.torch.trace import trace  # noqa: E402
from meanfield.torch.walk import uncorrelated, walk  # noqa: E402
from meanfield.torch.walk_means import means  # noqa: E402
from symbolic.activations import activation  # noqa: E402
from tests.meanfield.face_nets import mlp, noise, seeded  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def critical(model, weight_var, seed=3):
    """Weights N(0, weight_var/fan_in), no biases."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                fan_in = layer.weight[0].numel()
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw) * (weight_var / fan_in) ** 0.5)
                if layer.bias is not None:
                    layer.bias.zero_()
    return model


def seen(model, x, passes=4):
    graph = trace(model, x)
    return graph, measure(model, x, graph, passes=passes, loss=None, seed=0)


def off(graph, measured, predictor=None):
    """(step, figure) of all that disagree."""
    predicted = walk(graph if predictor is None else predictor, measured)
    found = [(s.name, figures(p, m)) for s, p, m in zip(graph.steps, predicted, measured, strict=True)]
    return [(name, kind) for name, three in found for kind, figure in three.items() if figure.outcome == DISAGREES]


def with_fan_in(graph, factor):
    """The graph of a theory in which weight_var is wrong by a factor."""
    return Graph(tuple(
        replace(s, operation=replace(s.operation, fan_in=s.operation.fan_in * factor))
        if isinstance(s.operation, Affine) else s for s in graph.steps
    ))  # fmt: skip


CRITICAL = {"tanh": (nn.Tanh, 1.0), "gelu": (nn.GELU, 2.0), "relu": (nn.ReLU, 2.0)}


@pytest.mark.parametrize("name", CRITICAL)
@pytest.mark.parametrize("default", [True, False])
def test_wide_networks_do_as_predicted_and_a_wrong_constant_shows(name, default):
    phi, weight_var = CRITICAL[name]
    model = mlp(12, 1024, phi, sizes=(64, 64))
    graph, measured = seen(model if default else critical(model, weight_var), noise(6, 64))
    assert off(graph, measured) == []
    assert off(graph, measured, with_fan_in(graph, 1.1))


@pytest.mark.slow
@pytest.mark.parametrize("name", CRITICAL)
@pytest.mark.parametrize("default", [True, False])
def test_fifty_layers(name, default):
    phi, weight_var = CRITICAL[name]
    model = mlp(50, 1024, phi, sizes=(64, 64))
    graph, measured = seen(model if default else critical(model, weight_var), noise(6, 64))
    assert off(graph, measured) == []
    assert off(graph, measured, with_fan_in(graph, 1.1))


def test_gradients_scatter_with_the_lengths(monkeypatch):
    """Lengths of deep GELU networks fluctuate more from layer to layer, and every E phi'^2 with them; without that the
    scatter is underestimated. Above FIRST_ORDER nothing is judged."""
    found, predicted, blind = [], [], []
    x = noise(6, 64)
    for seed in range(16):
        graph, measured = seen(critical(mlp(50, 512, nn.GELU, sizes=(64, 64)), 2.0, seed), x, passes=1)
        theory = walk(graph, measured)[1]
        found.append(np.log(measured[1].gradient / theory.gradient))
        predicted.append(theory.gradient_scatter)
        outcome = figures(theory, measured[1])["gradient"].outcome
        assert outcome == ("scattered" if theory.gradient_scatter > FIRST_ORDER else "agrees")
        with monkeypatch.context() as patch:
            patch.setattr("meanfield.torch.walk_scatter.elasticities", lambda *step: (0.0, 1.0))
            blind.append(walk(graph, measured)[1].gradient_scatter)
    assert 0.5 < np.std(found) / np.mean(predicted) < 2
    assert np.std(found) / np.mean(blind) > 2


class Block(nn.Module):
    """x + f x, normalized before or behind."""

    def __init__(self, n, post):
        super().__init__()
        self.up, self.down, self.norm, self.post = nn.Linear(n, n), nn.Linear(n, n), nn.LayerNorm(n), post

    def forward(self, x):
        if self.post:
            return self.norm(x + self.down(torch.relu(self.up(x))))
        return x + self.down(torch.relu(self.up(self.norm(x))))


def stack(*layers):
    return nn.Sequential(nn.Linear(32, 512), *layers, nn.Linear(512, 32))


def conv(into, out):
    return nn.Conv2d(into, out, 3, padding=1, padding_mode="circular", bias=False)


WIDE = {
    "pre": lambda: stack(*(Block(512, False) for _ in range(5))),
    "post": lambda: stack(*(Block(512, True) for _ in range(5))),
    "norm behind relu": lambda: stack(nn.ReLU(), nn.LayerNorm(512), nn.Linear(512, 512), nn.ReLU(), nn.LayerNorm(512)),
    "dropout": lambda: stack(nn.Tanh(), nn.Dropout(0.3), nn.Linear(512, 512), nn.Tanh(), nn.Dropout(0.3)),
    "rms": lambda: stack(nn.RMSNorm(512), nn.ReLU(), nn.Linear(512, 512), nn.RMSNorm(512), nn.ReLU()),
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_blocks_do_as_predicted(name):
    graph, measured = seen(seeded(WIDE[name]), noise(6, 32))
    assert off(graph, measured) == []


def test_convolutions_do_as_predicted_with_the_entries_that_strides_leave_out():
    model = critical(
        seeded(lambda: nn.Sequential(
            conv(3, 128), nn.ReLU(), conv(128, 128), nn.ReLU(), nn.Conv2d(128, 128, 2, 2), nn.ReLU(),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(512, 32),
        )), 2.0,
    )  # fmt: skip
    graph, measured = seen(model, noise(4, 3, 8, 8))
    assert off(graph, measured) == []


def test_a_wrong_coefficient_of_branches_shows():
    graph, measured = seen(seeded(WIDE["pre"]), noise(6, 32))
    without = Graph(tuple(
        replace(s, operation=replace(s.operation, coefficients=(1.0, 1.1))) if s.layer == "add" else s
        for s in graph.steps
    ))  # fmt: skip
    assert off(graph, measured, without)


PHI = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: np.asarray(nn.functional.gelu(torch.tensor(x))),
}


@pytest.mark.parametrize("name", PHI)
def test_means_are_those_of_gaussian_quadrature(name):
    """A product rule of 80 x 80 nodes on phi itself, which shares nothing with Hermite coefficients; at kinks 1 %."""
    z, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()
    phi = PHI[name]
    p, q, k = 1.3, 0.7, 0.5
    found = means(activation(name), np.array([[p, k], [k, q]]))
    u = np.sqrt(p) * z[:, None] + 0 * z
    v = k / np.sqrt(p) * z[:, None] + np.sqrt(q - k * k / p) * z
    near = 2e-2 if name == "relu" else 1e-5
    assert found.product[0, 1] == pytest.approx(float((w[:, None] * w * phi(u) * phi(v)).sum()), rel=near)
    assert found.square[0] == pytest.approx(float(w @ phi(np.sqrt(p) * z) ** 2), rel=near)
    assert found.mean[1] == pytest.approx(float(w @ phi(np.sqrt(q) * z)), rel=near, abs=1e-12)
    h = 1e-5
    slopes = (phi(np.sqrt(p) * z + h) - phi(np.sqrt(p) * z - h)) / (2 * h)
    assert found.slope[0] == pytest.approx(float(w @ slopes**2), rel=near)
    kurtosis = float(w @ phi(np.sqrt(1.0) * z) ** 4) / float(w @ phi(np.sqrt(1.0) * z) ** 2) ** 2
    assert found.kurtosis == pytest.approx(kurtosis, rel=near)
    up, down = (float(w @ phi(np.sqrt(x) * z) ** 2) for x in (1.01, 0.99))
    assert found.elasticity == pytest.approx(np.log(up / down) / np.log(1.01 / 0.99), rel=1e-3)


def test_relu_of_two_is_the_arc_cosine():
    """Cho and Saul 2009: E relu(u) relu(v) = sqrt(pq) (sin t + (pi - t) cos t)/(2 pi), to the ends of the range."""
    c = np.array([-1, -0.9, -0.3, 0, 0.4, 0.99, 0.9999, 1])
    for rho in c:
        found = means(activation("relu"), np.array([[2.0, rho], [rho, 0.5]]))
        t = np.arccos(rho)
        wanted = (np.sin(t) + (np.pi - t) * np.cos(t)) / (2 * np.pi)
        assert found.product[0, 1] == pytest.approx(wanted, abs=1e-4)


class Shapes(nn.Module):
    """u + relu u, whose parts are correlated, and x + W relu x, whose are not."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(256, 256), nn.Linear(256, 256)

    def forward(self, x):
        u = self.a(x)
        v = u + torch.relu(u)
        return v + self.b(torch.relu(v))


def test_sums_of_correlated_branches_are_not_predicted():
    graph, measured = seen(seeded(Shapes), noise(4, 256))
    sums = [i for i, s in enumerate(graph.steps) if s.layer == "add"]
    assert [uncorrelated(graph, graph.steps[i].inputs) for i in sums] == [False, True]
    predicted = walk(graph, measured)
    assert "q" in predicted[sums[0]].measured and "q" not in predicted[sums[1]].measured


def test_a_function_of_a_signal_that_is_not_gaussian_is_measured():
    model = seeded(lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Tanh(), nn.Linear(64, 64)))
    graph, measured = seen(model, noise(4, 64))
    predicted = walk(graph, measured)
    kinds = [predicted[i].measured for i, s in enumerate(graph.steps) if isinstance(s.operation, Function)]
    assert "q" not in kinds[0] and {"q", "c"} <= kinds[1] and "gradient" in predicted[2].measured


def test_lengths_of_lists_must_match():
    graph, measured = seen(mlp(3, 8), noise(2, 16))
    with pytest.raises(ValueError, match="one entry for each of the 6 steps, not 5"):
        walk(graph, measured[1:])
