"""Deep Fourier neural operators on Burgers' equation, trained from three initializations: which of them learn?

The operator of meanfield.torch without a matrix at each position ("simplified") and with it ("original"), ReLU, on
u(., 0) -> u(., 1) of burgers.py. Only the Fourier layers are drawn anew; lifting, projection, batches, steps, learning
rates and seeds are the same for all. "default": as the code of Li et al. (arXiv:2010.08895) draws, U(0, 1) + i U(0, 1)
over width^2, matrices and their biases as PyTorch's; "neuralop": complex normal of variance 1/width, matrices as
PyTorch's; "critical": mf.torch.init_fno_. Loss and errors: |found - true|/|true| in L2, mean over samples. Each run
has one thread, numbers below 1e-38 are 0.

`--write FILE` replaces the text between training:begin and training:end of a markdown file; `--figure FILE` draws.
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import burgers
import numpy as np
import torch
from pages import replace as write
from pages import table

from meanfield.torch import FNO, init_fno_

ARCHITECTURES = {"simplified": False, "original": True}
INITS = ("default", "neuralop", "critical")
BLOCK = 10  # steps of a point in a curve


@dataclass(frozen=True)
class Data:
    """Inputs and outputs (samples, 1, points), each over the standard deviation of the training samples."""

    train: tuple[Any, Any]
    test: tuple[Any, Any]


@dataclass(frozen=True)
class Task:
    architecture: str
    init: str
    rate: float
    seed: int


@dataclass(frozen=True)
class Run:
    """Errors after training, gradients of the first and the last spectral weights before it, losses of each block."""

    train: float
    test: float
    first: float
    last: float
    curve: list[float]


def sampled(given: argparse.Namespace) -> Data:
    pairs = burgers.pairs(given.samples + given.tests, given.points, np.random.default_rng(0))
    scaled = (torch.tensor(u / u[: given.samples].std(), dtype=torch.float32)[:, None] for u in pairs)
    x, y = scaled
    return Data((x[: given.samples], y[: given.samples]), (x[given.samples :], y[given.samples :]))


def error(found: Any, true: Any) -> Any:
    return ((found - true).norm(dim=-1) / true.norm(dim=-1)).mean()


# -- training ------------------------------------------------------------------------------------------------------


def network(task: Task, given: argparse.Namespace) -> Any:
    torch.manual_seed(task.seed)
    net = FNO(1, 1, given.width, given.modes, given.depth, pointwise=ARCHITECTURES[task.architecture])
    if task.init == "neuralop":
        for layer in net.spectral:
            layer.weights[0].data.normal_().mul_(given.width**-0.5)  # complex: half of the variance in each part
    elif task.init == "critical":
        init_fno_(net)
    return net


def gradients(net: Any, x: Any, y: Any) -> list[float]:
    """Norms of the gradients of the first and the last spectral weights."""
    error(net(x), y).backward()
    return [net.spectral[place].weights[0].grad.norm().item() for place in (0, -1)]


def train(task: Task, data: Data, given: argparse.Namespace) -> Run:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    net, (x, y) = network(task, given), data.train
    first, last = gradients(net, x[: given.batch], y[: given.batch])
    optimizer = torch.optim.Adam(net.parameters(), lr=task.rate)
    rng, losses = np.random.default_rng(task.seed), []
    while len(losses) < given.steps:
        for batch in rng.permutation(len(x)).reshape(-1, given.batch)[: given.steps - len(losses)]:
            optimizer.zero_grad()
            loss = error(net(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    with torch.no_grad():
        ends = (error(net(x), y).item() for x, y in (data.train, data.test))
        return Run(*ends, first, last, np.reshape(losses, (-1, BLOCK)).mean(axis=1).tolist())


def experiment(data: Data, given: argparse.Namespace) -> dict[Task, Run]:
    tasks = [Task(*each) for each in product(ARCHITECTURES, INITS, given.rates, given.seeds)]
    work = partial(train, data=data, given=given)
    if given.jobs == 1:
        return dict(zip(tasks, map(work, tasks), strict=True))
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
        return dict(zip(tasks, pool.map(work, tasks), strict=True))


# -- tables and figure ---------------------------------------------------------------------------------------------


def at_start(runs: dict[Task, Run], given: argparse.Namespace) -> str:
    rows = []
    for architecture, init, seed in product(ARCHITECTURES, INITS, given.seeds):
        run = runs[Task(architecture, init, given.rates[0], seed)]
        ratio = f"{run.first / run.last:.2g}" if run.last else "0/0"
        rows.append([architecture, init, seed, f"{run.first:.2g}", f"{run.last:.2g}", ratio])
    return table(("operator", "init", "seed", "gradient of R_1", f"of R_{given.depth}", "ratio"), rows)


def errors(runs: dict[Task, Run], given: argparse.Namespace, which: str) -> str:
    rows = []
    for architecture, init in product(ARCHITECTURES, INITS):
        cells = (
            ", ".join(f"{getattr(runs[Task(architecture, init, rate, seed)], which):.3f}" for seed in given.seeds)
            for rate in given.rates
        )
        rows.append([architecture, init, *cells])
    return table(("operator", "init", *(f"rate {rate:g}" for rate in given.rates)), rows)


def baselines(data: Data) -> str:
    """Of predictions that need no network, on the test samples; the last is fitted to the training samples."""
    (x, y), (at, true) = data.train, data.test
    u, v = torch.fft.rfft(x), torch.fft.rfft(y)
    gain = (v * u.conj()).mean(dim=0) / (u.abs() ** 2).mean(dim=0)
    linear = torch.fft.irfft(gain * torch.fft.rfft(at), n=at.shape[-1])
    found = {"0": 0 * true, "u(., 0)": at * (x.std() / y.std()), "a multiple of each mode": linear}
    return ", ".join(f"{name} {error(guess, true):.3f}" for name, guess in found.items())


def best(runs: dict[Task, Run], architecture: str, init: str, given: argparse.Namespace) -> float:
    """The learning rate of the smallest mean training error."""

    def mean(rate: float) -> float:
        found = np.mean([runs[Task(architecture, init, rate, seed)].train for seed in given.seeds])
        return float(found) if np.isfinite(found) else np.inf

    return min(given.rates, key=mean)


def figure(path: Path, runs: dict[Task, Run], given: argparse.Namespace) -> None:
    """Losses over steps: the best learning rate of each initialization, the others thin."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "training"
    drawn = Figure(figsize=(8.4, 3.4), layout="constrained")
    for ax, architecture in zip(drawn.subplots(1, 2, sharey=True), ARCHITECTURES, strict=True):
        for init, colour in zip(INITS, ("tab:gray", "tab:orange", "tab:blue"), strict=True):
            top = best(runs, architecture, init, given)
            for rate, seed in product(given.rates, given.seeds):
                curve = runs[Task(architecture, init, rate, seed)].curve
                style = {"lw": 1.8, "zorder": 3} if rate == top else {"lw": 0.6, "alpha": 0.35}
                label = f"{init}, rate {rate:g}" if rate == top and seed == given.seeds[0] else None
                ax.plot(BLOCK * (1 + np.arange(len(curve))), curve, color=colour, label=label, **style)
        ax.set(yscale="log", ylim=(0.02, 3), xlabel="steps of Adam", title=f"{architecture}, {given.depth} layers")
        ax.legend(frameon=False, fontsize=7, loc="lower left")
    drawn.axes[0].set_ylabel("relative error in L2, training")
    drawn.savefig(path, metadata={"Date": None})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="eight narrow layers, one seed, two rates, few steps")
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--modes", type=int, default=12)
    parser.add_argument("--points", type=int, default=64, help="of the grid, a divisor of 256")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--tests", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16, help="a divisor of the samples")
    parser.add_argument("--steps", type=int, default=300, help=f"a multiple of {BLOCK}")
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-4, 3e-4, 1e-3, 3e-3, 1e-2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.quick:
        given.depth, given.width, given.modes, given.points, given.samples, given.tests = 8, 8, 6, 32, 32, 16
        given.steps, given.rates, given.seeds, given.jobs = 30, [1e-3, 1e-2], [0], 1
    return given


def main() -> None:
    given, began = arguments(), time.perf_counter()
    data = sampled(given)
    runs = experiment(data, given)
    spent = time.perf_counter() - began
    seeds = ", ".join(map(str, given.seeds))
    parts = [
        f"{given.depth} layers, width {given.width}, {given.modes} modes, {given.points} points, {given.samples} "
        f"training and {given.tests} test samples, {given.steps} steps of Adam with batches of {given.batch}, seeds "
        f"{seeds}: {len(runs)} runs in {spent:.0f} s, {given.jobs} at once.",
        f"Test error after training (seeds {seeds}); without a network: {baselines(data)}:",
        errors(runs, given, "test"),
        f"Training error after training (seeds {seeds}):",
        errors(runs, given, "train"),
        "Norms of gradients before training:",
        at_start(runs, given),
    ]
    text = "\n\n".join(parts)
    print(text)
    if given.figure:
        figure(given.figure, runs, given)
    if given.write:
        write(given.write, "training", text)


if __name__ == "__main__":
    main()
