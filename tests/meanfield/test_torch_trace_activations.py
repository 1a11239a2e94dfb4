"""The formula of each activation of PyTorch against its function, on a grid of values."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
F = nn.functional

import meanfield as mf  # noqa: E402
from meanfield.torch.graph import Function, Move, Opaque  # noqa: E402
from meanfield.torch.trace import trace  # noqa: E402
from tests.meanfield.graph_runner import formula  # noqa: E402

GRID = torch.linspace(-7.03, 7.05, 141, dtype=torch.float64)
MODULES = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.LeakyReLU(-0.2), nn.Tanh(), nn.GELU(),
    nn.GELU("tanh"), nn.SiLU(), nn.ELU(), nn.ELU(0.7), nn.SELU(), nn.CELU(), nn.CELU(1.5), nn.Softplus(),
    nn.Softplus(3.0, 100), nn.Softplus(0.5), nn.Sigmoid(), nn.Hardtanh(), nn.Hardtanh(-0.5, 2.0), nn.Hardsigmoid(),
    nn.Hardswish(), nn.Mish(), nn.Softsign(), nn.LogSigmoid(), nn.Tanhshrink(), nn.Softshrink(0.4), nn.Hardshrink(0.6),
    nn.Threshold(0.5, -1.5), nn.PReLU(1, 0.35),
]  # fmt: skip
FUNCTIONS = [
    torch.tanh, torch.relu, F.relu6, F.silu, F.mish, F.selu, F.softsign, F.logsigmoid, F.hardswish, F.tanhshrink,
    torch.sin, torch.cos, torch.erf, torch.sigmoid, torch.square, torch.abs, torch.atan, torch.sinh,
    lambda x: F.gelu(x, approximate="tanh"), lambda x: F.leaky_relu(x, 0.2), lambda x: F.elu(x, alpha=0.4),
    lambda x: F.hardtanh(x, -2.0, 0.5), lambda x: x.clamp(min=-1), lambda x: torch.clamp(x, -1, 0.5), lambda x: x**3,
    lambda x: x.pow(2), lambda x: x + 1.5, lambda x: 2 - x, lambda x: x.tanh(), lambda x: F.softplus(x, beta=2),
    lambda x: torch.relu_(x.clone()),
]  # fmt: skip


class Applied(nn.Module):
    """A linear layer, since models have parameters, and what is applied to its input beside it."""

    def __init__(self, apply):
        super().__init__()
        self.apply_, self.other = apply, nn.Linear(1, 1)

    def forward(self, x):
        return self.apply_(x)


def functions(apply):
    return [step.operation for step in trace(Applied(apply)).steps if not isinstance(step.operation, Move)][1:]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_modules(module):
    (found,) = functions(module)
    with torch.no_grad():
        wanted = module.double()(GRID.clone())
    # float32 parameters (PReLU), PyTorch's threshold of 20 in Softplus and its constants of SELU
    torch.testing.assert_close(formula(found.phi, GRID), wanted, rtol=1e-7, atol=5e-9)


@pytest.mark.parametrize("apply", FUNCTIONS)
def test_functions(apply):
    value, grid = GRID, GRID
    for found in functions(apply):
        value = formula(found.phi, value) if isinstance(found, Function) else found.factor * value
    torch.testing.assert_close(value, apply(grid), rtol=1e-9, atol=1e-9)


def test_another_slope_is_another_function():
    (found,) = functions(nn.LeakyReLU(0.3))
    assert not torch.allclose(formula(found.phi, GRID), F.leaky_relu(GRID, 0.31), atol=1e-3)


@pytest.mark.parametrize(
    "module", [nn.ReLU6(), nn.Tanhshrink(), nn.SiLU(), nn.LeakyReLU(0.3), nn.GELU("tanh")], ids=str
)
def test_they_are_those_of_activation(module):
    (found,) = functions(module)
    assert found.phi == mf.activation(found.phi.name)


def test_the_default_ones_have_their_names():
    named = [
        functions(m())[0].phi.name for m in (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Hardtanh)
    ]
    assert named == ["relu", "tanh", "gelu", "silu", "elu", "leaky_relu", "hard_tanh"]


@pytest.mark.parametrize(
    "apply", [nn.PReLU(8), nn.RReLU(), nn.GLU(), nn.LogSoftmax(-1), lambda x: x**0.5, lambda x: x / x, torch.cumsum]
)
def test_what_has_no_formula_is_opaque_with_a_reason(apply):
    apply = (lambda x: torch.cumsum(x, 0)) if apply is torch.cumsum else apply
    (found,) = functions(apply)
    assert isinstance(found, Opaque)
    assert found.reason
