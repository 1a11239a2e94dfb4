"""The singular values of the Jacobian of a deep network at initialization."""

from enum import StrEnum
from typing import Annotated, Any

import typer

import meanfield as mf
from meanfield.cli.app import ActivationText, Json, app
from meanfield.progress import waiting
from meanfield.terminal import show, subject

Ensemble = StrEnum("Ensemble", ["gaussian", "orthogonal"])


@app.command()
def isometry(
    activation: ActivationText,
    depth: Annotated[int, typer.Option(help="How many layers.")] = 10,
    ensemble: Annotated[Ensemble, typer.Option(help="How weights are drawn.")] = Ensemble.gaussian,
    weight_var: Annotated[float | None, typer.Option(help="Of an activation.  [default: critical]")] = None,
    bias_var: Annotated[float | None, typer.Option(help="Of an activation.  [default: 0]")] = None,
    as_json: Json = False,
) -> None:
    """Squared singular values of the Jacobian of many layers: mean, spread, largest, how many are 0.

    \b
    Example:
      meanfield isometry hard_tanh --depth 20 --ensemble orthogonal --weight-var 1.05
    """
    with waiting("solving"):
        options: dict[str, Any] = {"ensemble": ensemble.value, "weight_var": weight_var, "bias_var": bias_var}
        found = mf.singular_values(subject(activation), depth=depth, **options)
        data, said = found.to_dict(), str(found)
    show(data if as_json else None, said)
