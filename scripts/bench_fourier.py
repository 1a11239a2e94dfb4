"""Sweeps of lag covariances over depth beside NumPy's, and beside the networks that they replace.

python scripts/bench_fourier.py prints the tables of docs/fno.md, in a minute on a quiet machine; --quick is for a
look. Both sweeps take turns on the same random initial covariance; what is printed are medians and the ratio of pairs.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import numpy.typing as npt
from pages import table

import meanfield as mf
from meanfield.finite import stream
from meanfield.finite.fields import gradient_walk, walk

Array = npt.NDArray[np.float64]
VARIANCE, BIAS, NODES = 2.0, 0.05, 24


def relu(q: float, k: Array) -> Array:
    c = np.clip(k / q, -1, 1)
    angle = np.arccos(c)
    return q * (np.sin(angle) + (np.pi - angle) * c) / (2 * np.pi)


def erf(q: float, k: Array) -> Array:
    return 2 / np.pi * np.arcsin(2 * k / (1 + 2 * q))


def tanh(q: float, k: Array) -> Array:
    """By Gauss-Hermite rules of 24 nodes in both variables."""
    z, w = np.polynomial.hermite_e.hermegauss(NODES)
    u = np.sqrt(q) * z[:, None]
    v = k[..., None, None] / np.sqrt(q) * z[:, None] + np.sqrt(np.maximum(q - k * k / q, 0))[..., None, None] * z
    return np.einsum("i,...ij,j->...", w * np.tanh(u[:, 0]), np.tanh(v), w) / w.sum() ** 2


def by_numpy(mean: Callable[[float, Array], Array], start: Array, modes: int, depth: int) -> Array:
    sigma = start
    for _ in range(depth):
        hat = np.fft.rfftn(mean(float(sigma.flat[0]), sigma))
        hat[..., modes:] = 0
        for axis in range(sigma.ndim - 1):
            if sigma.shape[axis] > 2 * modes - 1:
                hat[(slice(None),) * axis + (slice(modes, 1 - modes),)] = 0
        sigma = VARIANCE * np.fft.irfftn(hat, s=sigma.shape, axes=range(sigma.ndim)) + BIAS
    return sigma


def initial(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A random spectrum that falls off, of variance 1."""
    distance = np.sqrt(sum(k**2 for k in np.meshgrid(*(np.fft.fftfreq(n) * n for n in shape), indexing="ij")))
    powers = np.abs(np.fft.fftn(rng.standard_normal(shape))) ** 2 / (1 + distance) ** 2
    found = np.real(np.fft.ifftn(powers))
    return np.asarray(found / found.flat[0])


def sweeps(quick: bool) -> list[list[str]]:
    rng, rows = np.random.default_rng(), []
    means = {"relu": relu, "erf": erf, "tanh": tanh}
    for name, shape, modes, depth in cases(quick):
        net = (getattr(mf, name) >> mf.Spectral(modes, VARIANCE, BIAS)) ** depth
        times: list[tuple[float, float]] = []
        for turn in range(3 if quick or name == "tanh" else 15):
            start = initial(shape, rng)
            if turn == 0:
                mf.lag_covariance(net, start)  # compiles, or reads what was compiled
            began = time.perf_counter()
            ours = mf.lag_covariance(net, start)
            between = time.perf_counter()
            theirs = by_numpy(means[name], start, modes, depth)
            times.append((between - began, time.perf_counter() - between))
        error = np.abs(ours - theirs).max()
        mine, other = (median(t[i] for t in times) / depth * 1e6 for i in (0, 1))
        ratio = median(t[1] / t[0] for t in times)
        size = " x ".join(map(str, shape))
        rows.append([name, size, str(modes), str(depth), f"{mine:.3g}", f"{other:.3g}", f"{ratio:.3g}", f"{error:.1e}"])
    return rows


def cases(quick: bool) -> list[tuple[str, tuple[int, ...], int, int]]:
    if quick:
        return [("relu", (64,), 12, 4), ("tanh", (16,), 3, 2), ("erf", (16, 16), 4, 2)]
    lines = [(64, 12), (1024, 12), (4096, 12), (4096, 512), (4096, 2049)]
    planes = [((64, 64), 12), ((256, 256), 12), ((256, 256), 129)]
    found = [(name, (n,), modes, 64) for name in ("relu", "erf") for n, modes in lines]
    found += [(name, shape, modes, 8) for name in ("relu", "erf") for shape, modes in planes]
    return [*found, ("tanh", (64,), 12, 16), ("tanh", (4096,), 12, 4), ("tanh", (256, 256), 12, 1)]


def replaced(quick: bool) -> list[list[str]]:
    """One network of 512 channels on 64 points, 12 modes, 32 layers, forward and gradients."""
    width, depth, networks = (32, 4, 3) if quick else (512, 32, 20)
    block, n = mf.tanh >> mf.Spectral(12, VARIANCE, BIAS), 64
    start = initial((n,), np.random.default_rng(0))
    operator = mf.fourier_operator(block, n)
    operator.gradients(depth, start)
    began = time.perf_counter()
    theory = operator.trajectory(depth, start)[-1, 0]
    forward = time.perf_counter() - began
    began = time.perf_counter()
    operator.gradients(depth, start)
    rows = [["equations", f"{forward:.2g}", f"{time.perf_counter() - began:.2g}", "", ""]]
    for conditional, count in ((True, networks), (False, 2)):
        timed, found = [], []
        for i in range(count):
            options = {"channels": width, "depth": depth, "conditional": conditional}
            began = time.perf_counter()
            found.append(walk(block, start, rng=stream(0, i), **options)[-1, 0])
            between = time.perf_counter()
            gradient_walk(block, start, rng=stream(0, i), **options)
            timed.append((between - began, time.perf_counter() - between))
        spread = f"{np.std(found, ddof=1) / theory:.2g}" if count > 2 else ""
        wanted = f"{(np.std(found, ddof=1) / theory / 1e-3) ** 2:.2g}" if count > 2 else ""
        name = "a network from its law" if conditional else "a network with weights"
        rows.append([name, *(f"{median(t[i] for t in timed):.2g}" for i in (0, 1)), spread, wanted])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small grids and networks")
    quick = parser.parse_args().quick
    head = ("activation", "grid", "K", "layers", "us a layer", "NumPy", "ratio", "difference")
    print(table(head, sweeps(quick)), flush=True)
    head = (
        "tanh, 64 points, K = 12",
        "s forward",
        "s with gradients",
        "relative deviation of Sigma_0",
        "wanted for 0.1 %",
    )
    print(f"\n{table(head, replaced(quick))}")


if __name__ == "__main__":
    main()
