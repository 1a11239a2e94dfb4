"""Time the NNGP and NTK of real ReLU networks beside their floor and neural-tangents; print a table.

Usage: python scripts/bench_empirical.py [--quick] [--peer-python PATH]; width 1024, 5 hidden layers, 100 points of 10
features, float64, with --quick width 64; PATH is a Python that has neural-tangents (`empirical_in_jax.py`).
The floor of one draw on one core: its Gaussian numbers drawn, and the matrix products forth and back at the speed of
this machine's own product of those shapes. Medians; ours and the floor are measured in turn.
"""

import argparse
import json
import os
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import meanfield as mf

FEATURES, TOGETHER = 10, 8  # draws in one call, for all cores


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class Floor:
    """What one draw cannot do without; its output layer is as wide as the others."""

    def __init__(self, width: int, depth: int, points: int) -> None:
        self.shape, self.rng = (width, width), np.random.Generator(np.random.PCG64DXSM(0))
        self.numbers = depth * width * (width + 1) + width * (FEATURES + 1)
        # Forth through `depth` square matrices, back through all but the last, of which one row is read.
        self.products = 2 * depth - 1
        self.flops = self.products * 2 * points * width**2
        self.x, self.w = self.rng.standard_normal((points, width)), self.rng.standard_normal(self.shape)
        self.out = np.empty((points, width))

    def drawing(self) -> float:
        """Into memory that is warm already, scaled to all numbers."""
        return seconds(lambda: self.rng.standard_normal(out=self.w)) * self.numbers / self.w.size

    def multiplying(self) -> float:
        return seconds(lambda: [np.matmul(self.x, self.w, out=self.out) for _ in range(self.products)])


def ours(width: int, depth: int, points: int, runs: int) -> None:
    net = mf.Dense(2, 0.1) >> (mf.relu >> mf.Dense(2, 0.1)) ** depth
    x = np.random.default_rng(0).standard_normal((points, FEATURES))
    floor = Floor(width, depth, points)
    walls: list[list[float]] = [[] for _ in range(4)]

    def draw(draws: int, seed: int, **options: Any) -> Any:
        return mf.empirical_kernel(net, x, width=width, draws=draws, get=("nngp", "ntk"), seed=seed, **options)

    draw(2, 0)
    for run in range(runs):
        walls[0].append(seconds(lambda run=run: draw(1, run)))
        walls[1].append(seconds(lambda run=run: draw(TOGETHER, run)) / TOGETHER)
        with threadpool_limits(1, "blas"):
            walls[2].append(floor.drawing())
            walls[3].append(floor.multiplying())
    one, many, drawing, multiplying = map(median, walls)
    tracemalloc.start()
    draw(1, 0)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    row("mf.empirical_kernel, NNGP and NTK, draws=1, one core", one)
    row(f"mf.empirical_kernel, NNGP and NTK, draws={TOGETHER}, {os.cpu_count()} cores", many)
    row(f"floor on one core: {floor.numbers / 1e6:.2f} million Gaussian numbers", drawing)
    row(f"floor on one core: {floor.flops / 1e9:.2f} Gflop of matrix products", multiplying)
    row("floor on one core, both", drawing + multiplying)
    weights = floor.numbers / 2**17
    print(f"\nPeak memory of one draw {peak:.0f} MiB, of which weights {weights:.0f} MiB;", end=" ")
    print(f"the Jacobian of one output neuron would take {points * weights:.0f} MiB.")


def row(name: str, wall: float | str) -> None:
    print(f"| {name} | {wall if isinstance(wall, str) else f'{wall:.3g}'} |")


def theirs(python: str, *sizes: int) -> None:
    script = Path(__file__).with_name("empirical_in_jax.py")
    command = [python, str(script), *map(str, sizes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"\nneural-tangents {found.pop('version')}, compiled, one output neuron:\n\n| | seconds |\n|---|---|")
    row("drawing the weights", found.pop("drawing"))
    for name, wall in found.items():
        row(f"NTK alone, {name}", wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer-python", metavar="PATH")
    given = parser.parse_args()
    width, depth, points, runs = (64, 2, 10, 3) if given.quick else (1024, 5, 100, 9)
    print(f"| width {width}, {depth} hidden layers, {points} points | seconds per draw |\n|---|---|")
    ours(width, depth, points, runs)
    if given.peer_python:
        theirs(given.peer_python, width, depth, points, FEATURES, 3)


if __name__ == "__main__":
    main()
