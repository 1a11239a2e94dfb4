"""What to initialize with: the phase of a block, the diagram of an activation, the edge of chaos, the scales, muP."""

from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

import meanfield as mf
from meanfield.cli import completion
from meanfield.cli.app import ActivationText, BlockText, Digits, Json, Latex, PlotFile, app
from meanfield.progress import waiting
from meanfield.terminal import block, draw, numbers, show, spaced, subject, tabulate, tell, writable

Criterion = StrEnum(
    "Criterion",
    ["edge_of_chaos", "half_stable", "second_moment", "he", "gradient", "isometry", "self_normalizing"],
)


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
    with waiting("solving"):
        found = solve(layer)
        if plot is not None:
            draw(picture(layer), plot)
    show(found.to_dict() if as_json else None, found)


@app.command()
def diagram(
    activation: ActivationText,
    weight_var: Annotated[str, typer.Option(metavar="LOW,HIGH,COUNT", help="Grid of weight variances.")] = "0.2,4,50",
    bias_var: Annotated[str, typer.Option(metavar="LOW,HIGH,COUNT", help="Grid of bias variances.")] = "0,0.5,26",
    csv: Annotated[Path | None, typer.Option("--csv", help="Write one row for each point to this .csv file.")] = None,
    npz: Annotated[Path | None, typer.Option("--npz", help="Write the columns to this .npz file.")] = None,
    plot: PlotFile = None,
    as_json: Json = False,
) -> None:
    """Fixed points, slopes and depth scales on a grid of variances, with the edge of chaos.

    \b
    Example:
      meanfield diagram tanh --weight-var 0.5,4,36 --bias-var 0,0.5,11
    """
    writable(csv, ".csv")
    writable(npz, ".npz")
    writable(plot)
    grids = {"weight_var": spaced("--weight-var", weight_var), "bias_var": spaced("--bias-var", bias_var)}
    with waiting("solving"):
        found = mf.phase_diagram(subject(activation), **grids)
        tabulate(found.columns(), csv, npz)
        if plot is not None:
            draw(found.plot(), plot)
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
    with waiting("solving"):
        found = mf.edge_of_chaos(subject(activation), bias_var=given, digits=digits)
    show(found.to_dict() if as_json else None, found)


@app.command()
def init(
    activation: ActivationText,
    criterion: Annotated[
        Criterion,
        typer.Option(metavar="NAME", help=f"What to keep from layer to layer: {', '.join(Criterion)}."),
    ] = Criterion.edge_of_chaos,
    bias_var: Annotated[float | None, typer.Option(help="Variance of the biases (edge_of_chaos only).")] = None,
    depth: Annotated[int | None, typer.Option(help="Say what to expect of that many layers.")] = None,
    width: Annotated[int | None, typer.Option(help="And of that many neurons in each.")] = None,
    depth_scale: Annotated[float | None, typer.Option(help="In layers, of the ordered phase (edge_of_chaos).")] = None,
    split: Annotated[float | None, typer.Option(help="Share of the Spectral path beside a pointwise one.")] = None,
    cosine: Annotated[float | None, typer.Option(help="Of the tokens at the start (TransformerBlock).")] = None,
    below: Annotated[float | None, typer.Option(help="What their cosine stays below (TransformerBlock).")] = None,
    as_json: Json = False,
) -> None:
    """Weight and bias variances to initialize with: of an activation, a Fourier layer, a TransformerBlock.

    \b
    Example:
      meanfield init gelu --criterion half_stable --depth 50 --width 512
      meanfield init "relu >> Spectral(modes=12)"
    """
    asked: dict[str, Any] = {"bias_var": bias_var, "depth": depth, "width": width, "depth_scale": depth_scale}
    asked |= {"split": split, "cosine": cosine, "below": below}
    with waiting("solving"):
        found: Any = mf.init_scale(subject(activation), criterion=criterion.value, **asked)
    show(found.to_dict() if as_json else None, found)


@app.command()
def scaling(
    architecture: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", help="mlp, transformer, ..., or a block.", autocompletion=completion.architectures
        ),
    ] = "mlp",
    optimizer: Annotated[
        str, typer.Option(help="sgd, adam, muon, shampoo, kfac, ...", autocompletion=completion.optimizers)
    ] = "adam",
    power: Annotated[
        list[str] | None, typer.Option("--power", metavar="NAME=NUMBER", help="Of the optimizer, e.g. e_L=1/2.")
    ] = None,
    parametrization: Annotated[
        str, typer.Option(help="mup, ntk, standard or mean_field.", autocompletion=completion.parametrizations)
    ] = "mup",
    gauge: Annotated[
        str | None, typer.Option(help="a=0, table3, table8, table9 or unit.", autocompletion=completion.gauges)
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option(help="depth_mup, completep or u_mup, for residual branches.", autocompletion=completion.depths),
    ] = None,
    damping: Annotated[
        str, typer.Option(help="matched, constant or pi.", autocompletion=completion.dampings)
    ] = "matched",
    as_latex: Latex = False,
    as_json: Json = False,
) -> None:
    """muP: the exact powers of the width with which initialization, learning rates and damping grow.

    \b
    Example:
      meanfield scaling transformer --optimizer adam --depth completep
    """
    powers = dict(_power(text) for text in power or ())
    chosen: dict[str, Any] = {"optimizer": optimizer, "parametrization": parametrization, "gauge": gauge}
    with waiting("solving"):
        found = mf.scaling(_network(architecture), depth=depth, damping=damping, **chosen, **powers)
        data, parts = found.to_dict(), found.parts()
    if as_json or as_latex:
        show(data if as_json else None, found.latex(), verbatim=True)
    else:
        tell(*parts)


def _network(text: str) -> Any:
    """One word is the name of an architecture, anything else a block."""
    return text if text.isidentifier() else block(text)


def _power(text: str) -> tuple[str, Any]:
    """A number is read exactly: 1/2, 0.25; whatever else is a word, as of soap's sides."""
    from sympy import Rational

    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier() or not value:
        raise ValueError(f"--power is written NAME=NUMBER, as e_L=1/2, not {text!r}")
    if value.isalpha():
        return name, value
    try:
        return name, Rational(Fraction(value))
    except ValueError:
        raise ValueError(f"--power {name} is a number such as 1/2 or 0.25, not {value!r}") from None
