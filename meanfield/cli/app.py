"""The program, and the options that its commands share."""

from pathlib import Path
from typing import Annotated

import typer

import meanfield as mf
from meanfield.cli import completion
from meanfield.terminal import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Derive the infinite-width equations of a random network, compute their numbers, check them against networks.",
    epilog="A BLOCK is written as in Python: 'tanh >> Dense(weight_var=1.5, bias_var=0.05)'.",
)

BlockText = Annotated[
    str,
    typer.Argument(metavar="BLOCK", help="Layers joined by >> + * **, as text.", autocompletion=completion.activations),
]
ActivationText = Annotated[
    str,
    typer.Argument(
        metavar="ACTIVATION",
        help="A name, a formula in x, or a block whose variances are left out.",
        autocompletion=completion.activations,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Latex = Annotated[bool, typer.Option("--latex", help="Print LaTeX.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Write the figure here (png, pdf, svg).")]
BiasVar = Annotated[float, typer.Option(help="Variance of the biases.")]
Digits = Annotated[int | None, typer.Option(help="Certify that many digits (needs the extra `rigorous`).")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meanfield {mf.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass
