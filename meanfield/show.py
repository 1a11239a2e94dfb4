"""Tables and lines for a terminal: what results say of themselves."""

from textwrap import TextWrapper
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from meanfield.check import Verdict

STYLES = {"agrees": "green", "disagrees": "red", "inconclusive": "yellow"}


def text(*parts: Any, width: int = 100) -> str:
    """What rich would print, as plain text."""
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return capture.get().rstrip("\n")


def rows_table(verdict: "Verdict") -> Table:
    """The evidence: one row for each observable."""
    table = Table(box=None, pad_edge=False)
    for name in ("observable", "theory", "networks", "+-", "off by", "allowed", ""):
        table.add_column(name, justify="left" if name in ("observable", "") else "right")
    for row in verdict.rows:
        half = (row.high - row.low) / 2
        numbers = (
            f"{row.theory:.5g}",
            f"{row.estimate:.5g}",
            f"{half:.2g}",
            f"{row.estimate - row.theory:+.2g}",
            f"{row.margin:.2g}",
        )
        table.add_row(row.label, *numbers, f"[{STYLES[row.outcome]}]{row.outcome}[/]")
    return table


def verdict_parts(verdict: "Verdict") -> list[Any]:
    """What is said of a verdict: the outcome, how it was found, the evidence."""
    widths = ", ".join(str(w) for w in verdict.widths)
    head = f"{escape(f'{verdict.theory} against {verdict.networks}')}: [bold]{verdict.outcome}[/]"
    how = (
        f"{verdict.draws} networks at each of the widths {widths}, extrapolated; margin {verdict.margin:.1%}, "
        f"alpha {verdict.alpha:g}, seed {verdict.seed}"
    )
    more = (f"about {verdict.draws_needed} networks at each width would settle it",) if verdict.draws_needed else ()
    return [head, how, *more, rows_table(verdict)]


def verdict_table(verdict: "Verdict") -> str:
    return text(*verdict_parts(verdict))


def folded(line: str, width: int) -> str:
    """A line broken at spaces under its own indentation; names and numbers are not cut."""
    if len(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    rest = TextWrapper(width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False)
    rest.break_on_hyphens = rest.replace_whitespace = False
    return rest.fill(line.strip())
