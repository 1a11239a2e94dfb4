"""Tables for a terminal: what results say of themselves."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from meanfield.check import Verdict
    from meanfield.dual import Dual

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


def dual_parts(found: "Dual", point: list[float], *, latex: bool) -> tuple[dict[str, Any], list[str]]:
    """What is known of a dual and of its derivative, for machines and for people, with values at a point if one is
    given."""
    slope = found.derivative
    data: dict[str, Any] = {"phi": str(found.phi), "psi": str(found.psi), "closed": found.closed, "tier": found.tier}
    data |= {"formula": str(found), "derivative": str(slope), "latex": found.latex(), "derivative_tier": slope.tier}
    lines = []
    for name, what in (("E[phi(u) psi(v)]", found), ("E[phi'(u) psi'(v)] = d/dk", slope)):
        lines += [f"{name} = {what.latex() if latex else what}"]
        lines += ["  closed form" if what.closed else f"  no closed form is known: {what.tier}, with an error bound"]
    if point:
        shown = []
        for key, what in (("value", found), ("derivative_value", slope)):
            value, bound = (float(x) for x in what(*point, error=True))
            data |= {key: value, f"{key}_error": bound}
            shown.append(f"{value!r} +- {bound:.1e}")
        data["at"] = point
        lines += [f"at (p, q, k) = {tuple(point)}: {', d/dk '.join(shown)}"]
    return data, lines
