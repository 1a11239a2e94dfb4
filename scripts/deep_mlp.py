"""Plain deep MLPs on the digits of scikit-learn, from PyTorch's own initialization and from mf.torch.init_.

`depth` linear layers of one width, an activation between two, 64 pixels to 10 classes, no normalization, no skips. For
each seed: the mean square of d loss/d h_l over units and images of a batch, h_l the output of linear layer l, at the
first over the last hidden layer; then the accuracy on images kept aside after `steps` steps of SGD with momentum 0.9,
on one learning rate for all, and cross-entropy. Ratios are means over seeds, beside the least and the largest. One
thread.

`--write FILE` replaces the text between deep_mlp:begin and deep_mlp:end of a markdown file.
"""

import argparse
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pages import replace as write
from pages import table
from sklearn.datasets import load_digits
from torch import nn

import meanfield as mf

ACTIVATIONS = {"tanh": nn.Tanh, "gelu": nn.GELU, "relu": nn.ReLU}
INITS = ("default", "init_")
TEST = 360  # images kept aside


@dataclass(frozen=True)
class Run:
    """The ratio of squared gradients, and the accuracies before and after training."""

    ratio: float
    before: float
    after: float


def data() -> tuple[Any, Any]:
    """Pixels (images, 64) of mean 0 and variance 1 over all entries, and labels; shuffled once."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    x = (digits.data - digits.data.mean()) / digits.data.std()
    return torch.tensor(x[order], dtype=torch.float32), torch.tensor(digits.target[order])


def network(phi: str, init: str, seed: int, given: argparse.Namespace, x: Any) -> Any:
    torch.manual_seed(seed)
    sizes = [64, *[given.width] * (given.depth - 1), 10]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    net = nn.Sequential(*[part for layer in layers for part in (layer, ACTIVATIONS[phi]())][:-1])
    if init == "init_":
        mf.torch.init_(net, x, seed=seed)
    return net


def gradients(net: Any, x: Any, y: Any) -> list[float]:
    """The mean square of the gradient at each linear layer's output, from the input on."""
    kept, h = [], x
    for part in net:
        h = part(h)
        if isinstance(part, nn.Linear):
            h.retain_grad()
            kept.append(h)
    nn.functional.cross_entropy(h, y).backward()
    net.zero_grad()
    return [float(each.grad.double().square().mean()) for each in kept]


def accuracy(net: Any, x: Any, y: Any) -> float:
    with torch.no_grad():
        return float((net(x).argmax(1) == y).double().mean())


def trained(net: Any, x: Any, y: Any, seed: int, given: argparse.Namespace) -> Any:
    steps = torch.optim.SGD(net.parameters(), lr=given.rate, momentum=0.9)
    batches = torch.Generator().manual_seed(seed)
    for _ in range(given.steps):
        chosen = torch.randint(len(x), (given.batch,), generator=batches)
        steps.zero_grad()
        nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
        steps.step()
    return net


def run(phi: str, init: str, seed: int, given: argparse.Namespace) -> Run:
    x, y = data()
    train, test = (x[TEST:], y[TEST:]), (x[:TEST], y[:TEST])
    net = network(phi, init, seed, given, train[0])
    squares = gradients(net, train[0][: given.batch], train[1][: given.batch])
    before = accuracy(net, *test)
    return Run(squares[0] / squares[-2], before, accuracy(trained(net, *train, seed, given), *test))


def row(phi: str, init: str, runs: list[Run]) -> list[str]:
    ratios, accuracies = np.array([r.ratio for r in runs]), 100 * np.array([r.after for r in runs])
    before = 100 * np.mean([r.before for r in runs])
    return [
        phi, init, f"{ratios.mean():.2g} ({ratios.min():.2g} to {ratios.max():.2g})", f"{before:.0f} %",
        f"{accuracies.mean():.1f} % ({accuracies.min():.1f} to {accuracies.max():.1f})",
    ]  # fmt: skip


def report(given: argparse.Namespace) -> str:
    began = time.perf_counter()
    head = ("activation", "initialization", "first/last squared gradient", "before", "after")
    rows = [
        row(phi, init, [run(phi, init, seed, given) for seed in given.seeds])
        for phi in given.activations
        for init in INITS
    ]
    said = (
        f"{given.depth} linear layers of width {given.width}, {len(given.seeds)} seeds; {given.steps} steps of SGD "
        f"(momentum 0.9, lr {given.rate:g}), batches of {given.batch}; accuracy on {TEST} images kept aside. "
        f"{time.perf_counter() - began:.0f} s."
    )
    return f"{said}\n\n{table(head, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one activation, one seed, narrow, few steps")
    parser.add_argument("--activations", nargs="+", default=[*ACTIVATIONS], choices=[*ACTIVATIONS])
    parser.add_argument("--depth", type=int, default=50, help="linear layers")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--write", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.quick:
        given.activations, given.seeds, given.width, given.steps = ["tanh"], [0], 64, 100
    torch.set_num_threads(1)
    text = report(given)
    print(text)
    if given.write:
        write(given.write, "deep_mlp", text)


if __name__ == "__main__":
    main()
