"""Attention with finitely many heads: the experiment of Sakai et al. (arXiv 2506.00846) rerun, beside the theory.

Four random tokens, H heads, width n, independent networks. Variance and excess kurtosis are means over tokens and 16
channels, without bias; their errors are standard errors of 50 batches; the last row of each H is their line in 1/n at
1/n = 0 (weighted least squares from n = 64 on). KL is the paper's: kernel estimates of y[0, 0] and of as many draws of
the law, mean and standard deviation over seeds; the floor is that of the law's own draws, and what it says of two laws
stands beside their exact KL, by quadrature of the densities. Verdicts are `mf.check` at n = 256 and 1024. Time: 50,000
networks, y[0, 0] alone, by the exact reduction and by NumPy with full matrices.

`--write FILE` replaces the text between attention:begin and attention:end of a markdown file; `--figure FILE` draws.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from pages import replace as write
from pages import table
from scipy.integrate import quad

import meanfield as mf
from meanfield.finite.reduced import RandomTokens, attention_outputs
from meanfield.theories.sakai2025 import AttentionCase
from solvers.agreement import extrapolate

TOKENS, CHANNELS, BATCHES = 4, 16, 50
RELU = np.full((TOKENS, TOKENS), 1 / (2 * np.pi)) + (0.5 - 1 / (2 * np.pi)) * np.eye(TOKENS)
SIZES, SCORES = (1, 2, 3, 4, 8, 16, 32), (0.25, 0.5, 1, 2, 4)


def networks(heads: int, n: int, count: int, seed: int, psi: str = "identity", head_width: int | None = None) -> Any:
    """Outputs (networks, tokens, channels) and scores p[0, 0] of the first head."""
    rng = np.random.default_rng([seed, n, heads])
    tokens = RandomTokens(TOKENS, psi)
    found = attention_outputs(
        mf.Attention(heads), tokens, width=n, networks=count, rng=rng, channels=CHANNELS, head_width=head_width
    )
    return found.y, found.scores[:, 0, 0, 0]


def unbiased(y: np.ndarray) -> np.ndarray:
    """Variance, fourth cumulant of each batch, (batches, 2)."""
    found = []
    for part in np.array_split(y, BATCHES):
        square, count = (part**2).mean(axis=2), len(part)
        apart = (square.sum(axis=0) ** 2 - (square**2).sum(axis=0)) / (count * (count - 1))
        found.append([square.mean(), ((part**4).mean(axis=(0, 2)) - 3 * apart).mean()])
    return np.array(found)


def estimates(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance and excess kurtosis, and their standard errors."""
    each = unbiased(y)
    variance, fourth = each.mean(axis=0)
    # The kurtosis to first order in both: its error is that of a mean.
    linear = np.stack([each[:, 0], each[:, 1] / variance**2 - 2 * fourth / variance**3 * (each[:, 0] - variance)], 1)
    return np.array([variance, fourth / variance**2]), linear.std(axis=0, ddof=1) / np.sqrt(len(each))


def with_error(value: float, error: float) -> str:
    return f"{value:.4f} ± {error:.4f}"


def divergences(samples: list[np.ndarray], law: Any) -> str:
    found = [law.kl(one, seed=100 + i) for i, one in enumerate(samples)]
    return f"{np.mean(found):.5f} ({np.std(found):.5f})"


def exact(law: Any, other: Any) -> float:
    """KL(law || other) from their densities."""
    return 2 * quad(lambda y: float(law.pdf(y) * (law.log_pdf(y) - other.log_pdf(y))), 0, 12, limit=300)[0]


# -- tables --------------------------------------------------------------------------------------------------------


def moments() -> str:
    """E Q, E Q^2 and the kurtosis of one head, Gamma = I."""
    rows = []
    for tokens in SIZES:
        for v in SCORES:
            law = mf.attention_law(np.eye(tokens), qk_var=v)
            found = law.moments()
            values = (found.variance, law.moment(4) / 3, found.kurtosis)
            rows.append([tokens, str(v), *(f"{value:.13g}" for value in values)])
    return table(("tokens", "qk_var", "E Q", "E Q^2", "excess kurtosis, one head"), rows)


HEAD = ("H", "n", "variance", "excess kurtosis", "KL to the law", "KL to infinitely many heads")


