"""The command line as a process: on a terminal, interrupted, completing, and what it costs to start."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from meanfield import progress
from tests.meanfield.cli_runs import HEARING, process, run

TANH = "tanh >> Dense(1.5, 0.05)"
ENDLESS = ("check", TANH, "--draws", "1000000", "--max-draws", "1000000", "--width", "256", "--plot", "verdict.png")
FEW = ("check", TANH, "--sampler", "conditional", "--draws", "200", "--depth", "1", "--margin", "0.1")
ENDLESS_DIAGRAM = ("diagram", "tanh", "--weight-var", "0.5,4,1200", "--bias-var", "0.01,1,1200", "--csv", "diagram.csv")
ENDLESS_KERNEL = ("kernel", "Dense(1, 0) >> (tanh >> Dense(1.5, 0.05)) ** 30", "--data", "points.npy", "--out", "k.npy")
IMPATIENT = HEARING + "import meanfield.progress as p; p.PATIENCE = 0.2; from meanfield.cli import main; main()"
HEAVY = {"numpy", "sympy", "numba", "scipy", "matplotlib", "mpmath"}


class OnTerminal:
    """A process whose stdout and stderr are terminals of their own, and whose patience with them is short."""

    def __init__(self, *arguments, folder, **environment):
        (self.out, out), (self.err, err) = pty.openpty(), pty.openpty()
        plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
        plain |= {"TERM": "xterm-256color", "COLUMNS": "80", "PYTHONPATH": os.getcwd(), **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-c", IMPATIENT, *arguments],
            stdout=out,
            stderr=err,
            cwd=folder,
            env=plain,
            start_new_session=True,
        )
        os.close(out), os.close(err)
        self.said = {self.out: "", self.err: ""}

    def read(self, until=None, seconds=240.0):
        """Until the process ends, or stderr shows a pattern."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.said.keys():
            ready, _, _ = select.select([*self.said], [], [], 0.2)
            closed = [one for one in ready if not self._more(one)]
            if closed and self.process.poll() is not None:
                break
            if until and re.search(until, self.said[self.err]):
                return True
        return until is None

    def _more(self, one):
        try:
            text = os.read(one, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            return False
        self.said[one] += text
        return bool(text)

    def end(self):
        self.read()
        return self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.out), os.close(self.err)


def visible(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")


# -- interruption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "row"),
    [(ENDLESS, "m networks"), (ENDLESS_DIAGRAM, "0:0[3-9] so far"), (ENDLESS_KERNEL, "kernel.*%")],
    ids=["check", "diagram", "kernel"],
)
def test_an_interrupted_run_ends_with_one_line(tmp_path, arguments, row):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(8_000, 3)))
    with OnTerminal(*arguments, folder=tmp_path) as running:
        assert running.read(until=row), running.said
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.end() == 130
    assert visible(running.said[running.out]).strip() == ""
    said = visible(running.said[running.err])
    assert "Traceback" not in said and "Exception" not in said
    assert [line for line in said.split("\n") if line.strip()][-1] == "meanfield: interrupted"
    assert said.count("interrupted") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["points.npy"]
    with pytest.raises(ProcessLookupError):  # nobody of its session is left
        os.killpg(running.process.pid, 0)


# -- what is shown where -----------------------------------------------------------------------------------------------


def test_progress_stands_on_the_terminal_and_not_in_files(tmp_path):
    with OnTerminal(*FEW, folder=tmp_path) as running:
        assert running.end() == 0
    assert re.search(r"theory and networks.*so far", visible(running.said[running.err]))
    assert "so far" not in running.said[running.out]
    assert "\x1b[?25h" in running.said[running.err]  # the cursor is back
    assert "\x1b[3" in running.said[running.out]  # the verdict has its colour


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, pytest.param({"TERM": "dumb"}, marks=pytest.mark.slow)], ids=str)
def test_no_colours_where_none_are_wanted(plain, tmp_path):
    with OnTerminal(*FEW, folder=tmp_path, **plain) as running:
        assert running.end() == 0
    assert "agrees" in running.said[running.out]
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", running.said[running.out])


