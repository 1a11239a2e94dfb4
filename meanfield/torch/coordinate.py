"""Coordinate check of a torch.nn.Module: does what its layers compute move alike at any width?

In muP each activation and output changes by Theta(n^0) while it trains: of RMS(h_t - h_0), over entries and batch, the
least-squares slope in logarithms over widths, for each seed, gives mean and t interval, judged against 0 with a margin
(solvers/powers.py). The size of h_0 itself is reported: readouts of muP without bias begin as n^(-1/2), which vanishes.
The check is that of Yang et al. 2022 (arXiv:2203.03466, recalled); without muP changes grow or vanish with width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from meanfield.progress import progress
from meanfield.show import STYLES, text
from solvers.powers import Array, outcomes, quantile, slopes

try:
    import torch
except ImportError as error:
    raise ImportError("coordinate_check needs PyTorch: pip install 'meanfield-calculator[torch]'") from error

MARGIN = 0.15
REPORTED = "reported"


@dataclass(frozen=True)
class ModuleSlope:
    """One exponent of width. part: "change" of a module's output since initialization, after `step` updates, or
    "initial", the output at step 0, of which nothing is predicted (None) and the outcome is "reported".

    low and high bound the measured exponent with confidence 1 - alpha."""

    part: str
    module: str
    step: int
    predicted: float | None
    measured: float
    standard_error: float
    low: float
    high: float
    outcome: str


@dataclass(frozen=True)
class ModuleCheck:
    """`outcome` is "agrees", "disagrees" or "inconclusive"; `rows` hold the slopes, `skipped` why a module has none.

    `sizes` are the root mean squares, (seeds, widths, steps + 1, modules): of the output at 0, then of its changes.
    """

    outcome: str
    rows: tuple[ModuleSlope, ...]
    modules: tuple[str, ...]
    skipped: Mapping[str, str]
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    steps: int
    margin: float
    alpha: float
    sizes: Array = field(compare=False, repr=False)

    def __getitem__(self, key: tuple[str, str] | tuple[str, str, int]) -> ModuleSlope:
        """check["change", "head"] after the last step, or check["change", "head", 1] after another; KeyError else."""
        found = [row for row in self.rows if (row.part, row.module, row.step)[: len(key)] == key]
        if not found:
            raise KeyError(f"no slope {key}; there are {[(r.part, r.module, r.step) for r in self.rows]}")
        return found[-1]

    def __bool__(self) -> bool:
        raise TypeError("a coordinate check has three outcomes: compare .outcome with 'agrees', 'disagrees' or others")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the sizes."""
        named = {name: value for name, value in vars(self).items() if name not in ("rows", "skipped", "sizes")}
        return {**named, "skipped": dict(self.skipped), "rows": [asdict(row) for row in self.rows]}

    def __str__(self) -> str:
        table = Table(box=None, pad_edge=False)
        for name in ("part", "module", "step", "predicted", "measured", "+-", ""):
            table.add_column(name, justify="left" if name in ("part", "module", "") else "right")
        for row in self.rows:
            predicted = "-" if row.predicted is None else f"{row.predicted:g}"
            numbers = (predicted, f"{row.measured:+.3f}", f"{(row.high - row.low) / 2:.3f}")
            shown = f"[{STYLES[row.outcome]}]{row.outcome}[/]" if row.outcome in STYLES else row.outcome
            table.add_row(row.part, escape(row.module), str(row.step), *numbers, shown)
        head = f"changes independent of width, as in muP: {self.outcome}"
        widths = ", ".join(map(str, self.widths))
        how = f"exponents from {len(self.seeds)} seeds at the widths {widths}; "
        how += f"margin {self.margin:g}, alpha {self.alpha:g}"
        skipped = [f"skipped {escape(name)!r}: {why}" for name, why in self.skipped.items()]
        return text(head, how, "initial is not judged: readouts of muP without bias begin as n^(-1/2)", *skipped, table)

    __repr__ = __str__


