"""What cannot be traced is refused in a sentence that names the place, and the model stays as it is."""

import re

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from meanfield.torch.trace import trace  # noqa: E402
from meanfield.torch.trace_checks import check_model, refuse_shared, shared, shared_parameters  # noqa: E402
from tests.meanfield.face_nets import fno, mlp, noise, resnet  # noqa: E402


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.count = nn.Linear(4, 4), 0

    def forward(self, x):
        self.count = x
        if x.mean() > 0:
            return self.lin(x)
        return -self.lin(x)


class Sized(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x):
        return self.lin(x) if x.shape[0] > 3 else x


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x):
        return self.lin(torch.tanh(self.lin(x)))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.embed(x))


def holding(parameter):
    model = nn.Sequential(nn.Linear(4, 4))
    model.own = nn.Parameter(parameter, requires_grad=False)
    return model


def mixed_types():
    model = mlp(3)
    model[2].double()
    return model


def on_two_devices():
    model = mlp(3)
    model[2].to("meta")
    return model


MODELS = {
    "no module": (lambda: 3, TypeError, "a torch.nn.Module is wanted, not 3"),
    "a class": (lambda: Twice, TypeError, "Twice is the class: call it first"),
    "no parameters": (lambda: nn.Sequential(nn.ReLU()), ValueError, "Sequential has no parameters"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), ValueError, r"'0' \(LazyLinear\) has no shape yet: run"),
    "meta": (lambda: mlp().to("meta"), ValueError, r"'weight' of '0' \(Linear\) is on the meta device"),
    "a part on meta": (on_two_devices, ValueError, r"'weight' of '2' \(Linear\) is on the meta device"),
    "two types": (mixed_types, ValueError, "data types: '0.weight' has torch.float32, '2.weight' has torch.float64"),
    "whole numbers": (lambda: holding(torch.ones(3, dtype=torch.int64)), TypeError, "'own' is torch.int64.*as buffers"),
    "complex": (lambda: holding(torch.ones(3, dtype=torch.cfloat)), TypeError, "torch.complex64.*SpectralConv"),
    "TorchScript": (lambda: torch.jit.trace(mlp(), noise(1, 16)), TypeError, "TorchScript, which hides its code"),
    "several devices": (lambda: nn.DataParallel(mlp()), TypeError, "give that module, model.module"),
    "compiled": (lambda: torch.compile(mlp()), TypeError, "compiled by torch.compile: give .* model._orig_mod"),
    "control flow": (Branches, ValueError, r"Branches.forward could not be followed at .*refusals.py, line 22, `if x"),
    "sizes": (Sized, ValueError, r"refusals.py, line 33, .*Give an example input"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_models_that_are_refused(name):
    build, kind, words = MODELS[name]
    with pytest.raises(kind, match=words):
        trace(build())


def test_control_flow_on_entries_is_refused_with_an_example_too(capfd):
    model = Branches()
    before = dict(vars(model))
    with pytest.raises(ValueError, match=r"line 22, `if x.mean\(\) > 0:`.*entries of a tensor.*torch.where"):
        trace(model, noise(5, 4))
    assert vars(model) == before and model.count == 0
    assert capfd.readouterr() == ("", "")


def test_control_flow_on_sizes_needs_an_example():
    assert len(trace(Sized(), noise(5, 4)).steps) == 2


EXAMPLES = [
    ([1.0, 2.0], TypeError, r"an example is a tensor.*not list \[1.0, 2.0\]"),
    ("x", TypeError, "not str 'x'"),
    (noise(3, 7), ValueError, r"Sequential cannot be called with .*\(\(3, 7\) torch.float32\): .*RuntimeError"),
    ((noise(3, 16), noise(3, 16)), ValueError, r"\(3, 16\) torch.float32, \(3, 16\).*TypeError"),
    ({"wrong": noise(3, 16)}, ValueError, "TypeError"),
    (noise(3, 16).double(), ValueError, "float64"),
]  # fmt: skip


@pytest.mark.parametrize(("example", "kind", "words"), EXAMPLES)
def test_examples_that_are_refused(example, kind, words):
    with pytest.raises(kind, match=words):
        trace(mlp(), example)


def test_an_example_may_be_named():
    assert len(trace(Sized(), {"x": noise(5, 4)}).steps) == 2


class Several(nn.Module):
    """Arguments of all kinds."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, first, *rest, factor=2.0, mask=None):
        found = factor * self.lin(first[0]) + rest[0]
        return {"found": found if mask is None else found * mask}


def test_arguments_of_all_kinds():
    graph = trace(Several(), ([noise(5, 4)], noise(5, 4)))
    assert [step.name for step in graph.steps] == ["first", "_rest", "getitem", "lin", "mul", "getitem_1", "add"]
    assert len(trace(Several()).steps) == 7


@pytest.mark.filterwarnings("ignore")
def test_the_input_may_be_overwritten_by_the_model_and_stays():
    x = noise(5, 4)
    before = x.clone()
    trace(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), x)
    assert torch.equal(x, before)


def test_a_module_called_twice_is_shared():
    graph = trace(Twice())
    assert shared(graph) == [("lin", "lin (call 2)")]
    with pytest.raises(ValueError, match=re.escape("'lin' and 'lin (call 2)' share a parameter")):
        refuse_shared(graph)


def test_tied_weights_are_shared():
    assert shared(trace(Tied())) == [("embed", "head")]
    assert shared_parameters(Tied()) == [("embed.weight", "head.weight")]


def test_rows_of_one_matrix_are_not_shared():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False)
    assert shared(trace(model)) == []
    assert shared_parameters(model) == []
    refuse_shared(trace(resnet()))


def test_complex_weights_of_fourier_layers_are_fine():
    check_model(fno())
    check_model(fno().double())