def experiment(heads: int, given: argparse.Namespace) -> Iterator[list[str]]:
    """The rows of one number of heads."""
    law, gaussian = mf.attention_law(np.eye(TOKENS), heads=heads), mf.attention_law(np.eye(TOKENS), heads=inf)
    means, variances = [], []
    for n in given.widths:
        drawn = [networks(heads, n, given.networks, seed)[0] for seed in range(given.seeds)]
        mean, error = estimates(np.concatenate(drawn))
        first = [y[:, 0, 0].copy() for y in drawn]
        means.append(mean), variances.append(error**2)
        cells = [with_error(m, e) for m, e in zip(mean, error, strict=True)]
        yield [str(heads), str(n), *cells, divergences(first, law), divergences(first, gaussian)]
    far = [i for i, n in enumerate(given.widths) if n >= 64] if len(given.widths) > 2 else range(len(given.widths))
    line = extrapolate([given.widths[i] for i in far], np.array(means)[far], np.array(variances)[far], BATCHES - 1)
    yield [str(heads), "line at 1/n = 0", *(with_error(m, e) for m, e in zip(*line, strict=True)), "", ""]
    own = [law.sample(given.networks, seed=1000 + seed)[:, 0] for seed in range(given.seeds)]
    true = law.moments()
    numbers = f"{true.variance:.6f}", f"{true.kurtosis:.6f}"
    last = f"{divergences(own, gaussian)}, exactly {exact(law, gaussian):.6f}"
    yield [str(heads), "the law", *numbers, f"{divergences(own, law)}, the floor", last]


def others(given: argparse.Namespace) -> str:
    """ReLU tokens, and heads of 64 features with n = 64 H."""
    rows = []
    for n in given.widths:
        y, p = networks(2, n, given.networks, 0, "relu")
        law = mf.attention_law(RELU, heads=2)
        rows.append(["ReLU tokens, H = 2", n, y, p, law])
    for heads in (1, 4, 16):
        y, p = networks(heads, 64 * heads, given.networks, 0, head_width=64)
        rows.append([f"64 features a head, H = {heads}", 64 * heads, y, p, mf.attention_law(np.eye(4), heads=heads)])
    cells = []
    for name, n, y, p, law in rows:
        true, found = law.moments(), [with_error(*pair) for pair in zip(*estimates(y), strict=True)]
        kl = divergences([y[:, 0, 0].copy()], law).split()[0]
        cells.append([name, n, *found, f"{true.variance:.5f}", f"{true.kurtosis:.5f}", kl, f"{p.var():.4f}"])
    head = ("networks", "n", "variance", "excess kurtosis", "variance of the law", "its kurtosis", "KL", "Var p[0, 0]")
    return table(head, cells)


def verdicts(given: argparse.Namespace) -> str:
    theory, rows = mf.theory("sakai2025"), []
    for heads in given.heads:
        case = AttentionCase(mf.Attention(heads), mf.Attention(heads), random=True)
        found = mf.check(replace(theory, cases={"": case}), width=(256, 1024), margin=given.margin)
        each = [f"{r.estimate:.5f} ({r.theory:.5f} ± {r.margin:.5f})" for r in found.rows]
        rows.append([heads, *each, 500 * found.draws, found.outcome])
    head = ("H", *(f"{r.label}, extrapolated (law ± margin)" for r in found.rows), "networks at each width", "verdict")
    return table(head, rows)


# -- time ----------------------------------------------------------------------------------------------------------


