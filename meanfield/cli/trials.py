"""Theory on data and against networks: kernels, verdicts, the papers that are known, the demonstration."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import meanfield as mf
from meanfield.cli.app import BiasVar, Json, PlotFile, app
from meanfield.terminal import block, draw, numbers, rows, show, tell, whole, writable

MOST_EIGENVALUES = 1000
Kernels = StrEnum("Kernels", ["nngp", "ntk"])
Sampler = StrEnum("Sampler", ["weights", "conditional"])


@app.command()
def kernel(
    network: Annotated[str, typer.Argument(metavar="BLOCK", help="A whole network, which starts with a Dense layer.")],
    data: Annotated[Path, typer.Option(help="Rows are points: .npy, or .csv of plain numbers.")],
    get: Annotated[Kernels, typer.Option(help="Which kernel.")] = Kernels.nngp,
    out: Annotated[Path | None, typer.Option(help="Write the matrix to this .npy file.")] = None,
    as_json: Json = False,
) -> None:
    """The infinite-width kernel of a network on data.

    \b
    Example:
      meanfield kernel "Dense(1, 0) >> (relu >> Dense(2, 0)) ** 5" --data points.npy --out kernel.npy
    """
    net = block(network)
    writable(out, ".npy")
    found = mf.kernel(net, rows(data), get=get.value)
    import numpy as np

    least = float(np.linalg.eigvalsh(found)[0]) if len(found) <= MOST_EIGENVALUES else None
    low, high = float(found.diagonal().min()), float(found.diagonal().max())
    if out is not None:
        whole(out, lambda handle: np.save(handle, found))
    summary: dict[str, Any] = {
        "network": str(net),
        "get": get.value,
        "shape": list(found.shape),
        "diagonal": [low, high],
    }
    summary |= {"smallest_eigenvalue": least, "out": None if out is None else str(out)}
    eigenvalue = f"not computed beyond {MOST_EIGENVALUES} points" if least is None else f"{least:.6g}"
    lines = [f"{get.value} of {net}", f"  {found.shape[0]} x {found.shape[1]}, diagonal {low:.6g} to {high:.6g}"]
    lines += [f"  smallest eigenvalue: {eigenvalue}", *([f"  written to {out}"] if out else [])]
    show(summary if as_json else None, *lines)


@app.command()
def check(
    theory: Annotated[str, typer.Argument(metavar="BLOCK_OR_THEORY", help="A block, or one of `meanfield theories`.")],
    case: Annotated[str | None, typer.Option(help="One case of a theory (default: all).")] = None,
    networks: Annotated[str | None, typer.Option(metavar="BLOCK", help="Draw the networks of another block.")] = None,
    width: Annotated[
        str | None,
        typer.Option(help="Two or more widths, or one that stands for n and 4n.  [default: 128,512 or the theory's]"),
    ] = None,
    draws: Annotated[int, typer.Option(help="Networks per width at the first look.")] = 250,
    max_draws: Annotated[int, typer.Option(help="Networks per width at the last look.")] = 8000,
    margin: Annotated[float, typer.Option(help="What still counts as agreement, relative.")] = 0.02,
    alpha: Annotated[float, typer.Option(help="Chance of either wrong answer.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Names the random networks.")] = 0,
    depth: Annotated[int | None, typer.Option(help="How often a block is applied.  [default: 3]")] = None,
    sampler: Annotated[Sampler, typer.Option(help="Real weights, or their exact conditional law.")] = Sampler.weights,
    plot: PlotFile = None,
    as_json: Json = False,
) -> None:
    """Theory against simulated finite networks: exit status 0 if it agrees, 1 if not or not yet known.

    \b
    Example:
      meanfield check "tanh >> Dense(1.5, 0.05)" --networks "tanh >> Dense(1.65, 0.05)" --sampler conditional
    """
    from meanfield.check import check as decide
    from meanfield.show import verdict_parts
    from meanfield.theory import theory as paper

    named = theory.isidentifier() and theory not in mf.ACTIVATIONS
    question = paper(theory) if named else block(theory)
    widths = None if width is None else numbers("--width", width, int)
    writable(plot)
    found = decide(
        question,
        None if networks is None else block(networks),
        width=widths[0] if widths and len(widths) == 1 else widths,
        case=case,
        draws=draws,
        max_draws=max_draws,
        margin=margin,
        alpha=alpha,
        seed=seed,
        depth=depth,
        sampler=sampler.value,
    )
    if plot is not None:
        draw(found.plot(), plot)
    if as_json:
        show(found.to_dict())
    else:
        tell(*verdict_parts(found))
    raise typer.Exit(0 if found.outcome == "agrees" else 1)


@app.command()
def theories(as_json: Json = False) -> None:
    """The papers that `meanfield check` knows.

    \b
    Example:
      meanfield theories --json
    """
    known = mf.theories().values()
    data = [{"name": t.name, "title": t.title, "claim": t.claim, "cite": t.cite, "cases": [*t.cases]} for t in known]
    if as_json:
        return show({"theories": data})
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("name", "claim", "cite"):
        table.add_column(name)
    for t in known:
        table.add_row(*(part.replace("[", r"\[") for part in (t.name, t.claim, t.cite)))
    tell(table)


@app.command()
def demo(
    activation: Annotated[str, typer.Option(help="A name or a formula in x.")] = "tanh",
    points: Annotated[int, typer.Option(help="How many of the 1797 digits to use.")] = 1797,
    bias_var: BiasVar = 0.05,
    out: Annotated[Path, typer.Option(help="Write the figure here (png, pdf, svg).")] = Path("meanfield-demo.png"),
    seed: Annotated[int, typer.Option(help="Names the random networks and the split.")] = 0,
    as_json: Json = False,
) -> None:
    """The whole road on real data: equations, initialization, kernels of handwritten digits, networks, a verdict.

    \b
    Example:
      meanfield demo --activation relu --out digits.png
    """
    from rich.console import Console

    from meanfield.demo import run

    writable(out)
    found = run(activation, points=points, bias_var=bias_var, out=out, seed=seed, console=Console(quiet=as_json))
    if as_json:
        show(found.to_dict())
    raise typer.Exit(0 if found.verdict.outcome == "agrees" else 1)
