"""Time a tanh phase diagram beside what a good engineer writes; print a table.

Usage: python scripts/bench_phase.py [--quick] [--peer-python PATH]; 200 x 200 points, with --quick 20 x 20; PATH is a
Python that has JAX, for a baseline with jax.vmap (`phase_in_jax.py`). weight_var 0.2 .. 4, bias_var
0.0025 .. 0.5, slightly shifted in each run so that nothing is remembered. Baselines, vectorised NumPy: Newton's method
for q* with 64 Gauss-Hermite nodes, then c* by bisection of the map (a) from 48 x 48 nodes, (b) from a Hermite series of
120 terms. Errors at 30 random chaotic points: |V(q*) - q*| by a trapezoid sum, and 1 - c* against the root of
w E (phi(u) - phi(v))^2/2 = q (1 - c) by a trapezoid sum over the plane, in which no digits cancel.
"""

import argparse
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import roots_hermitenorm

import meanfield as mf

Array = npt.NDArray[np.float64]
Solved = tuple[Array, Array]  # q*, 1 - c*
RUNS, CHECKED = 3, 30
Z = np.arange(-12, 12.01, 0.05)
WEIGHT = np.exp(-Z * Z / 2) * 0.05 / np.sqrt(2 * np.pi)


def hermite(n: int) -> tuple[Array, Array]:
    nodes, weights = roots_hermitenorm(n)
    return nodes, weights / np.sqrt(2 * np.pi)


def lengths(w: Array, b: Array) -> tuple[Array, Array]:
    """q* by Newton's method from 1, and chi_1, with 64 nodes."""
    z, weight = hermite(64)
    q = np.ones_like(w)
    for _ in range(60):
        u = np.sqrt(q)[..., None] * z
        t = np.tanh(u)
        value, slope = w * (t**2 @ weight) + b, w * ((t * (1 - t**2) * u) @ weight) / q
        step = (value - q) / (1 - slope)
        q = np.maximum(q + step, 1e-12)
        if np.abs(step).max() < 1e-13:
            break
    return q, w * ((1 - np.tanh(np.sqrt(q)[..., None] * z) ** 2) ** 2 @ weight)


def bisect(c_map: Callable[[Array, Array], Array], chaotic: Array) -> Array:
    """1 - c* where chi_1 > 1, else 0, by 45 bisections of C(c) - c on all chaotic points at once."""
    index = np.flatnonzero(chaotic)
    low, high = np.zeros(index.size), np.full(index.size, 1 - 1e-12)
    for _ in range(45):
        middle = 0.5 * (low + high)
        above = c_map(index, middle) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    out = np.zeros(chaotic.size)
    out[index] = 1 - 0.5 * (low + high)
    return out


def plane(w: Array, b: Array) -> Solved:
    """C(c) from 48 x 48 nodes, in chunks that fit the cache."""
    q, chi_1 = lengths(w, b)
    z, weight = hermite(48)
    x, y, both = (a.ravel() for a in (*np.meshgrid(z, z, indexing="ij"), np.outer(weight, weight)))

    def c_map(index: Array, c: Array) -> Array:
        out = np.empty(index.size)
        for i in range(0, index.size, 256):
            root = np.sqrt(q[index[i : i + 256]])[:, None]
            mixed = c[i : i + 256, None] * x + np.sqrt(1 - c[i : i + 256, None] ** 2) * y
            out[i : i + 256] = (np.tanh(root * x) * np.tanh(root * mixed)) @ both
        return (w[index] * out + b[index]) / q[index]

    return q, bisect(c_map, chi_1 > 1)


def series(w: Array, b: Array) -> Solved:
    """C(c) from the squares of 120 Hermite coefficients, with 200 nodes."""
    q, chi_1 = lengths(w, b)
    z, weight = hermite(200)
    basis = np.empty((120, z.size))
    basis[0], basis[1] = 1.0, z
    for k in range(1, 119):
        basis[k + 1] = (z * basis[k] - np.sqrt(k) * basis[k - 1]) / np.sqrt(k + 1)
    squares = (np.tanh(np.sqrt(q)[:, None] * z) @ (weight * basis).T) ** 2

    def c_map(index: Array, c: Array) -> Array:
        out = np.zeros(index.size)
        for k in range(119, -1, -1):
            out = out * c + squares[index, k]
        return (w[index] * out + b[index]) / q[index]

    return q, bisect(c_map, chi_1 > 1)


