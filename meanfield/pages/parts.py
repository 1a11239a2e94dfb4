"""What a page consists of: sections of sentences, equations, figures and tables, and the page as one HTML file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meanfield.files import neighbour

FOLDER = Path(__file__).parent
MARKS = {"agrees": "good", "disagrees": "bad", "inconclusive": "warn"}


@dataclass(frozen=True)
class Equation:
    """What it is, and itself as MathML."""

    label: str
    math: str


@dataclass(frozen=True)
class Figure:
    """An <svg> with its caption, and what draws it again on the command line ("" where that cannot) and in Python."""

    name: str
    caption: str
    svg: str
    shell: str
    python: str


@dataclass(frozen=True)
class Table:
    """Rows of text under heads; the first cell of a row is its name. `marks` are classes of whole rows, by number."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: dict[int, str] = field(default_factory=dict)
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page; `missing` says why there is none."""

    name: str
    title: str
    text: tuple[str, ...] = ()
    equations: tuple[Equation, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    missing: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Report:
    """One self-contained page: `html` is its text, `save` writes it whole or not at all."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    commands: tuple[str, str]
    outcome: str = ""

    @property
    def html(self) -> str:
        return rendered(self)

    def section(self, name: str) -> Section:
        """One section by name; ValueError with the names there are."""
        found = {section.name: section for section in self.sections}
        if name not in found:
            raise ValueError(f"no section {name!r}; there are {', '.join(found)}")
        return found[name]

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, which is replaced if it exists."""
        path, text = Path(path), self.html
        with neighbour(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return path

    def __str__(self) -> str:
        told = (f"  {s.title}: {f'left out: {s.missing}' if s.missing else 'shown'}" for s in self.sections)
        return "\n".join((self.title, *told))

    __repr__ = __str__


def template() -> Any:
    """The template, in which every text is escaped; ImportError without jinja2."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise ImportError("pages need jinja2: pip install 'meanfield-calculator[report]'") from error
    setting: dict[str, Any] = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    return Environment(loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, **setting).get_template(
        "report.html.j2"
    )


def rendered(page: Report) -> str:
    """The page through its template; equations and pictures are markup, made by `typeset` and `figures`."""
    from markupsafe import Markup

    import meanfield

    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
    known: dict[str, Any] = {"page": page, "marks": MARKS, "version": meanfield.__version__, "markup": Markup}
    return str(template().render(style=style, **known)) + "\n"


def attempt(name: str, title: str, build: Callable[[], Section]) -> Section:
    """The section, or one that says why the theory has none here."""
    try:
        return build()
    except (ValueError, TypeError, ArithmeticError) as error:
        return Section(name, title, missing=" ".join(str(error).split()) or type(error).__name__)


def number(value: float, digits: int = 6) -> str:
    """As the pages write it."""
    return f"{value:.{digits}g}".replace("inf", "\N{INFINITY}")
