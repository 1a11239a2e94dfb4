"""Traced modules as expressions: the text, the variances against the law of the draw, equal blocks joined, refusals."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

import meanfield as mf  # noqa: E402
from meanfield.torch.architecture import architecture  # noqa: E402
from meanfield.torch.trace import trace  # noqa: E402
from symbolic.networks import Chain, Dense, Dropout, LayerNorm, Repeat  # noqa: E402
from symbolic.pictures import layers_in  # noqa: E402
from tests.meanfield.face_nets import EXAMPLES, fno, mlp, residual_mlp, seeded  # noqa: E402


def normal_(model, weight_var, bias_var=0.0):
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=(weight_var / module.in_features) ** 0.5)
            nn.init.normal_(module.bias, std=bias_var**0.5)
    return model


def drawn(*given, **options):
    return seeded(lambda: normal_(mlp(*given), **options))


def test_an_mlp_is_its_expression():
    """The first layer by itself, the others by their mean."""
    model = mlp(50, 100, bias=False, sizes=(100, 100))
    first, *rest = (100 * module.weight.square().mean().item() for module in model if isinstance(module, nn.Linear))
    one, many = (f"Dense(weight_var={variance:.2g}, bias_var=0)" for variance in (first, sum(rest) / 49))
    assert many == "Dense(weight_var=0.33, bias_var=0)"
    assert str(architecture(trace(model))) == f"{one} >> (tanh >> {many}) ** 49"


def test_the_variances_are_those_of_the_draw():
    found = architecture(trace(drawn(40, 128, weight_var=1.7, bias_var=0.04)), digits=3)
    block = found.layers[-2].block if isinstance(found.layers[-1], Dense) else found.layers[-1].block
    dense = next(part for part in layers_in(block) if isinstance(part, Dense))
    assert float(dense.weight_var) == pytest.approx(1.7, rel=0.01)
    assert float(dense.bias_var) == pytest.approx(0.04, rel=0.1)
    assert isinstance(found, Chain)


def test_verbs_take_it():
    found = architecture(trace(mlp(20, 64)), symbols=True)
    repeated = next(part for part in found.layers if isinstance(part, Repeat))
    assert repeated.times == 19
    assert mf.edge_of_chaos(repeated.block, bias_var=0).weight_var == pytest.approx(1.0, abs=1e-6)


def test_other_variances_are_not_joined():
    model = drawn(8, 64, weight_var=1.0)
    with torch.no_grad():
        model[6].weight *= 1.5
    found = architecture(trace(model))
    assert [layer.times for layer in layers_in(found) if isinstance(layer, Repeat)] == [2, 4]
    variances = [float(layer.weight_var) for layer in layers_in(found) if isinstance(layer, Dense)]
    assert max(variances) == pytest.approx(2.25, rel=0.1)


def test_residual_blocks():
    found = architecture(trace(residual_mlp(3, factor=0.5)), symbols=True)
    dense = "Dense(weight_var=weight_var, bias_var=bias_var)"
    branch = f"LayerNorm() >> {dense} >> gelu >> 0.5 * {dense}"
    assert str(found) == f"{dense} >> (Identity() + ({branch})) ** 3 >> {dense}"


def test_measured_residual_blocks_are_joined():
    found = architecture(trace(residual_mlp(6, width=64)))
    assert [layer.times for layer in layers_in(found) if isinstance(layer, Repeat)] == [6]


def test_fourier_operators():
    found = architecture(trace(fno(depth=3)), symbols=True)
    assert [layer.times for layer in layers_in(found) if isinstance(layer, Repeat)] == [2]
    assert "Spectral(modes=4" in str(found) and "Conv(filter_shape=1" in str(found)


def test_dropout_and_norms():
    model = nn.Sequential(
        nn.Linear(8, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 8), nn.Dropout(0.0)
    )
    kinds = [type(layer) for layer in architecture(trace(model)).layers]
    assert kinds == [Dense, LayerNorm, type(mf.activation("tanh")), Dropout, Dense]
    assert architecture(trace(model)).layers[3].keep == pytest.approx(0.9)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.own = nn.Linear(4, 4), nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.lin(x) + self.own


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x, y):
        return self.lin(x) + y


def gained():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    nn.init.constant_(model[1].weight, 2.0)
    return model


REFUSED = {
    "batch": (lambda: EXAMPLES["resnet"][0](), r"'bn1' \(BatchNorm2d\) has no expression"),
    "attention": (lambda: EXAMPLES["vit_pre"][0](), r"has no expression|does not come from the input alone"),
    "a parameter": (Own, r"'add' \(add\) has no expression: Shift"),
    "two inputs": (Two, "one input, this graph has 2: x, y"),
    "gains": (gained, r"'1' \(LayerNorm\) has no expression: its weight is not 1 everywhere"),
    "no rule": (lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Tanh()), r"no rule follows '2' \(Tanh\) here"),
    "a pool": (lambda: nn.Sequential(nn.Conv1d(2, 2, 3), nn.MaxPool1d(2)), r"\(MaxPool1d\) has no expression: Pool"),
    "dilation": (lambda: nn.Sequential(nn.Conv1d(2, 2, 3, dilation=2)), "no groups and no dilation"),
    "an opaque one": (lambda: nn.Sequential(nn.Linear(4, 4), nn.GLU()), r"'1' \(GLU\) has no expression: GLU is no"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_expression_is_refused_by_name(name):
    build, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        architecture(trace(build()))
