"""What is wrong with a network, where, and what to do about it, in sentences.

Over the whole depth mean squared gradients or mean squares of signals that change by WRONG or more, and inputs whose
correlation rises to ALIKE, are named, with the group of layers they are due to (units.py). The weights advised are
those of mf.init_scale on the edge of chaos, at its half-stable point where lengths run away from q = 0 (GELU), or,
without one, those that keep gradients at q = 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt

from meanfield.init import InitScale, init_scale
from meanfield.torch.graph import Affine, Function, Graph
from meanfield.torch.plan import runs_away
from meanfield.torch.units import Unit, blame, product
from meanfield.torch.walk_state import Measured, Moments
from symbolic.critical import NoEdge
from symbolic.networks import Pointwise

WRONG = 100.0  # of mean squares: a factor of ten in size
ALIKE, APART = 0.95, 0.8  # the correlation behind the last unit, and before the first, of inputs drawn together
CLOSE = 0.05  # of log weight_var: as advised already


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. kind: "gradient", "length" or "correlation"; `layers` are the steps it is due to;
    per_layer is the factor of mean squared gradients (towards the input) or of mean squares in each of them, of
    correlations what they rise to."""

    kind: str
    culprit: str
    advice: str
    layers: tuple[str, ...]
    per_layer: float


@dataclass(frozen=True)
class Flow:
    """A graph with what flows through it: the measurement, and the prediction where there is none."""

    graph: Graph
    predicted: Sequence[Moments]
    measured: Sequence[Measured | None]

    def q(self, step: int) -> float:
        seen = self.measured[step]
        return self.predicted[step].q if seen is None else seen.q

    def gradient(self, step: int) -> float:
        seen = self.measured[step]
        return self.predicted[step].gradient if seen is None or seen.gradient != seen.gradient else seen.gradient

    def correlation(self, step: int) -> float:
        seen = self.measured[step]
        return self.predicted[step].correlation if seen is None else seen.correlation

    def shrink(self, unit: Unit) -> float:
        """The factor of mean squared gradients from behind a unit to before it."""
        return _ratio(self.gradient(unit.first), self.gradient(unit.last))

    def growth(self, unit: Unit) -> float:
        """The factor of mean squares from before a unit to behind it."""
        return _ratio(self.q(unit.last), self.q(unit.first))


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else float("nan")


def findings(flow: Flow, found: Sequence[Unit]) -> tuple[Finding, ...]:
    """What is wrong, gradients first."""
    if not found:
        return ()
    sayings = (
        _drift("gradient", "squared gradients", flow.shrink, flow, found),
        _drift("length", "mean squares", flow.growth, flow, found),
        _correlation(flow, found),
    )
    return tuple(each for each in sayings if each is not None)


def _drift(kind: str, what: str, factor: Callable[[Unit], float], flow: Flow, found: Sequence[Unit]) -> Finding | None:
    """Squared gradients, or mean squares, that change too much over the whole depth."""
    whole, blamed = product(found, factor), blame(flow.graph, found, factor)
    if 1 / WRONG < whole < WRONG or blamed is None:
        return None
    group, each = blamed
    verb = "shrink to" if each < 1 else "grow by"
    said = f"{what} {verb} {each:.3g} per layer, {_power(whole)} over {len(found)} layers"
    return _finding(kind, flow, group, said, each)


def _correlation(flow: Flow, found: Sequence[Unit]) -> Finding | None:
    start, end = flow.correlation(found[0].first), flow.correlation(found[-1].last)
    if not (start < APART and end > ALIKE):
        return None
    blamed = blame(flow.graph, found, lambda unit: _ratio(_angle(flow, unit.last), _angle(flow, unit.first)))
    group = blamed[0] if blamed else list(found)
    what = f"inputs become indistinguishable: their correlation rises from {start:.2f} to {end:.4f}"
    return _finding("correlation", flow, group, what, end)


def _angle(flow: Flow, step: int) -> float:
    return max(1 - flow.correlation(step), 0.0)


def _power(factor: float) -> str:
    return f"{factor:.2g}" if 1e-3 < factor < 1e4 else f"{factor:.1e}"


