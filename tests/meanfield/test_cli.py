"""The command line: every command answers, in text and in JSON, and every wrong question is one line and status 2."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import meanfield as mf
from meanfield import terminal
from meanfield.cli import app

EDGE = 1.760954639606739  # tanh, bias_var 0.05
TANH = "tanh >> Dense(1.5, 0.05)"
FAST = ["--sampler", "conditional", "--draws", "200", "--depth", "1", "--margin", "0.1"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="meanfield")


def answer(*arguments, status=0):
    result = run(*arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def complaint(*arguments):
    """The one line that a wrong question gets."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("meanfield: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def points(tmp_path):
    path = tmp_path / "points.npy"
    np.save(path, np.random.default_rng(0).standard_normal((6, 4)))
    return path


# -- what is answered --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [c.name or c.callback.__name__ for c in app.registered_commands])
def test_help_of_every_command_has_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example:\n    meanfield {command}" in result.stdout


def test_derive():
    found = answer("derive", "erf >> Dense()", "--limit", "length")
    assert found["state"] == ["q"]
    assert found["update"] == ["bias_var + 2*weight_var*asin(2*q/(2*q + 1))/pi"]
    assert found["closed"]
    assert "q' = bias_var" in run("derive", "erf >> Dense()", "--limit", "length").stdout
    assert r"\sigma_w^2" in run("derive", "erf >> Dense()", "--latex").stdout


def test_dual():
    found = answer("dual", "relu", "--at", "1,1,0.5")
    assert found["closed"]
    assert found["value"] == pytest.approx((np.sqrt(0.75) + 0.5 * (np.pi - np.arccos(0.5))) / (2 * np.pi), rel=1e-14)
    assert found["derivative_value"] == pytest.approx(1 / 3, rel=1e-14)
    assert "no closed form" in run("dual", "tanh", "relu").stdout
    assert r"\operatorname{acos}" in run("dual", "relu", "--latex").stdout


def test_dual_tells_its_tier_and_its_error():
    found = answer("dual", "tanh", "--at", "1,1,0.5")
    assert found["tier"] == found["derivative_tier"] == "two-dimensional quadrature" and not found["closed"]
    assert abs(found["value"] - 0.18632441320344808611) <= found["value_error"] < 1e-14
    assert answer("dual", "elu")["tier"] == "one-dimensional quadrature"


def test_dual_prints_a_function_that_runs():
    for formula, wanted in (("gelu", 0.188060676734996), ("tanh", 0.15091976410914168)):
        world = {}
        exec(run("dual", formula, "--python").stdout, world)
        assert world["dual"](1.3, 0.7, 0.4) == pytest.approx(wanted, rel=1e-12)


def test_digits_are_certified():
    pytest.importorskip("flint")
    found = answer("dual", "tanh", "--at", "1,1,0.5", "--digits", "30")
    assert found["enclosure"]["mid"].startswith("0.186324413203448086106782889972")
    edge = answer("edge", "tanh", "--bias-var", "0.05", "--digits", "40")
    assert edge["certified"]["weight_var"]["mid"].startswith("1.76095463960673913163155202432847")
    assert "say where with --at" in complaint("dual", "tanh", "--digits", "30")
    assert "proved: an interval Newton step" in run("edge", "tanh", "--bias-var", "0.05", "--digits", "40").stdout


@pytest.mark.parametrize(
    ("formula", "message"), [("exp(x**2)", "variances below 1/4"), ("sqrt(x)", "complex at x = -1")]
)
def test_a_dual_that_does_not_exist_is_one_line(formula, message):
    assert message in complaint("dual", formula)


def test_phase_and_its_figure(tmp_path):
    found = answer("phase", "relu >> Dense(2, 0)", "--plot", tmp_path / "map.png")
    assert found["phase"] == "critical"
    assert found["xi_c"] == "inf"  # what JSON lacks is a string that float() reads
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert run("phase", "relu >> Dense(2, 0)").stdout.startswith("relu >> Dense(weight_var=2, bias_var=0): critical")


def test_a_diagram_is_printed_and_written(tmp_path):
    grid = ("--weight-var", "0.5,4,8", "--bias-var", "0.01,0.5,3")
    found = answer("diagram", "tanh", *grid, "--csv", tmp_path / "d.csv", "--npz", tmp_path / "d.npz")
    assert len(found["q"]) == 24 and set(found["phase"]) == {"ordered", "chaotic"}
    lines = (tmp_path / "d.csv").read_text().splitlines()
    assert lines[0].startswith("weight_var,bias_var,q,chi_1") and len(lines) == 25
    with np.load(tmp_path / "d.npz") as saved:
        assert saved["q"] == pytest.approx(found["q"])
    assert run("diagram", "tanh", *grid, "--plot", tmp_path / "d.png").exit_code == 0
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert "whole number of points" in complaint("diagram", "tanh", "--weight-var", "1,2,0")
    assert "must be ascending" in complaint("diagram", "tanh", "--weight-var", "2,1,3")


