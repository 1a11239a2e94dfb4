"""Which variance every parameter of a graph gets, and why: one walk from the input, a rule for each operation.

The walk carries the mean square of what arrives, and the activation phi that made it, with the length q of phi's own
inputs. Behind phi weights have the weight_var of the criterion at q; elsewhere (first, behind a normalization, linear
behind linear) they take the mean square that arrives to the one that what follows wants; at the end of residual
branches they have a share of the stream (initialize_shares.py). A mean over positions counts as keeping its mean
square and attention too: upper bounds, met where positions agree. Derived here.
"""

from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from math import sqrt
from typing import Any

from scipy.optimize import brentq

from meanfield.torch.graph import (
    Add,
    Affine,
    Attend,
    Constant,
    Drop,
    Function,
    Graph,
    Input,
    Move,
    Norm,
    Opaque,
    Operation,
    Pool,
    Scale,
    Shift,
    Slot,
    Spectral,
    Table,
)
from meanfield.torch.initialize_aims import Aim, Aims
from meanfield.torch.initialize_point import Wish, square
from meanfield.torch.initialize_shares import Share
from meanfield.torch.operators import spectral_layer
from symbolic.functions import X
from symbolic.networks import Pointwise


@dataclass(frozen=True)
class Signal:
    """Mean square of a step's output; behind an activation phi of inputs of length q, `kept` by dropout since."""

    square: float
    phi: Pointwise | None = None
    q: float = 1.0
    kept: float = 1.0


@dataclass(frozen=True)
class Planned:
    """One step with parameters: weights of variance weight_var/fan_in (or `value` everywhere), biases of bias_var."""

    name: str
    role: str
    activation: str
    reason: str
    weight: Any = None  # a Slot, or the module of a Spectral step
    bias: Slot | None = None
    weight_var: float | None = None
    fan_in: int = 1
    bias_var: float = 0.0
    value: float | None = None

    @property
    def std(self) -> float | None:
        return None if self.weight_var is None else sqrt(self.weight_var / self.fan_in)


