"""Time NNGP and NTK kernels, both from one call, beside neural-tangents; print their cost and their errors.

The network is Dense -> (activation -> Dense)^depth on standard normal points of 30 features, whose norms differ. A
row is measured in a fresh process on either side, which has done the same shape before on other points; runs are
paired and alternate, each on new points, the same on both sides. Medians of the seconds, the largest of the
memory, which is the high-water mark during the call without the two matrices that it returns. Errors are the worst
over random entries against a recursion in Arb (`kernel_reference.py`), relative to sqrt(K_ii K_jj).

`--peer-python PATH` names an interpreter with neural-tangents (`kernels_in_nt.py`); `--write FILE` replaces the text
between the markers kernels:begin and kernels:end of a markdown file.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from kernel_reference import recursion
from kernel_roofline import NEEDED, bare
from metered import serve, worker
from pages import replace, table

import meanfield as mf

# weight_var, bias_var: at or below the edge of chaos, so that 64 layers keep their digits
VARIANCES = {
    **dict.fromkeys(("relu", "erf", "gelu", "sin", "tanh"), (1.5, 0.1)),
    "exp": (0.1, 0.05),
    "rbf": (0.9, 0.1),
}
FORMULAS = {"rbf": "sin(x) + cos(x)"}  # stax.Rbf(1/2): sqrt(2) sin(x + pi/4)
FEATURES, PATIENCE = 30, 60.0  # seconds after which a row is not run once more
Answers = dict[str, list[dict[str, Any]]]  # "ours" and "peer", a run each


@dataclass(frozen=True)
class Row:
    name: str
    depth: int
    points: int
    dtype: str

    @property
    def network(self) -> tuple[Any, ...]:
        """What either worker is told."""
        return self.name, self.depth, *VARIANCES[self.name], self.dtype

    @property
    def entries(self) -> int:
        """How many are compared: tanh has to be integrated."""
        return 20 if self.name == "tanh" else 200

    @property
    def has_peer(self) -> bool:
        """Quadrature takes neural-tangents minutes or tens of gigabytes beyond this."""
        return self.name != "tanh" or (self.points <= 1000 and self.depth <= 3)


def work(name: str, depth: str, weight_var: str, bias_var: str, dtype: str) -> None:
    """This library's worker."""
    dense = mf.Dense(float(weight_var), float(bias_var))
    net = dense >> (mf.activation(FORMULAS.get(name, name)) >> dense) ** int(depth)
    serve(lambda x: x, lambda x: mf.kernel(net, x, get=("nngp", "ntk"), dtype=dtype))


# -- one row -------------------------------------------------------------------------------------------------------


def draw(row: Row, rng: np.random.Generator, path: Path) -> dict[str, np.ndarray]:
    """Points and places, a tenth of them on the diagonal, into a file."""
    x = rng.standard_normal((row.points, FEATURES)).astype(row.dtype)
    rows, columns = rng.integers(row.points, size=(2, row.entries))
    columns[::10] = rows[::10]
    given = {"x": x, "rows": rows, "columns": columns}
    np.savez(path, **given)
    return given


def measure(row: Row, runs: int, peer: str | None, rng: np.random.Generator) -> tuple[Answers, list[Any]]:
    """Answers after the first, which compiles; and the last points with the places compared."""
    here = Path(__file__)
    commands = {"ours": (sys.executable, here, "--one")}
    if peer and row.has_peer:
        commands["peer"] = (peer, here.with_name("kernels_in_nt.py"))
    with TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "given.npz"
        workers = {side: stack.enter_context(worker(*command, *row.network)) for side, command in commands.items()}
        draw(row, rng, path)
        for ask in workers.values():
            ask(path)
        answers: Answers = {side: [] for side in workers}
        while len(answers["ours"]) < runs and spent(answers) < PATIENCE:
            given = draw(row, rng, path)
            for side, ask in workers.items():
                answers[side].append(ask(path))
    return answers, [(given["x"][i], given["x"][j]) for i, j in zip(given["rows"], given["columns"], strict=True)]


def spent(answers: Answers) -> float:
    return sum(run["wall"] for runs in answers.values() for run in runs)


def errors(row: Row, answers: Answers, pairs: list[Any]) -> dict[str, tuple[float, float]]:
    """The worst of NNGP and of NTK in the last run of each side."""
    entry = recursion(row.name, row.depth, *VARIANCES[row.name])
    exact = [entry(*pair) for pair in pairs]

    def worst(values: list[float], component: int) -> float:
        """NaN if one of them is."""
        both = zip(values, exact, strict=True)
        return float(np.max([float(abs(value - x[component]) / x[component + 2]) for value, x in both]))

    return {side: (worst(runs[-1]["nngp"], 0), worst(runs[-1]["ntk"], 1)) for side, runs in answers.items()}


