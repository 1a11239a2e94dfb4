"""Write tests/solvers/refs/quadrature.json: E f(√q z) with 40 digits, E f(u) f(v) by tanh-sinh in 80 bits.

Tanh-sinh, ∫ F = h Σ F(x(kh)) x'(kh) with x = tanh(π/2 sinh t), shares neither nodes nor panels with
solvers/quadrature.py. A pair is accepted when steps 1/32 and 1/24 agree to 1e-16 of √(E f² E g²).
"""

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

TARGET = Path(__file__).parents[1] / "tests" / "solvers" / "refs" / "quadrature.json"
VARIANCES = ["1e-6", "1e-2", "1", "1e2", "1e6"]
# 1 - c, exactly; the float c = 1 - delta is within rounding of it.
DELTAS = ["1.99999999", "1.9", "1", "0.5", "0.01", "1e-4", "1e-8", "1e-12"]
UNEQUAL = [("1e-2", "1e2", "0.5"), ("1e-6", "1e6", "1.9"), ("2.25", "0.7", "0.01"), ("1e6", "3", "1e-8")]
LAMBDA, ALPHA = "1.0507009873554804934193349852946", "1.6732632423543772848170429916717"
WINDOW = np.longdouble(13)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _cdf(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _selu(x: Any) -> Any:
    return mp.mpf(LAMBDA) * (x if x > 0 else mp.mpf(ALPHA) * mp.expm1(x))


SINGLE: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: max(x, mp.mpf(0)),
    "step": lambda x: mp.mpf(x > 0),
    "elu": lambda x: x if x > 0 else mp.expm1(x),
    "elu_slope": lambda x: mp.mpf(1) if x > 0 else mp.exp(x),
    "selu": _selu,
    "selu_slope": lambda x: mp.mpf(LAMBDA) * (1 if x > 0 else mp.mpf(ALPHA) * mp.exp(x)),
    "gelu": lambda x: x * _cdf(x),
    "gelu_slope": lambda x: _cdf(x) + x * mp.npdf(x),
    "hard_tanh_square": lambda x: min(x * x, mp.mpf(1)),
    "hard_tanh_slope": lambda x: mp.mpf(abs(x) < 1),
    "tanh_square": lambda x: mp.tanh(x) ** 2,
    "tanh_slope": lambda x: mp.sech(x) ** 2,
    "tanh_vertex": lambda x: x * mp.tanh(x) * mp.sech(x) ** 2,
    "sigmoid": _sigmoid,
    "sigmoid_slope": lambda x: _sigmoid(x) * _sigmoid(-x),
    "silu": lambda x: x * _sigmoid(x),
    "silu_slope": lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(-abs(x))) + max(x, mp.mpf(0)),
}
DOUBLE: dict[str, Callable[[Any], Any]] = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "tanh": np.tanh,
    "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
    "silu": lambda x: x * (1 + np.tanh(x / 2)) / 2,
    "softplus": lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0),
}
KINKS = {"hard_tanh": [-1, 0, 1], "hard_tanh_square": [-1, 0, 1], "hard_tanh_slope": [-1, 0, 1]}


def single(name: str, q: str) -> tuple[str, float]:
    """E f(√q z) and, to a few digits, E|f|; split at the kinks and at powers of 8 in x."""
    root = mp.sqrt(mp.mpf(q))
    cuts = {mp.mpf(k) / root for k in KINKS.get(name, [0])} | {mp.mpf(z) for z in (-16, -4, 0, 4, 16)}
    cuts |= {sign * mp.mpf(8) ** k / root for sign in (-1, 1) for k in range(5)}
    split = sorted(z for z in cuts if abs(z) <= 16)
    value = mp.quad(lambda z: SINGLE[name](root * z) * mp.npdf(z), split)
    with mp.workdps(6):
        size = mp.quad(lambda z: abs(SINGLE[name](root * z)) * mp.npdf(z), split)
    return mp.nstr(value, 25), float(mp.nstr(size, 4))


