"""The API reference: one page a group, of every name in `mf.__all__`, `mf.torch` and `mf.sklearn`, each once.

Nothing is listed by hand. A name belongs to the first group whose test it passes; what passes none is on the last page.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import inline
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock
from sympy import latex
from written import write

import meanfield as mf
from symbolic.functions import X
from symbolic.networks import Layer

CHECKS = ("meanfield.check", "meanfield.coordinate", "meanfield.empirical", "meanfield.finite", "meanfield.theory")


@dataclass(frozen=True)
class Entry:
    """A public name, the module it is imported from, and what it is."""

    module: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def home(self) -> str:
        return getattr(self.value, "__module__", "")

    @property
    def is_class(self) -> bool:
        return isinstance(self.value, type)

    @property
    def is_error(self) -> bool:
        return self.is_class and issubclass(self.value, Exception)

    @property
    def is_layer(self) -> bool:
        """A layer, or a function that is called like a class because it makes one."""
        of_layer = self.is_class and issubclass(self.value, Layer)
        return of_layer or (self.name[0].isupper() and not self.is_class and callable(self.value))

    @property
    def summary(self) -> str:
        """The first sentence of its docstring, or its first line."""
        lines = (inspect.getdoc(self.value) or "").split("\n\n")[0].splitlines()
        return " ".join(lines).split(". ")[0].rstrip(".") + "."


@dataclass(frozen=True)
class Group:
    page: str
    title: str
    about: str
    holds: Callable[[Entry], bool]


GROUPS = (
    Group("torch", "PyTorch: mf.torch", "The extra ``torch``.", lambda e: e.module == "meanfield.torch"),
    Group("sklearn", "scikit-learn: mf.sklearn", "The extra ``sklearn``.", lambda e: e.module == "meanfield.sklearn"),
    Group("activations", "Activations", "x -> phi(x); joined to layers by ``>>``.", lambda e: e.name in mf.ACTIVATIONS),
    Group("errors", "Errors", "What was wanted, what was given, the next step.", lambda e: e.is_error),
    Group("layers", "Layers", "Joined by ``>>``, added by ``+``, repeated by ``**``.", lambda e: e.is_layer),
    Group("check", "Check", "Theory against simulated networks.", lambda e: e.home.startswith(CHECKS)),
    Group("results", "Results", "What the verbs return; made by them, not by hand.", lambda e: e.is_class),
    Group("derive", "Derive", "Formulas.", lambda e: e.home.startswith(("symbolic.", "meanfield.dual"))),
    Group("compute", "Compute", "Numbers.", lambda e: inspect.isfunction(e.value) and e.home.startswith("meanfield.")),
    Group("more", "More", "What belongs to no other page.", lambda e: True),
)
ORDER = ("derive", "compute", "check", "layers", "activations", "torch", "sklearn", "results", "errors", "more")


def own(module: ModuleType) -> list[str]:
    """The public names of a module: its __all__, else what it defines."""
    made = [n for n, v in vars(module).items() if n[0] != "_" and getattr(v, "__module__", "") == module.__name__]
    return list(getattr(module, "__all__", made))


def entries() -> Iterator[Entry]:
    for module in (mf, *(getattr(mf, face) for face in mf._FACES)):
        yield from (Entry(module.__name__, name, getattr(module, name)) for name in own(module))


def grouped() -> dict[str, list[Entry]]:
    """Every public name, on the page of the first group that holds it."""
    found: dict[str, list[Entry]] = {group.page: [] for group in GROUPS}
    for entry in sorted(entries(), key=lambda e: e.name.lower()):
        found[next(group.page for group in GROUPS if group.holds(entry))].append(entry)
    return {page: found[page] for page in ORDER if found[page]}


def documented(entry: Entry) -> str:
    """The directive of one name."""
    if isinstance(entry.value, type):
        kind = "autoexception" if entry.is_error else "autoclass"
        return f".. {kind}:: {entry.path}\n" + ("" if entry.is_error else "   :members:\n")
    if inspect.isfunction(entry.value):
        return f".. autofunction:: {entry.path}\n"
    shown = getattr(entry.value, "formula", None)
    text = f":math:`x \\mapsto {latex(shown.subs(X, X))}`" if shown is not None else inline(str(entry.value))
    return f".. py:data:: {entry.path}\n\n   {text}\n"


def page(group: Group, held: list[Entry]) -> str:
    parts = [group.title, "=" * len(group.title), "", group.about, ""]
    if group.page != "activations":
        parts += [".. list-table::", "   :widths: 30 70", ""]
        for entry in held:
            parts += [f"   * - :py:obj:`{entry.name} <{entry.path}>`", f"     - {inline(entry.summary)}"]
    return "\n".join([*parts, "", *(documented(entry) for entry in held)])


def generate(app: Sphinx) -> None:
    with mock(app.config.autodoc_mock_imports):
        held = grouped()
        pages = {f"{group.page}.rst": page(group, held[group.page]) for group in GROUPS if group.page in held}
    index = ["Reference", "=========", "", "Every public name, from its docstring.", "", ".. toctree::", ""]
    pages["index.rst"] = "\n".join([*index, *(f"   {name}" for name in held), ""])
    write(Path(app.srcdir, "api"), pages)


def bare(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None) -> Any:
    """Long defaults of NumPy and SymPy say nothing that the docstring does not."""
    return signature.replace("<class 'numpy.float64'>", "float64") if signature else signature, None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-signature", bare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
