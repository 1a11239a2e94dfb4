"""The rooms: three packages side by side, each importing only what its charter allows, files of readable size."""

import ast
from pathlib import Path

import pytest

import meanfield

# Where the packages were imported from: the checkout, or the folder into which a wheel was installed.
ROOT = Path(meanfield.__file__).parents[1]
PACKAGES = ("meanfield", "solvers", "symbolic")
ALLOWED = {"symbolic": {"sympy", "mpmath"}, "solvers": {"numpy", "numba", "scipy", "llvmlite", "platformdirs"}}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_lie_side_by_side(package):
    assert (ROOT / package / "__init__.py").is_file()


@pytest.mark.parametrize("path", [p for p in FILES if relative(p).split("/")[0] in ALLOWED], ids=relative)
def test_a_room_imports_only_what_it_may(path):
    import sys

    room = relative(path).split("/")[0]
    assert set(imported(path)) - sys.stdlib_module_names <= ALLOWED[room] | {room}


@pytest.mark.parametrize("path", [p for p in FILES if p.read_text()], ids=relative)
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text())) or path.name.startswith("_")


@pytest.mark.parametrize("room", ["finite", "theories"])
def test_meanfield_has_its_rooms(room):
    assert (ROOT / "meanfield" / room / "__init__.py").is_file()


@pytest.mark.parametrize("room", ["limits"])
def test_symbolic_has_its_rooms(room):
    assert (ROOT / "symbolic" / room / "__init__.py").is_file()
