"""Does a theory of infinite width agree with finite random networks? Estimate, extrapolate, decide.

The mean at width w is m + b/w. Weighted least squares of sample means on 1/w gives the intercept sum a_w y_w,
    variance sum a_w^2 (s_w^2/n) (1 + 4 (1 - h_w)/(n - 1)),   h_w the leverage,
whose last factor pays for estimated weights (Meier 1953; it is 1 at two widths). The interval intercept -
theory +- t s.e. agrees inside of +-margin, disagrees outside of it, else is inconclusive (Schuirmann 1987).
Looks at n, 2n, 4n, ... draws are planned in advance and share alpha with the components (Bonferroni).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log10
from numbers import Integral
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Draw = Callable[[int, int, int], Any]
Progress = Callable[[int, int], None]

LEAST_DRAWS, POWER_QUANTILE = 8, 1.645  # 1.645: normal 95 %, room for the noise of the next estimate


@dataclass(frozen=True)
class Row:
    """One component: `low` and `high` bound estimate - theory, which `margin` is absolute for."""

    label: str
    theory: float
    estimate: float
    standard_error: float
    low: float
    high: float
    margin: float
    outcome: str


@dataclass(frozen=True)
class Decision:
    """The outcome with its evidence; `draws` and `draws_needed` count networks per width."""

    outcome: str
    rows: tuple[Row, ...]
    draws: int
    draws_needed: int | None
    widths: tuple[int, ...]
    margin: float
    alpha: float
    looks: int


@dataclass(frozen=True)
class Question:
    """A checked call of `decide`; the theory in its natural units is (labels, theory, scale)."""

    labels: tuple[str, ...]
    theory: Array
    scale: Array
    widths: tuple[int, ...]
    plan: tuple[int, ...]
    margin: float
    alpha: float


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred sum of squares of (observation - theory)/scale, shapes () and (components,)."""

    count: int
    mean: Array
    squares: Array


def decide(
    labels: Sequence[str],
    theory: Any,
    scale: Any,
    draw: Draw,
    *,
    widths: Sequence[int],
    draws: int,
    max_draws: int,
    margin: float = 0.02,
    alpha: float = 1e-3,
    progress: Progress | None = None,
) -> Decision:
    """Sample networks until the theory agrees, disagrees, or `max_draws` per width are spent.

    `draw(width, start, stop)` returns the observations (stop - start, components) of the independent networks
    number start ... stop - 1; it must depend on the index alone. Component i has the margin margin*scale[i].

    alpha bounds both mistakes: calling a true theory "disagrees", and calling one that is off by the margin
    or more in some component "agrees". This supposes means that are Gaussian (many draws) and a bias of
    exactly b/width: the neglected O(1/width^2) must be small against the margin. An observation that never
    varied at any width is taken for deterministic and compared exactly.
    """
    question = ask(labels, theory, scale, widths, draws, max_draws, margin, alpha)
    moments = {width: Moments(0, 0 * question.theory, 0 * question.theory) for width in question.widths}
    for used in question.plan:
        for width in question.widths:
            grow(question, moments, draw, width, used, progress)
        rows, outcome = judge(question, moments)
        if outcome != "inconclusive":
            break
    needed = draws_needed(question, rows, used) if outcome == "inconclusive" else None
    sizes, count = question.widths, len(question.plan)
    return Decision(outcome, rows, used, needed, sizes, question.margin, question.alpha, count)


def looks(draws: int, max_draws: int) -> tuple[int, ...]:
    """The draws per width at which to look: draws, 2 draws, 4 draws, ... and at last max_draws.

    >>> looks(100, 500)
    (100, 200, 400, 500)
    """
    plan = []
    while draws < max_draws:
        plan.append(draws)
        draws *= 2
    return (*plan, max_draws)


