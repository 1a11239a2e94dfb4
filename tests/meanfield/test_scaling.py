"""mf.scaling: exponents by role, gauges, numbers, what tables say of themselves, and what is refused."""

import json

import pytest
from sympy import Rational, symbols

import meanfield as mf
from symbolic.scaling.optimizers import Metric, Optimizer, frobenius

half = Rational(1, 2)
NET = mf.Dense() >> (mf.tanh >> mf.Dense()) ** 3


def test_the_contract():
    t = mf.scaling(NET, optimizer="shampoo", e_L=half, e_R=0.25)
    assert [t[r].learning_rate for r in t.roles] == [Rational(1, 4), 0, -Rational(1, 4)]
    assert [t[r].init_std for r in t.roles] == [0, -half, -1]
    assert [t[r].multiplier for r in t.roles] == [0, 0, 0]
    assert [t[r].damping for r in t.roles] == [-1, 0, 1]
    assert t["hidden 2"] == t["hidden"]
    assert t["hidden"].learning_rate.is_Rational


def test_an_optimizer_of_your_own():
    """g/|g|_F^(1/2), half normalized: half the exponents of SGD and half those of normalized SGD."""
    rule = Optimizer("half_normalized", (Metric("epsilon", half, frobenius),))
    t = mf.scaling(NET, optimizer=rule)
    assert [t[r].learning_rate for r in t.roles] == [Rational(3, 4), 0, -Rational(3, 4)]
    assert t.provenance == "a rule of your own"


def test_dampings_and_weight_decay():
    assert mf.scaling(NET, optimizer="sgd")["hidden"].damping is None
    kfac = mf.scaling(NET, optimizer="kfac")
    assert [kfac[r].damping for r in kfac.roles] == [(0, -1), (1, -1), (1, 0)]
    adam = mf.scaling(NET, optimizer="adam")
    assert [adam[r].weight_decay for r in adam.roles] == [0, 1, 1]
    assert [adam[r].damping for r in adam.roles] == [-1, -1, 0]


def test_an_architecture_by_its_name_and_a_picture():
    adam = mf.scaling("mlp", optimizer="adam")
    picture = mf.Conv(3) >> mf.relu >> mf.Conv(3) >> mf.relu >> mf.GlobalAvgPool() >> mf.Dense()
    found = mf.scaling(picture, optimizer="adam")
    assert [found[r] for r in found.roles] == [adam[r] for r in adam.roles]
    one = mf.scaling(mf.Dense() >> mf.tanh >> mf.Dense(), optimizer="adam")
    assert one.roles == ("input", "output")


@pytest.mark.parametrize(
    ("parametrization", "name", "multiplier", "init_std", "rate", "regime"),
    [
        ("mup", "adam", (0, 0, 0), (0, -half, -1), (0, -1, -1), "feature learning"),
        ("ntk", "sgd", (0, -half, -half), (0, 0, 0), (0, 0, 0), "kernel"),
        ("standard", "sgd", (0, 0, 0), (0, -half, -half), (0, 0, 0), "unstable"),
        ("mean_field", "sgd", (0, -half, -1), (0, 0, 0), (1, 1, 1), "feature learning"),
        ("ntk", "target_propagation", (0, -half, -half), (0, 0, 0), (0, 0, 0), "feature learning"),
    ],
)
def test_parametrizations(parametrization, name, multiplier, init_std, rate, regime):
    t = mf.scaling(NET, optimizer=name, parametrization=parametrization)
    assert tuple(t[r].multiplier for r in t.roles) == multiplier
    assert tuple(t[r].init_std for r in t.roles) == init_std
    assert tuple(t[r].learning_rate for r in t.roles) == rate
    assert t.regime.name == regime


def test_gauges():
    nine = mf.scaling(NET, optimizer="adam", gauge="table9")
    assert [nine[r].multiplier for r in nine.roles] == [half, 0, -half]
    assert [nine[r].learning_rate for r in nine.roles] == [-half, -1, -half]
    own = mf.scaling(NET, optimizer="adam", gauge={"output": -0.5, "input": half})
    assert [own[r] for r in own.roles] == [nine[r] for r in nine.roles]
    assert nine.slopes == mf.scaling(NET, optimizer="adam").slopes


def test_predicted_slopes_by_layer():
    t = mf.scaling(NET, optimizer="sgd", parametrization="standard")
    assert [s.own for s in t.slopes.values()] == [-half, half, half, 1]
    assert t.slopes["output"].prop == 3 * half  # what the second hidden layer gives grows by n, of the first's update
    assert list(t.slopes) == ["input", "hidden 1", "hidden 2", "output"]
    flat = mf.scaling(NET, optimizer="muon")
    assert [(s.own, s.dh) for s in flat.slopes.values()] == [(0, 0)] * 4
    assert flat.df == 0
    assert flat.slopes["output"].h == -half


