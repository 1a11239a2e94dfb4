"""The master table: exponents of the width n for every optimizer, derived by mf.scaling as the script runs.

Rows are those of an MLP under "mup" in the gauge without multipliers; exponents of an optimizer are symbols where it
has any. Below: the same parametrization in other gauges, what becomes of others, and the exponents of the depth L.

`--write FILE` replaces the text between scaling:begin and scaling:end of a markdown file.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path
from textwrap import fill
from typing import Any

from pages import replace as write
from pages import table
from sympy import Max, Rational, Symbol, factor_terms, symbols

import meanfield as mf
from symbolic.scaling.optimizers import RULES

HALF = Rational(1, 2)
E_L, E_R, E_A, E_B = symbols("e_L e_R e_A e_B", positive=True)
GAMMA = Symbol("gamma", real=True)
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "shampoo": [{"e_L": E_L, "e_R": E_R}, {}, {"e_L": HALF, "e_R": HALF}],
    "soap": [{"sides": sides} for sides in ("both", "left", "right")],
    "kfac": [{"e_A": E_A, "e_B": E_B}, {}, {"e_A": HALF, "e_B": HALF}],
    "predictive_coding": [{"gamma": GAMMA}, {"gamma": 0}, {"gamma": 1}],
}
ROLES = ("input", "hidden", "output")
GAUGES = ("a=0", "table8", "table9", "unit")
DEPTHS = ("depth_mup", "completep")


def shown(exponent: Any) -> str:
    if exponent is None:
        return "-"
    parts = exponent if isinstance(exponent, tuple) else (exponent,)
    return ", ".join(str(e if e.has(Max) else factor_terms(e)) for e in parts)


def row(found: mf.ScalingTable, *columns: str) -> list[str]:
    """Each column as three exponents, of input, hidden and output."""
    return ["; ".join(shown(getattr(found[role], column)) for role in ROLES) for column in columns]


def master() -> str:
    rows, sources = [], defaultdict(list)
    for name in RULES:
        for options in OPTIONS.get(name, [{}]):
            found = mf.scaling("mlp", optimizer=name, **options)
            kappa = shown(found.chain.optimizer.gauge)
            rows.append([f"`{found.optimizer}`", *row(found, "init_std", "learning_rate", "damping"), kappa])
        sources[found.provenance].append(name)
    head = ("optimizer", "init_std", "learning rate", "damping", "kappa")
    said = "\n".join(
        fill(f"- {', '.join(names)}: {source}.", 140, subsequent_indent="  ") for source, names in sources.items()
    )
    return f"{table(head, rows)}\n\nWhere the rows come from:\n\n{said}"


def gauges() -> str:
    columns = ("init_std", "multiplier", "learning_rate", "damping")
    rows = [
        [name, gauge, *row(mf.scaling("mlp", optimizer=name, gauge=gauge), *columns)]
        for name in ("sgd", "adam")
        for gauge in GAUGES
    ]
    return table(("optimizer", "gauge", "init_std", "multiplier", "learning rate", "damping"), rows)


def regimes() -> str:
    """What the other parametrizations do."""
    rows = []
    for name in ("sgd", "adam", "shampoo", "kfac"):
        for kind in ("mup", "ntk", "standard"):
            found = mf.scaling("mlp", optimizer=name, parametrization=kind, gauge="a=0")
            rows.append([name, kind, *row(found, "init_std", "learning_rate"), found.regime.name, shown(found.df)])
    return table(("optimizer", "parametrization", "init_std", "learning rate", "regime", "df"), rows)


def depths() -> str:
    rows = []
    for name in ("sgd", "adam", "muon", "shampoo", "kfac"):
        for kind in DEPTHS:
            rule = mf.scaling("resnet", optimizer=name, depth=kind).depth
            block = (rule.block.learning_rate, rule.block.damping, rule.drawn, rule.own, rule.second)
            rows.append([name, kind, shown(rule.multiplier), *map(shown, block)])
    head = ("optimizer", "rule", "branches", "learning rate", "damping", "drawn", "own", "second order")
    return table(head, rows)


def text() -> str:
    parts = [
        f"Exponents of the width as input; hidden; output. kappa: below.\n\n{master()}",
        f"Maximal updates in other gauges:\n\n{gauges()}",
        f"Other parametrizations, without multipliers; df: slope of the change of the output after one step:\n\n"
        f"{regimes()}",
        f"Exponents of the depth L in residual branches of two matrices:\n\n{depths()}",
    ]
    return "\n\n".join([*parts, f"{time.process_time():.1f} s of processor time for all, from the start of Python."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE")
    given, found = parser.parse_args(), text()
    print(found)
    if given.write:
        write(given.write, "scaling", found)


if __name__ == "__main__":
    main()
