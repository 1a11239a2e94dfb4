"""Time 1e6 pair means E tanh(u) tanh(v), all variances different, beside Gauss-Hermite rules; print a table.

Usage: python scripts/bench_duals.py [--quick] [--peer-python PATH]; --quick takes 1e4 pairs, PATH is a Python that has
neural-tangents, which needs an older JAX and so an interpreter of its own. p, q are log-uniform in [0.1, 10], ρ uniform
in (-1, 1); for the peer, whose unit is a matrix, ρ is the cosine of a uniform angle. Errors are relative to
√(E f² E g²), on 200 pairs, against the direct rule of solvers/quadrature.py.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import roots_hermitenorm

from solvers import vecmath
from solvers.hermite import Curve, spectrum
from solvers.jit import jit
from solvers.mehler import pair_means
from solvers.quadrature import pair_mean

Array = npt.NDArray[np.float64]
Triples = tuple[Array, Array, Array]
RUNS, CHECKED, TRIED, DEGREE = 3, 200, 40, 50
NONE = np.empty(0)
LOW, HIGH = 0.1, 10.0

PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
from neural_tangents import stax

points, block, runs, degree, checked = map(int, sys.argv[1:])
_, _, kernel = stax.serial(stax.Dense(1, W_std=1.0, b_std=None), stax.ElementwiseNumerical(jnp.tanh, degree))
means = jax.jit(lambda a, b: kernel(a, b, get="nngp"))
rng = np.random.default_rng(7)

def inputs():
    radius, angle = np.exp(rng.uniform(np.log(0.1), np.log(10.0), points) / 2), rng.uniform(0, 2 * np.pi, points)
    return np.sqrt(2) * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)

def matrix(a, b):
    rows = range(0, points, block)
    return np.block([[np.asarray(means(a[i : i + block], b[j : j + block])) for j in rows] for i in rows])

matrix(inputs(), inputs())
walls = []
for _ in range(runs):
    a, b = inputs(), inputs()
    began = time.perf_counter()
    found = matrix(a, b)
    walls.append(time.perf_counter() - began)
i, j = rng.integers(0, points, (2, checked))
print(json.dumps({
    "walls": walls, "p": ((a[i] ** 2).sum(1) / 2).tolist(), "q": ((b[j] ** 2).sum(1) / 2).tolist(),
    "k": ((a[i] * b[j]).sum(1) / 2).tolist(), "values": found[i, j].tolist(),
}))
"""


@jit
def _tanh(x: float) -> float:
    return float(vecmath.tanh(x))


