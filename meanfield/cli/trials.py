"""Theory on data and against networks: kernels, verdicts, the demonstration."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import meanfield as mf
from meanfield.cli import completion
from meanfield.cli.app import BiasVar, Json, PlotFile, app
from meanfield.progress import waiting
from meanfield.terminal import array, block, draw, numbers, rows, show, tell, whole, writable

MOST_EIGENVALUES = 1000
Kernels = StrEnum("Kernels", ["nngp", "ntk"])
Sampler = StrEnum("Sampler", ["weights", "conditional"])


@app.command()
def kernel(
    network: Annotated[str, typer.Argument(metavar="BLOCK", help="A whole network, which starts with a Dense layer.")],
    data: Annotated[Path, typer.Option(help="Rows are points: .npy, or .csv of plain numbers; pictures: .npy.")],
    get: Annotated[Kernels, typer.Option(help="Which kernel.")] = Kernels.nngp,
    width: Annotated[int | None, typer.Option(help="Of real networks that wide, in the place of the limit.")] = None,
    draws: Annotated[int | None, typer.Option(help="How many networks (with --width).  [default: 10]")] = None,
    seed: Annotated[int | None, typer.Option(help="Names them (with --width).  [default: 0]")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the matrix to this .npy file.")] = None,
    as_json: Json = False,
) -> None:
    """The infinite-width kernel of a network on data, or the mean kernel of real networks with --width.

    \b
    Example:
      meanfield kernel "Dense(1, 0) >> (relu >> Dense(2, 0)) ** 5" --data points.npy --out kernel.npy
      meanfield kernel "Dense(1, 0) >> relu >> Dense(2, 0)" --data points.npy --width 64
    """
    if width is None and (draws, seed) != (None, None):
        raise ValueError("--draws and --seed are those of real networks: give their --width as well")
    net = block(network)
    writable(out, ".npy")
    with waiting("solving"):
        found = _kernel(net, data, get.value, width, 10 if draws is None else draws, seed or 0)
        least = _least(found)
    low, high = float(found.diagonal().min()), float(found.diagonal().max())
    if out is not None:
        import numpy as np

        whole(out, lambda handle: np.save(handle, found))
    summary: dict[str, Any] = {
        "network": str(net),
        "get": get.value,
        "shape": list(found.shape),
        "diagonal": [low, high],
        "width": width,
    }
    summary |= {"smallest_eigenvalue": least, "out": None if out is None else str(out)}
    eigenvalue = f"not computed beyond {MOST_EIGENVALUES} points" if least is None else f"{least:.6g}"
    of = "" if width is None else f" at width {width}"
    lines = [f"{get.value} of {net}{of}", f"  {found.shape[0]} x {found.shape[1]}, diagonal {low:.6g} to {high:.6g}"]
    lines += [f"  smallest eigenvalue: {eigenvalue}", *([f"  written to {out}"] if out else [])]
    show(summary if as_json else None, *lines)


def _kernel(net: Any, path: Path, get: str, width: int | None, draws: int, seed: int) -> Any:
    from symbolic.pictures import is_spatial

    points = array(path) if is_spatial(net) else rows(path)
    if width is None:
        return mf.kernel(net, points, get=get)
    return mf.empirical_kernel(net, points, width=width, draws=draws, seed=seed, get=get)


def _least(found: Any) -> float | None:
    """The smallest eigenvalue, where it does not take longer than the kernel."""
    import numpy as np

    return float(np.linalg.eigvalsh(found)[0]) if len(found) <= MOST_EIGENVALUES else None


@app.command()
def check(
    theory: Annotated[
        str,
        typer.Argument(
            metavar="BLOCK_OR_THEORY",
            help="A block, or one of `meanfield theories`.",
            autocompletion=completion.activations_and_theories,
        ),
    ],
    case: Annotated[
        str | None,
        typer.Option(help="One case of a theory (default: all).", autocompletion=completion.cases),
    ] = None,
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
      meanfield check "tanh >> Dense(1.5, 0.05)" --sampler conditional
    """
    from meanfield.check import check as decide
    from meanfield.show import verdict_parts
    from meanfield.theory import theory as paper

    named = theory.isidentifier() and theory not in mf.ACTIVATIONS
    widths = None if width is None else numbers("--width", width, int)
    writable(plot)
    with waiting("theory and networks"):
        found = decide(
            paper(theory) if named else block(theory),
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
def demo(
    activation: Annotated[
        str, typer.Option(help="A name or a formula in x.", autocompletion=completion.activations)
    ] = "tanh",
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
