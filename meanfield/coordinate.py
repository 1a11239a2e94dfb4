"""Coordinate check: do real networks, trained at several widths, move as the predicted exponents say?

RMS of own, prop, cross and dh of each layer (meanfield/finite/training/coordinates.py) is Theta(n^e): for each seed
the least-squares slope over widths in logarithms, over seeds mean and t interval, against the predicted e with the
margins that finite widths need (0.08, 0.12 for the output). A change of inputs meets a change of weights at random to
first order in the step and aligned to the next: cross is predicted between n^(e - 1/2) and n^e, which it approaches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from meanfield.finite.training.coordinates import PARTS, Coordinates, Task, coordinates
from meanfield.finite.training.mlp import Array
from meanfield.progress import progress
from meanfield.scaling import ScalingTable, scaling
from meanfield.trained import Direction, Shape, numbers, shape, trainer
from solvers.powers import outcomes, quantile, slopes
from symbolic.scaling.optimizers import Optimizer

WIDTHS, SEEDS, STEPS = (128, 256, 512, 1024, 2048), 8, 3
MARGIN, MARGIN_OUTPUT = 0.08, 0.12
F0 = "f"


@dataclass(frozen=True)
class CoordinateSlope:
    """One exponent of width. part: "own", "prop", "cross", "dh", or "f", the output before training (step 0).

    predicted is the exponent at large width, predicted_low is less where a part may still be on its way (cross); low
    and high bound the exponent measured, with confidence 1 - alpha.
    """

    part: str
    layer: str
    step: int
    predicted_low: float
    predicted: float
    measured: float
    standard_error: float
    low: float
    high: float
    margin: float
    outcome: str


@dataclass(frozen=True)
class CoordinateCheck:
    """`outcome` is "agrees", "disagrees" or "inconclusive"; `rows` hold each slope measured and predicted.

    `sizes[part]` are the root mean squares themselves, (seeds, widths, steps, layers); `sizes["f"]` (seeds, widths)
    that of the output before training.
    """

    outcome: str
    rows: tuple[CoordinateSlope, ...]
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    steps: int
    layers: tuple[str, ...]
    alpha: float
    theory: str
    networks: str
    sizes: Mapping[str, Array] = field(compare=False, repr=False)

    def __getitem__(self, key: tuple[str, str] | tuple[str, str, int]) -> CoordinateSlope:
        """check["own", "hidden 1"] after the last step, or check["own", "hidden 1", 1] after another; KeyError else."""
        found = [row for row in self.rows if (row.part, row.layer, row.step)[: len(key)] == key]
        if not found:
            raise KeyError(f"no slope {key}; there are {sorted({(r.part, r.layer, r.step) for r in self.rows})}")
        return found[-1]

    def __str__(self) -> str:
        from meanfield.coordinate_show import table

        return table(self)

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise TypeError("a coordinate check has three outcomes: compare .outcome with 'agrees', 'disagrees' or others")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the sizes."""
        named = {name: value for name, value in vars(self).items() if name not in ("rows", "sizes")}
        return {**named, "rows": [asdict(row) for row in self.rows]}

    def plot(self, part: str = "dh", ax: Any = None) -> Any:
        """Root mean squares of a part over width after the last step, a line for each layer, predicted slopes dashed;
        for "dh" also the output before training. Returns the axes (needs matplotlib)."""
        from meanfield.coordinate_show import picture

        return picture(self, part, ax)


def coordinate_check(
    architecture: Any = "mlp",
    *,
    optimizer: str | Optimizer,
    update: Direction | None = None,
    parametrization: str = "mup",
    networks: ScalingTable | str | None = None,
    damping: str = "matched",
    widths: Sequence[int] = WIDTHS,
    seeds: int | Sequence[int] = SEEDS,
    steps: int = STEPS,
    learning_rate: float | None = None,
    damping_size: float | None = None,
    margin: tuple[float, float] = (MARGIN, MARGIN_OUTPUT),
    alpha: float = 0.05,
    **powers: Any,
) -> CoordinateCheck:
    """Train real networks at several widths and compare how each part of each layer moves with mf.scaling.

    architecture: "mlp" (four matrices, tanh) or Dense() >> (phi >> Dense()) ** k; optimizer, parametrization, damping
    and the optimizer's exponents as in mf.scaling. An Optimizer of your own needs its rule besides: update(gradient,
    weights, *dampings), of matrices and the dampings of its metrics, gives the direction, w <- w - rate * direction.
    `networks`: a parametrization, or a table of mf.scaling, that the networks have instead of their theory's own, to
    ask whether a difference would be noticed.
    8 inputs, 2 outputs, batches of 4 (one batch for all steps), test inputs correlated 0.8 with them. Numbers are
    constant * width**exponent; `learning_rate` and `damping_size` are those constants, left out a suitable one.

    Slopes are judged after the first step and after the last; of an unstable parametrization own alone, after the
    first: what builds on it mixes powers of the learning rate, of which the highest wins late. A slope agrees if the
    t interval over seeds, of level 1 - alpha, lies within its margin (first number; the second for the output layer) of
    the prediction; it disagrees if the one of level 1 - alpha/slopes lies outside; the check agrees if all slopes do,
    and disagrees if one does. f before training falls as n^(-1/2) under "mup": a transient, and predicted as such.
    ValueError for fewer than two widths or seeds, and where training blows up or nothing moves; ArithmeticError where
    predictive coding finds no equilibrium; errors of mf.scaling as there.
    """
    own = isinstance(optimizer, Optimizer)
    if own != (update is not None):
        raise ValueError(
            "an Optimizer of your own needs its rule: update=, a function of gradient, weights and dampings"
            if own
            else f"update= is the rule of an Optimizer of your own; {optimizer!r} has one"
        )
    net = shape(architecture)
    given = {"optimizer": optimizer, **powers}
    theory = scaling(net.network, parametrization=parametrization, damping=damping, **given)
    drawn = _networks(net, networks, theory, given)
    chosen, at, task = _seeds(seeds), _widths(widths), Task()
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, not {steps!r}")

    def train(width: int, seed: int) -> Coordinates:
        layers = numbers(drawn, width, net.gains, task.inputs, learning_rate, damping_size)
        return coordinates(layers, width, steps, trainer(drawn, powers, width, update), seed, task, net.phi)

    sizes = _sizes(train, at, chosen)
    rows = _rows(theory, sizes, at, steps, margin, alpha)
    found = {row.outcome for row in rows}
    outcome = next(o for o in ("disagrees", "inconclusive", "agrees") if o in found)
    layers = tuple(p.name for p in theory.chain.layers)
    return CoordinateCheck(outcome, rows, at, chosen, steps, layers, alpha, _name(theory), _name(drawn), sizes)


