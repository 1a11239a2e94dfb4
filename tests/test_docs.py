"""What the build of the documentation generates: each public name on one page, docstrings as they read."""

import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import meanfield as mf

EXTENSIONS = Path(__file__).parents[1] / "docs" / "_ext"
PACKAGES = ("sphinx", "sklearn")


@pytest.fixture(scope="module")
def api() -> ModuleType:
    for package in PACKAGES:
        pytest.importorskip(package)
    sys.path.insert(0, str(EXTENSIONS))
    try:
        return import_module("api")
    finally:
        sys.path.remove(str(EXTENSIONS))


def entry(api: ModuleType, name: str) -> object:
    return api.Entry("meanfield", name, getattr(mf, name))


def page(api: ModuleType, found: object) -> str:
    return next(group.page for group in api.GROUPS if group.holds(found))


def test_every_public_name_is_on_one_page(api: ModuleType) -> None:
    pages = Counter(page(api, entry(api, name)) for name in mf.__all__)
    assert pages.total() == len(mf.__all__)
    assert set(pages) == {"derive", "compute", "check", "layers", "activations", "results", "errors"}
    assert {group.page for group in api.GROUPS} == set(api.ORDER)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("dual", "derive"),
        ("kernel", "compute"),
        ("check", "check"),
        ("FourierBlock", "layers"),
        ("gelu", "activations"),
        ("Phase", "results"),
        ("NoEdge", "errors"),
    ],
)
def test_a_name_is_where_its_users_look(api: ModuleType, name: str, wanted: str) -> None:
    assert page(api, entry(api, name)) == wanted


def test_a_name_of_no_group_is_on_the_last_page(api: ModuleType) -> None:
    assert page(api, api.Entry("meanfield", "answer", 42)) == api.ORDER[-1] == "more"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("K* of |x| and sigma_w", r"K\* of \|x\| and sigma\_w"),
        ("`draws` networks", "\\ ``draws``\\  networks"),
        ("see mf.kernel", "see \\ :py:obj:`mf.kernel <meanfield.kernel>`\\ "),
        ("mf.nothing", "\\ ``mf.nothing``\\ "),
        ("arXiv:1606.05340", "\\ `arXiv 1606.05340 <https://arxiv.org/abs/1606.05340>`__\\ "),
    ],
)
def test_words_of_a_docstring_are_shown_as_they_read(api: ModuleType, text: str, rest: str) -> None:
    assert api.inline(text) == rest


def test_a_parameter_at_the_start_of_a_line_begins_a_paragraph(api: ModuleType) -> None:
    convert = import_module("docstrings").paragraph
    lines = ["A verb.", "depth: how deep,", "and no deeper. Width: not one.", "Raises ValueError."]
    found = list(convert(lines, ["depth"]))
    assert found == ["A verb.", "", "**depth**: how deep,", "and no deeper. Width: not one.", "", "Raises ValueError."]


def test_formulas_stay_on_their_lines(api: ModuleType) -> None:
    convert = import_module("docstrings").paragraph
    assert list(convert(["    q' = V(q)", "    c' = C(c)"], [])) == ["::", "", "        q' = V(q)", "        c' = C(c)"]
    assert list(convert([">>> 1 + 1", "2"], [])) == [">>> 1 + 1", "2"]
