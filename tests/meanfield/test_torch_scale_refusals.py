"""What scale_ refuses, and what it says then."""

import pytest
from sympy import Symbol

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from meanfield.torch import base_shapes, scale_  # noqa: E402
from tests.meanfield.scaled_nets import ROLES, Attention, Own, Words, column, mlp, on_meta  # noqa: E402

WRONG_ROLES = [
    ({"mx": "hidden"}, "roles names 'mx', which is no parameter of the model: near are mix"),
    ({"xyz": "hidden"}, "names are those of named_parameters"),
    (ROLES | {"mix": "output"}, "'mix' is of type output, of which 1 axes grow, but .* 2 do"),
    (ROLES | {"shift": "hidden"}, "'shift' is of type hidden, of which 2 axes grow, but .* 1 do"),
    (ROLES | {"mix": "readout"}, "is input, hidden, output, vector or a name for each axis, not 'readout'"),
    (ROLES | {"mix": ("in",)}, "names each of its 2 axes 'out', 'in' or '-'"),
    (ROLES | {"mix": ("in", "in")}, "'mix' of the Own has two axes that grow on one side"),
    (ROLES | {"mix": ("in", "-")}, "axis 1 of 'mix' is 16 in base and 64 in model, but in the Own it is no width"),
]


@pytest.mark.parametrize(("roles", "message"), WRONG_ROLES)
def test_wrong_roles_are_refused(roles, message):
    with pytest.raises(ValueError, match=message):
        scale_(Own(64), Own(16), roles=roles, init="base")


def test_tied_weights_want_a_multiplier():
    base = on_meta(Words, 16)
    with pytest.raises(ValueError, match=r"'embed.weight' .* as 'head.weight', the readout: .* a multiplier of 0.25"):
        scale_(Words(64), base)
    with pytest.raises(ValueError, match="for kfac no multiplier makes their learning rates the same"):
        scale_(Words(64), base, optimizer="kfac", e_A=1, e_B=0, tied="multiply")
    with pytest.raises(ValueError, match="no parameter of the model is of type output"):
        scale_(Words(64), base, tied="multiply", zero_readout=True)
    report = scale_(Words(64), base, optimizer="sgd", tied="multiply")
    assert report.multipliers == {"head.weight": 1 / 4}
    assert report.rows[0].multiplier == 1 / 4 and report.rows[0].lr_factor == 4
    assert sum(len(group["params"]) for group in report.groups) == 3


def test_attention_whose_heads_grow_in_size_is_refused():
    message = r"d_head = embed_dim/num_heads of 'attend' .MultiheadAttention. is 8 in base and 32 in model"
    for base in (Attention(16, 2), base_shapes(Attention(16, 2))):
        with pytest.raises(ValueError, match=message):
            scale_(Attention(64, 2), base)
    with pytest.raises(ValueError, match="8 in base and 16 in delta"):
        scale_(Attention(16, 2), Attention(16, 2), Attention(32, 2))
    kept = scale_(Attention(64, 2), Attention(16, 2), attention="keep")
    assert column(kept, "lr_factor")["attend.in_proj_weight"] == 1 / 4


def renamed(n):
    return nn.ModuleDict({"one": nn.Linear(2, n), "two": nn.Linear(n, 1, bias=False)})


def empty(n):
    return nn.ParameterDict({"w": torch.zeros(0, n)})


