"""Write tests/refs/duals.json: E f(u) f(v) and E f'(u) f'(v), u and v centred Gaussians, at float64 (p, q, k).

Every value comes from two rules of scripts/dual_means.py that share no node and must agree to 1e-25 of
√(E f(u)² E f(v)²), as must a textbook formula where there is one. s² = 1 - k²/(pq) is exact.
`--jobs J` takes J processes; `--confirm N` holds N random entries of the file against mpmath instead.
"""

import argparse
import json
import math
import random
import time
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import mpmath as mp
from dual_means import FAMILIES, GROWING, ONE, ZERO, A, B, Family, closed, expected
from flint import arb, ctx, fmpq
from sympy import lambdify

from symbolic.activations import activation
from symbolic.functions import X, elementary

TARGET = Path(__file__).parents[1] / "tests" / "refs" / "duals.json"
AGREE = 1e-25
FORMULAS = {"relu_squared": "Max(x, 0)**2", "x_erf": "x*erf(x)"}
Point = tuple[float, float, float]


# -- points --------------------------------------------------------------------------------------------------------


def _point(p: float, q: float, c: float) -> Point:
    """k is c√(pq) rounded, moved towards 0 while k² > pq."""
    k = c * p if p == q else c * math.sqrt(p * q)
    while Fraction(k) ** 2 > Fraction(p) * Fraction(q):
        k = math.nextafter(k, 0.0)
    return p, q, k


FULL = (-1.0, -1 + 1e-8, -0.5, 0.0, 0.9, 1 - 1e-4, 1 - 1e-8, 1 - 1e-12, 1.0)
SPARSE = (-1 + 1e-12, -1 + 1e-4, -0.99, 0.3, 0.99, 1 - 1e-6, 1 - 1e-10)
UNEQUAL = (
    *((1e-6, 1e3, 0.5), (1e-6, 1e3, -1 + 1e-8), (1e-2, 1e2, 0.99), (2.25, 0.7, 1 - 1e-8), (1e3, 3.0, -0.7)),
    *((1e3, 700.0, 1 - 1e-12), (4.0, 1.0, 1.0), (4.0, 1.0, -1.0), (0.25, 1.0, 1 - 1e-12), (1e3, 250.0, 1.0)),
    *((1.0, 1e3, 0.0), (0.5, 2.0, 0.999), (1e-6, 4e-6, -1 + 1e-10), (50.0, 20.0, -0.95), (0.1, 0.3, 0.6)),
)
POINTS = list(
    dict.fromkeys(
        [
            *(_point(v, v, c) for v in (1e-6, 1e-2, 1.0, 30.0, 1e3) for c in FULL),
            *(_point(v, v, c) for v in (0.3, 4.0, 250.0) for c in SPARSE),
            *(_point(p, q, c) for p, q, c in UNEQUAL),
            *((1.0, 1.0, math.nextafter(1.0, 0.0)), (1.0, 1.0, math.nextafter(-1.0, 0.0)), (1.3, 0.7, 0.4)),
        ]
    )
)
# exp needs p + q within the range of float64's exponent, so it has points of its own as well.
EXTRA = [_point(v, v, c) for v in (0.1, 0.5, 5.0, 60.0, 100.0) for c in (*FULL[:5], 1 - 1e-8, 1.0)]
LARGEST = 250.0


def geometry(p: float, q: float, k: float) -> tuple[arb, arb, arb, arb, arb]:
    """p, q, k, c, s; s² = 1 - k²/(pq) in rationals, so s is 0 exactly on the boundary."""
    left = 1 - Fraction(k) ** 2 / (Fraction(p) * Fraction(q))
    if left == 0:
        return arb(p), arb(q), arb(k), arb(math.copysign(1.0, k)), ZERO
    s = arb(fmpq(left.numerator, left.denominator)).sqrt()
    return arb(p), arb(q), arb(k), arb(k) / (arb(p) * arb(q)).sqrt(), s


# -- rows ----------------------------------------------------------------------------------------------------------

Row = list[Any]


def rows(point: Point, families: tuple[Family, ...]) -> dict[str, Row]:
    """name -> [p, q, k, value, scale, gap of the rules, gap to the formula or null, method]."""
    # Near c = -1 the formulas cancel, to s⁵ from s.
    with ctx.workprec(400):
        exact = closed(*geometry(*point))
    p, q, _, c, s = geometry(*point)
    found: dict[str, Row] = {}
    for family in families:
        if family.growth and point[0] + point[1] > LARGEST:
            continue
        first, second = (expected(family, rule, p, q, c, s) for rule in (A, B))
        squares = zip(*(expected(family, A, v, v, ONE, ZERO) for v in (p, q)), strict=True)
        for name, one, two, (left, right) in zip(family.names, first, second, squares, strict=True):
            scale, where = (left * right).sqrt(), "line" if s.is_zero() else "plane"
            gap, apart = _gap(one - two, scale), _gap(exact[name] - two, scale) if name in exact else None
            if not max(gap, apart or 0.0) < AGREE:
                raise ArithmeticError(f"{name} at {point}: rules differ by {gap:.1e}, formula by {apart}")
            method = f"{where} trapezoid" if family.frequency is not None else f"{where} Gauss"
            value = _digits(exact[name] if name in exact else _cleared(two, scale))
            found[name] = [*map(repr, point), value, scale.mid().str(17, radius=False), gap, apart, method]
    return found


