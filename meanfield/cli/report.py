"""One page on a block or a theory, to read, print or attach."""

from pathlib import Path
from typing import Annotated

import typer

import meanfield as mf
from meanfield.cli.app import Json, app
from meanfield.terminal import block, show, writable


@app.command()
def report(
    what: Annotated[
        str,
        typer.Argument(metavar="BLOCK_OR_THEORY", help="A block, an activation, or one of `meanfield theories`."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Write the page here (.html).")] = Path("report.html"),
    depth: Annotated[int, typer.Option(help="Blocks of the trajectories.")] = 12,
    width: Annotated[int, typer.Option(help="Width of the networks beside the trajectories.")] = 256,
    draws: Annotated[int, typer.Option(help="How many networks those are.")] = 32,
    max_draws: Annotated[int, typer.Option(help="Networks per width at the last look of a verdict.")] = 8000,
    seed: Annotated[int, typer.Option(help="Names the random networks.")] = 0,
    networks: Annotated[str | None, typer.Option(metavar="BLOCK", help="Draw the networks of another block.")] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Draw no networks.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Equations, phase, trajectories, initialization and verdict on one HTML page that needs no network.

    \b
    Example:
      meanfield report "tanh >> Dense(1.5, 0.05)" -o report.html
    """
    writable(out, ".html")
    found = mf.report(
        block(what) if ">>" in what else what,
        out,
        depth=depth,
        width=width,
        draws=draws,
        seed=seed,
        networks=None if networks is None else block(networks),
        check=not no_check,
        max_draws=max_draws,
    )
    if open_page:
        typer.launch(str(out))
    shown = {"title": found.title, "out": str(out)}
    sections = {s.name: s.missing or s.mark or "shown" for s in found.sections}
    show(shown | {"sections": sections} if as_json else None, found, f"written to {out}")
