"""Modules as graphs of steps: executed step by step, a graph returns what the module returns."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
F = nn.functional

from meanfield.torch import FNO  # noqa: E402
from meanfield.torch.graph import Add, Affine, Attend, Function, Graph, Input, Norm, Opaque, Pool, Scale, Spectral  # noqa: E402
from meanfield.torch.trace import trace  # noqa: E402
from tests.meanfield.face_nets import EXAMPLES, mlp, noise, residual_mlp, resnet, vit  # noqa: E402
from tests.meanfield.graph_runner import run  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kinds(graph):
    return [type(step.operation) for step in graph.steps]


def names(graph):
    return [step.name for step in graph.steps]


def only(graph, kind):
    return [step.operation for step in graph.steps if isinstance(step.operation, kind)]


def agree(model, graph, x, moves=None):
    model = model.double().eval()
    with torch.no_grad():
        wanted, found = model(x.double()), run(model, graph, x.double(), moves=moves)
    return wanted.shape == found.shape and bool((wanted - found).abs().max() < 1e-9 * wanted.abs().max())


def altered(graph, operation, **changes):
    """The graph with the last operation of a class changed."""
    at = max(i for i, step in enumerate(graph.steps) if isinstance(step.operation, operation))
    steps = list(graph.steps)
    steps[at] = replace(steps[at], operation=replace(steps[at].operation, **changes))
    return Graph(tuple(steps))


def test_an_mlp_is_a_chain_of_affine_maps_and_functions():
    graph = trace(mlp(3))
    assert kinds(graph) == [Input, Affine, Function, Affine, Function, Affine]
    assert names(graph)[1:] == ["0", "1", "2", "3", "4"]
    assert [step.inputs for step in graph.steps] == [(), (0,), (1,), (2,), (3,), (4,)]
    assert [(a.fan_in, a.fan_out, a.reach) for a in only(graph, Affine)] == [(16, 32, 1), (32, 32, 1), (32, 4, 1)]


@pytest.mark.parametrize("phi", [nn.Tanh, nn.GELU, nn.ReLU, lambda: nn.LeakyReLU(0.2)])
def test_an_mlp_executes(phi):
    model = mlp(4, phi=phi)
    graph, x = trace(model), noise(8, 16)
    assert agree(model, graph, x)
    assert not agree(model, altered(graph, Function, phi=only(trace(mlp(2, phi=nn.SELU)), Function)[0].phi), x)


def test_a_residual_network_executes_and_a_wrong_coefficient_does_not():
    model = residual_mlp(2, factor=0.25)
    graph, x = trace(model), noise(8, 16)
    assert agree(model, graph, x)
    assert not agree(model, altered(graph, Scale, factor=0.2501), x)
    assert not agree(model, altered(graph, Add, coefficients=(1.0, 1.0001)), x)
    assert not agree(model, altered(graph, Norm, kind="rms"), x)
    assert [s.factor for s in only(graph, Scale)] == [0.25, 0.25]


def test_a_resnet_executes():
    model, x = resnet(), noise(4, 3, 16, 16)
    with torch.no_grad():
        model(x)  # statistics other than 0 and 1
    graph = trace(model, x)
    moves = {"flatten": lambda v: v.flatten(1), "layers.0.0.relu (call 2)": torch.relu}
    assert agree(model, graph, x, moves)
    assert not only(graph, Opaque)
    assert [p.taps for p in only(graph, Pool)] == [9, 16]


def test_reach_is_the_share_of_taps_inside_the_image():
    """By counting: a filter of ones on an image of ones returns how many taps it met."""
    for conv in (
        nn.Conv2d(1, 1, 3, 1, 1),
        nn.Conv2d(1, 1, 5, 2, 2),
        nn.Conv2d(1, 1, (3, 5), (2, 1), (0, 4), (1, 2)),
        nn.Conv2d(1, 1, 4, padding="same", dilation=2),
        nn.Conv2d(1, 1, 3, padding="valid"),
        nn.ConvTranspose2d(1, 1, 3, 2, 1, output_padding=1),
        nn.ConvTranspose2d(1, 1, 4, 2, 1),
        nn.ConvTranspose2d(1, 1, 3, 1, 0, dilation=2),
        nn.ConvTranspose2d(1, 1, 3, 2, 2, dilation=2),
        nn.ConvTranspose2d(1, 1, 2, 3),
    ):
        x = torch.ones(1, 1, 7, 9)
        affine = only(trace(conv, x), Affine)[0]
        with torch.no_grad():
            conv.weight.fill_(1.0)
            conv.bias.fill_(0.0)
            met = conv(x)
        assert affine.fan_in * affine.reach == pytest.approx(met.mean().item(), rel=1e-6), conv
        assert met.max() <= affine.fan_in
        far = only(trace(conv), Affine)[0]
        big = torch.ones(1, 1, 600, 600)
        assert far.fan_in * far.reach == pytest.approx(conv(big).mean().item(), rel=0.03), conv


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_other_paddings_have_no_zeros(mode):
    conv = nn.Conv1d(6, 4, 3, padding=1, padding_mode=mode, groups=2)
    affine = only(trace(conv, noise(2, 6, 8)), Affine)[0]
    assert (affine.fan_in, affine.reach) == (9, 1.0)


@pytest.mark.parametrize("kind", ["pre", "post", "mixed", "hand"])
def test_a_vision_transformer_executes(kind):
    model, x = vit(kind), noise(4, 3, 16, 16)
    graph = trace(model, x)
    moves = {
        "flatten": lambda v: v.flatten(2),
        "transpose": lambda v: v.transpose(1, 2),
        "cat": lambda c, v: torch.cat([c.expand(len(v), -1, -1), v], 1),
    }
    for step in graph.steps:
        if step.layer == "getitem":
            moves[step.name] = lambda v: v[:, 0]
    if kind == "hand":
        moves |= hand_moves(graph)
    assert not only(graph, Opaque)
    assert agree(model, graph, x, moves)
    assert not agree(model, altered(graph, Attend, scale=0.1), x, moves)


def hand_moves(graph):
    """Those of HandBlock in the order of its code: reshape, permute, q, k, v; transpose, reshape."""
    moves, parts = {}, 0
    for step in graph.steps[7:]:
        if step.layer == "reshape":
            ahead = parts % 3 == 0 and not step.name.endswith(("_1", "_3"))
            moves[step.name] = (lambda v: v.reshape(4, 17, 3, 4, 8)) if ahead else (lambda v: v.reshape(4, 17, 32))
        elif step.layer == "permute":
            moves[step.name] = lambda v: v.permute(2, 0, 3, 1, 4)
        elif step.layer == "transpose":
            moves[step.name] = lambda v: v.transpose(1, 2)
        elif step.layer == "getitem":
            moves[step.name] = (lambda v: v[:, 0]) if parts == 6 else lambda v, at=parts % 3: v[at]
            parts += 1
    return moves


def test_parts_of_nn_transformer_have_the_names_of_their_modules():
    found = names(trace(vit("post", depth=1)))
    layer = "encoder.layers.0"
    wanted = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn", "self_attn.out_proj", "dropout1"]
    wanted += ["add_1", "norm1", "linear1", "activation", "dropout", "linear2", "dropout2", "add_2", "norm2"]
    start = found.index(f"{layer}.self_attn.q_proj")
    assert found[start : start + len(wanted)] == [f"{layer}.{name}" for name in wanted]


def test_an_fno_executes():
    model, x = FNO(1, 1, 8, 4, 3, "gelu", skip=True, dtype=torch.float64), noise(4, 1, 32).double()
    graph = trace(model, x)
    assert [step.name for step in graph.steps if isinstance(step.operation, Spectral)] == [
        f"spectral.{place}" for place in range(3)
    ]
    assert agree(model, graph, x)
    assert not agree(model, altered(graph, Add, coefficients=(1.0, 1.001)), x)


@pytest.mark.parametrize("name", EXAMPLES)
def test_tracing_leaves_no_trace(name):
    build, x = EXAMPLES[name]
    model = build()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    attributes = {n: set(vars(m)) for n, m in model.named_modules()}
    random, mode = torch.get_rng_state(), {n: m.training for n, m in model.named_modules()}
    trace(model, x)
    assert torch.equal(torch.get_rng_state(), random)
    assert {n: m.training for n, m in model.named_modules()} == mode
    assert {n: set(vars(m)) for n, m in model.named_modules()} == attributes
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
