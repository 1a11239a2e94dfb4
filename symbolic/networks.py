"""Networks as data: layers joined by >> (in series), + (independent branches), a * (scale) and ** (repeat).

A pre-activation is Gaussian in the infinite-width limit; what leaves an activation or a dropout mask is not
("features"), and only a Dense layer, which sums over fresh weights, makes it Gaussian again. Branches of a sum may be
added because their fresh weights make them uncorrelated. What the theory does not cover is refused where it is
written down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from math import isfinite
from typing import Any

from sympy import Dummy, Expr, Integer, Max, Min, Rational, Symbol, nan, simplify

from symbolic.functions import X
from symbolic.signals import FEATURES, GAUSSIAN, NoRule, fresh, kind_after, kinds_through, odd

WEIGHT_VAR = Symbol("weight_var", positive=True)
BIAS_VAR = Symbol("bias_var", nonnegative=True)
STATE_NAMES = {"p", "q", "k", "t", "g"}


def _decimal(value: float) -> Expr:
    """The decimal that was written, exactly: 0.05 is 1/20, and converts back to the same float."""
    return Rational(repr(value)) if isfinite(value) else nan


def quantity(name: str, value: Any, *, low: float, high: float | None = None, open_low: bool = False) -> Expr:
    """A finite real number in range, or any SymPy expression that is not a number; ValueError or TypeError else."""
    if isinstance(value, str | bytes | bool) or (
        not isinstance(value, int | float | Expr) and not hasattr(value, "__float__")
    ):
        raise TypeError(f"{name} must be a number or a SymPy expression, not {value!r}")
    expr = value if isinstance(value, Expr) else Integer(value) if isinstance(value, int) else _decimal(float(value))
    if not expr.is_number:
        return expr
    wanted = f" and {'greater than' if open_low else 'at least'} {low:g}" if isfinite(low) else ""
    wanted += f" and at most {high:g}" if high is not None else ""
    number = float(expr) if expr.is_real and expr.is_finite else float("nan")
    if not (number > low if open_low else number >= low) or (high is not None and number > high):
        raise ValueError(f"{name} must be finite{wanted}, not {value}")
    return expr


@dataclass(frozen=True)
class Layer:
    """Anything that maps signals to signals; a network is one too."""

    def __rshift__(self, other: "Layer") -> "Layer":
        return Chain(flat(Chain, self) + flat(Chain, _layer(other)))

    def __add__(self, other: "Layer") -> "Layer":
        return Sum(flat(Sum, self) + flat(Sum, _layer(other)))

    def __rmul__(self, factor: Any) -> "Layer":
        return Scale(factor, self)

    __mul__ = __rmul__

    def __pow__(self, times: int) -> "Layer":
        return Repeat(self, times)

    def __str__(self) -> str:
        given = (f"{f.name}={short(getattr(self, f.name))}" for f in fields(self))
        return f"{type(self).__name__}({', '.join(given)})"

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Identity(Layer):
    """x -> x."""


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """h = W x + b, W_ij ~ N(0, weight_var/fan_in), b_i ~ N(0, bias_var); left out, a variance stays a symbol."""

    weight_var: Any = WEIGHT_VAR
    bias_var: Any = BIAS_VAR

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight_var", quantity("weight_var", self.weight_var, low=0, open_low=True))
        object.__setattr__(self, "bias_var", quantity("bias_var", self.bias_var, low=0))


@dataclass(frozen=True, repr=False)
class Pointwise(Layer):
    """x -> phi(x) for each neuron; `formula` is a SymPy expression in `symbolic.functions.X`."""

    name: str
    formula: Expr

    def __post_init__(self) -> None:
        if not isinstance(self.formula, Expr):
            raise TypeError(
                f"an activation is a SymPy expression in x, not {self.formula!r}; see mf.activation for text"
            )
        taken = sorted({s.name for s in self.formula.free_symbols} & STATE_NAMES)
        if taken:
            raise ValueError(
                f"a parameter of an activation cannot be called {taken[0]}, which names a state: rename it"
            )

    @property
    def odd(self) -> bool:
        x = Dummy(positive=True)
        total = self.formula.subs(X, x) + self.formula.subs(X, -x)
        return bool(simplify(total.replace(Max, lambda *a: -Min(*(-v for v in a)))) == 0)

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """x_i -> mask_i x_i/keep with P(mask_i = 1) = keep, independent for every neuron and input."""

    keep: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", quantity("keep", self.keep, low=0, high=1, open_low=True))


@dataclass(frozen=True, repr=False)
class LayerNorm(Layer):
    """x -> (x - mean x)/std x over the neurons."""


@dataclass(frozen=True, repr=False)
class RMSNorm(Layer):
    """x -> x/rms x over the neurons."""


@dataclass(frozen=True, repr=False)
class Scale(Layer):
    """x -> factor * layer(x)."""

    factor: Any
    layer: Layer

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", quantity("a scale", self.factor, low=-float("inf")))
        _layer(self.layer)

    def __str__(self) -> str:
        inner = f"({self.layer})" if isinstance(self.layer, Chain | Sum | Repeat) else str(self.layer)
        return f"{short(self.factor)} * {inner}"

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Chain(Layer):
    """Layers one after the other."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        kinds_through(self)

    def __str__(self) -> str:
        return " >> ".join(f"({x})" if isinstance(x, Sum) else str(x) for x in self.layers)

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Sum(Layer):
    """Branches that read the same signal and are added; all but one must end in fresh weights."""

    branches: tuple[Layer, ...]

    def __post_init__(self) -> None:
        dependent = [b for b in self.branches if not fresh(b)]
        if len(dependent) > 1:
            names = " and ".join(f"'{b}'" for b in dependent)
            raise NoRule(
                f"the branches {names} are not independent with mean zero, so their covariances do not add: "
                "let all but one branch end in a Dense layer"
            )
        kinds_through(self)

    def __str__(self) -> str:
        return " + ".join(f"({x})" if isinstance(x, Chain) else str(x) for x in self.branches)

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Repeat(Layer):
    """The same block `times` times, with fresh weights each time."""

    block: Layer
    times: int

    def __post_init__(self) -> None:
        if isinstance(self.times, bool) or not isinstance(self.times, int):
            raise TypeError(f"a block is repeated a whole number of times, not {self.times!r}")
        if self.times < 1:
            raise ValueError(f"a block is repeated at least once, not {self.times} times")
        kinds_through(self)

    def __str__(self) -> str:
        inner = f"({self.block})" if isinstance(self.block, Chain | Sum | Scale) else str(self.block)
        return f"{inner} ** {self.times}"

    __repr__ = __str__


