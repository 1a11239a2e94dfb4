"""What an analysis found: one row for each step, the culprit, and what to do.

A figure is judged where the theory predicts it: measured and predicted may differ by SIGMAS standard deviations of what
finite width scatters (walk_state.py, walk_scatter.py) and of the error over passes; mean squares and gradients in
logarithms. Where those scatter by more than FIRST_ORDER the scatter itself is not known, and nothing is judged.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import hypot, isfinite, log, nan, sqrt
from typing import Any

from meanfield.torch.findings import Finding
from meanfield.torch.walk_state import SIGMAS, Measured, Moments

AGREES, DISAGREES, SCATTERED, MEASURED, UNSEEN = "agrees", "disagrees", "scattered", "measured", "unseen"
FIRST_ORDER = 1.5  # a standard deviation of log q or log g: more than a factor of 4


@dataclass(frozen=True)
class Figure:
    """predicted and measured (NaN where there is none), the standard error of the latter over passes, and the largest
    difference that is allowed (relative, in logarithms, but for correlations).

    outcome: "agrees", "disagrees", "scattered" (networks so deep and narrow scatter by more than a factor of 4, and are
    not judged), "measured" (the theory is silent, and goes on from the measurement), "unseen" (not measured)."""

    predicted: float
    measured: float
    error: float
    allowed: float
    outcome: str


@dataclass(frozen=True)
class Row:
    """One step: its name and class, mean square of its output, mean squared gradient there, correlation of inputs."""

    name: str
    layer: str
    operation: str
    q: Figure
    gradient: Figure
    correlation: Figure

    @property
    def outcome(self) -> str:
        """ "disagrees" if one figure does, else "agrees" if one does, else "scattered", "measured" or "unseen"."""
        found = {figure.outcome for figure in (self.q, self.gradient, self.correlation)}
        return next(each for each in (DISAGREES, AGREES, SCATTERED, MEASURED, UNSEEN) if each in found)


@dataclass(frozen=True)
class Analysis:
    """`rows` in the order of steps; `findings` what is wrong, gradients first; `culprit` says where the first is and
    what it does, `advice` what to do (None and "" where nothing is wrong).

    gradient_ratio is the root mean square gradient at the output of the first layer over that of the last one but the
    readout, measured, NaN with fewer than three layers; passes is how many were averaged; notes say where the
    prediction is not to be trusted.
    """

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    gradient_ratio: float
    passes: int
    notes: tuple[str, ...] = ()

    @property
    def culprit(self) -> str | None:
        return self.findings[0].culprit if self.findings else None

    @property
    def advice(self) -> str:
        return self.findings[0].advice if self.findings else ""

    def __getitem__(self, name: str) -> Row:
        """The row of a step by its name; KeyError else."""
        found = [row for row in self.rows if row.name == name]
        if not found:
            raise KeyError(f"no step {name!r}; there are {[row.name for row in self.rows]}")
        return found[0]

    def __str__(self) -> str:
        from meanfield.torch.analysis_show import table

        return table(self)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "culprit": self.culprit, "advice": self.advice}

    def plot(self, ax: Any = None) -> Any:
        """Lines: predicted; points: measured, with two standard errors; the axes (needs matplotlib)."""
        from meanfield.torch.analysis_show import plot

        return plot(self, ax)


def figures(predicted: Moments, measured: Measured | None) -> dict[str, Figure]:
    """The three judged figures of a step."""
    p, m = predicted, measured
    seen = (
        (nan,) * 6 if m is None else (m.q, m.q_error, m.gradient, m.gradient_error, m.correlation, m.correlation_error)
    )
    q, q_error, gradient, g_error, c, c_error = seen
    taken = p.measured
    return {
        "q": _figure(p.q, q, q_error, p.q_scatter, "q" in taken, _relative),
        "gradient": _figure(p.gradient, gradient, g_error, p.gradient_scatter, "gradient" in taken, _relative),
        "correlation": _figure(p.correlation, c, c_error, p.correlation_scatter, "c" in taken, _absolute),
    }


def _relative(predicted: float, measured: float) -> float:
    """|log measured/predicted|; two zeros are alike."""
    if predicted <= 0 or measured <= 0:
        return 0.0 if predicted == measured else float("inf")
    return abs(log(measured / predicted))


def _absolute(predicted: float, measured: float) -> float:
    return abs(measured - predicted)


def _figure(
    predicted: float, measured: float, error: float, scatter: float, taken: bool, far: Callable[[float, float], float]
) -> Figure:
    relative = error / measured if far is _relative and measured else error
    allowed = SIGMAS * hypot(scatter, relative)
    if not isfinite(measured):
        outcome = UNSEEN
    elif taken or not isfinite(predicted):
        outcome = MEASURED
    elif far is _relative and scatter > FIRST_ORDER:
        outcome = SCATTERED
    else:
        outcome = AGREES if far(predicted, measured) <= allowed + ROUNDING else DISAGREES
    return Figure(predicted, measured, error, allowed, outcome)


ROUNDING = 1e-3  # of float32, of the eps of norms where a feature is small


def root_ratio(first: float, last: float) -> float:
    """sqrt(first/last), NaN where it has no value."""
    return sqrt(first / last) if first >= 0 and last > 0 else nan
