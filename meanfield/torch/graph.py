"""A PyTorch module as a graph of steps, each of which a theory can say one line about.

A step turns the mean square of its inputs' entries into that of its output: an affine map of independent weights
multiplies it by weight_var = fan_in E w^2 and adds E b^2, a pointwise function takes it to E phi(sqrt(q) z)^2, a sum of
independent branches adds it with squared coefficients. What has no such line is Opaque, with the reason. Operations are
data; what predicts, measures or initializes them is a function on them (functools.singledispatch).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from symbolic.networks import Pointwise


@dataclass(frozen=True)
class Slot:
    """A parameter of a module, or some of its rows (the queries in `in_proj_weight`)."""

    module: Any
    name: str
    rows: slice | None = None

    def tensor(self) -> Any:
        """The parameter itself, or the view of its rows."""
        whole = getattr(self.module, self.name)
        return whole if self.rows is None else whole[self.rows]

    def mean_square(self) -> float:
        """E w^2 over the entries."""
        return float(self.tensor().detach().abs().double().square().mean())


@dataclass(frozen=True)
class Operation:
    """What a step does."""


@dataclass(frozen=True)
class Input(Operation):
    """What the module is called with."""


@dataclass(frozen=True)
class Affine(Operation):
    """y = W x + b for independent weights: Linear, convolutions, projections of attention.

    fan_in counts the weights of one output (channels/groups times taps); reach is the mean share of the taps that lie
    inside the image, 1 without zero padding.
    """

    weight: Slot
    bias: Slot | None
    fan_in: int
    fan_out: int
    reach: float = 1.0


@dataclass(frozen=True)
class Spectral(Operation):
    """A convolution in Fourier space with weights for few modes (mf.torch.SpectralConv, neuralop)."""

    module: Any


@dataclass(frozen=True)
class Table(Operation):
    """Rows looked up by an index: Embedding."""

    weight: Slot


@dataclass(frozen=True)
class Function(Operation):
    """The same function of each entry."""

    phi: Pointwise


@dataclass(frozen=True)
class Norm(Operation):
    """kind: layer, rms, batch, group or instance; then a gain and a shift for each feature, if there are any."""

    kind: str
    eps: float
    gain: Slot | None = None
    shift: Slot | None = None


@dataclass(frozen=True)
class Add(Operation):
    """sum_i coefficient_i x_i."""

    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Scale(Operation):
    """factor x; by a parameter, of one number or one for each feature, factor is its RMS."""

    factor: float
    parameter: Slot | None = None


@dataclass(frozen=True)
class Shift(Operation):
    """x + a parameter: positions, a bias of its own."""

    parameter: Slot


@dataclass(frozen=True)
class Constant(Operation):
    """A parameter that is a signal of its own, without inputs: a class token, learned queries."""

    parameter: Slot


@dataclass(frozen=True)
class Move(Operation):
    """Entries in another order or shape, some left out, or inputs side by side: flatten, transpose, cat, indexing."""


@dataclass(frozen=True)
class Drop(Operation):
    """Each entry kept with probability 1 - rate and divided by it, in training."""

    rate: float


@dataclass(frozen=True)
class Attend(Operation):
    """softmax(scale Q K^T) V for each head; inputs are the queries, the keys and the values.

    scale is 1/sqrt(d_head) where it is None; dropout is the rate at which weights are dropped in training.
    """

    heads: int
    causal: bool = False
    scale: float | None = None
    dropout: float = 0.0


@dataclass(frozen=True)
class Pool(Operation):
    """mean or max over `taps` positions."""

    kind: str
    taps: int | None


@dataclass(frozen=True)
class Opaque(Operation):
    """No theory here; prediction goes on from what is measured behind it."""

    reason: str


@dataclass(frozen=True)
class Step:
    """name: the path of a module as users know it ("blocks.3.linear1"), or a function and its number ("add_2").

    inputs are indices of earlier steps. layer: the module's class, or the function's name.
    """

    name: str
    layer: str
    operation: Operation
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Steps in the order they run; the last is the output."""

    steps: tuple[Step, ...]

    @cached_property
    def before(self) -> list[frozenset[int]]:
        """Of each step itself and all that it depends on."""
        found: list[frozenset[int]] = []
        for at, step in enumerate(self.steps):
            found.append(frozenset((at,)).union(*(found[source] for source in step.inputs)))
        return found