def _gap(difference: arb, scale: arb) -> float:
    """An upper bound, the radius included, to two digits."""
    return float(f"{float((abs(difference) / scale).upper()):.1e}")


def _cleared(value: arb, scale: arb) -> arb:
    """0 where only rounding is left, as of what symmetry cancels."""
    return ZERO if abs(value) < scale * arb("1e-45") else value


def _digits(value: arb) -> str:
    if value.contains(0):
        return "0"
    if value.rel_accuracy_bits() < 125:
        raise ArithmeticError(f"{value} has no 36 digits")
    return str(value.mid().str(36, radius=False))


def task(index: int) -> dict[str, Row]:
    main = index < len(POINTS)
    return rows((POINTS + EXTRA)[index], FAMILIES if main else (GROWING,))


ABOUT = (
    "E f(u) f(v), and E f'(u) f'(v) under the name f', for exactly the float64 numbers p, q, k. Columns: p, q, k "
    "(their repr: read them as float64); value, the textbook formula's to 36 digits where there is one, else rule B's, "
    "right to about 1e-34 of the scale, 0 where under 1e-45 of it; scale = sqrt(E f(u)^2 E f(v)^2); gap of rules A and "
    "B over the scale, Arb's radius at 200 bits included; gap of rule B to the textbook formula over the scale (null: "
    "no formula); method (plane: two integrals; line: one, for c = +-1). Written by scripts/make_dual_refs.py."
)


def write(jobs: int) -> None:
    table: dict[str, list[Row]] = {}
    began = time.perf_counter()
    with ProcessPoolExecutor(jobs) as pool:
        for done, found in enumerate(pool.map(task, range(len(POINTS) + len(EXTRA))), 1):
            for name, row in found.items():
                table.setdefault(name, []).append(row)
            print(f"{done} of {len(POINTS) + len(EXTRA)} points, {time.perf_counter() - began:.0f} s", flush=True)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(table))


def text(table: dict[str, list[Row]]) -> str:
    names = sorted(table, key=lambda name: (name.endswith("'"), name))
    blocks = (f'"{n}": [\n' + ",\n".join("  " + json.dumps(row) for row in table[n]) + "\n]" for n in names)
    formulas = {name: FORMULAS.get(name, name) for name in names if not name.endswith("'")}
    head = f'"about": {json.dumps(ABOUT)},\n"formulas": {json.dumps(formulas)},\n'
    return f'{{{head}"duals": {{\n' + ",\n".join(blocks) + "\n}}\n"


# -- mpmath --------------------------------------------------------------------------------------------------------


def _cuts(centres: list[Any], scales: list[Any], reach: int) -> list[Any]:
    steps = [0, *(sign * scale * 4**i for scale in scales for sign in (-1, 1) for i in range(3))]
    inside = {m + step for m in centres for step in steps if abs(m + step) < reach}
    return sorted(inside | {mp.mpf(edge) for edge in (-reach, -4, 0, 4, reach)})


def nested(name: str, at: Point) -> Any:
    """The same mean by nested mp.quad to about 17 digits, the function being SymPy's own formula."""
    plain = name.rstrip("'")
    formula = activation(FORMULAS.get(plain, plain)).formula
    f = lambdify(X, elementary(formula if plain == name else formula.diff(X)), "mpmath")
    p, q, k = map(mp.mpf, at)
    with mp.workdps(60):
        a, b, c, s = mp.sqrt(p), mp.sqrt(q), k / mp.sqrt(p * q), mp.sqrt(1 - k * k / (p * q))
    kinks, reach = (-1, 1) if plain == "hard_tanh" else (0,), 10 + (int(a + b) if plain == "exp" else 0)
    quad = partial(mp.quad, method="gauss-legendre", maxdegree=4)

    def mean(z: Any) -> Any:
        if s == 0:
            return f(b * c * z)
        cuts = _cuts([(kink / b - c * z) / s for kink in kinks], [1 / (b * s)], reach)
        return quad(lambda w: f(b * (c * z + s * w)) * mp.npdf(w), cuts)

    centres = [kink / x for kink in kinks for x in {a, b * c or a}]
    return quad(lambda z: f(a * z) * mean(z) * mp.npdf(z), _cuts(centres, [s or 1, 1 / max(a, b)], reach))


def confirm(count: int, seed: int = 0) -> float:
    """The worst difference from mpmath over random entries, in units of the scale; fast waves would take hours."""
    mp.mp.dps, worst = 20, 0.0
    entries = [(n, row) for n, table in json.loads(TARGET.read_text())["duals"].items() for row in table]
    slow = {"sin", "cos", "snake"}
    entries = [(n, row) for n, row in entries if n.rstrip("'") not in slow or max(map(float, row[:2])) <= 4]
    for name, row in random.Random(seed).sample(entries, count):
        began, at = time.perf_counter(), tuple(map(float, row[:3]))
        error = float(abs(nested(name, at) - mp.mpf(row[3])) / mp.mpf(row[4]))
        worst = max(worst, error)
        print(f"{name:14} {at} {error:.1e} {time.perf_counter() - began:.1f} s", flush=True)
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--confirm", type=int, metavar="N")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    if given.confirm is None:
        write(given.jobs)
    else:
        print(f"worst of {given.confirm}: {confirm(given.confirm):.1e}")


if __name__ == "__main__":
    main()
