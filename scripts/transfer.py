"""Does the best learning rate of a narrow network suit a wide one? Sweeps on the digits of scikit-learn.

Fixed before any wide network was trained: four matrices, tanh, no biases, 64 pixels to 10 classes; E |f - y|^2/2 of
labels with mean 0 and variance 1; 40 steps, batches of 64 out of 512 images, the same for all with a seed. At width 128
"mup" and "standard" are one network: std fan_in^(-1/2), one learning rate, dampings constant * 128^(exponent of mup).
To wider ones both go by mf.scaling(...).numbers, under "standard" with constant dampings. Learning rates are 2^-5 to
2^3 times the best of a first sweep at width 128 with another seed (BEST). The score is E (f_k - y_k)^2/2 over images
and classes after the last step, mean over seeds; an overflow counts as infinite. The optimum is the least on the grid.

`--write FILE` replaces the text between transfer:begin and transfer:end of a markdown file; `--figure FILE` draws.
"""

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from pages import replace as write
from pages import table
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

import meanfield as mf
from meanfield.finite.training.mlp import Array, LayerNumbers, draw
from meanfield.finite.training.optimizers import optimizer, train_on

OPTIMIZERS = ("adam", "kfac", "shampoo")
PARAMETRIZATIONS = {"mup": "matched", "standard": "constant"}  # what their dampings do
BEST = {"adam": -6, "kfac": -4, "shampoo": -3}  # log2 of a learning rate
AROUND = range(-5, 4)
DAMPING = {"adam": 1e-6, "kfac": 0.1, "shampoo": 0.01}


@dataclass(frozen=True)
class Run:
    optimizer: str
    parametrization: str
    width: int
    power: int  # log2 of the learning rate
    seed: int


@dataclass(frozen=True)
class Sweep:
    """Scores (seeds) of each run of an optimizer, a parametrization, a width, a power of 2; and the time they took."""

    scores: dict[tuple[str, str, int, int], Array]
    processor: float

    def mean(self, name: str, kind: str, width: int, power: int) -> float:
        return float(self.scores[name, kind, width, power].mean())

    def best(self, name: str, kind: str, width: int) -> int:
        return min(powers(name), key=lambda power: self.mean(name, kind, width, power))


def powers(name: str) -> list[int]:
    return [BEST[name] + k for k in AROUND]


@cache
def data(samples: int) -> tuple[Array, Array]:
    """Pixels (64, samples) and labels (10, samples), each of mean 0 and variance 1 over all entries."""
    digits = load_digits()
    chosen = np.random.default_rng(0).permutation(len(digits.data))[:samples]
    x, y = digits.data[chosen].T, np.eye(10)[:, digits.target[chosen]]
    return (x - x.mean()) / x.std(), (y - y.mean()) / y.std()


@cache
def scales(name: str, kind: str) -> mf.ScalingTable:
    return mf.scaling("mlp", optimizer=name, parametrization=kind, damping=PARAMETRIZATIONS[kind])


def layers(run: Run, base: int) -> list[LayerNumbers]:
    """Those of width `base`, scaled to the width of the run."""
    matched, scaled = scales(run.optimizer, "mup"), scales(run.optimizer, run.parametrization)
    factors = scaled.numbers(base=base, target=run.width) if run.width != base else {}
    numbers = []
    for parameter in matched.chain.layers:
        exponents, fan_in = pair(matched[parameter.kind].damping), 64 if parameter.kind == "input" else base
        dampings = [DAMPING[run.optimizer] * base ** float(e) for e in exponents]
        std, rate = fan_in**-0.5, 2.0**run.power
        if factors:
            factor = factors[parameter.kind]
            std, rate = std * factor.init_std, rate * factor.learning_rate
            dampings = [d * f for d, f in zip(dampings, pair(factor.damping), strict=True)]
        numbers.append(LayerNumbers(std, 1.0, rate, tuple(dampings)))
    return numbers


def pair(damping: Any) -> tuple[Any, ...]:
    return damping if isinstance(damping, tuple) else (damping,)


def batches(given: argparse.Namespace, seed: int) -> Iterator[tuple[Array, Array]]:
    (x, y), rng = data(given.samples), np.random.default_rng([seed, 1])
    for _ in range(given.steps):
        chosen = rng.choice(given.samples, given.batch, replace=False)
        yield x[:, chosen], y[:, chosen]


