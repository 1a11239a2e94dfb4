"""Derive every dual that has to have a formula and print how long it took, cold and from memory.

Usage: python scripts/derive_duals.py [name ...] [--write FILE]; without names all of them. Seconds are processor time,
proof against quadrature included; `--write FILE` replaces the table between <!-- derived:begin --> and
<!-- derived:end --> in a markdown file. Exit status 1 if one stays open or takes longer than it may.
"""

import sys
import time
from pathlib import Path

import sympy as sp
from pages import replace

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.closing import formula
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.landmarks import slope

a, b = sp.Symbol("a", positive=True), sp.Symbol("b", real=True)
_RELU = sp.Max(X, 0)
PAIRS: dict[str, sp.Expr] = {
    "identity": X,
    **{f"x^{n}": X**n for n in range(2, 9)},
    "polynomial of degree 8": sp.Add(*((n + 1) * X**n for n in range(9))),
    "step": ACT["step"].formula,
    **{f"relu^{n}": _RELU**n for n in range(1, 5)},
    "leaky relu, slope a": sp.Piecewise((X, X > 0), (a * X, True)),
    "abs": sp.Abs(X),
    "sign": sp.sign(X),
    "erf(a x)": sp.erf(a * X),
    "phi": ACT["phi"].formula,
    "gelu": ACT["gelu"].formula,
    "x erf(x)": X * sp.erf(X),
    "(x^3 + x) erf(x)": (X**3 + X) * sp.erf(X),
    "sin": sp.sin(X),
    "cos": sp.cos(X),
    "sin(a x + b)": sp.sin(a * X + b),
    "x + sin(x)^2/a": X + sp.sin(X) ** 2 / a,
    "exp(b x)": sp.exp(b * X),
    "gaussian": sp.exp(-(X**2)),
    "x exp(-x^2/2)": X * sp.exp(-(X**2) / 2),
    "exp(-x^2) sin(a x)": sp.exp(-(X**2)) * sp.sin(a * X),
    "cos(x^2)": sp.cos(X**2),
}
MIXED: dict[str, tuple[sp.Expr, sp.Expr]] = {
    "relu, gelu": (_RELU, ACT["gelu"].formula),
    "erf, x exp(-x^2/2)": (sp.erf(X), X * sp.exp(-(X**2) / 2)),
    "sin, x^3": (sp.sin(X), X**3),
    "sign, abs": (sp.sign(X), sp.Abs(X)),
}
LINES: dict[str, sp.Expr] = {
    "elu": ACT["elu"].formula,
    "selu": ACT["selu"].formula,
    "hard tanh": ACT["hard_tanh"].formula,
    "hard sigmoid": sp.Max(0, sp.Min(1, X / 6 + sp.Rational(1, 2))),
    "hard swish": X * sp.Max(0, sp.Min(6, X + 3)) / 6,
    "relu6": sp.Min(_RELU, 6),
    "relu(x - 1)": sp.Max(X - 1, 0),
}
LIMITS = {"gelu": 20.0}
LIMIT = 5.0


def seconds(expr: sp.Expr) -> tuple[sp.Expr, float]:
    began = time.process_time()
    return formula(expr), time.process_time() - began


def timed(name: str, means: list[sp.Expr]) -> tuple[str, bool]:
    """A row: each mean derived and once more; whether all closed in time."""
    found = [seconds(mean) for mean in means]
    again = max(seconds(mean)[1] for mean in means)
    closed = not any(e.has(Mean, PairMean) for e, _ in found)
    cells = " | ".join(f"{s:.2f}" for _, s in found)
    good = closed and max(s for _, s in found) <= LIMITS.get(name, LIMIT)
    return f"| {name} | {cells} | {again:.1e} | {'closed' if closed else 'open'} |", good


def rows(names: list[str]) -> tuple[list[str], bool]:
    pairs = {n: [PairMean(f, f, p, q, k), PairMean(slope(f), slope(f), p, q, k)] for n, f in PAIRS.items()}
    pairs |= {n: [PairMean(f, g, p, q, k), PairMean(slope(f), slope(g), p, q, k)] for n, (f, g) in MIXED.items()}
    lines = {
        n: [Mean(f**2, q), Mean(slope(f) ** 2, q), Mean(f * slope(slope(f)), q), Mean(f**8, q)]
        for n, f in LINES.items()
    }
    out, good = [], True
    for head, table in (
        ("| pair | E f(u) g(v), s | E f'(u) g'(v), s | again, s | |", pairs),
        ("| one variable | E f^2, s | E f'^2, s | E f f'', s | E f^8, s | again, s | |", lines),
    ):
        chosen = {n: m for n, m in table.items() if not names or n in names}
        if chosen:
            out += ["", head, "|" + "---|" * (head.count("|") - 1)]
        for name, means in chosen.items():
            row, fine = timed(name, means)
            out, good = [*out, row], good and fine
            print(row, flush=True)
    return out, good


def main(arguments: list[str]) -> int:
    target = Path(arguments[arguments.index("--write") + 1]) if "--write" in arguments else None
    names = [n for i, n in enumerate(arguments) if n != "--write" and (i == 0 or arguments[i - 1] != "--write")]
    unknown = [n for n in names if n not in {*PAIRS, *MIXED, *LINES}]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known are {', '.join([*PAIRS, *MIXED, *LINES])}", file=sys.stderr)
        return 2
    table, good = rows(names)
    if target is not None:
        replace(target, "derived", "\n".join([*table, ""]))
    print("All closed in time." if good else "MISSED: one stays open or took too long.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