def grow(
    question: Question,
    moments: dict[int, Moments],
    draw: Draw,
    width: int,
    used: int,
    progress: Progress | None,
) -> None:
    """Bring a width to `used` networks, in batches no larger than the first look."""
    while (start := moments[width].count) < used:
        stop = min(start + question.plan[0], used)
        batch = standardised(question, width, start, stop, draw(width, start, stop))
        moments[width] = merge(moments[width], batch)
        if progress is not None:
            progress(sum(m.count for m in moments.values()), len(moments) * question.plan[-1])


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both samples together (Chan, Golub and LeVeque 1983)."""
    count = a.count + b.count
    step = b.mean - a.mean
    mean = a.mean + step * (b.count / count)
    return Moments(count, mean, a.squares + b.squares + step**2 * (a.count * b.count / count))


def standardised(question: Question, width: int, start: int, stop: int, sample: Any) -> Moments:
    """The moments of one batch in units of the scale, after checking it."""
    call = f"draw({width}, {start}, {stop})"
    values, shape = real_array(sample, call), (stop - start, len(question.labels))
    if values.shape != shape:
        raise ValueError(f"{call} must have shape {shape}, got {values.shape}; return one row per network")
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        where = f"width {width}, draw {start + i}, component {question.labels[j]!r}"
        raise ValueError(f"observations must be finite, got {values[i, j]} at {where}; look at that network")
    with np.errstate(over="ignore", invalid="ignore"):
        offset = (values - question.theory) / question.scale
        mean = offset.mean(axis=0)
        squares = ((offset - mean) ** 2).sum(axis=0)
    if not np.isfinite(squares).all():
        where = f"width {width}, component {question.labels[int(np.argmin(np.isfinite(squares)))]!r}"
        raise ValueError(f"observations must fit into doubles, got an overflow at {where}; take logarithms")
    return Moments(stop - start, mean, squares)


def extrapolate(widths: Sequence[int], means: Array, variances: Array, freedom: int) -> tuple[Array, Array]:
    """Intercept at 1/width = 0 and its standard error; rows of `means` and of their variances are widths."""
    x = 1.0 / np.asarray(widths, dtype=np.float64)[:, None]
    top = variances.max(axis=0)
    # A floor keeps weights finite where one width never varied; unbiased all the same, as any weights are.
    weights = 1.0 / np.where(top > 0, np.maximum(variances / np.where(top > 0, top, 1.0), 1e-8), 1.0)
    total = weights.sum(axis=0)
    centre = (weights * x).sum(axis=0) / total
    spread = (weights * (x - centre) ** 2).sum(axis=0)
    coefficients = weights * (1.0 / total - centre * (x - centre) / spread)
    leverage = weights * (1.0 / total + (x - centre) ** 2 / spread)
    inflation = 1.0 + 4.0 * np.maximum(1.0 - leverage, 0.0) / freedom
    variance = (coefficients**2 * variances * inflation).sum(axis=0)
    return (coefficients * means).sum(axis=0), np.sqrt(variance)


def judge(question: Question, moments: dict[int, Moments]) -> tuple[tuple[Row, ...], str]:
    """The rows at one look, and what they say together."""
    count = moments[question.widths[0]].count
    means = np.array([moments[w].mean for w in question.widths])
    variances = np.array([moments[w].squares for w in question.widths]) / (count - 1) / count
    offset, error = extrapolate(question.widths, means, variances, count - 1)
    half = quantile(question, count - 1) * error
    rows = tuple(row(question, i, offset[i], error[i], half[i]) for i in range(len(question.labels)))
    if any(r.outcome == "disagrees" for r in rows):
        return rows, "disagrees"
    return rows, "agrees" if all(r.outcome == "agrees" for r in rows) else "inconclusive"


def row(question: Question, i: int, offset: float, error: float, half: float) -> Row:
    """A component, decided in units of its scale and reported in its own."""
    low, high, margin = offset - half, offset + half, question.margin
    outcome = "inconclusive"
    if -margin <= low and high <= margin:
        outcome = "agrees"
    elif low > margin or high < -margin:
        outcome = "disagrees"
    theory, scale = float(question.theory[i]), float(question.scale[i])
    estimate = theory + scale * float(offset)
    error, low, high, margin = (float(scale * value) for value in (error, low, high, margin))
    return Row(question.labels[i], theory, estimate, error, low, high, margin, outcome)


def quantile(question: Question, freedom: int) -> float:
    """Student's t for intervals that share alpha; freedom is the least that Welch's formula can give."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, question.alpha / (2 * len(question.plan) * len(question.labels))))