@jit
def _each(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = vecmath.tanh(x[i])


@jit
def _direct(p: Array, q: Array, c: Array, s: Array, out: Array) -> None:
    for i in range(p.size):
        out[i] = pair_mean(_tanh, NONE, _tanh, NONE, p[i], q[i], c[i], s[i])[0]


def tanh(x: Array) -> Array:
    out = np.empty_like(x)
    _each(x, out)
    return out


TANH = Curve(tanh)


def correlation(p: Array, q: Array, k: Array) -> tuple[Array, Array]:
    d = np.sqrt(p) * np.sqrt(q)
    return np.clip(k / d, -1, 1), np.sqrt(np.maximum((d - k) * (d + k), 0.0)) / d


def errors(triples: Triples, values: Array) -> Array:
    """|values - direct rule| / √(E f² E g²)."""
    p, q, k = triples
    wanted = np.empty_like(p)
    _direct(p, q, *correlation(p, q, k), wanted)
    return np.abs(values - wanted) / scale(p, q)


def scale(p: Array, q: Array) -> Array:
    left, right = (spectrum(TANH, v, 1).energy.sum(axis=1) for v in (p, q))
    return np.asarray(np.sqrt(left * right))


def gauss_hermite(degree: int, triples: Triples) -> Array:
    """The tensor rule, pair by pair: the nodes of one pair already fill a cache."""
    p, q, k = (x[:, None, None] for x in triples)
    c, s = correlation(p, q, k)
    z, w = roots_hermitenorm(degree)
    w, out = w / w.sum(), np.empty(len(p))
    for i in range(len(p)):
        inner = np.tanh(np.sqrt(q[i]) * (c[i] * z[:, None] + s[i] * z)) @ w
        out[i] = (np.tanh(np.sqrt(p[i]) * z) * w @ inner).item()
    return out


def enough(triples: Triples, wanted: float) -> tuple[int, float]:
    """The degree at which the tensor rule reaches the wanted error on the sample, and that error; 1600 at most."""
    for degree in (50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600):
        error = float(errors(triples, gauss_hermite(degree, triples)).max())
        if error <= wanted:
            break
    return degree, error


def sample(rng: np.random.Generator, count: int) -> Triples:
    p, q = (np.exp(rng.uniform(math.log(LOW), math.log(HIGH), count)) for _ in range(2))
    return p, q, rng.uniform(-1, 1, count) * np.sqrt(p) * np.sqrt(q)


def timed(work: Callable[[Triples], Any], rng: np.random.Generator, count: int) -> float:
    """Median seconds over fresh inputs."""
    walls = []
    for _ in range(RUNS):
        triples = sample(rng, count)
        began = time.perf_counter()
        work(triples)
        walls.append(time.perf_counter() - began)
    return median(walls)


def peer(python: str, pairs: int) -> tuple[float, float] | str:
    """Seconds and worst error of neural-tangents, or why there are none."""
    if not python:
        return "no --peer-python given"
    points = math.isqrt(pairs)
    arguments = (points, min(points, 100), RUNS, DEGREE, CHECKED)
    done = subprocess.run([python, "-c", PEER, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1]
    found = json.loads(done.stdout.splitlines()[-1])
    triples = np.array(found["p"]), np.array(found["q"]), np.array(found["k"])
    return median(found["walls"]), float(errors(triples, np.array(found["values"])).max())


def row(name: str, pairs: int, wall: float, ours: float, error: float, remark: str) -> None:
    cells = (name, f"{pairs:.0e}", f"{wall:.3g}", f"{wall / pairs * 1e9:.3g}", f"{wall / ours:.3g}", f"{error:.1e}")
    print(f"| {' | '.join((*cells, remark))} |", flush=True)


def main(pairs: int, python: str) -> None:
    rng = np.random.default_rng(1)
    print("| method | pairs | wall s | ns per pair | ratio | worst error | |\n|---|---|---|---|---|---|---|")
    pair_means(TANH, TANH, *sample(rng, 1000))
    ours = timed(lambda x: pair_means(TANH, TANH, *x), rng, pairs)
    triples = sample(rng, pairs)
    values, bounds = pair_means(TANH, TANH, *triples)
    reached = bounds < math.inf
    chosen = rng.choice(np.flatnonzero(reached), CHECKED, replace=False)
    some = tuple(x[chosen] for x in triples)
    off = errors(some, values[chosen])
    share = (off * scale(some[0], some[1]) / bounds[chosen]).max()
    remark = f"error at most {share:.2g} of its bound; {1 - reached.mean():.2g} left to direct integration"
    row("solvers.mehler.pair_means", pairs, ours, ours, off.max(), remark)
    degree, error = enough(tuple(x[:TRIED] for x in some), 1e-12)
    few = 10
    wall = timed(lambda x: gauss_hermite(degree, x), rng, few) * (pairs / few)
    remark = f"degree {degree}, the least tried for 1e-12; timed on {few} pairs and scaled"
    row("NumPy tensor Gauss-Hermite", pairs, wall, ours, error, remark)
    found = peer(python, pairs)
    if isinstance(found, str):
        print(f"\nneural-tangents skipped: {found}")
    else:
        row("neural-tangents ElementwiseNumerical", pairs, found[0], ours, found[1], f"degree {DEGREE}, float64")


if __name__ == "__main__":
    given = sys.argv[1:]
    after = given[given.index("--peer-python") + 1 :] if "--peer-python" in given else []
    unknown = set(given) - {"--quick", "--peer-python"} - set(after[:1])
    if unknown or ("--peer-python" in given and not after):
        sys.exit("usage: bench_duals.py [--quick] [--peer-python PATH]")
    main(10_000 if "--quick" in given else 1_000_000, after[0] if after else "")