def score(run: Run, given: argparse.Namespace) -> tuple[float, float]:
    """The loss after training, and the processor's time in seconds."""
    began, numbers = time.process_time(), layers(run, given.widths[0])
    x, y = data(given.samples)
    net = draw(numbers, run.width, len(x), len(y), np.random.default_rng([run.seed, run.width]))
    with threadpool_limits(1), np.errstate(over="raise", invalid="raise"):
        try:
            for now in train_on(net, numbers, optimizer(run.optimizer), batches(given, run.seed)):
                net = now
            loss = float(np.mean((net.forward(x).h[-1] - y) ** 2) / 2)
        except FloatingPointError:
            loss = np.inf
    return loss, time.process_time() - began


def sweep(given: argparse.Namespace) -> Sweep:
    """Widest networks first, so that the last runs to end are short."""
    settings = [
        (name, kind, width, power)
        for width, name, kind in product(reversed(given.widths), OPTIMIZERS, PARAMETRIZATIONS)
        for power in powers(name)
    ]
    runs = [Run(*setting, seed) for setting in settings for seed in given.seeds]
    work = partial(score, given=given)
    if given.jobs == 1:
        found = [work(run) for run in runs]
    else:
        with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(work, runs))
    scores = np.reshape([loss for loss, _ in found], (len(settings), -1))
    return Sweep(dict(zip(settings, scores, strict=True)), sum(spent for _, spent in found))


# -- table and figure ----------------------------------------------------------------------------------------------


def line(found: Sweep, name: str, kind: str, widths: list[int]) -> list[str]:
    """Optimum and score of each width; the largest at the optimum of the smallest."""
    best = [found.best(name, kind, width) for width in widths]
    edges = powers(name)[0], powers(name)[-1]
    at = zip(widths, best, strict=True)
    cells = [f"2^{p}{'*' if p in edges else ''}: {found.mean(name, kind, w, p):.4f}" for w, p in at]
    carried, own = (found.mean(name, kind, widths[-1], p) for p in (best[0], best[-1]))
    return [name, kind, *cells, f"{carried:.4f}", f"{carried / own:.2f}"]


def report(found: Sweep, given: argparse.Namespace, wall: float) -> str:
    runs, seeds = len(found.scores) * len(given.seeds), ", ".join(map(str, given.seeds))
    said = (
        f"{given.steps} steps, batches of {given.batch}, {given.samples} images, seeds {seeds}, "
        f"{len(AROUND)} learning rates: {runs} runs, {found.processor:.0f} s of processor time, {wall:.0f} s with "
        f"{given.jobs} at once. A star: at an edge of the grid."
    )
    widths = [f"width {width}" for width in given.widths]
    head = ("optimizer", "parametrization", *widths, f"{given.widths[-1]}, carried", "carried/own")
    rows = [line(found, *each, given.widths) for each in product(OPTIMIZERS, PARAMETRIZATIONS)]
    return f"{fill(said, 140)}\n\n{table(head, rows)}"


def figure(path: Path, found: Sweep, given: argparse.Namespace) -> None:
    """Score over learning rate, a line for each width, dots at its optimum."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "transfer"
    drawn = Figure(figsize=(9.6, 5.2), layout="constrained")
    axes = drawn.subplots(len(PARAMETRIZATIONS), len(OPTIMIZERS), sharex="col", sharey=True)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(given.widths)))
    for (row, kind), (column, name) in product(enumerate(PARAMETRIZATIONS), enumerate(OPTIMIZERS)):
        ax, rates = axes[row, column], 2.0 ** np.array(powers(name))
        for width, colour in zip(given.widths, colours, strict=True):
            losses = [found.mean(name, kind, width, power) for power in powers(name)]
            best = found.best(name, kind, width)
            ax.plot(rates, losses, color=colour, label=f"width {width}", lw=1.4)
            ax.plot(2.0**best, found.mean(name, kind, width, best), "o", color=colour, ms=5)
        ax.set_xscale("log", base=2)
        ax.set(yscale="log", ylim=(0.02, 2), title=f"{name}, {kind}")
    for ax in axes[-1]:
        ax.set_xlabel("learning rate at the least width")
    for ax in axes[:, 0]:
        ax.set_ylabel("loss after training")
    axes[0, 0].legend(frameon=False, fontsize=7)
    drawn.savefig(path, metadata={"Date": None})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="narrow networks, one seed, few steps")
    parser.add_argument("--widths", nargs="+", type=int, default=[128, 256, 512, 1024], help="smallest first")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.quick:
        given.widths, given.seeds, given.samples, given.batch, given.steps, given.jobs = [16, 32], [0], 64, 16, 5, 1
    return given


def main() -> None:
    given, began = arguments(), time.perf_counter()
    found = sweep(given)
    text = report(found, given, time.perf_counter() - began)
    print(text)
    if given.figure:
        figure(given.figure, found, given)
    if given.write:
        write(given.write, "transfer", text)


if __name__ == "__main__":
    main()