@dataclass
class Walk:
    """Signals of the steps so far, and what is planned for their parameters."""

    aims: Aims
    squares: tuple[float, ...]  # mean squares of the inputs of the module
    left: frozenset[int]  # ids of the parameters that stay as they are
    signals: list[Signal] = field(default_factory=list)
    planned: list[Planned] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self, graph: Graph) -> list[Planned]:
        for at, step in enumerate(graph.steps):
            self.signals.append(self.arrive(step.operation, at, [self.signals[source] for source in step.inputs]))
        return self.planned

    def stays(self, slot: Slot | None) -> bool:
        """Is it none of the parameters that are drawn: left as it is, or a fixed array?"""
        return (
            slot is None or id(getattr(slot.module, slot.name)) in self.left or not hasattr(slot.module, "parameters")
        )

    def add(self, at: int, role: str, reason: str, **given: Any) -> None:
        self.planned.append(Planned(self.aims.sums.steps[at].name, role, given.pop("activation", "-"), reason, **given))

    @singledispatchmethod
    def arrive(self, operation: Operation, at: int, inputs: list[Signal]) -> Signal:
        """The output of a step; parameters of it are planned."""
        raise TypeError(f"init_ has no rule for a step of kind {type(operation).__name__}")

    @arrive.register
    def _(self, operation: Input, at: int, inputs: list[Signal]) -> Signal:
        place = sum(isinstance(step.operation, Input) for step in self.aims.sums.steps[:at])
        return Signal(self.squares[place] if place < len(self.squares) else 1.0)

    @arrive.register
    def _(self, operation: Affine, at: int, inputs: list[Signal]) -> Signal:
        arriving = inputs[0]
        if self.stays(operation.weight):
            found = operation.weight.mean_square() * operation.fan_in
            return Signal(found * operation.reach * arriving.square)
        return self._weights(at, arriving, operation.weight, operation.bias, operation.fan_in, operation.reach)

    @arrive.register
    def _(self, operation: Spectral, at: int, inputs: list[Signal]) -> Signal:
        module = operation.module
        if any(id(parameter) in self.left for parameter in module.parameters()):
            return inputs[0]
        bias = Slot(module, "bias") if module.bias is not None else None
        channels = spectral_layer(self.aims.sums.steps[at].name, module).channels[0]
        return self._weights(at, inputs[0], module, bias, channels, 1.0)

    def _weights(self, at: int, x: Signal, weight: Any, bias: Slot | None, fan_in: int, reach: float) -> Signal:
        aim = self._aim(at, x, reach)
        bias_var = aim.bias_var if self.aims.carries_bias(at) else 0.0
        if bias_var > 0 and bias is None:
            raise ValueError(
                f"{self.aims.sums.steps[at].name!r} has no bias, but {aim.reason} wants biases of variance "
                f"{bias_var:.4g}: build it with a bias, or choose a criterion without, as criterion='he'"
            )
        numbers = {"weight": weight, "fan_in": fan_in, "weight_var": aim.weight_var, "bias": bias, "bias_var": bias_var}
        self.add(at, aim.role, aim.reason, activation=aim.activation, **numbers)
        return Signal(aim.weight_var * reach * x.square + bias_var)

    def _aim(self, at: int, x: Signal, reach: float) -> Aim:
        """The variance of weights that act on x."""
        share, part = self.aims.shares.wanted.get(at), self.aims.part(at)
        if share is not None:
            return self._ratio("branch end", self._share(share), x, reach, share_reason(share))
        if at in self.aims.sums.readouts:
            return self._ratio("readout", part, x, reach, "outputs of mean square 1")
        if x.phi is None or x.square == 0:
            wanted = self.aims.wanted(at)
            role = "first" if self.aims.is_first(at) else self.aims.role(at)
            aim = self._ratio(role, (wanted.q - wanted.bias_var) * part, x, reach, wanted.reason)
            return replace(aim, bias_var=wanted.bias_var)
        found = self.aims.behind(at, x.phi)
        weight_var = found.at(x.q) * x.kept * part / reach
        bias_var = 0.0 if self.aims.normalized(at) else found.bias_var
        return Aim(self.aims.role(at), weight_var, bias_var, found.reason, str(x.phi))

    def _ratio(self, role: str, target: float, x: Signal, reach: float, reason: str) -> Aim:
        if x.square <= 0:
            raise ValueError(f"what arrives at a layer ({role}) is zero everywhere: give an example that is not")
        return Aim(role, target / (x.square * reach), 0.0, reason, "-" if x.phi is None else str(x.phi))

    def _share(self, share: Share) -> float:
        """The mean square that a share is now; in front of phi the length whose image has it."""
        target = share.fraction * self.signals[share.fork].square
        return target if share.phi is None else length_before(share.phi, target)

    @arrive.register
    def _(self, operation: Function, at: int, inputs: list[Signal]) -> Signal:
        (x,) = inputs
        if self.aims.sums.repeats(at) and operation.phi.formula.subs(X, operation.phi.formula) == operation.phi.formula:
            return Signal(x.square)
        if x.phi is not None:
            both = Pointwise(f"{operation.phi} of {x.phi}", operation.phi.formula.subs(X, x.phi.formula))
            return Signal(square(both, x.q), both, x.q)
        return Signal(square(operation.phi, x.square), operation.phi, x.square)

    @arrive.register
    def _(self, operation: Norm, at: int, inputs: list[Signal]) -> Signal:
        share = self.aims.shares.wanted.get(at)
        value = 1.0 if share is None else sqrt(self._share(share))
        reason = "gain 1" if share is None else share_reason(share)
        if not self.stays(operation.gain) or not self.stays(operation.shift):
            numbers = {"weight": operation.gain, "bias": operation.shift, "value": value}
            self.add(at, "norm" if share is None else "branch end", reason, **numbers)
        return Signal(value**2)

    @arrive.register
    def _(self, operation: Add, at: int, inputs: list[Signal]) -> Signal:
        squares = zip(operation.coefficients, inputs, strict=True)
        return Signal(sum(c**2 * x.square for c, x in squares))

    @arrive.register
    def _(self, operation: Scale, at: int, inputs: list[Signal]) -> Signal:
        (x,) = inputs
        share, factor = self.aims.shares.wanted.get(at), operation.factor
        if operation.parameter is not None and not self.stays(operation.parameter):
            factor = 1.0 if share is None else sqrt(self._share(share) / x.square)
            role, reason = ("gain", "gain 1") if share is None else ("branch end", share_reason(share))
            self.add(at, role, reason, weight=operation.parameter, value=factor)
        return Signal(factor**2 * x.square)

    @arrive.register
    def _(self, operation: Shift, at: int, inputs: list[Signal]) -> Signal:
        (x,) = inputs
        if self.stays(operation.parameter):
            return Signal(x.square + operation.parameter.mean_square())
        wanted = self.aims.wanted(at)
        variance = wanted.q / 2 if self.aims.sums.halves(at) else wanted.bias_var
        role = "positions" if self.aims.sums.halves(at) else "bias"
        reason = "half of what the stream shall have" if role == "positions" else wanted.reason
        self.add(at, role, reason, weight=operation.parameter, weight_var=variance)
        return replace(x, square=x.square + variance, phi=None) if variance else x

    @arrive.register(Table)
    @arrive.register(Constant)
    def _(self, operation: Any, at: int, inputs: list[Signal]) -> Signal:
        slot = operation.weight if isinstance(operation, Table) else operation.parameter
        if self.stays(slot):
            return Signal(slot.mean_square())
        share = self.aims.shares.wanted.get(at)
        wanted = self.aims.wanted(at)
        variance = wanted.q * self.aims.part(at) if share is None else self._share(share)
        role = "embedding" if isinstance(operation, Table) else "token"
        self.add(at, role, wanted.reason, weight=slot, weight_var=variance)
        return Signal(variance)

    @arrive.register
    def _(self, operation: Move, at: int, inputs: list[Signal]) -> Signal:
        first, *rest = inputs
        if all(x == first for x in rest):
            return first
        return Signal(sum(x.square for x in inputs) / len(inputs))

    @arrive.register
    def _(self, operation: Drop, at: int, inputs: list[Signal]) -> Signal:
        (x,) = inputs
        kept = 1 - operation.rate
        return x if kept <= 0 else replace(x, square=x.square / kept, kept=x.kept * kept)

    @arrive.register
    def _(self, operation: Pool, at: int, inputs: list[Signal]) -> Signal:
        return inputs[0]

    @arrive.register
    def _(self, operation: Attend, at: int, inputs: list[Signal]) -> Signal:
        return Signal(inputs[2].square)

    @arrive.register
    def _(self, operation: Opaque, at: int, inputs: list[Signal]) -> Signal:
        name = self.aims.sums.steps[at].name
        if any(at in self.aims.sums.before[later] for later in self.aims.weights if later != at):
            self.notes.append(f"behind {name} ({operation.reason}) mean squares are taken as 1")
        return Signal(1.0)


def share_reason(share: Share) -> str:
    behind = "" if share.phi is None else f" behind {share.phi}"
    return f"1/{share.of} of the stream's mean square{behind}, as one of {share.of} branches"


def length_before(phi: Pointwise, target: float) -> float:
    """The length q with E phi(sqrt(q) z)^2 = target; ValueError where there is none from 1e-8 to 1e8."""
    low, high = 1e-8, 1e8
    if not square(phi, low) < target < square(phi, high):
        raise ValueError(
            f"a residual branch ends in {phi}, whose mean square is never {target:.4g}, its share of the stream: end "
            "the branch in a Linear, as x + Linear(phi(x))"
        )
    return float(brentq(lambda q: square(phi, q) - target, low, high, rtol=1e-10))


def walk(graph: Graph, wish: Wish, squares: tuple[float, ...], left: frozenset[int]) -> Walk:
    """The plan of a graph; ValueError (NoEdge among them) where a layer cannot have what the criterion asks for."""
    found = Walk(Aims(graph, wish), squares, left)
    found.run(graph)
    return found
