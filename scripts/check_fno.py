"""Deep Fourier neural operators, 64 points, 12 or 33 modes, 32 layers, beside their theory: the page fno_verdicts.md.

Usage: python scripts/check_fno.py [--quick] [--margin 0.05] [--most 128] [--write docs/fno_verdicts.md].

The protocol was fixed before an outcome was seen, from variances of a pilot of other draws and from the time it takes.
Verdicts are those of mf.check: widths 512 and 4096 from the exact law (meanfield.finite.fields), extrapolated in
1/width, looks at 32, 64 and 128 networks, alpha 0.001 for each row, seed 0. The margin is 5 % of the scale: variances
grow with depth, and 2 % would take six times the networks; the table says what was resolved. Observed are Sigma_r at
layers 1, 8, 32 and lags 0, 1, 4, 16, scale Sigma_0 of the theory at that layer, and Sigmatilde_0 at layers 31, 16, 0 of
a white gradient of size 1 at layer 32, scale itself. Beside each row the same networks meet a theory that is wrong:
weight_var larger by a tenth, or weights of the mean that count in full where they were drawn complex.

ReLU networks without biases are homogeneous: from equal random numbers, weight_var v scales those of 2 by (v/2)^(1/2)
a layer, so one row stands for every v (a line says to how many digits). There Sigma_0 at layer 32 has the relative
variance 5 * 31/width, skewed, which no affordable number of networks resolves to 5 %. Its row is decided on lengths
Sigma_0(l)^(1/l), angles arccos(Sigma_r/Sigma_0) and gradients Sigmatilde_0(l)^(1/(32 - l)) instead; "as they are" asks
the same networks, no more, for the observables above, and is expected to be inconclusive.

Real weights: means at width 512 against those of the law, t-tests with one variance for both, the least p times the
number of observables; "agrees" above 0.001. 33 matrices in 32 layers are 4.4 GB that wait for the gradient,
of two networks at a time.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pages

import meanfield as mf
from meanfield.finite import draw_many, stream
from meanfield.finite.fields import gradient_walk
from solvers.agreement import Decision, decide

Array = npt.NDArray[np.float64]
ALPHA = 1e-3


@dataclass(frozen=True)
class Plan:
    """What is drawn and where it is looked at; `real` counts networks with real weights for each K of `kept`."""

    points: int = 64
    kept: tuple[int, ...] = (12, 33)
    depth: int = 32
    ahead: tuple[int, ...] = (1, 8, 32)
    back: tuple[int, ...] = (31, 16, 0)
    lags: tuple[int, ...] = (0, 1, 4, 16)
    variances: tuple[float, ...] = (0.5, 1, 2, 3, 4)
    widths: tuple[int, int] = (512, 4096)
    draws: int = 32
    most: int = 128
    real: tuple[int, ...] = (16, 4)
    margin: float = 0.05

    @property
    def start(self) -> Array:
        r = np.arange(self.points) / self.points
        return np.asarray(0.4 + sum(v * np.cos(2 * np.pi * k * r) for k, v in ((1, 0.3), (3, 0.2), (6, 0.1))))

    @property
    def passed(self) -> Array:
        """Layers that each gradient went back through."""
        return self.depth - np.array(self.back)


QUICK = Plan(16, (3, 9), 4, (1, 2, 4), (3, 2, 0), (0, 1, 3, 8), (2,), (128, 512), 32, 32, (8, 8))


# -- networks and what is observed ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Networks:
    """A block, the block of a theory that is wrong about its networks, and how they are observed."""

    name: str
    block: mf.Layer
    wrong: mf.Layer
    by_layer: bool
    real: int = 0


def every(plan: Plan) -> Iterator[Networks]:
    for kept, real in zip(plan.kept, plan.real, strict=True):
        for v in plan.variances:
            right, wrong = (mf.tanh >> mf.Spectral(kept, w * v, 0) for w in (1, 1.1))
            yield Networks(f"tanh, K = {kept}, {v:g}", right, wrong, False, real if v == 2 else 0)
    for kept, real in zip(plan.kept, plan.real, strict=True):
        right, wrong = (mf.relu >> mf.Spectral(kept, 2 * w, 0) for w in (1, 1.1))
        yield Networks(f"relu, K = {kept}, any", right, wrong, True, real)
    kept, real = plan.kept[0], plan.real[0]
    right, wrong = (mf.relu >> mf.Spectral(kept, 2, 0, dc=dc) for dc in ("complex", "real"))
    yield Networks(f"relu, K = {kept}, any, complex mean", right, wrong, True, real)


def seen(plan: Plan, ahead: Array, back: Array) -> Array:
    """Sigma at layers and lags (layers * lags), then Sigmatilde_0 (layers)."""
    return np.concatenate([ahead[np.ix_(plan.ahead, plan.lags)].ravel(), back[list(plan.back), 0]])


def predicted(plan: Plan, block: mf.Layer) -> Array:
    operator = mf.fourier_operator(block, plan.points)
    return seen(plan, operator.trajectory(plan.depth, plan.start), operator.gradients(plan.depth, plan.start))


@cache
def observed(plan: Plan, block: mf.Layer, width: int, first: int, last: int, conditional: bool = True) -> Array:
    """Networks number first to last - 1: (last - first, observables)."""

    def one(rng: np.random.Generator) -> Array:
        found = gradient_walk(block, plan.start, channels=width, depth=plan.depth, rng=rng, conditional=conditional)
        return seen(plan, found.forward, found.backward)

    # Real networks are other draws, and few at a time: their weights wait for the gradient.
    seed, threads = (0, None) if conditional else (1, 2)
    return draw_many(one, width=width, start=first, stop=last, seed=seed, threads=threads)


def split(plan: Plan, x: Array) -> tuple[Array, Array]:
    """(..., layers, lags) and (..., layers) of what was seen."""
    count = len(plan.ahead) * len(plan.lags)
    return x[..., :count].reshape(*x.shape[:-1], -1, len(plan.lags)), x[..., count:]


def scales(plan: Plan, x: Array) -> Array:
    sigma, back = split(plan, x)
    return np.concatenate([np.repeat(sigma[:, 0], len(plan.lags)), back])


def by_layer(plan: Plan, x: Array) -> Array:
    """Lengths and gradients for each layer that they passed, and angles."""
    sigma, back = split(plan, x)
    angles = np.arccos(sigma[..., 1:] / sigma[..., :1]).reshape(*x.shape[:-1], -1)
    return np.concatenate([sigma[..., 0] ** (1 / np.array(plan.ahead)), angles, back ** (1 / plan.passed)], axis=-1)


def labels(plan: Plan, of_layers: bool) -> list[str]:
    if not of_layers:
        names = [f"Sigma_{r} at {layer}" for layer in plan.ahead for r in plan.lags]
        return [*names, *(f"Sigmatilde_0 at {layer}" for layer in plan.back)]
    names = [f"length to {layer}" for layer in plan.ahead]
    names += [f"angle of lag {r} at {layer}" for layer in plan.ahead for r in plan.lags[1:]]
    return [*names, *(f"gradient to {layer}" for layer in plan.back)]


# -- the tables ----------------------------------------------------------------------------------------------------


def decided(plan: Plan, block: mf.Layer, theory: mf.Layer, of_layers: bool, most: int) -> Decision:
    view: Callable[[Array], Array] = (lambda x: by_layer(plan, x)) if of_layers else (lambda x: x)
    values = predicted(plan, theory)
    return decide(
        labels(plan, of_layers),
        view(values),
        view(values) if of_layers else scales(plan, values),
        lambda width, first, last: view(observed(plan, block, width, first, last)),
        widths=plan.widths,
        draws=plan.draws,
        max_draws=most,
        margin=plan.margin,
        alpha=ALPHA,
    )


def verdicts(plan: Plan) -> Iterator[list[str]]:
    for nets in every(plan):
        began = time.perf_counter()
        found = decided(plan, nets.block, nets.block, nets.by_layer, plan.most)
        yield verdict(plan, nets, nets.name, found, nets.by_layer, began)
        if nets.by_layer:
            began = time.perf_counter()
            plain = decided(plan, nets.block, nets.block, False, found.draws)
            yield verdict(plan, nets, f"{nets.name}; as they are", plain, False, began)


def verdict(plan: Plan, nets: Networks, name: str, found: Decision, of_layers: bool, began: float) -> list[str]:
    other = decided(plan, nets.block, nets.wrong, of_layers, found.draws)
    percent = 100 * plan.margin
    furthest = max(found.rows, key=lambda r: abs(r.estimate - r.theory) / r.margin)
    off = percent * (furthest.estimate - furthest.theory) / furthest.margin
    widest = percent * max((r.high - r.low) / 2 / r.margin for r in found.rows)
    far = f"{off:+.1f}, {furthest.label}"
    spent = f"{time.perf_counter() - began:.0f}"
    return [name, str(found.draws), found.outcome, far, f"{widest:.1f}", other.outcome, spent]


def weights(plan: Plan) -> Iterator[list[str]]:
    """Networks with real weights beside the law of theirs, and that of others."""
    for nets in every(plan):
        if nets.real:
            began = time.perf_counter()
            real = observed(plan, nets.block, plan.widths[0], 0, nets.real, False)
            right, wrong = (compared(plan, nets, real, block) for block in (nets.block, nets.wrong))
            yield [nets.name, str(nets.real), *right, wrong[-1], f"{time.perf_counter() - began:.0f}"]


def compared(plan: Plan, nets: Networks, real: Array, block: mf.Layer) -> list[str]:
    from scipy.stats import ttest_ind

    law = observed(plan, block, plan.widths[0], 0, plan.draws)
    if nets.by_layer:
        real, law = by_layer(plan, real), by_layer(plan, law)
    test = ttest_ind(real, law, axis=0)
    p = min(1.0, float(test.pvalue.min()) * real.shape[1])
    return [f"{np.abs(test.statistic).max():.1f}", f"{p:.2g}", "agrees" if p > ALPHA else "disagrees"]


def homogeneous(plan: Plan) -> float:
    """How far ReLU networks of each weight_var are from those of 2, scaled, relative to Sigma_0 and Sigmatilde_0."""
    layers = np.concatenate([np.repeat(plan.ahead, len(plan.lags)), plan.passed])

    def walked(v: float) -> Array:
        block = mf.relu >> mf.Spectral(plan.kept[0], v, 0)
        found = gradient_walk(block, plan.start, channels=64, depth=plan.depth, rng=stream(2, 0))
        return seen(plan, found.forward, found.backward) / (v / 2) ** layers

    of_two = walked(2.0)
    return max(float(np.max(np.abs(walked(v) - of_two) / scales(plan, of_two))) for v in (1.0, *plan.variances))


def shown(head: str, rows: Iterator[list[str]]) -> str:
    """A table, its rows printed as they come."""
    found = []
    print(pages.table(head.split(" | "), []))
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
        found.append(row)
    return pages.table(head.split(" | "), found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="16 points, 4 layers, widths 128 and 512, 32 networks")
    parser.add_argument("--margin", type=float, default=Plan.margin, help="of the scale of each observable")
    parser.add_argument("--most", type=int, help="networks at each width before a row stays inconclusive")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables between the markers of a page")
    given = parser.parse_args()
    plan = replace(QUICK if given.quick else Plan(), margin=given.margin)
    plan = plan if given.most is None else replace(plan, most=given.most)
    law = shown(
        "networks, sigma^2 | draws | verdict | furthest off, % | ± at most, % | wrong theory | s", verdicts(plan)
    )
    line = f"ReLU networks of every weight_var are those of 2, scaled, to {homogeneous(plan):.0e}."
    print(f"\n{line}\n", flush=True)
    real = shown("real weights | draws | largest t | p | against the law | of others | s", weights(plan))
    if given.write:
        pages.replace(given.write, "fno", "\n\n".join([law, line, real]))


if __name__ == "__main__":
    main()