@pytest.mark.parametrize(("damping", "own"), [("constant", (-1, -1, -1, 0)), ("pi", (-1, 0, 0, 0))])
def test_slopes_under_dampings_that_do_not_match(damping, own):
    t = mf.scaling(NET, optimizer="kfac", damping=damping)
    assert tuple(s.own for s in t.slopes.values()) == own
    assert mf.scaling(NET, optimizer="kfac").slopes != t.slopes


def test_numbers_from_a_base_to_a_target_width():
    t = mf.scaling(NET, optimizer="kfac", e_A=0.5, e_B=0.5)
    numbers = t.numbers(base=64, target=256)
    assert numbers["hidden"] == mf.LayerScales(0.5, 1.0, 1.0, (4.0, 0.25), 1.0)
    assert numbers["output"] == mf.LayerScales(0.25, 1.0, 0.5, (4.0, 1.0), 2.0)
    assert mf.scaling(NET, optimizer="sgd").numbers(base=64, target=32)["input"].learning_rate == 0.5


def test_exponents_in_symbols():
    e_A, e_B = symbols("e_A e_B", nonnegative=True)
    t = mf.scaling(NET, optimizer="kfac", e_A=e_A, e_B=e_B)
    assert t["hidden"].learning_rate == e_A - e_B
    assert "e_A" in str(t)
    assert {s.own for s in t.slopes.values()} == {0}
    with pytest.raises(ValueError, match="depends on e_B: give the optimizer's exponents as numbers"):
        t.numbers(base=1, target=2)


def test_what_a_table_says_of_itself():
    t = mf.scaling(NET, optimizer="predictive_coding", gamma=1)
    assert "predictive_coding(gamma=1), mup in the gauge a=0" in str(t)
    assert "were not" in " ".join(str(t).split())
    assert "whose tables were not read" in t._repr_html_()
    assert t._repr_html_().count("<tr>") == 4
    kfac = mf.scaling(NET, optimizer="kfac")
    assert r"hidden & $n^{- \frac{1}{2}}$ & $1$ & $1$ & $n^{1}$, $n^{-1}$ & $1$ \\" in kfac.latex()
    assert "--" in t.latex()
    assert "<td>1, -1</td>" in kfac._repr_html_()
    plain = json.loads(json.dumps(kfac.to_dict()))
    assert plain["exponents"]["hidden"]["damping"] == ["1", "-1"]
    assert plain["slopes"]["output"]["h"] == "-1/2"
    assert repr(t) == str(t)


