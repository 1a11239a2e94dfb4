"""A kernel larger than memory should hold: digits and their shifts to Zarr, killed half way, gone on with.

Usage: python scripts/big_kernel.py [--points N] [--quick] [--folder DIR]; 30,000 points (7.2 GB on disk) unless said
otherwise, with --quick 600. A process of its own computes the NNGP of five ReLU layers and is killed (SIGKILL) when
half of the tiles are done; a second one finishes. Prints a line of a table: points, seconds of both, tiles at the kill,
tiles of the second, the larger peak of resident memory, the kernel's size, bytes on disk, and the largest difference
from mf.kernel in memory at 200 random points, relative to its largest entry. Needs the extras `store` and `demo`.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

import meanfield as mf

NET = mf.Dense(2, 0) >> (mf.relu >> mf.Dense(2, 0)) ** 5
SHIFT, CHECKED = 2, 200
MOST = 1797 * (2 * SHIFT + 1) ** 2


def digits(points: int) -> npt.NDArray[np.float64]:
    """The first `points` of the digits in all their shifts by up to two pixels, centred, of unit mean square."""
    images = np.pad(load_digits().images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    offsets = sorted(np.ndindex(2 * SHIFT + 1, 2 * SHIFT + 1), key=lambda at: abs(at[0] - SHIFT) + abs(at[1] - SHIFT))
    x = np.concatenate([images[:, i : i + 8, j : j + 8].reshape(-1, 64) for i, j in offsets])[:points]
    x -= x.mean(axis=0)
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True))


def tile(points: int) -> int:
    return min(1024, -(-points // 6))


def done(out: Path) -> int:
    return sum(1 for _ in (out / "done" / "c").glob("*/*"))


def compute(points: int, out: Path, kill_at: int | None) -> tuple[float, int]:
    """Seconds and peak resident bytes of a process that computes the kernel, killed when `kill_at` tiles are done."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, __file__, "--points", str(points), "--write", str(out)])
    if kill_at is not None:
        while done(out) < kill_at and child.poll() is None:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != (0 if kill_at is None else -signal.SIGKILL):
        raise SystemExit(f"the process ended with {child.returncode}, unexpectedly")
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def difference(points: int, out: Path) -> float:
    """From the kernel in memory, relative to its largest entry."""
    chosen = np.sort(np.random.default_rng(0).choice(points, min(points, CHECKED), replace=False))
    whole = mf.kernel(NET, digits(points)[chosen])
    found = mf.open_kernel(out).oindex[chosen, chosen]
    return float(abs(found - whole).max() / abs(whole).max())


def measure(points: int, out: Path) -> str:
    blocks = -(-points // tile(points))
    tiles = blocks * (blocks + 1) // 2
    first, peak = compute(points, out, tiles // 2)
    at_kill = done(out)
    second, peak_again = compute(points, out, None)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    memory, kernel = max(peak, peak_again) / 1e6, points**2 * 8 / 1e6
    return (
        f"| {points} | {first:.1f} + {second:.1f} | {at_kill} of {tiles} | {tiles - at_kill} | {memory:.0f} | "
        f"{kernel:.0f} | {size / 1e6:.0f} | {difference(points, out):.1e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="A kernel on disk, killed half way and finished.")
    parser.add_argument("--points", type=int, default=30_000)
    parser.add_argument("--quick", action="store_true", help="600 points")
    parser.add_argument("--folder", type=Path, help="where the store lies while it is measured")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    points = 600 if asked.quick else asked.points
    if not 2 * CHECKED <= points <= MOST:
        parser.error(f"--points must be {2 * CHECKED} to {MOST}, not {points}")
    if asked.write is not None:
        mf.stored_kernel(NET, digits(points), out=asked.write, tile=tile(points))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        print(
            "| points | s, killed + finished | at the kill | computed after | peak MB | kernel MB | disk MB | error |"
        )
        print("|---|---|---|---|---|---|---|---|")
        print(measure(points, Path(folder) / "kernel.zarr"))


if __name__ == "__main__":
    main()