def test_edge_holds_the_anchor():
    assert answer("edge", "tanh", "--bias-var", "0.05")["weight_var"] == pytest.approx(EDGE, abs=1e-12)
    assert answer("edge", "tanh >> Dense()", "--bias-var", "0.05")["weight_var"] == pytest.approx(EDGE, abs=1e-12)
    assert "critical at weight_var = 1.7609546396067" in run("edge", "tanh", "--bias-var", "0.05").stdout


def test_init():
    assert answer("init", "tanh", "--bias-var", "0.05")["gain"] == pytest.approx(EDGE**0.5, abs=1e-12)
    assert answer("init", "relu", "--criterion", "he")["weight_var"] == pytest.approx(2, rel=1e-13)


def test_scaling():
    assert answer("scaling", "mlp", "--optimizer", "adam")["exponents"]["hidden"]["learning_rate"] == "-1"
    found = answer("scaling", "--optimizer", "shampoo", "--power", "e_L=1/2", "--power", "e_R=0.5")
    assert found["exponents"]["output"]["learning_rate"] == "0"
    left = answer("scaling", "Dense() >> relu >> Dense()", "--optimizer", "soap", "--power", "sides=left")
    assert left["exponents"]["input"]["learning_rate"] == "1/2"
    assert "d_head^(-1)" in run("scaling", "transformer", "--depth", "completep").stdout
    assert run("scaling", "--latex").stdout.startswith(r"\begin{tabular}")