def test_an_exponent_that_is_held():
    held = mf.scaling(NET, optimizer="adam", fixed={"output": {"init_std": -1}})
    assert held["output"].init_std == -1
    with pytest.raises(ValueError, match=r"no exponents meet these conditions(.|\n)*init_std is held at width\*\*"):
        mf.scaling(NET, optimizer="adam", fixed={"output": {"init_std": -0.5}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm'; did you mean adam"),
        ({"optimizer": "kfac", "e_A": 1.5}, "e_A must be finite and at least 0 and at most 1, not 1.5"),
        ({"optimizer": "sgd", "e_A": 1}, "sgd has no exponent 'e_A'"),
        ({"parametrization": "mupp"}, "unknown parametrization 'mupp'; did you mean mup"),
        ({"parametrization": "xyz"}, "known are mup, ntk, standard, mean_field"),
        ({"gauge": "table4"}, "unknown gauge 'table4'; did you mean 'table"),
        ({"gauge": "?"}, "known are a=0, table3"),
        ({"gauge": {"readout": 1}}, "a gauge has multipliers for input, hidden, output, not for 'readout'"),
        ({"depth": "mup"}, "unknown rule for depth 'mup'"),
        ({"damping": "trace"}, "unknown damping 'trace'; known are matched, constant, pi"),
        ({"optimizer": "sgd", "damping": "constant"}, "sgd has no damping to set to 'constant'"),
        ({"optimizer": "muon", "damping": "pi"}, "splits that of kfac in two, and muon has epsilon"),
        ({"fixed": {"readout": {}}}, "fixed names the layers input, hidden, output, not 'readout'"),
        ({"fixed": {"output": {"epsilon": 1}}}, "init_std, learning_rate of a layer can be fixed"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        mf.scaling(NET, **{"optimizer": "adam", **given})


@pytest.mark.parametrize(
    ("base", "target", "message"),
    [
        (64, 64, "base and target are both 64: no axis grows"),
        (0, 64, "base must be a width, a whole number of at least 1, not 0"),
        (64, 0, "target must be a width"),
        (64, 96.5, "target must be a width"),
    ],
)
def test_widths_that_are_refused(base, target, message):
    with pytest.raises(ValueError, match=message):
        mf.scaling("mlp", optimizer="adam").numbers(base=base, target=target)


def test_a_role_or_a_layer_that_is_unknown_is_refused():
    with pytest.raises(ValueError, match="no layer 'readout'; there are input, hidden, output"):
        mf.scaling("mlp", optimizer="adam")["readout"]
    with pytest.raises(mf.NoRule, match="'Spectral"):
        mf.scaling(mf.Dense() >> mf.Spectral(4) >> mf.Dense(), optimizer="adam")


def test_depth():
    t = mf.scaling("resnet", optimizer="adam", depth="completep")
    assert (t.depth.multiplier, t.depth.block.learning_rate, t.depth.block.damping) == (-1, 0, -1)
    assert t["branch bias"] == t["input"]
    own = mf.scaling(
        mf.Dense() >> (mf.Identity() + (mf.tanh >> mf.Dense())) ** 2 >> mf.Dense(), optimizer="sgd", depth=0.75
    )
    assert own.depth.block.learning_rate == half
    assert own.depth.own == -Rational(1, 4)
    assert mf.scaling(NET, optimizer="adam").depth is None
    with pytest.raises(ValueError, match="scales residual branches, and there are none"):
        mf.scaling(NET, optimizer="adam", depth="completep")


def test_numbers_from_a_base_to_a_target_depth():
    t = mf.scaling("resnet", optimizer="adam", depth="depth_mup")
    same = {"base": 64, "target": 256}
    found = t.numbers(**same, base_depth=4, target_depth=16)
    assert found["branches"] == mf.LayerScales(1.0, 0.5, 0.5, 0.5, 2.0)
    assert {role: found[role] for role in t.roles} == t.numbers(**same)
    assert t.numbers(base=64, target=64, base_depth=4, target_depth=16)["hidden"].learning_rate == 1.0
    for given in ({"base_depth": 4}, {"base_depth": 4, "target_depth": 0}):
        with pytest.raises(ValueError, match=r"go together|target_depth must be a depth, a whole number"):
            t.numbers(**same, **given)
    with pytest.raises(ValueError, match="with a rule for depth"):
        mf.scaling("resnet", optimizer="adam").numbers(**same, base_depth=4, target_depth=16)
    with pytest.raises(ValueError, match="no axis grows"):
        t.numbers(base=64, target=64, base_depth=4, target_depth=4)


def test_attention_scores_and_adapters_in_a_table():
    t = mf.scaling("transformer", optimizer="adam", depth="u_mup")
    assert (t.scores.multiplier, t["query"].learning_rate, t["unembedding"].multiplier) == (-1, -half, -1)
    said = " ".join(str(t).split())
    assert "query, key: as hidden" in said and "attention scores: multiplier d_head^(-1); slopes: drawn -1/2" in said
    assert "u_mup as published trains the embedding with n^(-1/2)" in said and "only by L^(-1/2)" in said
    assert "all orders count at alpha = 1" in said
    assert "<p>attention scores: multiplier d_head^(-1)" in t._repr_html_()
    plain = json.loads(json.dumps(t.to_dict()))
    assert (plain["scores"]["trained"], plain["depth"]["change"], plain["beside"]["key"]["init_std"]) == ("0", "0", "0")
    assert (t.regime.name, mf.scaling(NET, optimizer="adam").scores) == ("feature learning", None)

    adapters = mf.scaling("lora", optimizer="adam")
    assert adapters.roles == ("A", "B")
    assert [adapters[r].learning_rate for r in adapters.roles] == [-1, 0]
    assert adapters.df == 0
    assert "learning rates B/A: n^(1)" in str(adapters)
    assert adapters.numbers(base=64, target=256)["B"] == mf.LayerScales(1.0, 1.0, 1.0, 0.25, 1.0)
    with pytest.raises(ValueError, match="not 'lora'"):
        _ = adapters.regime


def test_tied_embeddings():
    t = mf.scaling("transformer_tied", optimizer="sgd")
    assert (t["input"].learning_rate, t["output"].learning_rate, t["output"].multiplier) == (1, 1, -1)
    with pytest.raises(ValueError, match="no exponents meet these conditions at once"):
        mf.scaling("transformer_tied", optimizer="sgd", gauge="a=0")
    with pytest.raises(ValueError, match="tied embeddings are solved for parametrization='mup', not 'standard'"):
        mf.scaling("transformer_tied", optimizer="sgd", parametrization="standard")
