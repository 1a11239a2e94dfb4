"""Functions and methods of tensors, weights held by functions, attention by hand, what torch.export has to follow."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
F = nn.functional

from meanfield.torch.graph import (  # noqa: E402
    Add,
    Affine,
    Attend,
    Constant,
    Drop,
    Function,
    Input,
    Move,
    Norm,
    Opaque,
    Pool,
    Scale,
    Shift,
    Table,
)  # fmt: skip
from meanfield.torch.trace import trace  # noqa: E402
from tests.meanfield.face_nets import noise, seeded  # noqa: E402
from tests.meanfield.graph_runner import run  # noqa: E402
from tests.meanfield.test_torch_trace import agree, altered, kinds, names, only  # noqa: E402


class Calls(nn.Module):
    """forward(self, x) of its parts, as a function of the module and x."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.forward_ = forward
        for name, part in parts.items():
            setattr(self, name, part)
        self.readout = nn.Linear(8, 3)

    def forward(self, x):
        return self.readout(self.forward_(self, x))


def parameter(*shape):
    return nn.Parameter(noise(*shape))


ARITHMETIC = {
    "minus": lambda m, x: m.f(x) - 0.3 * x,
    "alpha": lambda m, x: torch.add(x, m.f(x), alpha=0.25),
    "divided": lambda m, x: (x + m.f(x)) / 2**0.5,
    "negated": lambda m, x: x + (-m.f(x)),
    "in place": lambda m, x: m.f(x).mul_(0.5).add_(x),
    "layer scale": lambda m, x: x + m.gamma * m.f(x),
    "a gain by itself": lambda m, x: m.f(x) * m.alpha + x,
    "shifted": lambda m, x: torch.tanh(m.f(x) + m.gamma),
    "shifted back": lambda m, x: m.f(x) - 0.5 - x,
    "a buffer added": lambda m, x: x + m.table,
    "a buffer divides": lambda m, x: m.f(x) / m.table,
    "normalized": lambda m, x: F.layer_norm(m.f(x), (8,), m.gamma, m.beta, 1e-3),
    "rms": lambda m, x: F.rms_norm(m.f(x), (8,), m.gamma, 1e-3),
    "linear": lambda m, x: F.linear(x, m.square, m.gamma),
    "inplace activation": lambda m, x: F.relu(m.f(x), inplace=True) + x,
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_executes(name):
    model = seeded(
        Calls, ARITHMETIC[name], f=nn.Linear(8, 8), gamma=parameter(8), beta=parameter(8), alpha=parameter(1),
        square=parameter(8, 8),
    )  # fmt: skip
    model.register_buffer("table", 1 + noise(8).square())
    graph, x = trace(model.double()), noise(5, 8)
    assert not only(graph, Opaque)
    assert agree(model, graph, x)


def test_a_layer_scale_is_its_root_mean_square():
    model = Calls(
        lambda m, x: x + m.gamma * m.f(x), f=nn.Linear(8, 8), gamma=nn.Parameter(torch.tensor(8 * [3.0, 4.0])[:8])
    )
    (scale,) = only(trace(model), Scale)
    assert scale.factor == pytest.approx(12.5**0.5)
    assert scale.parameter.name == "gamma"
    assert not agree(model, altered(trace(model), Add, coefficients=(1.0, 0.9)), noise(5, 8))


@pytest.mark.parametrize(
    ("product", "shape", "fans"),
    [
        (lambda m, x: x @ m.w, (12, 8), (12, 8)),
        (lambda m, x: torch.matmul(x, m.w.t()), (8, 12), (12, 8)),
        (lambda m, x: F.linear(x, m.w), (8, 12), (12, 8)),
        (lambda m, x: torch.addmm(m.bias, x, m.w), (12, 8), (12, 8)),
        (lambda m, x: F.linear(x, m.w.T), (12, 8), (12, 8)),
    ],
)
def test_matrices_of_functions_have_their_fans(product, shape, fans):
    first = only(trace(Calls(product, w=parameter(*shape), bias=parameter(8)), noise(5, 12)), Affine)[0]
    assert (first.fan_in, first.fan_out) == fans


def test_what_is_not_known_is_opaque_with_a_reason():
    product = Calls(lambda m, x: m.f(x) * torch.sigmoid(x), f=nn.Linear(8, 8))
    assert "product of two signals" in only(trace(product), Opaque)[0].reason
    sized = Calls(lambda m, x: x * x.shape[-1] ** -0.5)
    assert "give an example" in only(trace(sized), Opaque)[0].reason
    assert only(trace(sized, noise(5, 8)), Scale)[0].factor == pytest.approx(8**-0.5)
    assert "cumsum" in only(trace(Calls(lambda m, x: x.cumsum(-1))), Opaque)[0].reason


def test_the_rest_of_the_modules():
    model = nn.Sequential(
        nn.Embedding(11, 8), nn.Flatten(), nn.Unflatten(1, (4, 2)), nn.GroupNorm(2, 4), nn.Dropout(0.25), nn.Identity(),
        nn.InstanceNorm1d(4), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(4, 3), nn.LSTM(3, 2),
    )  # fmt: skip
    graph = trace(model, torch.tensor([[3], [5]]))
    assert kinds(graph) == [Input, Table, Move, Move, Norm, Drop, Move, Norm, Pool, Move, Affine, Opaque]
    assert [n.kind for n in only(graph, Norm)] == ["group", "instance"]
    assert only(graph, Drop)[0].rate == 0.25
    assert "LSTM" in only(graph, Opaque)[0].reason


def test_functional_dropout_is_there_in_training_alone():
    model = Calls(lambda m, x: F.dropout(x, 0.3, m.training))
    assert [d.rate for d in only(trace(model), Drop)] == [0.3]
    assert not only(trace(model.eval()), Drop)


def test_positions_from_a_table_and_a_token_of_its_own():
    def forward(m, x):
        x = x + m.positions(torch.arange(x.shape[1]))
        return torch.cat([m.token.expand(x.shape[0], -1, -1), x], 1).mean(1)

    model = Calls(forward, positions=nn.Embedding(6, 8), token=parameter(1, 1, 8))
    graph = trace(model, noise(2, 6, 8))
    assert kinds(graph) == [Input, Table, Add, Constant, Move, Pool, Affine]
    assert [step.name for step in graph.steps if isinstance(step.operation, Constant)] == ["token"]
    assert only(graph, Pool)[0].taps == 7


def hand_attention(causal, divide):
    def forward(m, x):
        q, k, v = (each(x).unflatten(-1, (2, 4)).transpose(1, 2) for each in (m.q, m.k, m.v))
        scores = q @ k.transpose(-2, -1)
        scores = scores / 2.0 if divide else scores * k.shape[-1] ** -0.5
        if causal:
            scores = scores.masked_fill(m.mask[: x.shape[1], : x.shape[1]] == 0, float("-inf"))
        return (m.drop(scores.softmax(-1)) @ v).transpose(1, 2).flatten(2)

    parts = {name: nn.Linear(8, 8) for name in "qkv"}
    model = seeded(Calls, forward, drop=nn.Dropout(0.2), **parts)
    model.register_buffer("mask", torch.ones(9, 9).tril())
    return model


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("divide", [True, False])
def test_attention_by_hand_is_attention(causal, divide):
    model, x = hand_attention(causal, divide), noise(3, 5, 8)
    graph = trace(model, x)
    (found,) = only(graph, Attend)
    assert (found.heads, found.causal, found.scale, found.dropout) == (2, causal, 0.5, 0.2)
    moves = {}
    for step in graph.steps:
        if step.layer == "unflatten":
            moves[step.name] = lambda v: v.unflatten(-1, (2, 4))
        elif step.layer == "transpose":
            moves[step.name] = lambda v: v.transpose(1, 2)
        elif step.layer == "flatten":
            moves[step.name] = lambda v: v.flatten(2)
    assert not only(graph, Opaque)
    assert agree(model, graph, x, moves)
    assert not agree(model, altered(graph, Attend, causal=not causal), x, moves)


def test_another_mask_is_not_called_causal():
    def forward(m, x):
        return F.scaled_dot_product_attention(x, x, x, attn_mask=torch.eye(5, dtype=torch.bool))

    assert "not causal" in only(trace(Calls(forward), noise(3, 5, 8)), Opaque)[0].reason


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_nn_transformer_has_all_its_layers():
    class Translate(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Transformer(8, 2, 1, 2, 16, 0.1, batch_first=True, norm_first=True)

        def forward(self, source, target):
            mask = torch.ones(4, 4, dtype=torch.bool).triu(1)
            return self.inner(source, target, tgt_mask=mask, tgt_is_causal=True)

    model = seeded(Translate)
    graph = trace(model, (noise(2, 5, 8), noise(2, 4, 8)))
    assert [a.causal for a in only(graph, Attend)] == [False, True, False, True, False]
    assert not only(graph, Opaque)
    model = model.double().eval()
    inputs = noise(2, 5, 8).double(), noise(2, 4, 8).double()
    with torch.no_grad():
        torch.testing.assert_close(run(model, graph, *inputs), model(*inputs), rtol=1e-9, atol=1e-9)


def test_a_branch_on_a_buffer_is_followed():
    model = Calls(lambda m, x: m.f(x) if m.table.sum() > 0 else x, f=nn.Linear(8, 8))
    model.register_buffer("table", torch.ones(2))
    assert kinds(trace(model)) == [Input, Affine, Affine]
    model.table.zero_()
    assert kinds(trace(model)) == [Input, Affine]


def test_positions_in_a_buffer_are_cut_to_length():
    model = Calls(lambda m, x: x + m.table[: x.shape[1]])
    model.register_buffer("table", noise(9, 8))
    assert agree(model, trace(model, noise(2, 5, 8)), noise(2, 5, 8))
    assert only(trace(model), Shift)[0].parameter.name == "table"


class Exported(nn.Module):
    """Control flow on shapes, which placeholders do not get through."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.again = nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 16)
        self.shift, self.phi = parameter(16), nn.GELU()
        self.register_buffer("causal", torch.full((9, 9), -torch.inf).triu(1))

    def forward(self, x, extra=None):
        if x.shape[0] > 2:
            x = self.first(x)
        if extra is not None:
            raise AssertionError
        assert len(self.causal[: len(x), : len(x)]) == len(x)
        for _ in range(x.shape[-1] // 8):
            x = x + 0.5 * self.again(torch.tanh(self.norm(x)))
        scores = x @ x.transpose(-2, -1) + self.causal[: x.shape[-2], : x.shape[-2]]
        return self.phi(scores.softmax(-1) @ x + self.shift)


def test_export_follows_shapes_with_an_example():
    model = seeded(Exported)
    graph = trace(model, noise(5, 4, 8))
    assert [n for n in names(graph) if n in dict(model.named_modules())] == ["first", "norm", "again", "phi"]
    assert "again (call 2)" in names(graph)
    assert not only(graph, Opaque)
    assert only(graph, Attend)[0].causal
    assert len(only(graph, Shift)) == 1 and len(only(graph, Function)) == 3
    assert agree(model, graph, noise(5, 4, 8))
    assert not agree(model, altered(graph, Scale, factor=0.4), noise(5, 4, 8))