def draws_needed(question: Question, rows: tuple[Row, ...], draws: int) -> int | None:
    """Draws per width that would probably settle all rows; None if one sits on its margin.

    At n' draws the standard error is s sqrt(n/n'); a row is settled if (t + z) s sqrt(n/n') <= gap, where gap
    is the distance of |estimate - theory| from the margin, z for the next estimate's noise. Good for a theory
    that is true or clearly wrong; for one inside of its margin by little, the next call asks for more.
    """
    reach = quantile(question, draws - 1) + POWER_QUANTILE
    gaps = [(r.standard_error, gap(r)) for r in rows if r.outcome == "inconclusive"]
    needed = draws * max((reach * error / free) ** 2 if free > 0 else inf for error, free in gaps)
    return round_up(max(ceil(needed), draws + 1)) if isfinite(needed) else None


def gap(r: Row) -> float:
    """How far the row is from its margin, as well as its noise lets us know; 0 if it sits there.

    Far outside of the margin it is the distance. Else the theory may still hold, and then no more than the
    margin can be relied on; nor is a distance below one standard error final while the noise is large.
    """
    excess = abs(r.estimate - r.theory) - r.margin
    if excess > 2 * r.standard_error:
        return excess
    if abs(excess) < r.standard_error < r.margin / 10:
        return 0.0
    return min(r.margin, max(abs(excess), r.standard_error))


def round_up(n: int) -> int:
    """Up to two significant digits.

    >>> round_up(1201)
    1300
    """
    unit = 10 ** max(0, floor(log10(n)) - 1)
    return -(-n // unit) * unit


def ask(
    labels: Sequence[str],
    theory: Any,
    scale: Any,
    widths: Sequence[int],
    draws: int,
    max_draws: int,
    margin: float,
    alpha: float,
) -> Question:
    """Check the arguments of `decide`."""
    names = tuple(labels)
    values, units = real_array(theory, "theory"), real_array(scale, "scale")
    if not names or values.shape != (len(names),) or units.shape != (len(names),):
        given = f"{len(names)} labels, shapes {values.shape} and {units.shape}"
        raise ValueError(f"labels, theory and scale must have the same length, got {given}; match them")
    for label, value, unit in zip(names, values, units, strict=True):
        if not isfinite(value):
            raise ValueError(f"theory must be finite, got {value} for {label!r}; drop it or mend the theory")
        if not (isfinite(unit) and unit > 0):
            raise ValueError(f"scale must be positive and finite, got {unit} for {label!r}; try |theory|")
    sizes = tuple(sorted({integer("a width", width, 1) for width in widths}))
    if len(sizes) < 2:
        raise ValueError(f"extrapolating needs at least two distinct widths, got {tuple(widths)}; add one")
    first = integer("draws", draws, LEAST_DRAWS)
    plan = looks(first, integer("max_draws", max_draws, first))
    if not (isfinite(margin) and margin > 0):
        raise ValueError(f"margin must be positive, got {margin}; 0.02 is two percent of the scale")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, got {alpha}; 0.001 is usual")
    return Question(names, values, units, sizes, plan, float(margin), float(alpha))


def integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {value!r}; write a whole number")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}; raise it")
    return int(value)


def real_array(value: Any, name: str) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}; convert it to floats")
    return array.astype(np.float64)
