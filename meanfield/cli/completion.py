"""What the shell offers when a value is half typed: names of activations, theories and their cases, optimizers, ...

Each function is given what has been typed and returns what may follow. Nothing heavier is imported than the names need.
"""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import typer

import meanfield as mf


def _from(names: Iterable[str], typed: str) -> list[str]:
    return [name for name in names if name.startswith(typed)]


def activations(incomplete: str) -> list[str]:
    return _from(mf.ACTIVATIONS, incomplete)


def theories(incomplete: str) -> list[str]:
    """By their files, for importing all of them takes seconds."""
    return _from(_files(), incomplete)


def activations_and_theories(incomplete: str) -> list[str]:
    return _from([*_files(), *mf.ACTIVATIONS], incomplete)


def cases(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the theory that has been named already."""
    name = str(ctx.params.get("theory"))
    if name not in _files():
        return []
    return _from(import_module(f"meanfield.theories.{name}").THEORY.cases, incomplete)


def optimizers(incomplete: str) -> list[str]:
    from symbolic.scaling.optimizers import RULES

    return _from(RULES, incomplete)


def architectures(incomplete: str) -> list[str]:
    from symbolic.scaling.architectures import NAMES

    return _from(NAMES, incomplete)


def parametrizations(incomplete: str) -> list[str]:
    from symbolic.scaling.conditions import PARAMETRIZATIONS

    return _from(PARAMETRIZATIONS, incomplete)


def gauges(incomplete: str) -> list[str]:
    from symbolic.scaling.gauges import GAUGES

    return _from(GAUGES, incomplete)


def depths(incomplete: str) -> list[str]:
    from symbolic.scaling.depth import NAMED

    return _from(NAMED, incomplete)


def dampings(incomplete: str) -> list[str]:
    from symbolic.scaling.equations import DAMPINGS

    return _from(DAMPINGS, incomplete)


def _files() -> list[str]:
    folder: Any = import_module("meanfield.theories")
    return [module.name for module in iter_modules(folder.__path__)]