def test_kernel_writes_what_python_computes(points, tmp_path):
    text, out = "Dense(1, 0) >> (relu >> Dense(2, 0)) ** 3", tmp_path / "k.npy"
    found = answer("kernel", text, "--data", points, "--get", "ntk", "--out", out)
    relu = mf.Dense(1, 0) >> (mf.relu >> mf.Dense(2, 0)) ** 3
    expected = mf.kernel(relu, np.load(points), get="ntk")
    np.testing.assert_array_equal(np.load(out), expected)
    assert found["shape"] == [6, 6]
    assert found["smallest_eigenvalue"] == pytest.approx(np.linalg.eigvalsh(expected)[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k.npy", "points.npy"]
    assert "smallest eigenvalue" in run("kernel", text, "--data", points).stdout


def test_kernel_reads_csv(points, tmp_path):
    table = tmp_path / "points.csv"
    np.savetxt(table, np.load(points), delimiter=",", fmt="%.17g")
    text = "Dense(1, 0) >> relu >> Dense(2, 0)"
    assert answer("kernel", text, "--data", table) == answer("kernel", text, "--data", points)


def test_check_exit_status_follows_the_verdict(tmp_path):
    found = answer("check", TANH, *FAST, "--plot", tmp_path / "verdict.pdf", status=0)
    assert found["outcome"] == "agrees"
    assert (tmp_path / "verdict.pdf").read_bytes().startswith(b"%PDF")
    assert answer("check", TANH, "--networks", "tanh >> Dense(3, 0.05)", *FAST, status=1)["outcome"] == "disagrees"
    few = ["--sampler", "conditional", "--draws", "8", "--max-draws", "8", "--margin", "0.001", "--width", "16"]
    unsettled = run("check", TANH, *few)
    assert unsettled.exit_code == 1
    assert "inconclusive" in unsettled.stdout
    assert max(map(len, unsettled.stdout.splitlines())) <= 80


def test_check_of_a_theory():
    found = answer(
        "check", "poole2016", "--case", next(iter(mf.theory("poole2016").cases)), "--margin", "0.2", status=0
    )
    assert found["theory"] == "poole2016"


def test_theories():
    assert {t["name"] for t in answer("theories")["theories"]} == set(mf.theories())
    listed = run("theories").stdout
    assert "schoenholz2017" in listed
    assert max(map(len, listed.splitlines())) <= 80


# -- what is refused ---------------------------------------------------------------------------------------------------

WRONG = {
    ("derive", "tahn >> Dense()"): "did you mean tanh",
    ("derive", "__import__('os')"): "column 1: __import__ is not a layer",
    ("derive", "(" * 10_000 + "tanh" + ")" * 10_000): "at most 2000 characters",
    ("derive", "(" * 60 + "tanh" + ")" * 60): "nest at most 50 deep",
    ("derive", "tanh >> Dense(-1, 0)"): "greater than 0, not -1",
    ("derive", "relu >> relu"): "put a Dense layer between",
    ("derive", "Dense() >> (tanh >> Dense()) ** 3"): "one block of this network at a time",
    ("dual", "x^2"): "write ** for powers",
    ("dual", "relu", "--at", "1,1"): "--at wants 3 numbers",
    ("dual", "relu", "--at", "1,1,2"): "k^2 <= p q",
    ("phase", "tanh >> Dense()"): "has no value",
    ("phase", "tanh"): "alone is not a block",
    ("edge", "tahn"): "did you mean tanh",
    ("edge", "softplus"): "no edge of chaos",
    ("edge", "tanh", "--bias-var", "-1"): "at least 0, not -1",
    ("init", "relu", "--criterion", "he", "--bias-var", "1"): "leave bias_var out",
    ("scaling", "mpl"): "did you mean 'mlp'?",
    ("scaling", "--optimizer", "adm"): "did you mean adam",
    ("scaling", "--power", "e_L"): "NAME=NUMBER, as e_L=1/2, not 'e_L'",
    ("scaling", "--power", "e_L=x/2"): "a number such as 1/2 or 0.25, not 'x/2'",
    ("check", "pole2016"): "did you mean poole2016",
    ("check", "poole2016", "--case", "nothing"): "has no case",
    ("check", "poole2016", "--depth", "2"): "depth=, start= and sampler= are for blocks",
    ("check", TANH, "--case", "a"): "case= is for theories",
    ("check", TANH, "--width", "a,b"): "--width wants numbers",
    ("check", TANH, "--draws", "2"): "draws must be at least",
    ("check", TANH, "--plot", "/nowhere/v.png"): "there is no folder /nowhere",
    ("phase", TANH, "--plot", "/nowhere/v.png"): "there is no folder /nowhere",
    ("kernel", "Dense(1, 0)", "--data", "missing.npy"): "missing.npy: No such file",
    ("kernel", "Dense(1, 0)", "--data", "missing.txt"): "must be a .npy or a .csv file",
    ("demo", "--points", "10"): "points must be 50 to 1797",
    ("demo", "--out", "/nowhere/v.png"): "there is no folder /nowhere",
}


@pytest.mark.parametrize("question", WRONG, ids=lambda q: " ".join(q)[:60])
def test_wrong_questions_get_one_line(question):
    assert WRONG[question] in complaint(*question)


def test_wrong_data_is_refused_with_its_position(points, tmp_path):
    spoiled = np.load(points)
    spoiled[3, 2] = np.nan
    np.save(points, spoiled)
    assert "points[3, 2] is nan" in complaint("kernel", "Dense(1, 0)", "--data", points)
    (tmp_path / "words.csv").write_text("1,2\n3,four\n")
    assert "'four'" in complaint("kernel", "Dense(1, 0)", "--data", tmp_path / "words.csv")
    (tmp_path / "junk.npy").write_bytes(b"junk")
    assert "no array of numbers" in complaint("kernel", "Dense(1, 0)", "--data", tmp_path / "junk.npy")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    assert "no array of numbers" in complaint("kernel", "Dense(1, 0)", "--data", tmp_path / "objects.npy")


def test_a_bad_place_for_the_kernel_is_refused_before_the_work(points, tmp_path):
    said = complaint("kernel", "Dense(1, 0)", "--data", points, "--out", tmp_path / "no" / "k.npy")
    assert "there is no folder" in said
    assert "must end in .npy" in complaint("kernel", "Dense(1, 0)", "--data", points, "--out", tmp_path / "k.txt")


def test_usage_errors_are_status_2():
    assert run("derive").exit_code == 2
    assert run("derive", "tanh", "--limit", "nothing").exit_code == 2
    assert run("nothing").exit_code == 2


def test_interruption_is_130_and_leaves_no_file(points, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupted)
    result = run("kernel", "Dense(1, 0)", "--data", points, "--out", tmp_path / "k.npy")
    assert (result.exit_code, result.stderr) == (130, "meanfield: interrupted\n")
    assert [p.name for p in tmp_path.iterdir()] == ["points.npy"]


def test_whole_keeps_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "k.npy"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="full"):
        terminal.whole(path, lambda handle: (_ for _ in ()).throw(OSError("full")))
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


# -- as a process ------------------------------------------------------------------------------------------------------


def process(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(flag):
    code = f"""
import sys
from meanfield.cli import main
sys.argv = ["meanfield", "{flag}"]
try:
    main()
finally:
    print(sorted({{"numpy", "sympy", "numba", "scipy", "matplotlib"}} & set(sys.modules)))
"""
    result = process(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_process_exits_with_the_status():
    result = process("import sys; from meanfield.cli import main; sys.argv[1:] = ['edge', 'tahn']; main()")
    assert result.returncode == 2
    assert result.stderr.startswith("meanfield: ")
    assert "Traceback" not in result.stderr