def coordinate_check(
    make: Callable[[int], Any],
    data: tuple[Any, Any],
    *,
    widths: Sequence[int],
    optimizer: Callable[[Any], Any],
    loss: Callable[[Any, Any], Any] | None = None,
    modules: Sequence[str] | None = None,
    steps: int = 3,
    seeds: int | Sequence[int] = 4,
    groups: Callable[[Any, int], Any] | None = None,
    margin: float = MARGIN,
    alpha: float = 0.05,
) -> ModuleCheck:
    """Train a module at several widths, and ask whether the changes of what its layers compute depend on width.

    make(width) gives a fresh torch.nn.Module; groups(model, width) its param groups, as scale_(model, base, ...).groups
    (left out, all parameters alike); optimizer, a class of torch.optim or any callable, is called with them, and its
    step() without a closure. data = (inputs, targets) is the batch of all `steps`, loss(model(inputs), targets) the
    mean squared error unless given. modules: names as in model.named_modules(), "" the model itself (say that where
    forward multiplies a readout); left out, all that have no children. A module used twice is recorded at its last use;
    one that is not called, gives no tensor or never changes is listed in `skipped`.

    Each seed sets PyTorch's generator before make and before each forward pass, so that dropout draws the same masks
    and changes come from training alone; the state of the caller's generator is kept. Predicted is n^0 after each
    update, as in muP. A slope agrees if its t interval over seeds, of level 1 - alpha, lies within margin of 0, and
    disagrees if the one of level 1 - alpha/(slopes judged) lies outside; the check agrees if all do, and disagrees if
    one does. Finite widths need the margin: 0.15 suits widths of 64 to 512. Gradients of SGD differ more from seed to
    seed than updates of Adam: eight seeds or more, as four often leave them inconclusive. Source: Yang et al. 2022,
    arXiv:2203.03466 (recalled).

    ValueError for fewer than three widths or two seeds, repeated ones, names of no module, named modules that are not
    called, modules that differ between widths, training that blows up or moves nothing; TypeError for make that gives
    no module, and for named modules whose output is no tensor.
    """
    at, drawn = _distinct("widths", widths, 3), _distinct("seeds", range(seeds) if isinstance(seeds, int) else seeds, 2)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, not {steps!r}")
    if min(at) < 1:
        raise ValueError(f"widths are at least 1, not {at}")
    measured = loss or torch.nn.functional.mse_loss
    found: list[dict[str, Any]] = []
    with torch.random.fork_rng(), progress("networks") as report:
        for count, seed in enumerate(drawn):
            for width in at:
                torch.manual_seed(seed)
                model = _model(make, width)
                names = _names(model, modules)
                steps_of = optimizer(model.parameters() if groups is None else groups(model, width))
                found.append(_train(model, names, steps_of, data, measured, steps, seed))
                _check_run(found[-1], found[0], width, seed)
            report(count + 1, len(drawn))
    skipped = {name: why for name, why in found[0].items() if isinstance(why, str)}
    _check_named(skipped, modules)
    kept = tuple(name for name in found[0] if name not in skipped)
    sizes = np.array([[run[name] for name in kept] for run in found]).reshape(len(drawn), len(at), len(kept), steps + 1)
    sizes = np.moveaxis(sizes, 2, 3)
    skipped |= {name: "it never changes" for k, name in enumerate(kept) if not sizes[:, :, 1:, k].any()}
    rows = _rows(sizes, kept, at, margin, alpha)
    outcome = next(o for o in ("disagrees", "inconclusive", "agrees") if o in {row.outcome for row in rows})
    return ModuleCheck(outcome, rows, kept, skipped, at, drawn, steps, margin, alpha, sizes)


def _distinct(what: str, given: Sequence[int], least: int) -> tuple[int, ...]:
    found = tuple(given)
    if len(set(found)) != len(found) or len(found) < least:
        raise ValueError(f"a slope and its error want at least {least} different {what}, not {found}")
    return tuple(sorted(found))


def _model(make: Callable[[int], Any], width: int) -> Any:
    model = make(width)
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"make(width) gives a fresh torch.nn.Module, not {model!r}")
    return model


def _names(model: Any, modules: Sequence[str] | None) -> list[str]:
    if modules is None:
        return [name for name, module in model.named_modules() if not any(module.children())]
    known = dict(model.named_modules(remove_duplicate=False))
    unknown = [name for name in modules if name not in known]
    if unknown or not modules:
        raise ValueError(f"modules are names of model.named_modules(), {[*known]}, not {unknown or modules}")
    return list(modules)