# -- tables --------------------------------------------------------------------------------------------------------

HEAD = ("activation", "depth", "points", "dtype")
MEASURED = ("wall s", "CPU s", "extra MiB")
COST = ("runs", *MEASURED, *(f"peer {what}" for what in MEASURED), "wall ratio", "CPU ratio")
ERRORS = ("entries compared", "NNGP", "NTK", "peer NNGP", "peer NTK")
ROOFLINE = ("CPU ns an entry and layer", "functions", "their ns", "ratio")


def cost(runs: list[dict[str, Any]]) -> tuple[float, float, float]:
    return *(median(run[what] for run in runs) for what in ("wall", "cpu")), max(r["extra"] for r in runs) / 2**20


def cost_row(answers: Answers) -> list[str]:
    wall, cpu, extra = cost(answers["ours"])
    cells = [str(len(answers["ours"])), f"{wall:.3g}", f"{cpu:.3g}", f"{extra:.0f}"]
    if "peer" not in answers:
        return cells + ["-"] * 5
    peer_wall, peer_cpu, peer_extra = cost(answers["peer"])
    ratios = f"{peer_wall / wall:.3g}", f"{peer_cpu / cpu:.3g}"
    return [*cells, f"{peer_wall:.3g}", f"{peer_cpu:.3g}", f"{peer_extra:.0f}", *ratios]


def roofline_row(row: Row, answers: Answers, bare: Callable[[str], float]) -> list[str]:
    """An entry is one of the lower triangle: the others are copied."""
    ours = cost(answers["ours"])[1] / (row.points * (row.points + 1) / 2 * row.depth)
    needed = bare(row.name)
    return [f"{1e9 * ours:.2f}", NEEDED[row.name][0], f"{1e9 * needed:.2f}", f"{ours / needed:.1f}"]


def report(rows: Iterator[Row], runs: int, peer: str | None) -> str:
    """The three tables, each row also printed once it is there."""
    costs, worst, roofline, once = [], [], [], cache(bare)
    rng = np.random.default_rng(1)
    for row in rows:
        answers, pairs = measure(row, runs, peer, rng)
        found = errors(row, answers, pairs)
        head = [row.name, row.depth, row.points, row.dtype]
        costs.append([*head, *cost_row(answers)])
        worst.append([*head, len(pairs), *found["ours"], *found.get("peer", ("-", "-"))])
        print(*costs[-1], *worst[-1][5:], flush=True, file=sys.stderr)
        if row.name in NEEDED and row.dtype == "float64":
            roofline.append([*head[:3], *roofline_row(row, answers, once)])
    tables = [table([*HEAD, *COST], costs), table([*HEAD, *ERRORS], worst)]
    return "\n\n".join([*tables, table([*HEAD[:3], *ROOFLINE], roofline)] if roofline else tables)


def remarks(given: argparse.Namespace, load: float) -> str:
    """What the tables do not say by themselves."""
    said = [f"{os.cpu_count()} cores, load average {load:.1f} before and {os.getloadavg()[0]:.1f} after."]
    if given.peer_python:
        said.append("Ratios are the peer's over ours. A dash: no peer was run, its quadrature takes too long there.")
    else:
        said.append("neural-tangents: not measured (--peer-python).")
    return " ".join(said)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two activations, 100 points, one run")
    parser.add_argument("--activations", nargs="+", choices=VARIANCES, default=list(VARIANCES), metavar="NAME")
    parser.add_argument("--depths", nargs="+", type=int, default=[3, 10, 64], metavar="N")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1000, 2000, 4000], metavar="N")
    parser.add_argument("--dtypes", nargs="+", choices=("float64", "float32"), default=["float64", "float32"])
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--peer-python", metavar="PATH")
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.activations, given.depths, given.sizes, given.runs = ["relu", "erf"], [3], [100], 1
    return given


def main() -> None:
    given = arguments()
    if given.one:
        return work(*given.one)
    load = os.getloadavg()[0]
    rows = (
        Row(name, depth, points, dtype)
        for name in given.activations
        for depth in given.depths
        for points in given.sizes
        for dtype in given.dtypes
    )
    text = f"{report(rows, given.runs, given.peer_python)}\n\n{remarks(given, load)}"
    print(text)
    if given.write:
        replace(given.write, "kernels", text)


if __name__ == "__main__":
    main()
