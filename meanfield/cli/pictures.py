"""A picture of a block: its correlation map, or lengths and correlations by depth with networks beside them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from meanfield.cli.app import BlockText, Json, app
from meanfield.progress import waiting
from meanfield.terminal import block, draw, show, writable

Kind = StrEnum("Kind", ["c_map", "depth"])


@app.command()
def plot(
    text: BlockText,
    out: Annotated[Path, typer.Option("--out", "-o", help="Write the figure here (png, pdf, svg).")],
    kind: Annotated[Kind, typer.Option(help="The correlation map, or theory and networks by depth.")] = Kind.c_map,
    layers: Annotated[int | None, typer.Option(help="How deep (depth).  [default: 12]")] = None,
    width: Annotated[int | None, typer.Option(help="Of the networks (depth).  [default: 256]")] = None,
    draws: Annotated[int | None, typer.Option(help="How many networks (depth).  [default: 32]")] = None,
    seed: Annotated[int | None, typer.Option(help="Names the networks (depth).  [default: 0]")] = None,
    as_json: Json = False,
) -> None:
    """Draw a block: its correlation map, or its lengths and correlations by depth with networks beside them.

    \b
    Example:
      meanfield plot "tanh >> Dense(1.5, 0.05)" --kind depth --out depth.png
    """
    asked: dict[str, Any] = {"layers": layers, "width": width, "draws": draws, "seed": seed}
    given = {name: value for name, value in asked.items() if value is not None}
    if given and kind is not Kind.depth:
        raise ValueError(f"--{next(iter(given))} is for --kind depth, not for {kind.value}")
    layer = block(text)
    writable(out)
    with waiting("drawing"):
        from meanfield.plot import plot as picture

        draw(picture(layer, kind.value, **given), out)
    show({"block": str(layer), "kind": kind.value, "out": str(out)} if as_json else None, f"{kind.value}: {out}")
