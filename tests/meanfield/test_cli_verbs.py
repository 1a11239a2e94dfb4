"""Every verb: its help has examples that run, its answers fit the terminal, and bad input is one line."""

import re
import shlex

import numpy as np
import pytest

import meanfield as mf
from tests.meanfield.cli_runs import answer, commands, complaint, run

POST = "TransformerBlock(tokens=64, phi=tanh, norm='post')"
WAVES = "tanh >> Spectral(modes=12, weight_var=1.5, bias_var=0.05)"
COPIED = {"derive", "dual", "explore"}  # formulas and an address, which stay on one line to be copied
LONG = {"check", "demo", "diagram", "fno", "init", "isometry", "phase", "report", "transformer"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).standard_normal((6, 4)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def stopped(monkeypatch):
    """A page is served until Ctrl-C, which comes at once; no browser is opened."""

    def interrupt(server, *options):
        raise KeyboardInterrupt

    monkeypatch.setattr("socketserver.BaseServer.serve_forever", interrupt)
    monkeypatch.setattr("webbrowser.open", lambda url: True)


def examples(command):
    found = re.findall(r"^ +meanfield (.*)$", run(command, "--help").stdout, re.M)
    return [shlex.split(line.partition(" > ")[0]) for line in found]


MARKED = [pytest.param(c, marks=pytest.mark.slow) if c in LONG else c for c in commands()]


@pytest.mark.parametrize("command", MARKED)
def test_the_examples_of_every_help_run_and_fit(command):
    asked = examples(command)
    assert asked, f"the help of {command} has no example"
    for line in asked:
        assert line[0] == command
        result = run(*line, COLUMNS="80")
        assert result.exit_code == 0, (line, result.output, result.exception)
        if command not in COPIED:
            assert max(map(len, result.stdout.splitlines()), default=0) <= 80


@pytest.mark.parametrize("command", commands())
def test_help_fits(command):
    shown = run(command, "--help", COLUMNS="80", TERMINAL_WIDTH="80").stdout.splitlines()
    assert max(len(line) for line in shown if not line.lstrip().startswith("meanfield ")) <= 80


NARROW = (
    ["activations"],
    ["theories"],
    ["edge", "erf", "--bias-var", "0.05"],
    ["scaling", "transformer", "--optimizer", "kfac", "--depth", "completep"],
    ["attention", "--heads", "2"],
    ["phase", "tanh >> Dense(1.5, 0.05)"],
)


@pytest.mark.parametrize("columns", [40, 60, 80])
@pytest.mark.parametrize("line", NARROW, ids=lambda line: line[0])
def test_any_width_will_do(line, columns):
    result = run(*line, COLUMNS=str(columns))
    assert result.exit_code == 0, result.exception
    if line[0] != "activations":
        assert max(map(len, result.stdout.splitlines())) <= columns


def test_formulas_are_not_folded():
    shown = run("dual", "gelu", COLUMNS="40").stdout
    assert max(map(len, shown.splitlines())) > 100
    assert str(mf.dual("gelu")) in shown


# -- verbs of their own ------------------------------------------------------------------------------------------------


def test_activations_are_those_of_python():
    found = answer("activations")["activations"]
    assert set(found) == set(mf.ACTIVATIONS)
    assert found["gelu"]["formula"] == str(mf.gelu.formula)
    assert "x*(erf(sqrt(2)*x/2) + 1)/2" in run("activations").stdout
    assert r"\tanh" in run("activations", "--latex").stdout


def test_one_theory_in_full():
    found = answer("theories", "poole2016")
    assert found["claim"] == mf.theory("poole2016").claim
    assert set(found["cases"]) == set(mf.theory("poole2016").cases)
    assert "q' = " in found["equations"]
    shown = run("theories", "poole2016").stdout
    assert "ordered tanh" in shown and found["equations"].splitlines()[-1] in shown
    assert run("theories", "poole2016", "--latex").stdout.startswith(r"\begin{aligned}")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(mf.theories()))
def test_every_theory_can_be_shown(name):
    assert answer("theories", name)["equations"]
    assert run("theories", name, "--latex").exit_code == 0


