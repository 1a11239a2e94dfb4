"""What can be derived: the equations of a block and the dual of an activation."""

from enum import StrEnum
from typing import Annotated

import typer

import meanfield as mf
from meanfield.cli import completion
from meanfield.cli.app import ActivationText, BlockText, Digits, Json, Latex, app
from meanfield.progress import waiting
from meanfield.terminal import block, dual_parts, numbers, show

Limit = StrEnum("Limit", ["nngp", "length", "ntk", "ntk_diagonal", "gradient"])


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
    with waiting("deriving"):
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
    show(data if as_json else None, found.latex() if latex else found, verbatim=True)


@app.command()
def dual(
    activation: ActivationText,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[OTHER]", help="A second activation.", autocompletion=completion.activations),
    ] = None,
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

    point = [] if at is None else numbers("--at", at, float, 3)
    if digits is not None and at is None:
        raise ValueError("--digits certifies a value: say where with --at P,Q,K")
    with waiting("deriving and proving"):
        found = find(activation, other)
        written = found.python() if python else ""
        data, lines = dual_parts(found, [] if python else point, latex=latex)
        if digits is not None:
            ball = found.enclose(*(part.strip() for part in str(at).split(",")), digits=digits)
            data["enclosure"] = ball.to_dict()
            lines += [f"certified: {ball}"]
    if python:
        typer.echo(written, nl=False)
    else:
        show(data if as_json else None, *lines, verbatim=True)