@contextmanager
def _outputs(model: Any, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What each module gives while the hooks are there; cloned, as the next one may write into it."""
    found: dict[str, Any] = {}

    def hook(name: str) -> Callable[[Any, Any, Any], None]:
        def keep(_module: Any, _given: Any, output: Any) -> None:
            numbers = isinstance(output, torch.Tensor) and (output.is_floating_point() or output.is_complex())
            found[name] = output.detach().clone() if numbers else None

        return keep

    held = dict(model.named_modules(remove_duplicate=False))
    hooks = [held[name].register_forward_hook(hook(name)) for name in names]
    try:
        yield found
    finally:
        for each in hooks:
            each.remove()


def _train(
    model: Any,
    names: Sequence[str],
    optimizer: Any,
    data: tuple[Any, Any],
    loss: Callable[[Any, Any], Any],
    steps: int,
    seed: int,
) -> dict[str, Any]:
    """For each module the sizes of its output and of its changes after each update, or why it has none."""
    inputs, targets = data
    first: dict[str, Any] = {}
    sizes: dict[str, Any] = {}
    for step in range(steps + 1):
        torch.manual_seed(seed)
        with _outputs(model, names) as now:
            output = model(inputs)
        if step == 0:
            first = now
            sizes = {name: [] if now.get(name) is not None else _why(name, now) for name in names}
        for name in (name for name in names if not isinstance(sizes[name], str)):
            sizes[name].append(_rms(now[name] if step == 0 else now[name] - first[name]))
        if step < steps:
            optimizer.zero_grad()
            loss(output, targets).backward()
            optimizer.step()
    return sizes


NOT_CALLED, NO_TENSOR = "it is not called in forward", "its output is no tensor of real or complex numbers"


def _why(name: str, now: Mapping[str, Any]) -> str:
    return NO_TENSOR if name in now else NOT_CALLED


def _rms(values: Any) -> float:
    return float(values.abs().cpu().double().square().mean().sqrt())


def _check_run(run: Mapping[str, Any], first: Mapping[str, Any], width: int, seed: int) -> None:
    recorded = {name for name, size in run.items() if not isinstance(size, str)}
    odd = recorded ^ {name for name, size in first.items() if not isinstance(size, str)}
    if odd:
        raise ValueError(f"make gives different modules at width {width}: {sorted(odd)} are not recorded at all widths")
    if not np.isfinite([run[name] for name in recorded]).all():
        raise ValueError(f"training blew up at width {width} with seed {seed}: take a smaller learning rate")


def _check_named(skipped: Mapping[str, str], modules: Sequence[str] | None) -> None:
    for name, why in skipped.items() if modules is not None else ():
        wrong = TypeError if why == NO_TENSOR else ValueError
        raise wrong(f"module {name!r} cannot be recorded, as {why}: name one of its parts, or the module around it")


def _rows(
    sizes: Array, names: Sequence[str], widths: tuple[int, ...], margin: float, alpha: float
) -> tuple[ModuleSlope, ...]:
    """Slopes of all that is not zero throughout, as a readout of zeros is at first, and what moves before it does."""
    steps = range(sizes.shape[2])
    kept = [(step, k) for step in steps for k in range(len(names)) if sizes[:, :, step, k].any()]
    for step, k in kept:
        if not (sizes[:, :, step, k] > 0).all():
            raise ValueError(f"module {names[k]!r} gives or moves by exactly 0 at some widths or seeds, at step {step}")
    judged = [step > 0 for step, _ in kept]
    if not any(judged):
        raise ValueError("nothing moved: take a larger learning rate, or check that groups holds the parameters")
    found = slopes(widths, np.stack([sizes[:, :, step, k] for step, k in kept], axis=-1))
    means, errors = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
    half = quantile(len(found), alpha / 2) * errors
    changes = np.array(judged)
    claims, margins = np.zeros((sum(judged), 2)), np.full(sum(judged), margin)
    said = iter(outcomes(means[changes], errors[changes], claims, margins, len(found), alpha))
    columns = np.stack([means, errors, means - half, means + half]).tolist()
    return tuple(
        ModuleSlope("change", names[k], step, 0.0, mean, error, low, high, next(said))
        if step
        else ModuleSlope("initial", names[k], 0, None, mean, error, low, high, REPORTED)
        for (step, k), mean, error, low, high in zip(kept, *columns, strict=True)
    )
