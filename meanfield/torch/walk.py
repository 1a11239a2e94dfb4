"""The prediction for a traced network: mean squares, correlations and mean squared gradients at every step.

Forward from the measured input by walk_forward.py, backward from the measured gradient at the output by
walk_backward.py; gradients of a signal that several steps read add, as those of independent weights do. Where a rule is
silent the prediction goes on from what was measured there, and says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan, sqrt

from meanfield.torch.graph import Add, Affine, Constant, Drop, Function, Graph, Move, Norm, Scale, Shift, Spectral, Step
from meanfield.torch.walk_backward import Passage, backward
from meanfield.torch.walk_forward import Place, forward
from meanfield.torch.walk_scatter import Reader, Scatter, scatter
from meanfield.torch.walk_state import Measured, Moments, Signal, unknown

Gradient = tuple[float, float, bool]  # mean square, Var log of it at finite width, taken from a measurement


def walk(graph: Graph, measured: Sequence[Measured | None]) -> list[Moments]:
    """One prediction for each step. `measured` holds what was measured at each, None where nothing was; only the first
    step's signal, the last one's gradient, sizes, and what the theory is silent about are read."""
    if len(measured) != len(graph.steps):
        raise ValueError(f"measured holds one entry for each of the {len(graph.steps)} steps, not {len(measured)}")
    count = next((len(each.mean) for each in measured if each is not None), 1)
    signals: list[Signal] = []
    for step, own in zip(graph.steps, measured, strict=True):
        signals.append(_forward(graph, step, signals, measured, own, count))
    gradients = _gradients(graph, signals, measured)
    return [_moments(signal, gradient) for signal, gradient in zip(signals, gradients, strict=True)]


def _forward(
    graph: Graph,
    step: Step,
    signals: Sequence[Signal],
    measured: Sequence[Measured | None],
    own: Measured | None,
    count: int,
) -> Signal:
    sizes = tuple(_size(graph.steps[i], measured[i]) for i in step.inputs)
    free = isinstance(step.operation, Add) and uncorrelated(graph, step.inputs)
    given = [signals[i] for i in step.inputs]
    found = forward(step.operation, given, Place(count, own, sizes, free))
    if found is not None and found.finite:
        return found
    if own is None:
        return unknown(count)
    width = min((each.width for each in given), default=inf)
    return replace(own.signal, width=width, gaussian=_gaussian(step, given))


def _gaussian(step: Step, given: Sequence[Signal]) -> bool:
    """Are entries sums over fresh weights, in what was measured behind a step?"""
    if isinstance(step.operation, Affine | Spectral):
        return True
    kept = isinstance(step.operation, Add | Move | Scale | Shift | Norm)
    return kept and all(each.gaussian for each in given)


def _gradients(graph: Graph, signals: Sequence[Signal], measured: Sequence[Measured | None]) -> list[Gradient]:
    """From the last step to the first; a signal that nothing reads has no gradient."""
    steps = graph.steps
    readers: list[list[Reader]] = [[] for _ in steps]
    found: list[Gradient] = [(nan, 0.0, True)] * len(steps)
    for place in reversed(range(len(steps))):
        step, signal, own = steps[place], signals[place], measured[place]
        total = sum(reader.value for reader in readers[place])
        here = scatter(readers[place]) if total > 0 else Scatter()
        if place == len(steps) - 1 or total != total:
            g = nan if own is None else own.gradient
            found[place] = (g, 0.0, True)
        else:
            g = total
            found[place] = (g, here.variance(signal), False)
        given = [signals[i] for i in step.inputs]
        ratios = [_size(step, own) / _size(steps[i], measured[i]) for i in step.inputs]
        for index, before in enumerate(step.inputs):
            at = Passage(given, [measured[i] for i in step.inputs], ratios, index)
            factor, added = backward(step.operation, at)
            readers[before].append(Reader(step.operation, given, index, factor * g, added, signal, here))
    return found


def _moments(signal: Signal, gradient: Gradient) -> Moments:
    g, var, taken = gradient
    return Moments(
        q=signal.q,
        correlation=signal.correlation,
        gradient=g,
        q_scatter=sqrt(signal.drift + signal.own),
        correlation_scatter=sqrt(signal.drift_c + signal.own_c),
        gradient_scatter=sqrt(max(var, 0.0)),
        measured=signal.measured | (frozenset({"gradient"}) if taken else frozenset()),
    )


def _size(step: Step, measured: Measured | None) -> float:
    """Entries for each input of the batch."""
    if isinstance(step.operation, Constant):
        return float(step.operation.parameter.tensor().numel())
    return nan if measured is None else measured.size


def uncorrelated(graph: Graph, inputs: Sequence[int]) -> bool:
    """Has each two of these signals a mean product of zero? One of them must be odd in weights that the other does not
    depend on."""
    return all(
        _apart(graph, a, b) or _apart(graph, b, a) for i, a in enumerate(inputs) for b in inputs[i + 1 :] if inputs
    )


def _apart(graph: Graph, odd: int, other: int) -> bool:
    roots = _roots(graph, odd)
    return roots is not None and not roots & graph.before[other]


def _roots(graph: Graph, place: int) -> frozenset[int] | None:
    """The affine maps in all of whose weights the signal is odd; None without one."""
    step = graph.steps[place]
    if isinstance(step.operation, Affine):
        return frozenset({place})
    linear = isinstance(step.operation, Move | Scale | Drop | Norm | Add)
    if not linear and not (isinstance(step.operation, Function) and step.operation.phi.odd):
        return None
    found = [_roots(graph, each) for each in step.inputs]
    known = [each for each in found if each is not None]
    return frozenset().union(*known) if known and len(known) == len(found) else None