def _layer(value: Any) -> Layer:
    if not isinstance(value, Layer):
        raise TypeError(f"layers are joined with layers, not with {value!r}; numbers scale: 0.5 * layer")
    return value


def flat(kind: type, layer: Layer) -> tuple[Layer, ...]:
    return tuple(getattr(layer, fields(kind)[0].name)) if isinstance(layer, kind) else (layer,)


def chain(parts: Sequence[Layer]) -> Layer:
    """The layers one behind the other, already known to fit: the inverse of flat(Chain, ...)."""
    return parts[0] if len(parts) == 1 else Chain(tuple(parts))


def short(value: Any) -> str:
    return f"{float(value):.12g}" if isinstance(value, Expr) and value.is_number else str(value)


# -- what flows between layers -------------------------------------------------------------------------------------


@kind_after.register(Identity)
@kind_after.register(LayerNorm)
@kind_after.register(RMSNorm)
def _(layer: Layer, kind: str) -> str:
    return kind


@kind_after.register
def _(layer: Dense, kind: str) -> str:
    return GAUSSIAN


@kind_after.register
def _(layer: Pointwise, kind: str) -> str:
    if kind == FEATURES:
        raise NoRule(
            f"'{layer}' needs a Gaussian pre-activation, but an activation or dropout mask comes before it: "
            "put a Dense layer between"
        )
    return FEATURES


@kind_after.register
def _(layer: Dropout, kind: str) -> str:
    return FEATURES


@kind_after.register
def _(layer: Scale, kind: str) -> str:
    return kind_after(layer.layer, kind)


@kind_after.register
def _(layer: Chain, kind: str) -> str:
    return reduce(lambda k, part: kind_after(part, k), layer.layers, kind)


@kind_after.register
def _(layer: Sum, kind: str) -> str:
    kinds = {kind_after(branch, kind) for branch in layer.branches}
    return kinds.pop() if len(kinds) == 1 else FEATURES


@kind_after.register
def _(layer: Repeat, kind: str) -> str:
    return reduce(lambda k, _: kind_after(layer.block, k), range(min(layer.times, 2)), kind)


for _passive in (Dropout, LayerNorm, RMSNorm):
    odd.register(_passive)(lambda layer: True)
odd.register(Pointwise)(lambda layer: layer.odd)
fresh.register(Dense)(lambda layer: True)
fresh.register(Scale)(lambda layer: fresh(layer.layer))
fresh.register(Repeat)(lambda layer: fresh(layer.block))
fresh.register(Sum)(lambda layer: all(map(fresh, layer.branches)))


@fresh.register
def _(layer: Chain) -> bool:
    *before, last = layer.layers
    if odd(last):
        return bool(before) and fresh(chain(before))
    return fresh(last)