def test_fourier_layers():
    found = answer("fno", WAVES, "--grid", "32")
    state = mf.fourier_operator(mf.tanh >> mf.Spectral(12, 1.5, 0.05), 32).uniform
    assert found["chi_1"] == state.chi_1 and found["rates"] == state.rates.tolist()
    assert found["phase"] == "ordered"
    assert answer("phase", WAVES)["chi_1"] == pytest.approx(state.chi_1, rel=1e-12)
    assert answer("init", "relu >> Spectral(modes=12)")["weight_var"] == pytest.approx(2)
    shared = answer("init", "FourierBlock(12, relu)", "--split", "0.25")
    assert (shared["weight_var"], shared["pointwise_var"]) == pytest.approx((0.5, 1.5))
    assert r"\sigma_w^2" in run("fno", "tanh >> Spectral(modes=12)", "--latex").stdout


def test_attention(folder):
    gram = np.full((3, 3), 0.3) + 0.7 * np.eye(3)
    np.save(folder / "gram.npy", gram)
    expected = mf.attention_law(gram, heads=2).moments(0)
    for line in (["--tokens", "3", "--cosine", "0.3"], ["--gram", "gram.npy"]):
        found = answer("attention", *line, "--heads", "2")["tokens"]
        assert len(found) == 3
        assert (found[0]["variance"], found[0]["kurtosis"]) == (expected.variance, expected.kurtosis)
    assert answer("attention", "--heads", "inf")["tokens"][0]["kurtosis"] == 0
    assert answer("attention", "--causal")["tokens"][0]["gaussian"].startswith("it reads one token only")


@pytest.mark.slow
def test_transformer():
    found = answer("transformer", POST, "--depth", "5", "--cosine", "0.2")
    block = mf.TransformerBlock(64, "tanh", norm="post")
    assert found["cosine"] == mf.transformer(block).trajectory(5, 0.2).cosine.tolist()
    assert found["lambda_a"] == mf.transformer(block).exponents().angle
    grows = answer("transformer", "TransformerBlock(tokens=64, phi=tanh)", "--depth", "2")
    assert grows["lambda_a"] is None and len(grows["cosine"]) == 3
    assert "no exponents: " in run("transformer", "TransformerBlock(tokens=64, phi=tanh)", "--depth", "2").stdout


def test_kernels_of_real_networks_and_of_pictures(folder):
    net = "Dense(1, 0) >> relu >> Dense(2, 0)"
    answer("kernel", net, "--data", "points.npy", "--width", "32", "--draws", "3", "--seed", "5", "--out", "k.npy")
    x = np.load("points.npy")
    expected = mf.empirical_kernel(mf.Dense(1, 0) >> mf.relu >> mf.Dense(2, 0), x, width=32, draws=3, seed=5)
    np.testing.assert_array_equal(np.load("k.npy"), expected)
    pictures = np.random.default_rng(1).standard_normal((3, 4, 4, 2))
    np.save("pictures.npy", pictures)
    text = "Conv(3, weight_var=2, bias_var=0) >> relu >> Flatten() >> Dense(1, 0)"
    answer("kernel", text, "--data", "pictures.npy", "--out", "k.npy")
    built = mf.Conv(3, weight_var=2, bias_var=0) >> mf.relu >> mf.Flatten() >> mf.Dense(1, 0)
    np.testing.assert_array_equal(np.load("k.npy"), mf.kernel(built, pictures))


def test_plot(folder):
    found = answer("plot", "tanh >> Dense(1.5, 0.05)", "-o", "map.svg")
    assert found["kind"] == "c_map" and b"<svg" in (folder / "map.svg").read_bytes()


# -- what is refused ---------------------------------------------------------------------------------------------------

