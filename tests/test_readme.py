"""Every example of the README runs as written, and every command line of the pages of docs/.

The pages' blocks of code are executed by `scripts/docs`; here each is asked only whether the build sees it.
"""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GENERATED = {"_build", "api", "gallery"}
PAGES = [p for p in sorted((ROOT / "docs").rglob("*.md")) if p.relative_to(ROOT / "docs").parts[0] not in GENERATED]
CELL = "{code-cell} python"
# Run below where the package is installed, or not at all: packages that the build of the documentation does without.
ELSEWHERE = ("python gpytorch", "python neuralop", "python jax", "python flax")
NOT_CODE = {"", "bash", "console", "text", "json"}


def fenced(language: str, pages: list[Path]) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^```{re.escape(language)}\n(.*?)^```", re.M | re.S)
    return [(f"{page.name}:{i}", block) for page in pages for i, block in enumerate(pattern.findall(page.read_text()))]


@pytest.mark.parametrize(("name", "block"), fenced("python", [README]), ids=lambda v: v if len(v) < 40 else "")
def test_python_blocks_run(name: str, block: str) -> None:
    exec(compile(block, name, "exec"), {"__name__": "__main__"})


EXTRA = [
    (package, *found)
    for package in ("flax", "gpytorch", "jax", "neuralop", "torch")
    for found in fenced(f"python {package}", [README, *PAGES])
]


@pytest.mark.parametrize(("package", "name", "block"), EXTRA, ids=lambda v: v if len(v) < 40 else "")
def test_blocks_that_need_another_package_run_where_it_is_installed(package: str, name: str, block: str) -> None:
    pytest.importorskip(package)
    exec(compile(block, name, "exec"), {"__name__": "__main__"})


def unexecuted(text: str) -> list[str]:
    """The fences of a page that the build would show without running them, and a page of cells that is no notebook."""
    opened = re.findall(r"^(?:```|~~~)(.*)\n(?:.*\n)*?(?:```|~~~)$", text, re.M)
    wrong = [o for o in opened if not (o in NOT_CODE or o in ELSEWHERE or o == CELL or re.match(r"\{(?!code-)", o))]
    notebook = re.match(r"---\n(?:.*\n)*?(?:file_format: mystnb|.*format_name: myst)\n(?:.*\n)*?---\n", text)
    return wrong + (["cells without the front matter of a notebook"] if CELL in opened and not notebook else [])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_block_of_a_page_is_executed_by_the_build(page: Path) -> None:
    assert not unexecuted(page.read_text())


FRONT = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"{FRONT}```{CELL}\nx = 1\n```\n```bash\nls\n```\n", 0),
        (f"```{CELL}\nx = 1\n```\n", 1),
        (f"{FRONT}```python\nx = 1\n```\n", 1),
        ("```{code-block} python\nx = 1\n```\n", 1),
        ("```bash\nls\n```\n\n```py\nx = 1\n```\n", 1),
    ],
    ids=["executed", "no notebook", "plain python", "code-block", "behind another"],
)
def test_a_block_that_would_not_run_is_found(text: str, wrong: int) -> None:
    assert len(unexecuted(text)) == wrong


COMMANDS = [
    line
    for _, block in fenced("bash", [README, *PAGES])
    for line in block.splitlines()
    if line.startswith("meanfield ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_succeed(line: str) -> None:
    from meanfield.cli import app

    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output


def test_the_readme_has_exactly_two_set_up_commands() -> None:
    """CI runs the second by its text; the first is the demo, which has a test of its own."""
    lines = [
        line
        for _, block in fenced("bash", [README])
        for line in block.splitlines()
        if line.startswith("python3 -m venv")
    ]
    assert len(lines) == 2
    assert lines[0].endswith(".venv/bin/meanfield demo")
    assert lines[1].endswith("-m pytest -q")
