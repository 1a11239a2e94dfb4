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
    "mathvariant", "separator", "lspace", "rspace",
})  # fmt: skip
ALIGNED = re.compile(r"\s*(?:\\displaystyle)?\s*\\begin\{aligned\}(.*)\\end\{aligned\}\s*", re.S)
PRIME = "\N{PRIME}"
ROW_ENDS = re.compile(r"\s\\\\\s")


def mathml(formula: Any, *, block: bool = True) -> str:
    """One formula, given as LaTeX or as a SymPy expression, as a <math> element; rows of `aligned` are set at their &.

    ImportError with the command to run if latex2mathml is missing; ValueError for LaTeX that is no formula, or asks for
    more than formulas.
    """
    if not isinstance(formula, str):
        from sympy import latex

        formula = latex(formula)
    aligned = ALIGNED.fullmatch(formula)
    tree = _converted(formula) if aligned is None else _table(ROW_ENDS.split(aligned[1]))
    tree.set("display", "block" if block else "inline")
    return ElementTree.tostring(tree, encoding="unicode")


def _table(rows: list[str]) -> ElementTree.Element:
    """Cells side by side; the style sheet sets the first column to the right."""
    tree = ElementTree.Element("math")
    table = ElementTree.SubElement(tree, "mtable", {"displaystyle": "true", "class": "aligned"})
    for row in rows:
        line = ElementTree.SubElement(table, "mtr")
        for cell in row.split("&", 1) if "&" in row else ("", row):
            parts = list(_converted(cell)) if cell.strip() else []
            ElementTree.SubElement(line, "mtd").extend(parts)
            sign = next((node for node in parts[0].iter() if len(node) == 0), None) if parts else None
            if sign is not None and sign.tag == "mo" and (sign.text or "") in "=+\N{MINUS SIGN}:":
                sign.set("form", "infix")  # it stands between this row and the one before, or the cell before
    return tree


def _converted(formula: str) -> ElementTree.Element:
    """The tree without namespaces and with harmless attributes; ValueError for an element that MathML has not."""
    try:
        from latex2mathml.converter import convert
    except ImportError as error:
        raise ImportError("pages need latex2mathml: pip install 'meanfield-calculator[report]'") from error
    try:
        tree = ElementTree.fromstring(convert(formula))
    except Exception as error:  # latex2mathml has a class for each mistake and none for all
        if not isinstance(error, ElementTree.ParseError) and "latex2mathml" not in type(error).__module__:
            raise
        raise ValueError(f"no formula that can be typeset: {formula!r}; write & and < as \\& and \\lt") from None
    for node in tree.iter():
        node.tag = node.tag.partition("}")[2] or node.tag
        if node.tag not in ELEMENTS:
            raise ValueError(f"{formula!r} asks for <{node.tag}>, which is no part of a formula: leave it out")
        for name in set(node.attrib) - ATTRIBUTES:
            del node.attrib[name]
        _legible(node)
    return tree


def _legible(node: ElementTree.Element) -> None:
    """Names of functions are set as names, not as operators with space around; a prime stands beside its letter."""
    if node.tag == "mo" and (node.text or "").isalpha():
        node.tag = "mi"
        node.attrib = {"mathvariant": "normal"}
    if node.tag == "msup" and (node[1].text or "") == PRIME:
        node.tag, node[1].tag = "mrow", "mo"
        node[1].attrib = {"lspace": "0", "rspace": "0"}
