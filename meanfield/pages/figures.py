"""Figures of pages: what matplotlib draws, as SVG inside the page that follows its colours in light, dark and print.

Text stays text. Colours of matplotlib become variables of the style sheet, ids are made the page's own, and a title
and a description are added for those who do not see the picture.
"""

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np

from meanfield.diagram import PhaseDiagram
from meanfield.phase import Phase

SIZE = (4.6, 3.5)  # inches; text of 9 points then stays legible on a phone
VARIABLES = {
    "#000000": "var(--ink)",
    "#ffffff": "var(--paper)",
    "#b2b2b2": "var(--muted)",
    "#e6e6e6": "var(--line)",
    "#1f77b4": "var(--accent)",
    "#ff7f0e": "var(--accent2)",
    "#2ca02c": "var(--good)",
    "#d62728": "var(--bad)",
}
SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 8,
}
DEPTHS = (3, 10, 30, 100)


def svg(name: str, title: str, description: str, draw: Callable[[Any], Any], size: tuple[float, float] = SIZE) -> str:
    """What `draw(ax)` draws as an <svg> element whose ids start with `name`; ImportError without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pages need matplotlib: pip install 'meanfield-calculator[report]'") from error
    with rc_context(SETTINGS | {"svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title("")  # the page has captions
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return _inline(out.getvalue(), name, title, description)


def _inline(text: str, name: str, title: str, description: str) -> str:
    body = text[text.index("<svg") :]
    for gone in (r"<!--.*?-->", r"<metadata>.*?</metadata>", r'\sxmlns(:\w+)?="[^"]*"'):
        body = re.sub(gone, "", body, flags=re.S)
    body = re.sub(r'\bid="', f'id="{name}-', body.replace("xlink:href", "href"))
    body = re.sub(r'(href="|url\()#', rf"\1#{name}-", body)
    for colour, variable in VARIABLES.items():
        body = re.sub(colour, variable, body, flags=re.I)
    body = body.replace("'DejaVu Sans'", "system-ui, sans-serif")
    box = re.search(r'viewBox="[^"]*"', body)
    head = f'<svg {box[0] if box else ""} role="img" aria-labelledby="{name}-title {name}-desc">'
    told = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    # What has no colour of its own is black in SVG, and ink here.
    return f'{head}{told}<g fill="var(--ink)">{body[body.index(">") + 1 :].replace("</svg>", "</g></svg>")}'


def phase_map(found: PhaseDiagram, point: tuple[float, float] | None, ax: Any) -> None:
    """Ordered and chaotic regions, depth scales of correlations as contours, the edge of chaos, and the point."""
    w, b, chaos = found.weight_var, found.bias_var, (found.chi_1 > 1).T
    shades = {"ordered": ("tab:blue", ~chaos), "chaotic": ("tab:orange", chaos)}
    for name, (colour, where) in shades.items():
        if where.any():
            ax.contourf(w, b, where, levels=[0.5, 1.5], colors=[colour], alpha=0.13)
            i, j = (round(float(x.mean())) for x in np.nonzero(where))
            ax.text(w[j], b[i], name, color=colour, ha="center", va="center", fontsize=10)
    if found.edge[0].size:
        ax.plot(*found.edge, color="black", lw=1.6, label="edge of chaos")
    elif chaos.any() and not chaos.all():
        ax.contour(w, b, found.chi_1.T, levels=[1.0], colors="black", linewidths=1.6)
    if point is not None:
        label = f"({point[0]:.4g}, {point[1]:.4g})"
        ax.plot(*point, "o", color="tab:red", ms=7, label=label)
    ax.set(xlim=w[[0, -1]], ylim=b[[0, -1]], xlabel="weight_var", ylabel="bias_var")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def phase_words(found: PhaseDiagram, at: Phase | None) -> str:
    """The diagram in a sentence."""
    share = float((found.chi_1 > 1).mean())
    text = (
        f"weight_var from {found.weight_var[0]:.3g} to {found.weight_var[-1]:.3g} and bias_var from "
        f"{found.bias_var[0]:.3g} to {found.bias_var[-1]:.3g}: chaotic at {share:.0%} of the grid, by chi_1 at the "
        "length that signals of length 1 settle at."
    )
    return text if at is None else f"{text} The block lies in the {at.phase} phase with chi_1 = {at.chi_1:.5g}."
