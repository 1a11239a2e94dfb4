"""The demonstration, with few digits and narrow networks: accuracies, verdicts that can fail, explicit fallbacks."""

import io
import json
import sys
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from meanfield import demo
from meanfield.cli import app
from symbolic.activations import activation

FAST = {"width": (48, 96), "draws": 150, "max_draws": 600, "margin": 0.3}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A relu demonstration: the result, what it said, its figure."""
    console, out = Console(file=io.StringIO(), width=80), tmp_path_factory.mktemp("demo") / "digits.png"
    found = demo.run("relu", points=150, out=out, console=console, **FAST)
    return found, console.file.getvalue(), out


def test_it_recognises_digits_and_agrees_with_networks(told):
    found, said, out = told
    assert (found.train, found.test) == (83, 67)
    assert min(found.accuracy.values()) > 0.6  # chance is 0.1
    assert found.verdict.outcome == "agrees"
    assert len(found.verdict.rows) == 10
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "1. Equations" in said
    assert "k' = bias_var + weight_var*(k*(pi - acos(" in said
    assert "Theory and networks: agrees." in said
    json.dumps(found.to_dict())


def test_relu_falls_back_to_its_critical_bias_and_says_so(told):
    found, said, _ = told
    assert (found.init.weight_var, found.init.bias_var) == pytest.approx((2, 0), abs=1e-12)
    assert "No edge of chaos with bias_var = 0.05" in said
    assert "the critical point with bias_var = 0 is taken instead" in said


def test_networks_with_other_weights_disagree(told):
    found, _, _ = told
    act, data = activation("relu"), demo.digits(150, seed=0)
    theory = demo.network(act, found.init)
    wrong = demo.network(act, replace(found.init, weight_var=1.1 * found.init.weight_var))  # 1.1 ** 6 = 1.77
    verdict = demo.compare(theory, data, Console(quiet=True), networks=wrong, **FAST)
    assert verdict.outcome == "disagrees"


def test_without_any_edge_lengths_are_kept():
    scale, remarks = demo.initialization(activation("softplus"), 0.05)
    assert scale.criterion == "second_moment"
    assert "second_moment" in remarks[-1]


def test_an_unstable_length_is_said():
    scale, remarks = demo.initialization(activation("gelu"), 0.05)
    assert scale.chi_q > 1
    assert "unstable" in remarks[-1]


def test_a_stable_edge_needs_no_remark():
    assert demo.initialization(activation("erf"), 0.05)[1] == ()


def test_missing_scikit_learn_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 2
    assert "pip install 'meanfield-calculator[demo]'" in result.stderr