def test_files_get_neither_colours_nor_progress_unless_forced(monkeypatch):
    found = process("theories", TERM="xterm-256color", COLUMNS="80")
    assert found.returncode == 0 and found.stderr == "" and "\x1b" not in found.stdout
    forced = process("theories", TERM="xterm-256color", COLUMNS="80", FORCE_COLOR="1")
    assert "\x1b[" in forced.stdout and forced.stderr == ""


def test_nested_progress_shares_one_display(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 60.0)
    with progress.waiting("outer"), progress._display() as bar, progress.progress("inner") as report:
        report(1, 4)
        assert [(t.description, t.total) for t in bar.tasks] == [("outer", None), ("inner", 4)]
        assert progress.Clock().render(bar.tasks[1]).plain.startswith("25%")
        assert progress.Clock().render(bar.tasks[0]).plain == "0:00 so far"
    with progress._display() as again:
        assert again is not bar and not again.tasks


# -- starting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [["--help"], ["--version"], ["check", "--help"]], ids=" ".join)
def test_what_asks_for_no_work_loads_nothing_heavy(line):
    code = f"""
import sys
from meanfield.cli import main
sys.argv = ["meanfield", *{line}]
try:
    main()
finally:
    print(sorted({HEAVY} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "[]"


def test_starting_is_quick():
    """The bound is wide, for machines differ; loading SymPy or numba breaks it."""
    before = os.times()
    assert process("--version").returncode == 0
    after = os.times()
    spent = sum(after[2:4]) - sum(before[2:4])
    assert spent < 1.0


# -- completion --------------------------------------------------------------------------------------------------------


def completed(line):
    words = f"meanfield {line}"
    found = process(_MEANFIELD_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(line.rstrip().split())))
    assert found.returncode == 0, found.stderr
    return found.stdout.split("\n")


OFFERED = {
    "the": "theories",
    "edge ge": "gelu",
    "phase ta": "tanh",
    "theories poo": "poole2016",
    "check poo": "poole2016",
    "scaling trans": "transformer_tied",
    "scaling --optimizer sha": "shampoo",
    "scaling --depth comp": "completep",
    "init --criterion edge": "edge_of_chaos",
    "derive --limit nt": "ntk_diagonal",
    "attention --score so": "softmax",
}


@pytest.mark.parametrize("line", OFFERED)
def test_values_complete(line):
    assert OFFERED[line] in completed(line)


def test_cases_complete_for_their_theory():
    from meanfield.cli import completion

    assert "ordered tanh" in completion.cases(SimpleNamespace(params={"theory": "poole2016"}), "ord")
    assert completion.cases(SimpleNamespace(params={"theory": "nobody"}), "") == []


def test_what_completes_is_what_is_known():
    import meanfield as mf
    from meanfield.cli import completion

    assert completion.theories("") == sorted(mf.theories())
    for offers, typed in (
        (completion.gauges, "table8"),
        (completion.parametrizations, "mean_field"),
        (completion.dampings, "pi"),
    ):
        assert offers(typed) == [typed]


def test_the_script_of_the_shell_is_shown_and_installed(tmp_path):
    hidden = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    shown = process("--show-completion", "bash", **hidden)
    assert shown.returncode == 0 and "_MEANFIELD_COMPLETE=complete_bash" in shown.stdout
    installed = process("--install-completion", "bash", **hidden)
    assert installed.returncode == 0, installed.stderr
    assert any(path.suffix == ".sh" and "MEANFIELD" in path.read_text() for path in tmp_path.rglob("*.sh"))


def test_the_version():
    import meanfield as mf

    assert run("--version").stdout == f"meanfield {mf.__version__}\n"
