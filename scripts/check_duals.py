"""Hold the installed library's duals against tests/refs/duals.json: worst errors and bounds, a row an activation.

Errors are differences of rationals, in units of √(E f(u)² E f(v)²) and of |value| where that is not 0. Exit status 1
where an error passes 1e-13 of the scale or its own bound. `--peer-python PATH` names an interpreter with
neural-tangents, whose ElementwiseNumerical is held against the same values; `--write FILE` replaces the text
between the markers duals:begin and duals:end of a markdown file.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from pages import replace, table

REFS = Path(__file__).parents[1] / "tests" / "refs" / "duals.json"
TARGET = 1e-13
DEGREES = (25, 50, 100)
Rows = list[list[Any]]


def points(rows: Rows) -> tuple[Any, Any, Any]:
    p, q, k = np.array([[float(x) for x in row[:3]] for row in rows]).T
    return p, q, k


def distance(value: float, reference: str) -> Fraction | float:
    """The error, 0 where it is below the smallest float64."""
    if not math.isfinite(value):
        return math.inf
    error = abs(Fraction(float(value)) - Fraction(reference))
    return error if float(error) else Fraction(0)


def ratio(part: Fraction | float, whole: Fraction) -> float:
    """part/whole, 0/0 being 0."""
    return float(part / whole) if whole else 0.0 if part == 0 else math.inf


# -- this library --------------------------------------------------------------------------------------------------


def evaluate(dual: Any, rows: Rows) -> tuple[Any, Any]:
    """Values and bounds; NaN at the points that are refused."""
    import meanfield as mf

    try:
        return dual(*points(rows), error=True)
    except mf.NotConverged:
        pairs = []
        for row in zip(*points(rows), strict=True):
            try:
                pairs.append(dual(*row, error=True))
            except mf.NotConverged:
                pairs.append((math.nan, math.nan))
        values, bounds = np.array(pairs).T
        return values, bounds


def measure(dual: Any, rows: Rows) -> tuple[Any, ...]:
    """tier, points, worst error over scale, over |value|, over its bound; worst bound over scale."""
    values, bounds = evaluate(dual, rows)
    columns: tuple[list[float], ...] = ([], [], [], [])
    for value, bound, (*_, reference, scale, _, _, _) in zip(values, bounds, rows, strict=True):
        error, size = distance(value, reference), Fraction(scale)
        limit = Fraction(float(bound)) if math.isfinite(bound) else Fraction(0)
        columns[0].append(ratio(error, size))
        columns[1].append(ratio(error, abs(Fraction(reference))) if reference != "0" else 0.0)
        columns[2].append(ratio(error, limit))
        columns[3].append(ratio(limit, size) if math.isfinite(bound) else math.inf)
    return dual.tier, len(rows), *map(max, columns)


def ours(stored: dict[str, Any]) -> tuple[str, bool]:
    """The two tables, and whether both targets are met."""
    import meanfield as mf

    head = ("points", "error/scale", "error/abs(value)", "error/bound", "bound/scale")
    texts, worst = [], [0.0] * 4
    for title, mark in (("E f(u) f(v)", ""), ("E f'(u) f'(v)", "'")):
        lines = []
        for name, formula in stored["formulas"].items():
            if name + mark in stored["duals"]:
                dual = mf.dual(formula).derivative if mark else mf.dual(formula)
                lines.append((name, *measure(dual, stored["duals"][name + mark])))
        worst = [max(column) for column in zip(worst, *(line[3:] for line in lines), strict=True)]
        texts.append(table((title, "tier", *head), lines))
    met = worst[0] <= TARGET and worst[2] <= 1
    targets = f"targets: error/scale <= {TARGET:.0e}, error/bound <= 1: {'met' if met else 'MISSED'}"
    return "\n\n".join(texts) + f"\n\nWorst: error/scale {worst[0]:.1e}, error/bound {worst[2]:.2g}; {targets}.", met


# -- neural-tangents -----------------------------------------------------------------------------------------------


def peer_functions() -> dict[str, Callable[..., Any]]:
    import jax
    import jax.numpy as jnp

    erf = jax.scipy.special.erf
    return {
        "relu": jax.nn.relu,
        "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.01),
        "abs": jnp.abs,
        "step": lambda x: jnp.heaviside(x, 0.5),
        "sign": jnp.sign,
        "erf": erf,
        "phi": jax.scipy.special.ndtr,
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
        "silu": jax.nn.silu,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "mish": lambda x: x * jnp.tanh(jax.nn.softplus(x)),
        "elu": jax.nn.elu,
        "selu": jax.nn.selu,
        "hard_tanh": jax.nn.hard_tanh,
        "arctan": jnp.arctan,
        "sin": jnp.sin,
        "cos": jnp.cos,
        "exp": jnp.exp,
        "gaussian": lambda x: jnp.exp(-(x**2)),
        "snake": lambda x: x + jnp.sin(x) ** 2,
        "relu_squared": lambda x: jax.nn.relu(x) ** 2,
        "x_erf": lambda x: x * erf(x),
    }


def peer() -> None:
    """Run by the other interpreter: print {name: {degree: values}}, a point being a place of a 1-D picture.

    This library is not installed there, so imports on either side wait in their functions.
    """
    import warnings

    import jax
    import jax.numpy as jnp
    import neural_tangents as nt
    from neural_tangents import stax

    warnings.simplefilter("ignore")
    jax.config.update("jax_enable_x64", True)
    found: dict[str, dict[int, list[float]]] = {}
    functions = peer_functions()
    for name, rows in json.loads(REFS.read_text())["duals"].items():
        p, q, k = (jnp.asarray(x) for x in points(rows))
        kernel = nt.Kernel(
            nngp=k[None, None],
            ntk=jnp.ones((1, 1, len(rows))),
            cov1=p[None],
            cov2=q[None],
            x1_is_x2=jnp.array(False),
            is_gaussian=True,
            is_reversed=False,
            is_input=False,
            diagonal_batch=True,
            diagonal_spatial=True,
            shape1=(1, len(rows), 1),
            shape2=(1, len(rows), 1),
            batch_axis=0,
            channel_axis=2,
        )
        for degree in DEGREES:
            out = stax.ElementwiseNumerical(functions[name.rstrip("'")], degree)[2](kernel)
            values = np.asarray(out.ntk if name.endswith("'") else out.nngp)[0, 0]
            found.setdefault(name, {})[degree] = values.tolist()
    print(json.dumps(found))


def theirs(stored: dict[str, Any], python: str | None) -> str:
    """Worst error over scale by degree, at variances up to 1 and at all, and where the highest degree is worst."""
    if python is None:
        return "neural-tangents: not measured (no --peer-python)."
    try:
        command = [python, __file__, "--as-peer"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        return f"neural-tangents: not measured ({reason})."
    found, texts = json.loads(run.stdout.splitlines()[-1]), []
    head = [f"degree {d}, {where}" for d in DEGREES for where in ("variances <= 1", "all")]
    head += [f"above 1e-3 at degree {DEGREES[-1]}", "worst there, variances <= 1", "worst there, all"]
    for title, slope in (("E f(u) f(v)", False), ("E f'(u) f'(v)", True)):
        names = [name for name in found if name.endswith("'") == slope]
        lines = [(name, *_peer_row(stored["duals"][name], found[name])) for name in names]
        texts.append(table((title, *head), lines))
    return "neural-tangents ElementwiseNumerical, error/scale:\n\n" + "\n\n".join(texts)


def _peer_row(rows: Rows, by_degree: dict[str, list[float]]) -> list[Any]:
    everywhere, cells = range(len(rows)), []
    small = [i for i in everywhere if max(float(rows[i][0]), float(rows[i][1])) <= 1]
    for degree in DEGREES:
        pairs = zip(by_degree[str(degree)], rows, strict=True)
        errors = [ratio(distance(value, row[3]), Fraction(row[4])) for value, row in pairs]
        cells += [max(errors[i] for i in small), max(errors)]
    worst = [_place(rows[max(part, key=errors.__getitem__)]) for part in (small, everywhere)]
    return [*cells, f"{sum(error > 1e-3 for error in errors)} of {len(rows)}", *worst]


def _place(row: list[Any]) -> str:
    p, q, k = (Fraction(float(x)) for x in row[:3])
    c = float(k) / math.sqrt(p * q)
    left = float(1 - k * k / (p * q)) / (1 + abs(c))
    near = f"{'-' if k < 0 else ''}(1 - {left:.0e})" if 0 < left < 1e-3 else f"{c:.4g}"
    return f"p = {float(p):.4g}, q = {float(q):.4g}, c = {near}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", metavar="PATH")
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_peer:
        return peer()
    stored = json.loads(REFS.read_text())
    text, met = ours(stored)
    text += "\n\n" + theirs(stored, given.peer_python)
    print(text)
    if given.write:
        replace(given.write, "duals", text)
    sys.exit(not met)


if __name__ == "__main__":
    main()