WRONG = {
    ("activations", "tanh"): "unexpected extra argument",
    ("attention", "--heads", "two"): "--heads is a whole number or inf, not 'two'",
    ("attention", "--heads", "0"): "heads is a whole number of at least 1",
    ("attention", "--tokens", "0"): "--tokens is a whole number from 1 to 512, not 0",
    ("attention", "--cosine", "1.5"): "smallest eigenvalue",
    ("attention", "--gram", "points.npy"): "square matrix",
    ("attention", "--gram", "points.npy", "--tokens", "3"): "leave --tokens and --cosine out",
    ("attention", "--score", "hard"): "'hard' is not one of 'softmax'",
    ("check", "tanh >> Dense(1.5, 0.05)", "--draws", "many"): "--draws",
    ("check",): "Missing argument 'BLOCK_OR_THEORY'; see meanfield check --help",
    ("demo", "--points", "few"): "--points",
    ("derive", "tanh", "--limit", "nothing"): "'nothing' is not one of 'nngp'",
    ("derive", "relu >> Spectral(12)"): "",
    ("derive", "tanh >> Dense(weight_var='1')"): "column 9",
    ("diagram", "tanh", "--weight-var", "1,2"): "--weight-var wants 3 numbers",
    ("diagram", "tanh", "--weight-var", "1,2,0"): "from 1 to 2000, not 0",
    ("diagram", "tanh", "--csv", "points.txt"): "must end in .csv",
    ("dual", "relu", "--digits", "x"): "--digits",
    ("edge", "tanh", "--bias-var", "a"): "--bias-var wants 1 numbers",
    ("fno", "tanh >> Dense(1, 0)"): "no layer of a Fourier neural operator",
    ("fno", WAVES, "--grid", "8"): "at most",
    ("fno", WAVES, "--grid", "x"): "--grid wants numbers separated by commas, not 'x'",
    ("fno", "tanh >> Spectral(12)"): "",
    ("init", "relu >> Spectral(12)", "--depth", "3"): "leave depth",
    ("init", "tanh", "--cosine", "0.5"): "TransformerBlock",
    ("init", "tanh", "--criterion", "edge"): "'edge' is not one of 'edge_of_chaos'",
    ("init", POST): "init_scale asks for depth",
    ("isometry", "sign"): "no Jacobian",
    ("isometry", "tanh", "--depth", "0"): "whole number from 1, not 0",
    ("isometry", "tanh", "--ensemble", "unitary"): "'unitary' is not one of 'gaussian'",
    ("kernel", "Dense(1, 0)"): "--data",
    ("kernel", "Dense(1, 0)", "--data", "points.npy", "--draws", "3"): "give their --width",
    ("kernel", "Dense(1, 0)", "--data", "points.npy", "--width", "0"): "width",
    ("kernel", "Conv(3, weight_var=1, bias_var=0)", "--data", "points.npy"): "",
    ("plot", "tanh >> Dense(1.5, 0.05)"): "--out",
    ("plot", "tanh >> Dense(1.5, 0.05)", "-o", "a.xyz"): "xyz",
    ("plot", "tanh >> Dense(1.5, 0.05)", "-o", "a.png", "--layers", "3"): "--layers is for --kind depth",
    ("plot", "tanh >> Dense(1.5, 0.05)", "-o", "/nowhere/a.png"): "there is no folder",
    ("phase", "tanh >> Spectral(0)"): "column 9: modes must be at least 1",
    ("phase", "Conv(3, weight_var=1, bias_var=0)"): "",
    ("scaling", "--parametrization", "mp"): "mup",
    ("scaling", "--gauge", "table1"): "did you mean 'table9'",
    ("scaling", "--damping", "none"): "matched",
    ("scaling", "mlp", "--depth", "deep"): "completep",
    ("theories", "pole2016"): "did you mean poole2016",
    ("theories", "--latex"): "name it, as in meanfield theories poole2016",
    ("transformer", "tanh >> Dense(1, 0)"): "TransformerBlock",
    ("transformer", POST, "--cosine", "2"): "cosine between",
    ("transformer", POST, "--depth", "0"): "depth",
    ("transformer", POST, "--regime", "mean"): "'mean' is not one of 'exact'",
    ("nothing",): "No such command 'nothing'; see meanfield --help",
    ("--nothing",): "No such option: --nothing",
    ("edge", "tanh", "--nothing"): "see meanfield edge --help",
}


@pytest.mark.parametrize("question", WRONG, ids=lambda q: " ".join(q)[:60])
def test_wrong_questions_get_one_line(question):
    assert WRONG[question] in complaint(*question)


def test_no_arguments_are_answered_with_the_help():
    assert "Commands:" in run().output
