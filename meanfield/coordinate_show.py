"""What a coordinate check says of itself: a table, and the picture of sizes over width."""

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from meanfield.show import STYLES, text

if TYPE_CHECKING:
    from meanfield.coordinate import CoordinateCheck


def table(found: "CoordinateCheck") -> str:
    """The outcome, how it was found, and each slope."""
    widths = ", ".join(map(str, found.widths))
    head = f"{escape(f'{found.theory} against networks of {found.networks}')}: {found.outcome}"
    how = f"exponents of width from {len(found.seeds)} seeds at the widths {widths}; alpha {found.alpha:g}"
    rows = Table(box=None, pad_edge=False)
    for name in ("part", "layer", "step", "predicted", "measured", "+-", "allowed", ""):
        rows.add_column(name, justify="left" if name in ("part", "layer", "") else "right")
    for row in found.rows:
        span = f"{row.predicted_low:g} to " if row.predicted_low < row.predicted else ""
        numbers = (
            f"{span}{row.predicted:g}",
            f"{row.measured:+.3f}",
            f"{(row.high - row.low) / 2:.3f}",
            f"{row.margin:g}",
        )
        rows.add_row(row.part, row.layer, str(row.step), *numbers, f"[{STYLES[row.outcome]}]{row.outcome}[/]")
    return text(head, how, *_transient(found), rows)


def _transient(found: "CoordinateCheck") -> tuple[str, ...]:
    predicted = found["f", found.layers[-1], 0].predicted
    if predicted >= 0:
        return ()
    return (f"f before training (step 0) falls as n^({predicted:g}), as predicted: it vanishes in the limit",)


def picture(found: "CoordinateCheck", part: str, ax: Any) -> Any:
    """A line for each layer through geometric means over seeds, with the range of seeds; dashed: predicted slopes."""
    from meanfield.plot import axes

    parts = [name for name in found.sizes if name != "f"]
    if part not in parts:
        raise ValueError(f"unknown part {part!r}; known are {', '.join(parts)}")
    ax, widths = axes(ax), np.array(found.widths, dtype=np.float64)
    sizes_of = {name: found.sizes[part][:, :, -1, k] for k, name in enumerate(found.layers)}
    lines = [(f"{part} {name}", part, name, sizes) for name, sizes in sizes_of.items() if (sizes > 0).all()]
    if part == "dh":
        lines.append(("f before training", "f", found.layers[-1], found.sizes["f"]))
    predicted = {(row.part, row.layer): row.predicted for row in found.rows}
    for colour, (label, what, name, sizes) in enumerate(lines):
        middle, slope = np.exp(np.log(sizes).mean(axis=0)), predicted.get((what, name))
        line = {"color": f"C{colour}", "label": label if slope is None else f"{label}: {slope:g}"}
        ax.plot(widths, middle, "o-", ms=3, **line)
        ax.fill_between(widths, sizes.min(axis=0), sizes.max(axis=0), color=f"C{colour}", alpha=0.12, lw=0)
        if slope is not None:
            scaled = (widths / np.exp(np.log(widths).mean())) ** slope
            ax.plot(widths, np.exp(np.log(middle).mean()) * scaled, "--", lw=0.8, color=f"C{colour}")
    ax.set(xscale="log", yscale="log", xlabel="width", ylabel="root mean square")
    ax.set_title(
        f"{found.networks}: {found.outcome}\ndashed: slopes of {found.theory}, after step {found.steps}", fontsize=9
    )
    ax.legend(frameon=False, fontsize=8)
    return ax