def _networks(
    net: Shape, networks: ScalingTable | str | None, theory: ScalingTable, given: dict[str, Any]
) -> ScalingTable:
    if networks is None:
        return theory
    found = scaling(net.network, parametrization=networks, **given) if isinstance(networks, str) else networks
    if found.optimizer != theory.optimizer or len(found.chain.layers) != len(theory.chain.layers):
        raise ValueError(
            f"networks must be a table of {theory.optimizer} with {len(theory.chain.layers)} layers, not of "
            f"{found.optimizer} with {len(found.chain.layers)}"
        )
    return found


def _name(table: ScalingTable) -> str:
    how = table.chain.damping
    return f"{table.parametrization} {table.optimizer}" + ("" if how == "matched" else f", {how} damping")


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    found = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if len(set(found)) != len(found) or len(found) < 2:
        raise ValueError(f"a standard error needs at least two different seeds, not {seeds!r}")
    return found


def _widths(widths: Sequence[int]) -> tuple[int, ...]:
    found = tuple(sorted(set(widths)))
    if len(found) < 2 or found[0] < 1:
        raise ValueError(f"a slope needs at least two widths of at least 1, not {tuple(widths)}")
    return found


def _sizes(
    train: Callable[[int, int], Coordinates], widths: tuple[int, ...], seeds: tuple[int, ...]
) -> dict[str, Array]:
    found = []
    with progress("networks") as report:
        for count, seed in enumerate(seeds):
            try:
                with np.errstate(over="raise", invalid="raise"):
                    found.append([train(width, seed) for width in widths])
            except FloatingPointError as error:
                raise ValueError(f"training blew up with seed {seed}: take a smaller learning_rate") from error
            report(count + 1, len(seeds))
    names = {**{part: part for part in PARTS}, F0: "f0"}
    return {part: np.array([[getattr(one, name) for one in row] for row in found]) for part, name in names.items()}


def _rows(
    theory: ScalingTable,
    sizes: dict[str, Array],
    widths: tuple[int, ...],
    steps: int,
    margins: tuple[float, float],
    alpha: float,
) -> tuple[CoordinateSlope, ...]:
    claims = _claims(theory, steps)
    layers = [p.name for p in theory.chain.layers]
    found = slopes(widths, _measured(claims, sizes))
    means, errors = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
    allowed = np.array([margins[layer == len(layers) - 1] for _, layer, *_ in claims])
    half = quantile(len(found), alpha / 2) * errors
    said = outcomes(means, errors, np.array([claim[3:] for claim in claims]), allowed, len(found), alpha)
    columns = np.stack([means, errors, means - half, means + half, allowed]).tolist()
    return tuple(
        CoordinateSlope(part, layers[layer], step, least, most, mean, error, low, high, margin, one)
        for (part, layer, step, least, most), mean, error, low, high, margin, one in zip(
            claims, *columns, said, strict=True
        )
    )


Claim = tuple[str, int, int, float, float]


def _measured(claims: Sequence[Claim], sizes: Mapping[str, Array]) -> Array:
    """(seeds, widths, claims); ValueError for a size of 0, which has no logarithm."""
    found = []
    for part, layer, step, *_ in claims:
        values = sizes[F0] if part == F0 else sizes[part][:, :, step - 1, layer]
        if not (values > 0).all():
            raise ValueError(f"{part} of layer {layer + 1} did not move in step {step}: take a larger learning_rate")
        found.append(values)
    return np.stack(found, axis=-1)


def _claims(theory: ScalingTable, steps: int) -> list[Claim]:
    """part, layer, step, least and greatest exponent of what the theory predicts."""
    stable = theory.regime.stable
    judged = [1, steps] if steps > 1 and stable else [1]
    last = len(theory.chain.layers) - 1
    before = float(theory.slopes[theory.chain.layers[last].name].h)
    found: list[Claim] = [(F0, last, 0, before, before)]
    for step in judged:
        for layer, parameter in enumerate(theory.chain.layers):
            row = theory.slopes[parameter.name]
            for part in PARTS if stable else ("own",):
                predicted = float(getattr(row, part))
                unaligned = float(parameter.fan_in) / 2 if part == "cross" else 0.0
                if np.isfinite(predicted):
                    found.append((part, layer, step, predicted - unaligned, predicted))
    return found
