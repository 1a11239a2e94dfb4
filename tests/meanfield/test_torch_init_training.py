"""Models of every kind learn from where init_ leaves them."""

import numpy as np
import pytest

import meanfield as mf

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import init_  # noqa: E402
from tests.meanfield.face_nets import EXAMPLES, mlp, noise  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def losses(model, x, y, steps, rate, optimizer=torch.optim.Adam):
    """The squared error before each step, and after the last."""
    updates, found = optimizer(model.parameters(), lr=rate), []
    for _ in range(steps + 1):
        loss = (model(x) - y).square().mean()
        found.append(loss.item())
        updates.zero_grad()
        loss.backward()
        updates.step()
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_loss_falls(name):
    """To less than half in 30 steps, on one batch of random targets."""
    build, x = EXAMPLES[name]
    model = build()
    init_(model, x, seed=0)
    y = noise(*model(x).shape, seed=2) if name != "fno" else x.cumsum(-1) / 4
    found = losses(model, x, y, 30, 3e-3)
    assert found[-1] < found[0] / 2


def test_fifty_layers_learn_what_they_do_not_from_the_default():
    """Digits, a plain tanh MLP, a hundred steps of SGD: at most guessing, and far from it."""
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    x = torch.tensor((digits.data - digits.data.mean()) / digits.data.std(), dtype=torch.float32)
    y, right = torch.tensor(digits.target), []
    for drawn in (False, True):
        model = mlp(50, 64, nn.Tanh, sizes=(64, 10))
        if drawn:
            init_(model, x, seed=0)
        steps = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        batches = torch.Generator().manual_seed(0)
        for _ in range(100):
            chosen = torch.randint(len(x), (64,), generator=batches)
            steps.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            steps.step()
        with torch.no_grad():
            right.append((model(x).argmax(1) == y).double().mean().item())
    assert right[0] < 0.2 < 0.5 < right[1]


def test_the_scale_of_variance_scaling_is_ours():
    """What jax.nn.initializers.variance_scaling(scale, "fan_in", "normal") does, as recalled: normal draws times
    sqrt(scale/fan_in), shape (fan_in, fan_out). A wide layer keeps the length of its point, and not with 10 % more."""
    point, rng = mf.init_scale("gelu", criterion="half_stable"), np.random.default_rng(0)
    u = np.sqrt(point.q) * rng.standard_normal((64, 4096))
    phi = nn.functional.gelu(torch.tensor(u)).numpy()
    for factor, stays in ((1.0, True), (1.1, False)):
        kernel = np.sqrt(factor * point.weight_var / 4096) * rng.standard_normal((4096, 256))
        length = (phi @ kernel).var() + point.bias_var
        assert (abs(length / point.q - 1) < 0.04) == stays
