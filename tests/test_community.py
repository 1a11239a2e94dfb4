"""What the pages beside the code promise: the citation, the security note, the contributor's commands."""

import re
import tomllib
from pathlib import Path

import pytest
from sympy import sympify

import meanfield as mf
from solvers import compile as compiling
from symbolic import attention_law, freeprob, parse, words
from symbolic.blocks import MAX_LAYERS
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean

ROOT = Path(__file__).parents[1]
SECURITY, CONTRIBUTING = ((ROOT / name).read_text() for name in ("SECURITY.md", "CONTRIBUTING.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def rows(page: str) -> list[list[str]]:
    """The cells of all tables."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# -- citation, license ---------------------------------------------------------------------------------------------


def test_the_citation_is_that_of_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0" and found["type"] == "software" and found["title"] == "meanfield"
    assert {"message", "authors"} <= found.keys()  # with the version and the title, what CFF 1.2.0 requires
    assert [author["name"] for author in found["authors"]] == ["The meanfield authors"]
    assert str(found["version"]) == PROJECT["version"] == mf.__version__
    assert found["license"] == PROJECT["license"] == "Apache-2.0"


def test_the_license_is_there_in_full() -> None:
    text = (ROOT / "LICENSE").read_text()
    headings = re.findall(r"^   (\d)\. ", text, re.M)
    assert headings == list("123456789")
    assert "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text and "APPENDIX" in text


# -- security ------------------------------------------------------------------------------------------------------

LIMITS = {
    "characters of a formula": parse.MAX_LENGTH,
    "parts of its syntax tree": parse.MAX_NODES,
    "depth of nesting": parse.MAX_DEPTH,
    "nested `Abs`, `Max` and other switches": parse.MAX_SWITCHES,
    "terms of an expansion": words.MAX_TERMS,
    "layers of a network given as text": MAX_LAYERS,
}


@pytest.mark.parametrize(("what", "limit"), LIMITS.items())
def test_a_limit_is_the_one_in_force(what: str, limit: int) -> None:
    stated = dict(row[:2] for row in rows(SECURITY) if len(row) == 2)
    assert stated[what].replace(",", "") == str(limit)


def test_limits_on_numbers_are_those_in_force() -> None:
    assert f"at most {words.MAX_PLACES} decimals" in SECURITY and words.MAX_NUMBER == 10**15
    assert f"below 2^{words.MAX_BITS}" in SECURITY
    assert f"within {words.MAX_EXPONENT}, fractions over at most {words.MAX_DENOMINATOR}" in SECURITY
    assert f"{parse.SECONDS} s of processor time" in SECURITY


def test_the_cache_is_named_by_its_variable_and_its_error() -> None:
    assert f"`{compiling.CACHE_VARIABLE}`" in SECURITY and f"`{compiling.UntrustedCache.__name__}`" in SECURITY


@pytest.mark.parametrize(
    "text", ["__import__('os')", "x.real", "x[0]", "lambda: x", "'x'", "x if x else 1", "y", "x < 1"]
)
def test_what_the_note_says_is_refused_is(text: str) -> None:
    with pytest.raises(mf.ParseError):
        mf.activation(text)


SHELL = "__import__('pathlib').Path('touched').touch()"  # what sympify would run
DOORS = {
    "Dense": lambda: mf.Dense(SHELL),
    "scale": lambda: SHELL * mf.Identity(),
    "dual": lambda: mf.dual(SHELL),
    "numbers of a dual": lambda: mf.dual("erf")(SHELL, 1, 0.5),
    "mean": lambda: mf.mean(SHELL),
    "edge": lambda: mf.edge_of_chaos("erf", bias_var=SHELL),
    "scaling": lambda: mf.scaling("mlp", optimizer="shampoo", e_L=SHELL),
    "law": lambda: mf.attention_law([[1, 0], [0, 1]], qk_var=SHELL),
    "heads of a formula": lambda: attention_law.excess_kurtosis(SHELL),
    "tokens of a formula": lambda: attention_law.participation_moment(2, tokens=SHELL),
    "a Gaussian mean": lambda: Mean(SHELL, 1),
    "a pair mean": lambda: PairMean(X, X, SHELL, 1, 1),
    "a law of singular values": lambda: freeprob.orthogonal(SHELL),
}


@pytest.mark.parametrize("door", DOORS)
def test_text_is_code_nowhere(door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError)):
        DOORS[door]()
    assert not (tmp_path / "touched").exists()


def test_sympy_alone_would_have_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sympify(SHELL)
    assert (tmp_path / "touched").exists()


CALLS = re.compile(r"(?<![\w.])(?<!def )(?:eval|exec)\(|\bpickle\b|allow_pickle=True|sympify\((?!.*strict=True)")
EMITTED_ONLY = {"solvers/rounding.py"}  # runs text of symbolic/emit.py; the note says so


def test_nothing_else_evaluates_text_or_reads_pickles() -> None:
    """A word list is no proof, but a new call is noticed, and has to be explained in the note."""
    found = {
        str(path.relative_to(ROOT))
        for room in ("meanfield", "symbolic", "solvers")
        for path in (ROOT / room).rglob("*.py")
        if CALLS.search(path.read_text())
    }
    assert found == EMITTED_ONLY
    assert all(f"`{name}`" in SECURITY for name in EMITTED_ONLY)


# -- what the pages name -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["SECURITY.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(r"`((?:tests|symbolic|solvers|meanfield|scripts|docs)/[\w./]*)`", text)
    linked = re.findall(r"\]\(([\w./]+)\)", text)
    assert len(named) > 5
    assert [name for name in {*named, *linked} if not (ROOT / name).exists()] == []


def test_extras_and_markers_that_contributors_are_told_of_exist() -> None:
    extras = re.findall(r'"\.\[([\w,]+)\]"', CONTRIBUTING)
    assert extras and {e for names in extras for e in names.split(",")} <= PROJECT["optional-dependencies"].keys()
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    for marker in re.findall(r"pytest -m (\w+)", CONTRIBUTING):
        assert any(line.startswith(f"{marker}:") for line in markers)


def test_commands_of_contributors_name_files_that_exist() -> None:
    commands = [cell[0].strip("`") for cell in rows(CONTRIBUTING) if cell[0].startswith("`")]
    paths = [word for command in commands for word in command.split() if "/" in word and not word.startswith(".venv")]
    assert len(paths) >= 4 and [path for path in paths if not (ROOT / path).exists()] == []
    assert (ROOT / "scripts" / "check").stat().st_mode & 0o100