def _finding(kind: str, flow: Flow, group: list[Unit], what: str, factor: float) -> Finding:
    names = tuple(_name(flow.graph, unit) for unit in group)
    where = _where(flow.graph, group, names)
    return Finding(kind, f"{where}: {what}", _advice(flow.graph, group, names), names, factor)


def _name(graph: Graph, unit: Unit) -> str:
    """The weights a unit is known by; a residual block by the module its weights are in."""
    if not unit.affine:
        return graph.steps[unit.last].name
    name = graph.steps[unit.affine[-1]].name
    return name.rpartition(".")[0] or name if unit.residual else name


def _where(graph: Graph, group: list[Unit], names: tuple[str, ...]) -> str:
    unit = group[0]
    if unit.residual:
        what = "residual block"
    else:
        layers = [graph.steps[i].layer for i in (*unit.norms[-1:], *unit.spectral[-1:], *unit.affine[-1:])]
        what = f"{graph.steps[unit.functions[-1]].layer if unit.functions else 'step'} behind {' and '.join(layers)}"
    if len(group) == 1:
        return f"{names[0]}, {what}"
    return f"each of the {len(group)} layers {names[0]} to {names[-1]}, {what}"


def _advice(graph: Graph, group: list[Unit], names: tuple[str, ...]) -> str:
    unit = group[0]
    if unit.residual:
        return _of_residual(graph, group, names)
    if unit.spectral:
        return "mf.torch.init_fno_(model) draws Fourier layers at the edge of chaos, the matrices beside them included"
    if unit.norms:
        return (
            "normalization behind the weights sets the lengths, so that no scale of the weights changes this: put "
            "residual connections around these layers, or take a smaller slope of the activation"
        )
    if not unit.functions or not unit.affine:
        return "no theory covers these layers: put normalization or residual connections around them"
    return _of_plain(graph, group)


def _of_residual(graph: Graph, group: list[Unit], names: tuple[str, ...]) -> str:
    last = graph.steps[group[0].affine[-1]].name if group[0].affine else names[0]
    return (
        f"multiply the weights that end each branch, as {last}, by {1 / sqrt(len(group)):.3g} (1/sqrt of the number of "
        "blocks), so that together the branches add as much as one"
    )


def _of_plain(graph: Graph, group: list[Unit]) -> str:
    """The critical scale of the activation; of the weights in front of it."""
    unit = group[0]
    function, affine = graph.steps[unit.functions[-1]].operation, graph.steps[unit.affine[-1]].operation
    assert isinstance(function, Function) and isinstance(affine, Affine)
    scale, why = _critical(function.phi)
    fans = sorted({_fan_in(graph, each) for each in group})
    whose = "its" if len(group) == 1 else "their"
    if abs(log(unit.weight_var(graph) / scale.weight_var)) < CLOSE:
        return (
            f"{whose} weights are at {why} already (weight_var {scale.weight_var:.4g}): take fewer layers, or put "
            "residual connections or normalization around them"
        )
    std = f"{sqrt(scale.weight_var / fans[0]):.4g}" if len(fans) == 1 else f"{sqrt(scale.weight_var):.4g}/sqrt(fan_in)"
    bias = "bias std to" if affine.bias is not None or scale.bias_var == 0 else "add a bias of std"
    return (
        f"set {whose} weight std to {std} (weight_var {scale.weight_var:.4g}, {why}) and {bias} "
        f"{sqrt(scale.bias_var):.4g}; it is {sqrt(unit.weight_var(graph) / affine.fan_in):.4g} now"
    )


def _critical(phi: Pointwise) -> tuple[InitScale, str]:
    """Variances that let signals and gradients through, and what they are."""
    try:
        edge = init_scale(phi, criterion="edge_of_chaos")
        if runs_away(phi, edge):
            return init_scale(phi, criterion="half_stable"), "the half-stable point of the edge of chaos"
    except NoEdge:
        return init_scale(phi, criterion="gradient"), "gradients stay; it has no edge of chaos"
    return edge, "the edge of chaos"


def _fan_in(graph: Graph, unit: Unit) -> int:
    operation = graph.steps[unit.affine[-1]].operation
    return operation.fan_in if isinstance(operation, Affine) else 1