WRONG = [
    (lambda: scale_(mlp(64)), ValueError, "scale_ wants a base: the same module at the width"),
    (lambda: scale_(3, mlp(8)), TypeError, "scale_ scales a torch.nn.Module, not 3"),
    (lambda: scale_(mlp(64), 16), TypeError, "base is the same torch.nn.Module at another width, or .* not 16"),
    (lambda: scale_(mlp(64), {"0.weight": [2, 2]}), TypeError, "not one that mf.torch.base_shapes made"),
    (lambda: scale_(mlp(64), mlp(64)), ValueError, "base and model have the same shapes, so that no dimension grows"),
    (lambda: scale_(mlp(8), mlp(8), mlp(8)), ValueError, "base, delta and model have the same shapes"),
    (lambda: scale_(mlp(64), mlp(16)[:5]), ValueError, "model has a parameter '5.weight', base has none"),
    (lambda: scale_(mlp(64), renamed(16)), ValueError, "model has a parameter '0.weight', base has none"),
    (lambda: scale_(nn.Conv1d(2, 8, 3), nn.Conv2d(2, 4, 3)), ValueError, "'weight' has 4 axes in base and 3 in model"),
    (
        lambda: scale_(nn.Conv1d(2, 8, 3), nn.Conv1d(2, 4, 5)),
        ValueError,
        "grows but axis 2 of 'weight' .5 to 3. shrinks",
    ),
    (lambda: scale_(nn.Conv1d(2, 8, 5), nn.Conv1d(2, 4, 3)), ValueError, "axis 2 of 'weight' is 3 .*a kernel size"),
    (
        lambda: scale_(nn.Linear(8, 8), nn.Linear(4, 4), nn.Linear(4, 6)),
        ValueError,
        "axis 1 of 'weight' is 4 in base and in delta but 8 in model, so that it grows in one instance only",
    ),
    (lambda: scale_(empty(8), empty(4)), ValueError, "'w' has a dimension of size 0"),
    (lambda: scale_(nn.LazyLinear(8), nn.Linear(3, 4)), ValueError, "'weight' of model has no shape yet"),
    (lambda: scale_(on_meta(mlp, 64), mlp(16)), ValueError, "'0.weight' of model is on the meta device"),
    (lambda: scale_(nn.Bilinear(8, 8, 2), nn.Bilinear(4, 4, 2)), TypeError, "'weight' .2, 8, 8. of the Bilinear grows"),
    (
        lambda: scale_(nn.ConvTranspose1d(8, 8, 3, groups=2), nn.ConvTranspose1d(4, 4, 3, groups=2)),
        TypeError,
        "'weight' .8, 4, 3. of the ConvTranspose1d grows",
    ),
    (lambda: scale_(mlp(64), mlp(16), optimizer="adamm"), ValueError, "unknown optimizer 'adamm'; did you mean adam"),
    (lambda: scale_(mlp(64), mlp(16), zero_readuot=True), ValueError, "adam has no exponent 'zero_readuot'"),
    (lambda: scale_(mlp(64), mlp(16), optimizer="shampoo", e_L=2), ValueError, "e_L"),
    (
        lambda: scale_(mlp(64), mlp(16), optimizer="kfac", e_A=Symbol("e")),
        ValueError,
        "kfac has the symbols e: give numbers for them",
    ),
    (lambda: scale_(mlp(64), mlp(16), optimizer="predictive_coding"), ValueError, "does not follow loss.backward"),
    (lambda: scale_(mlp(64), mlp(16), optimizer="sgd", eps=1e-8), ValueError, "sgd has no single epsilon"),
    (lambda: scale_(mlp(64), mlp(16), lr=-1), ValueError, "lr is a number >= 0, that of base, not -1"),
    (lambda: scale_(mlp(64), mlp(16), weight_decay=float("nan")), ValueError, "weight_decay is a number >= 0"),
    (lambda: scale_(mlp(64), mlp(16), init="xavier"), ValueError, "init is one of default, base, normal, keep"),
    (lambda: scale_(mlp(64), mlp(16), init="keep", zero_readout=True), ValueError, "zero_readout=True writes zeros"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_weights_tied_across_types_are_refused():
    def tied(n):
        model = nn.Sequential(nn.Linear(4, n), nn.Linear(n, n), nn.Linear(n, n), nn.Linear(n, 4))
        model[2].weight = model[1].weight
        return model

    assert column(scale_(tied(16), tied(8)), "type")["1.weight"] == "hidden"

    class Autoencoder(nn.Module):
        def __init__(self, n, k):
            super().__init__()
            self.encode = nn.Linear(n, k)
            self.decode = nn.ParameterList([self.encode.weight])

    roles = {"decode.0": ("in", "out")}
    assert scale_(Autoencoder(16, 32), Autoencoder(8, 16), roles=roles).rows[0].type == "hidden"
    with pytest.raises(ValueError, match=r"'encode.weight' .hidden. is tied to 'decode.0' .hidden.: no variance"):
        scale_(Autoencoder(16, 48), Autoencoder(8, 16), roles=roles)
