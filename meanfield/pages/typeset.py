"""Formulas as MathML, which browsers set without scripts or fonts (extras `report` and `explore`).

Whatever the LaTeX says, only elements of MathML come out, and of attributes only those that lay it out: a formula from
a user carries no script, link or style into a page.
"""

import re
from typing import Any
from xml.etree import ElementTree

ELEMENTS = frozenset({
    "math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle", "mpadded",
    "mphantom", "msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd", "menclose",
})  # fmt: skip
ATTRIBUTES = frozenset({
    "display", "displaystyle", "stretchy", "fence", "form", "width", "height", "depth", "linethickness", "accent",
    "mathvariant", "separator",
})  # fmt: skip
ALIGNED = re.compile(r"\s*\\begin\{aligned\}(.*)\\end\{aligned\}\s*", re.S)
ROW_ENDS = re.compile(r"\s\\\\\s")


def mathml(formula: Any, *, block: bool = True) -> str:
    """One formula, given as LaTeX or as a SymPy expression, as a <math> element; rows of `aligned` are set at their &.

    ImportError with the command to run if latex2mathml is missing; ValueError for LaTeX that asks for more than
    formulas.
    """
    try:
        from latex2mathml.converter import convert
    except ImportError as error:
        raise ImportError("pages need latex2mathml: pip install 'meanfield-calculator[report]'") from error
    if not isinstance(formula, str):
        from sympy import latex

        formula = latex(formula)
    aligned = ALIGNED.fullmatch(formula)
    if aligned is None:
        tree = _checked(convert(formula), formula)
    else:
        tree = _table([[_checked(convert(part), part) for part in row] for row in _cells(aligned[1])])
    tree.set("display", "block" if block else "inline")
    return ElementTree.tostring(tree, encoding="unicode")


def _cells(rows: str) -> list[list[str]]:
    return [row.split("&", 1) if "&" in row else ["", row] for row in ROW_ENDS.split(rows)]


def _table(rows: list[list[ElementTree.Element]]) -> ElementTree.Element:
    """Cells side by side; the style sheet sets the first column to the right."""
    tree = ElementTree.Element("math")
    table = ElementTree.SubElement(tree, "mtable", {"displaystyle": "true", "class": "aligned"})
    for row in rows:
        line = ElementTree.SubElement(table, "mtr")
        for cell in row:
            ElementTree.SubElement(line, "mtd").extend(list(cell))
    return tree


def _checked(text: str, formula: str) -> ElementTree.Element:
    """The tree without namespaces and with harmless attributes; ValueError for an element that MathML has not."""
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        raise ValueError(f"no formula that can be typeset: {formula!r}; write & and < as \\& and \\lt") from None
    for node in tree.iter():
        node.tag = node.tag.partition("}")[2] or node.tag
        if node.tag not in ELEMENTS:
            raise ValueError(f"{formula!r} asks for <{node.tag}>, which is no part of a formula: leave it out")
        for name in set(node.attrib) - ATTRIBUTES:
            del node.attrib[name]
    return tree