def tanh_sinh(step: int) -> tuple[Any, Any]:
    t = np.arange(-4 * step, 4 * step + 1).astype(np.longdouble) / step
    # Distance from the left end as a fraction, exact near both ends; and its derivative.
    half = np.longdouble(mp.nstr(mp.pi / 2, 25))
    left = 1 / (1 + np.exp(-2 * half * np.sinh(t)))
    return left, 2 * half * np.cosh(t) * left * left[::-1] / step


def pieces(cuts: Any) -> Any:
    clipped = np.clip(np.sort(cuts, axis=0), -WINDOW, WINDOW)
    edge = np.full_like(clipped[:1], WINDOW)
    edges = np.concatenate([-edge, clipped, edge])
    return itertools.pairwise(edges)


def pair(name: str, p: str, q: str, delta: str, step: int) -> Any:
    f, kinks = DOUBLE[name], np.array(KINKS.get(name, [0]), dtype=np.longdouble)
    a, b, d = np.sqrt(np.longdouble(p)), np.sqrt(np.longdouble(q)), np.longdouble(delta)
    c, s = 1 - d, np.sqrt(d * (2 - d))
    left, weight = tanh_sinh(step)
    cuts = [kinks / a, kinks / a + 3 / a, kinks / a - 3 / a]
    if c != 0:
        cuts += [kinks / (b * c) + shift for shift in (-10 * s, -3 / b, 0, 3 / b, 10 * s)]
    total = np.longdouble(0)
    for low, high in pieces(np.concatenate(cuts)):
        z = low + (high - low) * left
        inner = np.zeros_like(z)
        zeros = (kinks[:, None] / b - c * z) / s
        around = [zeros, zeros - 3 / (b * s), zeros + 3 / (b * s), np.zeros_like(zeros[:1])]
        for lo, hi in pieces(np.concatenate(around)) if high > low else []:
            w = lo[:, None] + (hi - lo)[:, None] * left
            inner += (hi - lo) * (weight * np.exp(-w * w / 2) * f(b * (c * z[:, None] + s * w))).sum(axis=1)
        total += (high - low) * (weight * np.exp(-z * z / 2) * f(a * z) * inner).sum()
    return total / (2 * np.longdouble(mp.nstr(mp.pi, 25)))


def square(name: str, q: str) -> Any:
    """E f², as the mean of the square over one line."""
    f, root = DOUBLE[name], np.sqrt(np.longdouble(q))
    left, weight = tanh_sinh(64)
    kinks = np.array(KINKS.get(name, [0]), dtype=np.longdouble) / root
    total = np.longdouble(0)
    for low, high in pieces(np.concatenate([kinks, kinks + 3 / root, kinks - 3 / root])):
        z = low + (high - low) * left
        total += (high - low) * (weight * np.exp(-z * z / 2) * f(root * z) ** 2).sum()
    return total / np.sqrt(2 * np.longdouble(mp.nstr(mp.pi, 25)))


def main() -> None:
    mp.mp.dps = 40
    if np.finfo(np.longdouble).eps > 2e-19:
        sys.exit("this machine has no 80-bit long double")
    singles = [[name, q, *single(name, q)] for name in SINGLE for q in VARIANCES]
    pairs, worst = [], 0.0
    for name in DOUBLE:
        for p, q, delta in [(q, q, delta) for q in VARIANCES for delta in DELTAS] + UNEQUAL:
            value, scale = pair(name, p, q, delta, 32), np.sqrt(square(name, p) * square(name, q))
            gap = float(abs(value - pair(name, p, q, delta, 24)) / scale)
            worst = max(worst, gap)
            assert gap < 1e-16, f"{name} p={p} q={q} 1-c={delta}: steps differ by {gap:.1e}"
            pairs.append([name, p, q, delta, np.format_float_scientific(value, 20), float(scale)])
    single_rows, pair_rows = (",\n".join("  " + json.dumps(row) for row in rows) for rows in (singles, pairs))
    TARGET.write_text(f'{{"single": [\n{single_rows}\n],\n"pair": [\n{pair_rows}\n]}}\n')
    print(f"{len(singles)} single means and {len(pairs)} pairs; steps differ by at most {worst:.1e}")


if __name__ == "__main__":
    main()
