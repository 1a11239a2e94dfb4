"""Print the tables of docs/measured.md: accuracy against mpmath, start-up, kernels, verdicts, calibration.

Usage: python scripts/measure.py [section ...]; without arguments all sections but calibration, which takes minutes.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from statistics import median

import mpmath
import numpy as np

import meanfield as mf

Row = tuple[object, ...]


def table(title: str, head: tuple[str, ...], rows: Iterator[Row]) -> None:
    print(f"\n## {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(f'{c:.3g}' if isinstance(c, float) else str(c) for c in row)} |", flush=True)


# -- accuracy ------------------------------------------------------------------------------------------------------

SMOOTH: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
    "tanh": (mpmath.tanh, lambda x: mpmath.sech(x) ** 2),
    "erf": (mpmath.erf, lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-(x**2))),
    "sin": (mpmath.sin, mpmath.cos),
    "arctan": (mpmath.atan, lambda x: 1 / (1 + x**2)),
    "gelu": (lambda x: x * mpmath.ncdf(x), lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x)),
    "silu": (lambda x: x / (1 + mpmath.exp(-x)), lambda x: _silu_slope(x)),
}


def _silu_slope(x: object) -> object:
    s = 1 / (1 + mpmath.exp(-x))
    return s + x * s * (1 - s)


def referee(f: Callable[..., object], q: object) -> object:
    """E f(sqrt(q) z) by the trapezoid rule, which converges geometrically for analytic f; no code shared."""
    step, root = mpmath.mpf(1) / 32, mpmath.sqrt(q)
    return step * mpmath.fsum(f(root * i * step) * mpmath.npdf(i * step) for i in range(-400, 401))


def edges() -> Iterator[Row]:
    mpmath.mp.dps = 25
    for name, (phi, slope) in SMOOTH.items():
        for bias_var in (0.01, 0.09):
            found = mf.edge_of_chaos(name, bias_var=bias_var)

            def bias(q: object, phi: Callable[..., object] = phi, slope: Callable[..., object] = slope) -> object:
                return q - referee(lambda x: phi(x) ** 2, q) / referee(lambda x: slope(x) ** 2, q)

            q = mpmath.findroot(lambda q, b=bias, v=bias_var: b(q) - mpmath.mpf(repr(v)), found.q)
            weight_var = 1 / referee(lambda x, s=slope: s(x) ** 2, q)
            errors = (abs(found.q / q - 1), abs(found.weight_var / weight_var - 1))
            yield name, bias_var, f"{found.weight_var:.15g}", *(float(e) for e in errors)


def duals() -> Iterator[Row]:
    mpmath.mp.dps = 25
    rng = np.random.default_rng(1)
    for name in ("tanh", "erf", "sin", "gelu", "silu"):
        dual, worst = mf.dual(name), 0.0
        for _ in range(4):
            p, q = np.exp(rng.uniform(-2, 1, 2))
            k = rng.uniform(-0.99, 0.99) * np.sqrt(p * q)
            worst = max(worst, abs(float(dual(p, q, k) - _pair(SMOOTH[name][0], p, q, k))))
        yield name, "closed" if dual.closed else "quadrature", worst


def _pair(f: Callable[..., object], p: float, q: float, k: float) -> object:
    step, root = mpmath.mpf(1) / 8, mpmath.sqrt(p)
    slope, rest = k / root, mpmath.sqrt(q - mpmath.mpf(k) ** 2 / p)
    nodes = [(i * step, mpmath.npdf(i * step)) for i in range(-88, 89)]
    return step**2 * mpmath.fsum(
        a * f(root * z) * mpmath.fsum(b * f(slope * z + rest * w) for w, b in nodes) for z, a in nodes
    )


# -- time ----------------------------------------------------------------------------------------------------------

FIRST = "import meanfield as mf; print(mf.phase(mf.{} >> mf.Dense(weight_var=1.5, bias_var=0.05)).q)"


def start_up() -> Iterator[Row]:
    yield "import meanfield", "", _seconds("import meanfield"), ""
    for name in ("erf", "tanh"):
        with tempfile.TemporaryDirectory() as folder:
            cold = _seconds(FIRST.format(name), folder)
            warm = median(_seconds(FIRST.format(name), folder) for _ in range(3))
        yield f"first number, phase of {name}", cold, warm, "target: warm below 1.5"


def _seconds(code: str, cache: str = "") -> float:
    import os

    environment = {**os.environ, **({"MEANFIELD_CACHE": cache} if cache else {})}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    return time.perf_counter() - began


# -- verdicts ------------------------------------------------------------------------------------------------------


def verdicts() -> Iterator[Row]:
    for theory in mf.theories().values():
        for name, case in theory.cases.items():
            began = time.perf_counter()
            found = mf.check(theory, case=name)
            worst = max(abs(r.estimate - r.theory) / r.margin for r in found.rows)
            between = time.perf_counter()
            twin = mf.check(theory, networks=case.twin, case=name)
            spent = between - began, time.perf_counter() - between
            yield theory.name, name, found.outcome, found.draws, worst, spent[0], twin.outcome, twin.draws, spent[1]


def calibration() -> Iterator[Row]:
    block = mf.tanh >> mf.Dense(weight_var=1.5, bias_var=0.05)
    outcomes = [mf.check(block, sampler="conditional", depth=2, seed=seed).outcome for seed in range(200)]
    yield 200, *(outcomes.count(o) for o in ("agrees", "inconclusive", "disagrees"))
    weak = mf.check(block, sampler="conditional", depth=2, draws=20, max_draws=20, seed=0)
    yield "20 draws", weak.outcome, f"needs about {weak.draws_needed} draws", ""


SECTIONS: dict[str, tuple[str, tuple[str, ...], Callable[[], Iterator[Row]]]] = {
    "edges": (
        "Edge of chaos against mpmath (25 digits, another quadrature)",
        ("activation", "bias_var", "weight_var", "relative error of q", "of weight_var"), edges,
    ),
    "duals": ("Duals against mpmath, four random (p, q, k)", ("activation", "how", "worst absolute error"), duals),
    "start_up": ("Start-up, wall seconds of a whole process", ("what", "cold cache", "warm", ""), start_up),
    "verdicts": (
        "Every theory against real networks, margin 2 %, alpha 0.001, and its ten-per-cent twin",
        ("theory", "case", "outcome", "draws", "worst abs(difference)/margin", "s", "twin", "draws", "s"),
        verdicts,
    ),
    "calibration": (
        "A true theory over 200 seeds, and an underpowered run",
        ("seeds", "agrees", "inconclusive", "disagrees"),
        calibration,
    ),
}  # fmt: skip


def main(names: list[str]) -> None:
    unknown = set(names) - set(SECTIONS)
    if unknown:
        sys.exit(f"unknown section {', '.join(sorted(unknown))}; known are {', '.join(SECTIONS)}")
    for name in names or [n for n in SECTIONS if n != "calibration"]:
        title, head, rows = SECTIONS[name]
        table(title, head, rows())


if __name__ == "__main__":
    main(sys.argv[1:])
