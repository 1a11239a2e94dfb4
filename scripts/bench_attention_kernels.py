"""Seconds of kernels behind softmax attention at 1/sqrt(d), and how far their means over scores are off.

Dense -> LayerNorm -> Attention -> GlobalAvgPool on standard normal sequences of 16 features, both cores; errors are the
largest over three pairs, relative to the scale of the mean. `--sizes 20x3 ...` chooses (sequences x tokens), `--write
FILE` replaces the text between the markers kernels:begin and kernels:end of a markdown file.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from pages import replace

import meanfield as mf
from solvers.attended import softmax_means
from solvers.scores import Scores

SIZES = ("20x3", "20x4", "100x8", "20x32")
NET = mf.Dense(1, 0) >> mf.LayerNorm() >> mf.Attention() >> mf.GlobalAvgPool()


def row(size: str) -> str:
    count, tokens = map(int, size.split("x"))
    x = np.random.default_rng(0).standard_normal((count, tokens, 16))
    mf.kernel(NET, x[:2])
    wall, cpu = time.perf_counter(), time.process_time()
    mf.kernel(NET, x)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    x /= np.sqrt((x * x).mean(axis=2, keepdims=True))
    worst = max(error(x[0], other) for other in x[:3])
    return f"| {count} | {tokens} | {wall:.2g} | {cpu:.2g} | {cpu / (count * (count + 1) / 2):.2g} | {worst:.1e} |"


def error(one: np.ndarray, other: np.ndarray) -> float:
    """Of the means of two sequences of normalised tokens, relative to their scale."""
    grams = ((a @ b.T / one.shape[1]) for a, b in ((one, one), (other, other), (one, other)))
    scores = Scores(*grams, 1.0, np.ones((len(one), len(one)), dtype=bool))
    return float(softmax_means(scores)[1].max() / scores.scales[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="SEQUENCESxTOKENS")
    parser.add_argument("--write", type=Path, metavar="FILE")
    given = parser.parse_args()
    lines = [
        "| sequences | tokens | wall s | CPU s | CPU s for a pair | error of softmax means |",
        "|---|---|---|---|---|---|",
        *map(row, given.sizes),
    ]
    print("\n".join(lines))
    if given.write:
        replace(given.write, "kernels", "\n".join(lines))


if __name__ == "__main__":
    main()
