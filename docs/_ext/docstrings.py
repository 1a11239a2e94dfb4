"""Docstrings are plain text for terminals; here they become reStructuredText that shows them as they read.

Indented and >>> paragraphs stay as they are; `code` is set as code, `mf.name` and an arXiv number become links; a line
that begins with the name of a parameter, or with Raises, begins a paragraph. Everything else is escaped.
"""

import inspect
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx

import meanfield as mf

NAME = r"mf\.\w+(?:\.\w+)?"
WORD = re.compile(
    r"`(?P<code>[^`]+)`|\b(?P<name>mf\.\w+(?:\.\w+)?)|arXiv[: ](?P<number>\d{4}\.\d{4,5})|(?P<mark>[\\`*_|])"
)


def link(name: str) -> str:
    """mf.kernel as a link to where it is documented; what is no public name stays a word."""
    if name.removeprefix("mf.").partition(".")[0] not in mf.__all__:
        return f"``{name}``"
    return f":py:obj:`{name} <{name.replace('mf.', 'meanfield.', 1)}>`"


def _word(found: re.Match[str]) -> str:
    if found["mark"]:
        return "\\" + found["mark"]
    if found["number"]:
        return f"\\ `arXiv {found['number']} <https://arxiv.org/abs/{found['number']}>`__\\ "
    word = found["name"] or found["code"]
    return f"\\ {link(word) if re.fullmatch(NAME, word) else f'``{word}``'}\\ "


def inline(text: str) -> str:
    """Words of a docstring as reStructuredText."""
    return WORD.sub(_word, text)


def paragraph(lines: list[str], parameters: list[str]) -> Iterator[str]:
    """One paragraph of the docstring as reStructuredText."""
    if lines[0].lstrip().startswith(">>>"):
        yield from lines
    elif all(line.startswith("  ") for line in lines):
        yield from ("::", "", *(f"    {line}" for line in lines))
    else:
        for i, line in enumerate(lines):
            head, colon, rest = line.partition(": ")
            named = colon and set(re.split(r", | and |/", head.replace("`", ""))) <= set(parameters)
            if i and (named or line.startswith(("Raises ", "- "))):
                yield ""
            yield f"**{inline(head.replace('`', ''))}**: {inline(rest)}" if named else inline(line)


def names_of(obj: Any) -> list[str]:
    try:
        return list(inspect.signature(obj).parameters)
    except (TypeError, ValueError):  # a property, a value
        return []


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    names = names_of(obj)
    groups = [list(group) for full, group in groupby(lines, key=lambda line: bool(line.strip())) if full]
    lines[:] = [line for group in groups for line in (*paragraph(group, names), "")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