def ours(w: Array, b: Array) -> Solved:
    found = mf.phase_diagram("tanh", weight_var=w, bias_var=b)
    return found.q.ravel(), found.one_minus_c.ravel()


def in_jax(python: str, w: Array, b: Array) -> tuple[Solved, float]:
    """The same in another interpreter, and the seconds of its second, compiled run."""
    with TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, w=w, b=b)
        subprocess.run([python, Path(__file__).with_name("phase_in_jax.py"), given, found], check=True)
        with np.load(found) as data:
            return (data["q"], data["one_minus_c"]), float(data["seconds"])


def distance(w: float, q: float) -> float:
    """1 - c* from the mean square distance of the two activations, whose digits do not cancel."""
    x, y = np.meshgrid(Z, Z, indexing="ij")
    both = np.outer(WEIGHT, WEIGHT)

    def gap(log_e: float) -> float:
        e = np.exp(log_e)
        # u - v from half angles: u, v = sqrt(q) (cos(t/2) x +- sin(t/2) y), 1 - c = 2 sin^2(t/2)
        s, c = np.sqrt(e / 2), np.sqrt(1 - e / 2)
        u, v = np.sqrt(q) * (c * x + s * y), np.sqrt(q) * (c * x - s * y)
        return float(w * 0.5 * (both * ((np.tanh(u) - np.tanh(v)) / s) ** 2).sum() / (2 * q) - 1)

    return float(np.exp(brentq(gap, np.log(1e-9), np.log(1.0 + 1e-9), xtol=1e-15, rtol=1e-15)))


def errors(w: Array, b: Array, found: Solved, at: Array) -> tuple[float, float]:
    q, one_minus_c = found
    square = (np.tanh(np.sqrt(q[at])[:, None] * Z) ** 2) @ WEIGHT
    residual = np.abs(w[at] * square + b[at] - q[at]).max()
    exact = np.array([distance(w[i], q[i]) for i in at])
    return float(residual), float((np.abs(one_minus_c[at] - exact) / exact).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer-python", metavar="PATH")
    given = parser.parse_args()
    n = 20 if given.quick else 200
    rng = np.random.default_rng(1)
    methods = {
        "mf.phase_diagram": ours,
        "NumPy, 48 x 48 Gauss-Hermite": lambda w, b: plane(*grid(w, b)),
        "NumPy, Hermite series of 120 terms": lambda w, b: series(*grid(w, b)),
    }
    ours(np.linspace(0.2, 4, n), np.linspace(0.0025, 0.5, n))
    walls: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(1 if n < 200 else RUNS):
        w, b = np.linspace(0.2, 4, n) + 0.01 * rng.random(), np.linspace(0.0025, 0.5, n) + 0.001 * rng.random()
        found = {}
        for name, method in methods.items():
            began = time.perf_counter()
            found[name] = method(w, b)
            walls[name].append(time.perf_counter() - began)
    flat_w, flat_b = grid(w, b)
    if given.peer_python:
        found["jax.vmap, 48 x 48 Gauss-Hermite"], wall = in_jax(given.peer_python, flat_w, flat_b)
        walls["jax.vmap, 48 x 48 Gauss-Hermite"] = [wall]
    chaotic = np.flatnonzero(found["mf.phase_diagram"][1] > 0)
    at = rng.choice(chaotic, min(CHECKED, chaotic.size), replace=False)
    at[0] = chaotic[np.argmin(found["mf.phase_diagram"][1][chaotic])]
    print(f"| method, {n} x {n} points | wall s | ratio | residual of q* | relative error of 1 - c* |")
    print("|---|---|---|---|---|")
    base = median(walls["mf.phase_diagram"])
    for name in walls:
        residual, worst = errors(flat_w, flat_b, found[name], at)
        wall = median(walls[name])
        print(f"| {name} | {wall:.3g} | {wall / base:.3g} | {residual:.1e} | {worst:.1e} |")


def grid(w: Array, b: Array) -> tuple[Array, Array]:
    both = np.meshgrid(w, b, indexing="ij")
    return both[0].ravel(), both[1].ravel()


if __name__ == "__main__":
    main()