def full(heads: int, n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """y[:, 0, 0] of `count` networks at once with all their matrices, in NumPy."""
    root = np.sqrt(n)
    h = rng.standard_normal((count, 1, n, 1))
    x = (rng.standard_normal((count, TOKENS, n, n)) @ h)[..., 0] / root
    y = np.zeros((count, TOKENS, n))
    for _ in range(heads):
        q, k, v, o = (rng.standard_normal((count, n, n)) / root for _ in range(4))
        p = (x @ q) @ (x @ k).swapaxes(1, 2) / root
        a = np.exp(p - p.max(axis=2, keepdims=True))
        y += a / a.sum(axis=2, keepdims=True) @ (x @ v) @ o / np.sqrt(heads)
    return y[:, 0, 0]


def times(given: argparse.Namespace) -> str:
    rng, rows = np.random.default_rng(0), []
    for heads in (1, 2):
        layer, spent = mf.Attention(heads), []
        for _ in range(3):
            began = time.perf_counter()
            attention_outputs(layer, RandomTokens(TOKENS), width=256, networks=given.networks, rng=rng)
            spent.append(time.perf_counter() - began)
        ours = min(spent) * 50_000 / given.networks
        full(heads, 256, 2, rng)
        began = time.perf_counter()
        for _ in range(given.full // 10):
            full(heads, 256, 10, rng)
        plain = (time.perf_counter() - began) / (given.full // 10 * 10) * 50_000
        rows.append([256, heads, f"{ours:.3g}", f"{plain:.3g}", f"{plain / ours:.0f}"])
    head = ("n", "H", "s, reduced", f"s, full matrices, scaled from {given.full}", "ratio")
    return table(head, rows)


# -- figure --------------------------------------------------------------------------------------------------------


def figure(path: Path, rows: list[list[str]], given: argparse.Namespace) -> None:
    """The histogram of the widest networks of one head beside both laws; KL over n."""
    import matplotlib
    from matplotlib.figure import Figure

    from meanfield.plot import save

    matplotlib.rcParams["svg.hashsalt"] = "attention"
    left, right = Figure(figsize=(8.4, 3.4), layout="constrained").subplots(1, 2)
    n = given.widths[-1]
    y = networks(1, n, given.networks, 0)[0][:, 0].ravel()
    counts, edges = np.histogram(y, bins=60, range=(-4.5, 4.5), density=True)
    left.stairs(np.where(counts > 0, counts, np.nan), edges, color="0.6", label=f"networks of n = {n}")
    at = np.linspace(-4.5, 4.5, 121)
    for heads, colour in ((1, "tab:blue"), (inf, "tab:orange")):
        name = "the law, H = 1" if heads == 1 else "infinitely many heads"
        left.plot(at, mf.attention_law(np.eye(TOKENS), heads=heads).pdf(at), color=colour, label=name)
    left.set(yscale="log", ylim=(1e-6, 2), xlabel="y", title="density of an output")
    left.legend(frameon=False, fontsize=8)
    colours = ("tab:blue", "tab:green", "tab:purple")
    for heads, colour in zip(given.heads, colours, strict=False):
        mine = [row for row in rows if row[0] == str(heads) and row[1].isdigit()]
        for column, style, target in ((4, "o-", "the law"), (5, "s:", "infinitely many heads")):
            values = [float(row[column].split()[0]) for row in mine]
            label = f"{target}, H = {heads}"
            right.plot([int(row[1]) for row in mine], values, style, color=colour, ms=3, label=label)
    right.set(xscale="log", yscale="log", xlabel="width n", title="KL from networks to ...")
    right.legend(frameon=False, fontsize=7)
    save(left, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two widths, one H, 2000 networks, one seed")
    parser.add_argument("--heads", nargs="+", type=int, default=[1, 2, 16], metavar="H")
    parser.add_argument("--widths", nargs="+", type=int, default=[16, 64, 256, 1024], metavar="N")
    parser.add_argument("--networks", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--full", type=int, default=200, metavar="N", help="networks drawn with full matrices")
    parser.add_argument("--margin", type=float, default=0.02)
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.quick:
        given.heads, given.widths, given.networks, given.seeds, given.full = [1], [16, 64], 2000, 1, 10
        given.margin = 0.1
    return given


def main() -> None:
    given = arguments()
    rows = [row for heads in given.heads for row in experiment(heads, given)]
    drawn = f"{given.networks:,} networks, {given.seeds} seeds"
    parts = [
        f"Networks ({drawn}):\n\n{table(HEAD, rows)}",
        f"Verdicts:\n\n{verdicts(given)}",
        f"Other tokens and heads ({given.networks:,} networks):\n\n{others(given)}",
        f"Time of 50,000 networks:\n\n{times(given)}",
        f"Moments of Q for Gamma = I:\n\n{moments()}",
    ]
    text = "\n\n".join(parts)
    print(text)
    if given.figure:
        figure(given.figure, rows, given)
    if given.write:
        write(given.write, "attention", text)


if __name__ == "__main__":
    main()
