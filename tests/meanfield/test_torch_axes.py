"""Fan-in and fan-out of every layer of PyTorch, and the law of its own draws, as scale_ rescales them."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import base_shapes, scale_  # noqa: E402
from tests.meanfield.scaled_nets import ROLES, Attention, Own, Words, column, factors, on_meta  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def conv(n):
    return nn.Sequential(
        nn.Conv2d(3, n, 3), nn.Conv2d(n, n, 3, groups=n), nn.Conv2d(n, 2 * n, 3, groups=2), nn.BatchNorm2d(2 * n),
        nn.ConvTranspose2d(2 * n, n, 3), nn.ConvTranspose2d(n, 3, 2),
    )  # fmt: skip


def test_convolutions_have_their_fan_in_where_it_is():
    """A depthwise filter sums over taps alone. PyTorch draws transposed filters with 1/sqrt(fan_out)."""
    report, found = factors(conv(32), on_meta(conv, 8))
    types, rates = column(report, "type"), column(report, "lr_factor")
    weights = [f"{at}.weight" for at in (0, 1, 2, 4, 5)]
    assert [types[name] for name in weights] == ["input", "input", "hidden", "hidden", "output"]
    assert [rates[name] for name in weights] == [1, 1, 1 / 4, 1 / 4, 1 / 4]
    # std of PyTorch n^0, n^0, n^-1/2, (fan_out) n^-1/2, (fan_out) n^0; wanted n^0, n^0, n^-1/2, n^-1/2, n^-1.
    assert [found[name] for name in weights] == pytest.approx([1, 1, 1, 1, 1 / 4], rel=1e-6)
    biases = [found[f"{at}.bias"] for at in (0, 1, 2, 4, 5)]
    assert biases == pytest.approx([1, 1, 2, 2, 1], rel=1e-6)


def test_a_transposed_filter_is_no_other_filter():
    """Finite to n: input type; n to finite: output, though their shapes are those of the reverse for Conv1d."""

    def ends(n):
        return nn.Sequential(nn.ConvTranspose1d(2, n, 3), nn.Conv1d(n, 2, 3))

    report, found = factors(ends(64), on_meta(ends, 16))
    assert report.rows[0].type == "input" and report.rows[2].type == "output"
    # U(-1/sqrt(3 n), ...) for the first weight and bias: wanted the same at any width.
    assert found == pytest.approx({"0.weight": 2, "0.bias": 2, "1.weight": 1 / 2, "1.bias": 2}, rel=1e-6)


def recurrent(n):
    return nn.ModuleList([nn.LSTM(5, n, 2, bidirectional=True), nn.GRUCell(2 * n, n), nn.Linear(n, 1)])


def test_recurrent_layers_have_stacked_gates():
    """All are drawn with 1/sqrt(hidden), input weights and biases as well."""
    report, found = factors(recurrent(32), on_meta(recurrent, 8))
    types = column(report, "type")
    assert types["0.weight_ih_l0_reverse"] == "input" and types["0.bias_hh_l1"] == "vector"
    for name in ("0.weight_hh_l0", "0.weight_ih_l1", "1.weight_ih", "1.weight_hh"):
        assert types[name] == "hidden" and found[name] == pytest.approx(1, rel=1e-6)
    assert found["0.weight_ih_l0"] == pytest.approx(2, rel=1e-6) and found["0.bias_hh_l1"] == pytest.approx(2, rel=1e-6)


def test_an_embedding_is_an_input():
    padded = scale_(nn.Embedding(3, 4096, padding_idx=0), nn.Embedding(3, 16, padding_idx=0))
    assert padded.rows[0].init_std == pytest.approx((2 / 3) ** 0.5, rel=0.05)
    report, found = factors(Words(64, tie=False), on_meta(Words, 16, False))
    assert column(report, "type")["embed.weight"] == "input" and found["embed.weight"] == pytest.approx(1)
    assert (report.rows[-1].type, found["head.weight"]) == ("output", pytest.approx(1 / 2, rel=1e-6))
    with pytest.raises(ValueError, match=r"axis 0 of 'embed.weight' is 7 in base and 11 in model, .* vocabulary"):
        scale_(nn.ModuleDict({"embed": nn.Embedding(11, 8)}), nn.ModuleDict({"embed": nn.Embedding(7, 8)}))


def test_attention_grows_in_heads():
    report, found = factors(Attention(64, 8, add_bias_kv=True), Attention(16, 2, add_bias_kv=True))
    types = column(report, "type")
    assert types["attend.in_proj_weight"] == types["attend.out_proj.weight"] == "hidden"
    assert found["attend.in_proj_weight"] == pytest.approx(1, rel=1e-6)
    assert found["attend.bias_k"] == pytest.approx(2, rel=1e-6)  # 1/sqrt(n) in PyTorch
    cross, found = factors(Attention(64, 8, kdim=5), base_shapes(Attention(16, 2, kdim=5)))
    assert column(cross, "type")["attend.k_proj_weight"] == "input"
    assert found["attend.k_proj_weight"] == pytest.approx((69 / 21) ** 0.5, rel=1e-6)


def test_a_transformer_of_pytorch_is_understood():
    """It draws all matrices by Xavier's law; biases of attention start at zero, but are not so after training."""

    def layer(n):
        return nn.Transformer(n, n // 8, 1, 1, 4 * n, batch_first=True)

    model = layer(32)
    with torch.no_grad():
        model.encoder.layers[0].self_attn.out_proj.bias.fill_(1e-3)
    report, found = factors(model, layer(16))
    types = [*column(report, "type").values()]
    assert {round(factor, 6) for name, factor in found.items() if "weight" in name} == {1.0}
    assert types.count("hidden") == 10 and types.count("vector") == 24


def test_parameters_of_unknown_modules_are_told():
    with pytest.raises(TypeError, match=r"'mix' \(64, 64\) of the Own grows, and what its axes are is not known"):
        scale_(Own(64), Own(16))
    with pytest.raises(TypeError, match=r"'readout' .* grows"):
        scale_(Own(64), Own(16), roles={key: ROLES[key] for key in ("mix", "shift")})
    with pytest.raises(ValueError, match=r"'mix' has no law of PyTorch's own .* init='base'"):
        scale_(Own(64), Own(16), roles=ROLES)
    report, found = factors(Own(64), Own(16), roles=ROLES, init="base", optimizer="sgd")
    assert column(report, "lr_factor") == {
        "mix": 1, "shift": 4, "readout": 1 / 4, "temperature": 1, "start.weight": 4, "start.bias": 4
    }  # fmt: skip
    assert found["mix"] == pytest.approx(1, rel=0.2) and found["shift"] == pytest.approx(1, rel=0.2)
    uneven = scale_(nn.ParameterDict({"w": torch.zeros(8, 12)}), nn.ParameterDict({"w": torch.zeros(2, 6)}),
                    optimizer="sgd", init="keep", roles={"w": ("in", "out")})  # fmt: skip
    assert uneven.rows[0].lr_factor == 2 / 4
