"""Slopes in width of real trained networks beside those that mf.scaling predicts, for every optimizer.

Rows: the maximal-update parametrization of each optimizer; then parametrizations and dampings whose layers freeze or
blow up at predicted rates. Cells: mean over seeds of own and of the change of the output (df) after the first and
after the last step; "off" is the largest |measured - predicted| of own, prop and dh over its margin.

`--write FILE` replaces the text between slopes:begin and slopes:end of a markdown file.
"""

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pages import replace as write
from pages import table
from sympy import Rational
from threadpoolctl import threadpool_limits

import meanfield as mf

HALF, QUARTER = Rational(1, 2), Rational(1, 4)
LINEAR = mf.Dense() >> (mf.linear >> mf.Dense()) ** 3
DERIVED = "derived here"  # not read in a paper


@dataclass(frozen=True)
class Row:
    optimizer: str
    options: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1  # times the number asked for


MUP = [
    *(Row(name) for name in ("sgd", "momentum", "adam", "rmsprop", "sign", "lion")),
    *(Row(name) for name in ("adafactor", "lamb", "lars", "normalized_sgd", "muon", "shampoo")),
    Row("shampoo", {"e_L": HALF, "e_R": HALF}),
    Row("shampoo", {"e_L": HALF, "e_R": QUARTER}),
    Row("kfac"),
    Row("kfac", {"e_A": HALF, "e_B": HALF}),
    Row("kfac", {"e_A": HALF, "e_B": 1}),
    Row("kfac", {"e_A": QUARTER, "e_B": 3 * QUARTER}),
    Row("foof"),
    *(Row("soap", {"sides": sides}) for sides in ("both", "right", "left")),
    *(Row("predictive_coding", {"gamma": g}) for g in (0, HALF, 1, 3 * HALF)),
    *(Row("predictive_coding", {"gamma": g, "architecture": LINEAR}) for g in (1, 3 * HALF)),
    Row("target_propagation", seeds=4),
]
OTHERS = [
    Row("sgd", {"parametrization": "standard", "learning_rate": 1e-4}),
    Row("adam", {"parametrization": "standard", "learning_rate": 1e-4}),
    Row("sgd", {"parametrization": "ntk"}, seeds=4),
    Row("adam", {"parametrization": "ntk", "learning_rate": 0.01}, seeds=4),
    Row("shampoo", {"parametrization": "ntk"}, seeds=4),
    Row("kfac", {"parametrization": "ntk"}, seeds=4),
    Row("kfac", {"damping": "constant", "damping_size": 0.3}),
    Row("kfac", {"damping": "pi"}),
]


def measured(row: Row, given: argparse.Namespace) -> mf.CoordinateCheck:
    with threadpool_limits(1):
        return mf.coordinate_check(
            optimizer=row.optimizer, widths=given.widths, seeds=given.seeds * row.seeds, **row.options
        )


def off(found: mf.CoordinateCheck) -> str:
    judged = [row for row in found.rows if row.part in ("own", "prop", "dh")]
    worst = max(judged, key=lambda row: abs(row.measured - row.predicted) / row.margin)
    return f"{abs(worst.measured - worst.predicted) / worst.margin:.2f} ({worst.part} {worst.layer})"


def cell(found: mf.CoordinateCheck, part: str, layer: str) -> str:
    """predicted: measured after the first, after the last step."""
    rows = [row for row in found.rows if (row.part, row.layer) == (part, layer)]
    if not rows:
        return "-"
    return f"{Rational(rows[0].predicted)}: " + ", ".join(f"{row.measured:+.2f}" for row in rows)


def line(row: Row, found: mf.CoordinateCheck) -> list[str]:
    own = [cell(found, "own", layer) for layer in found.layers]
    changes = [cell(found, "dh", found.layers[-1]), cell(found, "f", found.layers[-1])]
    label = found.theory + (", linear network" if "architecture" in row.options else "")
    label += f" ({DERIVED})" if row.optimizer in ("predictive_coding", "target_propagation") else ""
    counts = [sum(r.outcome == o for r in found.rows) for o in ("agrees", "inconclusive", "disagrees")]
    return [label, *own, *changes, off(found), " / ".join(map(str, counts))]


def results(rows: list[Row], given: argparse.Namespace) -> Iterator[mf.CoordinateCheck]:
    work = partial(measured, given=given)
    if given.jobs == 1:
        yield from map(work, rows)
        return
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, rows)


def tables(given: argparse.Namespace) -> str:
    rows = [*MUP, *OTHERS]
    rows = [row for row in rows if given.only is None or row.optimizer in given.only]
    began = time.perf_counter()
    lines = [line(row, found) for row, found in zip(rows, results(rows, given), strict=True)]
    widths = ", ".join(map(str, given.widths))
    head = ("parametrization, optimizer", "own input", "own hidden 1", "own hidden 2", "own output", "df")
    head = (*head, "f before", "off", "agree / open / disagree")
    spent = f"{given.jobs} at once, {time.perf_counter() - began:.0f} s"
    said = f"Widths {widths}, {given.seeds} seeds (four times as many where noise asks for it), {spent}."
    return f"{said}\n\n{table(head, lines)}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three optimizers, narrow networks, two seeds")
    parser.add_argument("--widths", nargs="+", type=int, default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--only", nargs="+", metavar="OPTIMIZER")
    parser.add_argument("--jobs", type=int, default=2, help="rows at once")
    parser.add_argument("--write", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.quick:
        given.widths, given.seeds, given.jobs, given.only = [16, 32], 2, 1, ["sgd", "muon", "target_propagation"]
    return given


def main() -> None:
    given = arguments()
    text = tables(given)
    print(text)
    if given.write:
        write(given.write, "slopes", text)


if __name__ == "__main__":
    main()
