"""A layer of a Fourier neural operator on a grid: its uniform state, and which modes live."""

from typing import Annotated

import typer

import meanfield as mf
from meanfield.cli.app import BlockText, Json, Latex, app
from meanfield.progress import waiting
from meanfield.terminal import block, numbers, show

MOST_RATES = 8


@app.command()
def fno(
    text: BlockText,
    grid: Annotated[str, typer.Option(metavar="N[,N[,N]]", help="Points on each axis of the periodic grid.")] = "64",
    latex: Latex = False,
    as_json: Json = False,
) -> None:
    """The uniform state of a Fourier layer and the factor per layer of each mode; `meanfield init` says how to draw.

    \b
    Example:
      meanfield fno "tanh >> Spectral(modes=12, weight_var=1.5, bias_var=0.05)" --grid 64
    """
    sizes = numbers("--grid", grid, int)
    layer = block(text)
    if latex and not as_json:
        with waiting("deriving"):
            written = mf.fourier_map(layer).latex()
        return show(None, written, verbatim=True)
    with waiting("solving"):
        found = mf.fourier_operator(layer, tuple(sizes))
        state, printed = found.uniform, str(found)
    names = ("q", "chi_1", "chi_q", "xi_q", "phase")
    data = {"block": str(layer), "grid": sizes, **{name: getattr(state, name) for name in names}}
    data |= {"rates": state.rates.tolist(), "xi": state.xi.tolist()}
    axis = state.rates.reshape(sizes[0], -1)[: sizes[0] // 2 + 1, 0]
    shown = ", ".join(f"{rate:.6g}" for rate in axis[:MOST_RATES]) + (", ..." if len(axis) > MOST_RATES else "")
    show(data if as_json else None, printed, f"  factor per layer of the modes 0, 1, ... of the first axis: {shown}")
