"""What the page with knobs shows equals what the verbs compute, for formulas, series and integrals."""

import json

import numpy as np
import pytest

import meanfield as mf
from meanfield.build import Block
from meanfield.pages import knobs
from meanfield.pages.desk import desk
from meanfield.pages.knobs import Settings

NAMES = ("q", "c", "chi_1", "chi_q", "chi_c", "chi_gradient")
POINTS = [
    ("tanh", 1.5, 0.05),  # ordered, a series
    ("tanh", 2.6, 0.1),  # chaotic, a series
    ("relu", 1.5, 0.05),  # a formula
    ("relu", 2.5, 0.0),  # lengths without bound
    ("gelu", 1.5, 0.05),
]


@pytest.mark.parametrize(("activation", "weight_var", "bias_var"), POINTS)
def test_the_point_is_that_of_phase(activation, weight_var, bias_var):
    found = knobs.point(Settings(activation, weight_var, bias_var))
    wanted = mf.phase(mf.activation(activation) >> mf.Dense(weight_var, bias_var))
    for name in NAMES:
        assert float(found[name]) == pytest.approx(getattr(wanted, name), rel=1e-12, abs=1e-14), name
    assert found["phase"] == wanted.phase


@pytest.mark.parametrize(("activation", "weight_var", "bias_var"), [p for p in POINTS if p[0] in ("tanh", "relu")])
def test_layers_and_map_are_those_of_the_block(activation, weight_var, bias_var):
    found = knobs.point(Settings(activation, weight_var, bias_var, depth=6))
    block = Block(mf.activation(activation) >> mf.Dense(weight_var, bias_var))
    state = np.array([[1.0, 1.0, 0.5]])
    gradient = []
    for q, c in zip(found["layers"]["q"], found["layers"]["c"], strict=True):
        assert q == pytest.approx(state[0, 0], rel=1e-10)
        assert c == pytest.approx(state[0, 2] / state[0, 0], rel=1e-9)
        gradient.append(block("gradient", [state[0, 0]])[0, 0])
        state = block("orbit", state)
    assert found["layers"]["gradient"][0] == pytest.approx(np.prod(gradient[:6]), rel=1e-11)
    assert found["layers"]["gradient"][-1] == 1
    q = min(float(found["q"]), 1e6)
    scale = block("length", [q])[0, 0]
    for i in (0, 30, 50, 77, 100):
        c = found["map"]["c"][i]
        assert found["map"]["after"][i] == pytest.approx(block("correlation", [q, q, q * c])[0, 0] / scale, abs=1e-9)


def test_another_block_gives_other_numbers():
    """The twin of the two above: they would notice one per cent."""
    found = knobs.point(Settings("tanh", 1.515, 0.05))
    wanted = mf.phase(mf.tanh >> mf.Dense(1.5, 0.05))
    assert all(abs(found[name] - getattr(wanted, name)) > 1e-3 for name in ("q", "chi_1", "chi_q"))


def test_the_edge_is_that_of_the_verb_and_the_diagram_turns_there():
    at = Settings("tanh", 1.5, 0.05)
    edge = knobs.edge(at)
    assert edge["weight_var"] == pytest.approx(mf.edge_of_chaos("tanh", bias_var=0.05).weight_var, rel=1e-14)
    found = knobs.diagram(at, 4.0, 0.2)
    row = found["scale"][int(0.05 / 0.2 * found["rows"])]
    turn = next(i for i, scale in enumerate(row) if scale > 0) * 4.0 / found["columns"]
    assert turn == pytest.approx(edge["weight_var"], abs=2 * 4.0 / found["columns"])
    line = np.array(found["edge"])
    assert np.interp(0.05, line[:, 1], line[:, 0]) == pytest.approx(edge["weight_var"], abs=1e-3)
    assert "only at bias_var = 0" in knobs.edge(Settings("relu", 2.0, 0.05))["sentence"]


def test_squares_sum_to_the_second_moment_even_where_a_kink_leaves_a_rest():
    for name, resolved in (("tanh", True), ("relu", False)):
        found = desk(name).squares(np.array([0.7]))
        second = Block(mf.activation(name) >> mf.Dense(1.0, 0.0))("length", [0.7])[0, 0]
        assert found.rows.sum() == pytest.approx(second, rel=1e-13)
        assert found.resolved is resolved


def test_answers_are_json_and_the_lines_to_copy_run():
    at = Settings("2*relu(x)", 0.3, 0.05)
    found = knobs.point(at)
    json.dumps([found, knobs.edge(at), knobs.equations(at)], allow_nan=False)
    assert found["python"] == "mf.phase(mf.activation('2*relu(x)') >> mf.Dense(weight_var=0.3, bias_var=0.05))"
    assert eval(found["python"], {"mf": mf}).q == pytest.approx(found["q"], rel=1e-12)
    assert found["command"] == """meanfield phase ''"'"'2*relu(x)'"'"' >> Dense(0.3, 0.05)'"""
    endless = knobs.point(Settings("relu", 2.5, 0.0))
    assert endless["q"] == "inf"


def test_equations_are_mathml_and_say_whether_they_are_closed():
    assert knobs.equations(Settings("relu"))["closed"]
    found = knobs.equations(Settings("tanh"))
    assert not found["closed"]
    assert found["maps"].startswith("<math")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weight_var": "0"}, "weight_var must be greater than 0 and at most 10000, not 0"),
        ({"weight_var": "nan"}, "weight_var must be greater than 0 and at most 10000, not nan"),
        ({"weight_var": "wide"}, "weight_var must be a number, not 'wide'"),
        ({"bias_var": "-1"}, "bias_var must be at least 0 and at most 10000, not -1"),
        ({"depth": "2.5"}, "depth must be a whole number, not '2.5'"),
        ({"depth": "0"}, "depth must be a whole number of layers from 1 to 1000, not 0"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_sentence(given, message):
    with pytest.raises(ValueError) as error:
        Settings.read(given)
    assert str(error.value) == message


def test_a_diagram_needs_room():
    with pytest.raises(ValueError, match="bias_most must be greater than 0"):
        knobs.diagram(Settings(), 4.0, 0.0)
