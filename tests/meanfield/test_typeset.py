"""Formulas for pages: complete, aligned, and nothing but formulas."""

import re
from xml.etree import ElementTree

import pytest
from sympy import Matrix, Piecewise, sqrt, symbols

import meanfield as mf
from meanfield.pages.typeset import mathml

x, y = symbols("x y")


@pytest.mark.parametrize("formula", [x**2 / sqrt(y + 1), Matrix([[x, 1], [y, 2]]), Piecewise((x, x < y), (y, True))])
def test_a_formula_keeps_its_letters(formula):
    text = "".join(ElementTree.fromstring(mathml(formula)).itertext())
    assert {"x", "y"} <= set(text)


def test_rows_of_a_map_are_set_at_their_equality_signs():
    tree = ElementTree.fromstring(mathml(mf.derive(mf.relu >> mf.Dense()).latex()))
    rows = [["".join(cell.itertext()) for cell in row] for row in tree.iter("mtr")]
    assert [row[0] for row in rows] == ["p′", "q′", "k′"]  # noqa: RUF001
    assert all(row[1].startswith("=") and "&" not in row[1] for row in rows)


@pytest.mark.parametrize("formula", [r"\text{<script>alert(1)</script>}", r"\text{<img src=x>}", r"\text{a & b}"])
def test_what_is_no_formula_is_refused(formula):
    with pytest.raises(ValueError, match=r"no formula|no part of a formula"):
        mathml(formula)


def test_links_and_handlers_are_left_out():
    assert "javascript" not in mathml(r"\href{javascript:alert(1)}{x}")


def test_signs_of_comparison_are_escaped():
    assert "&lt;" in mathml("x<y") and not re.search(r"<y", mathml("x<y"))


def test_a_missing_package_is_said_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "latex2mathml.converter", None)
    with pytest.raises(ImportError, match=r"pip install 'meanfield-calculator\[report\]'"):
        mathml("x")


def test_rows_shown_in_a_notebook_are_rows_too():
    """Notebooks ask for the size of displays in front."""
    rows = r"\begin{aligned}a &= b \\ c &= d\end{aligned}"
    assert mathml(rf"\displaystyle {rows}") == mathml(rows) and mathml(rows).count("<mtr>") == 2
