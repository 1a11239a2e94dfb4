"""The command line: one command for each verb of `meanfield`, with tables for people and --json for machines.

Blocks are text in the layer algebra, read by `symbolic.blocks` and never executed. Exit status: 0 done, or the theory
agrees; 1 it disagrees or the check is inconclusive; 2 a wrong question, said in one line on stderr; 130 interrupted.
--json prints one object and nothing else; numbers that JSON lacks are the strings "inf", "-inf" and "nan".
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import meanfield as mf
from meanfield.terminal import Commands, block, draw, dual_parts, numbers, rows, show, subject, tell, whole, writable

MOST_EIGENVALUES = 1000

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Derive the infinite-width equations of a random network, compute their numbers, check them against networks.",
    epilog="A BLOCK is written as in Python: 'tanh >> Dense(weight_var=1.5, bias_var=0.05)'.",
)

BlockText = Annotated[str, typer.Argument(metavar="BLOCK", help="Layers joined by >> + * **, as text.")]
ActivationText = Annotated[
    str, typer.Argument(metavar="ACTIVATION", help="A name, a formula in x, or a block whose variances are left out.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Latex = Annotated[bool, typer.Option("--latex", help="Print LaTeX.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Write the figure here (png, pdf, svg).")]
BiasVar = Annotated[float, typer.Option(help="Variance of the biases.")]
Digits = Annotated[int | None, typer.Option(help="Certify that many digits (needs the extra `rigorous`).")]
Limit = StrEnum("Limit", ["nngp", "length", "ntk", "ntk_diagonal", "gradient"])
Kernels = StrEnum("Kernels", ["nngp", "ntk"])
Criterion = StrEnum("Criterion", ["edge_of_chaos", "second_moment", "he", "gradient"])
Sampler = StrEnum("Sampler", ["weights", "conditional"])


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meanfield {mf.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def derive(
    text: BlockText,
    limit: Annotated[Limit, typer.Option(help="What to derive.")] = Limit.nngp,
    latex: Latex = False,
    as_json: Json = False,
) -> None:
    """The equations of one block at infinite width.

    \b
    Example:
      meanfield derive "erf >> Dense()" --limit ntk
    """
    found = mf.derive(block(text), limit.value)
    data = {
        "block": found.name,
        "limit": found.limit,
        "state": [str(s) for s in found.state],
        "update": [str(e) for e in found.update],
        "parameters": [str(s) for s in found.params],
        "closed": found.closed,
        "latex": found.latex(),
    }
    show(data if as_json else None, found.latex() if latex else found)


@app.command()
def dual(
    activation: ActivationText,
    other: Annotated[str | None, typer.Argument(metavar="[OTHER]", help="A second activation.")] = None,
    latex: Latex = False,
    python: Annotated[bool, typer.Option("--python", help="Print a standalone function of NumPy arrays.")] = False,
    at: Annotated[str | None, typer.Option(metavar="P,Q,K", help="Variances and covariance to evaluate at.")] = None,
    digits: Digits = None,
    as_json: Json = False,
) -> None:
    """E phi(u) psi(v) for centred Gaussians with variances p, q and covariance k, and its derivative in k.

    \b
    Example:
      meanfield dual relu --at 1,1,0.5
      meanfield dual "x*sigmoid(1.702*x)" --python > dual.py
    """
    from meanfield.dual import dual as find

    found = find(activation, other)
    if python:
        typer.echo(found.python(), nl=False)
        return
    if digits is not None and at is None:
        raise ValueError("--digits certifies a value: say where with --at P,Q,K")
    data, lines = dual_parts(found, [] if at is None else numbers("--at", at, float, 3), latex=latex)
    if digits is not None:
        ball = found.enclose(*(part.strip() for part in str(at).split(",")), digits=digits)
        data["enclosure"] = ball.to_dict()
        lines += [f"certified: {ball}"]
    show(data if as_json else None, *lines)


@app.command()
def phase(text: BlockText, plot: PlotFile = None, as_json: Json = False) -> None:
    """Fixed points, slopes, depth scales and phase of a block with numbers.

    \b
    Example:
      meanfield phase "tanh >> Dense(1.5, 0.05)" --plot map.png
    """
    from meanfield.phase import phase as solve
    from meanfield.plot import plot as picture

    layer = block(text)
    writable(plot)
    found = solve(layer)
    if plot is not None:
        draw(picture(layer), plot)
    show(found.to_dict() if as_json else None, found)


@app.command()
def edge(
    activation: ActivationText,
    bias_var: Annotated[str, typer.Option(metavar="FLOAT", help="Variance of the biases.")] = "0",
    digits: Digits = None,
    as_json: Json = False,
) -> None:
    """The edge of chaos: the weight variance at which correlations and gradients neither grow nor die.

    \b
    Example:
      meanfield edge tanh --bias-var 0.05
    """
    numbers("--bias-var", bias_var, float, 1)
    given = bias_var if digits is not None else float(bias_var)
    found = mf.edge_of_chaos(subject(activation), bias_var=given, digits=digits)
    show(found.to_dict() if as_json else None, found)


@app.command()
def init(
    activation: ActivationText,
    criterion: Annotated[Criterion, typer.Option(help="What to keep from layer to layer.")] = Criterion.edge_of_chaos,
    bias_var: Annotated[float | None, typer.Option(help="Variance of the biases (edge_of_chaos only).")] = None,
    as_json: Json = False,
) -> None:
    """Weight and bias variances to initialize with.

    \b
    Example:
      meanfield init gelu --criterion second_moment
    """
    found = mf.init_scale(subject(activation), criterion=criterion.value, bias_var=bias_var)
    show(found.to_dict() if as_json else None, found)


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
    width: Annotated[str, typer.Option(help="Two or more widths, or one that stands for n and 4n.")] = "128,512",
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
    widths = numbers("--width", width, int)
    writable(plot)
    found = decide(
        question,
        None if networks is None else block(networks),
        width=widths[0] if len(widths) == 1 else widths,
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


def main() -> None:
    app(prog_name="meanfield")
