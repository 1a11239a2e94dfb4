"""Every example of the README and the docs runs as written."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fenced(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.M | re.S)
    return [(f"{page.name}:{i}", block) for page in PAGES for i, block in enumerate(pattern.findall(page.read_text()))]


@pytest.mark.parametrize(("name", "block"), fenced("python"), ids=lambda v: v if ":" in v and len(v) < 40 else "")
def test_python_blocks_run(name: str, block: str) -> None:
    exec(compile(block, name, "exec"), {"__name__": "__main__"})


EXTRA = [(package, *found) for package in ("gpytorch", "torch", "neuralop") for found in fenced(f"python {package}")]


@pytest.mark.parametrize(("package", "name", "block"), EXTRA, ids=lambda v: v if len(v) < 40 else "")
def test_blocks_that_need_another_package_run_where_it_is_installed(package: str, name: str, block: str) -> None:
    pytest.importorskip(package)
    exec(compile(block, name, "exec"), {"__name__": "__main__"})


COMMANDS = [line for _, block in fenced("bash") for line in block.splitlines() if line.startswith("meanfield ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_succeed(line: str) -> None:
    from meanfield.cli import app

    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output


def test_the_readme_has_exactly_two_set_up_commands() -> None:
    """CI runs the second by its text; the first is the demo, which has a test of its own."""
    lines = [line for _, block in fenced("bash") for line in block.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert lines[0].endswith(".venv/bin/meanfield demo")
    assert lines[1].endswith("-m pytest -q")
