"""What an analysis says of itself: a table of 80 columns, and the picture of mean squares and gradients over steps."""

from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from meanfield.plot import axes
from meanfield.show import text
from meanfield.torch.walk_state import SIGMAS

if TYPE_CHECKING:
    from meanfield.torch.analysis import Analysis, Figure

MARKS = {"disagrees": "*", "scattered": "~"}
NAME = 21  # characters of a step's name
SILENT = ("Move", "Constant")  # steps that change no mean square


def table(found: "Analysis") -> str:
    """The findings, how to read the figures, and a row for each step but those that only move entries."""
    rows = Table(box=None, pad_edge=False, padding=(0, 1))
    rows.add_column("step", no_wrap=True)
    for name in ("square", "seen", "gradient", "seen", "corr", "seen"):
        rows.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        if row.operation not in SILENT:
            rows.add_row(
                escape(short(row.name)),
                *_pair(row.q, ".2e"),
                *_pair(row.gradient, ".1e"),
                *_pair(row.correlation, ".3f"),
            )
    return text(*_head(found), rows, width=80)


def _head(found: "Analysis") -> list[str]:
    advice = dict.fromkeys(each.advice for each in found.findings)
    said = [escape(each.culprit) for each in found.findings] or ["nothing is wrong"]
    said += [f"-> {escape(each)}" for each in advice]
    said += [escape(each) for each in found.notes]
    if isfinite(found.gradient_ratio):
        said.append(
            f"gradients of the first over those of the last layer: {found.gradient_ratio:.3g} (root mean square)"
        )
    off = sum(row.outcome == "disagrees" for row in found.rows)
    blurred = any(figure.outcome == "scattered" for row in found.rows for figure in (row.q, row.gradient))
    marks = [f"* off by more than {SIGMAS:g} standard deviations of networks so wide: {off} steps"] if off else []
    marks += ["~ networks so deep and narrow scatter by more than a factor of 4: not judged"] if blurred else []
    columns = "mean square, mean squared gradient, correlation of inputs: predicted and seen"
    silent = "- here the theory is silent, and goes on from what is seen"
    return [*said, columns, silent, *marks, ""]


def short(name: str) -> str:
    """The end of a name, which tells steps apart."""
    return name if len(name) <= NAME else "…" + name[1 - NAME :]


def _pair(figure: "Figure", form: str) -> tuple[str, str]:
    predicted = (
        "-" if figure.outcome == "measured" or not isfinite(figure.predicted) else format(figure.predicted, form)
    )
    measured = format(figure.measured, form) if isfinite(figure.measured) else ""
    return predicted, measured + MARKS.get(figure.outcome, " ")


def plot(found: "Analysis", ax: Any = None) -> Any:
    """Mean square and mean squared gradient by step on a logarithmic scale, predicted and measured."""
    ax = axes(ax)
    for name, colour, kind in (("mean square", "tab:blue", "q"), ("mean squared gradient", "tab:orange", "gradient")):
        figures = [(at, getattr(row, kind)) for at, row in enumerate(found.rows)]
        known = [(at, figure.predicted) for at, figure in figures if isfinite(figure.predicted)]
        seen = [(at, figure) for at, figure in figures if isfinite(figure.measured) and figure.measured > 0]
        ax.plot(*zip(*known, strict=True), color=colour, label=name)
        ax.errorbar(
            [at for at, _ in seen],
            [figure.measured for _, figure in seen],
            [2 * figure.error for _, figure in seen],
            fmt="o",
            ms=3,
            color=colour,
            capsize=2,
        )
    ax.set(xlabel="step", yscale="log", title="lines: theory; points: measured")
    ax.legend(frameon=False)
    return ax
