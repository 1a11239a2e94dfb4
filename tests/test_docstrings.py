"""Every public name explains itself: its docstring names each keyword, or says which other name explains it."""

import inspect
import re
from dataclasses import dataclass
from typing import Any

import pytest

import meanfield as mf

NAMES = [name for name in mf.__all__ if name not in mf.ACTIVATIONS]
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(mf, name))]
# "those of `mf.kernel`", "as in mf.scaling": arguments that have one meaning in several verbs.
ELSEWHERE = re.compile(r"\b(?:those of|as in|as for) `?(?:mf\.)?\w+")
OWN = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def unexplained(function: Any) -> list[str]:
    """The keywords that a docstring neither names nor leaves to another."""
    text = inspect.getdoc(function) or ""
    if ELSEWHERE.search(text):
        return []
    parameters = inspect.signature(function).parameters.values()
    keywords = [p.name for p in parameters if p.kind in OWN and not (p.kind != p.KEYWORD_ONLY and p.default is p.empty)]
    return [name for name in keywords if not re.search(rf"\b{name}\b", text)]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_a_docstring_of_its_own(name: str) -> None:
    value = getattr(mf, name)
    assert value.__doc__ and not value.__doc__.startswith(f"{name}(")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_names_every_keyword(name: str) -> None:
    assert not unexplained(getattr(mf, name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_keywords_says_what_it_raises(name: str) -> None:
    function = getattr(mf, name)
    text = inspect.getdoc(function) or ""
    assert len(inspect.signature(function).parameters) < 2 or re.search(
        r"Raises|Error|NotConverged|NoEdge|NoRule", text
    )


def silent(x: float, *, depth: int = 1) -> float:
    """x times something."""
    return x * depth


def sparing(x: float, *, depth: int = 1) -> float:
    """x times something; depth as in mf.phase."""
    return x * depth


@dataclass
class Given:
    x: float


def test_a_docstring_that_falls_short_is_found() -> None:
    assert unexplained(silent) == ["depth"]
    assert unexplained(sparing) == []
    assert Given.__doc__ and Given.__doc__.startswith("Given(")
