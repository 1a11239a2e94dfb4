"""What to initialize with: weight and bias variances from a criterion, and what they were derived from.

edge_of_chaos: chi_1 = 1 at the length q* = V(q*), or chi_1 = exp(-1/depth_scale); half_stable: chi_q = chi_1 = 1
(Roberts, Yaida, Hanin 2021, arXiv 2106.10165); second_moment and he: weight_var = 1/E phi(u)^2 at q = 1, so that
lengths stay (ReLU: 2, He et al. 2015, 1502.01852); gradient: 1/E phi'(u)^2 at q = 1, so that gradients do; isometry:
orthogonal weights on the edge of chaos at the length where Var lambda = depth (mu_2/mu_1^2 - 1) of the Jacobian is
SPREAD (Pennington et al. 2017, 1711.04735); self_normalizing: E phi = 0 and E phi^2 = 1 at q = 1 without scaling
(Klambauer et al. 2017, 1706.02515). All recalled. gain = sqrt(weight_var) multiplies the deviation sqrt(1/fan_in).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from math import exp, inf, sqrt
from typing import Any, overload

import numpy as np
from scipy.optimize import brentq

from meanfield.build import Array, Block, tabulated
from meanfield.edge import LENGTHS, Critical, edge_of_chaos, half_stable, subject
from meanfield.finite.networks import whole
from meanfield.fourier_init import FourierInit, fourier_init
from meanfield.outlook import Outlook, outlook
from meanfield.transformer_init import TransformerInit, transformer_scales
from symbolic.critical import NoEdge, keeping
from symbolic.fourier_block import has_spectral
from symbolic.functions import X
from symbolic.gaussian import Mean
from symbolic.gaussian import q as length
from symbolic.landmarks import slope
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Layer, Pointwise
from symbolic.structure import substituted
from symbolic.transformers import TransformerBlock

SPREAD = 0.25  # variance of the squared singular values that counts as an isometry
NORMAL = 1e-9  # how far from 0 and 1 mean and variance of a self-normalizing activation may be


@dataclass(frozen=True)
class InitScale:
    """Weights of variance weight_var/fan_in, `ensemble` "gaussian" or "orthogonal", biases N(0, bias_var).

    gain = sqrt(weight_var) multiplies the deviation sqrt(1/fan_in). It was derived from `criterion` for `activation`;
    q is the length that layers keep, chi_1 the factor per layer of mean squared gradients there and of small
    deviations, chi_q that of a small change of q. `outlook` is what to expect at the depth that was asked for.
    """

    weight_var: float
    bias_var: float
    gain: float
    criterion: str
    q: float
    chi_1: float
    chi_q: float
    activation: str = field(default="")
    ensemble: str = field(default="gaussian")
    outlook: Outlook | None = field(default=None)

    def __str__(self) -> str:
        law = "weights N(0, {}/fan_in)" if self.ensemble == "gaussian" else "orthogonal weights of variance {}/fan_in"
        lines = [
            f"{self.activation} ({self.criterion}): {law.format(f'{self.weight_var:.12g}')}, "
            f"biases N(0, {self.bias_var:.12g}), gain {self.gain:.12g}",
            f"  at length q = {self.q:.6g}: chi_1 = {self.chi_1:.6g}, chi_q = {self.chi_q:.6g}",
        ]
        return "\n".join(lines if self.outlook is None else [*lines, str(self.outlook)])

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Question:
    """What a criterion is asked."""

    given: Any
    layer: Layer
    name: str
    criterion: str
    bias_var: float | None
    depth: int | None
    depth_scale: float | None

    @property
    def phi(self) -> Pointwise:
        """The activation, where the criterion is one of an activation."""
        first, *rest = getattr(self.layer, "layers", (self.layer,))
        if not isinstance(first, Pointwise) or len(rest) != 1:
            raise TypeError(
                f"criterion {self.criterion!r} is one of an activation; '{self.name}' is a block: use 'edge_of_chaos'"
            )
        return first

    def unbiased(self) -> None:
        if self.bias_var not in (None, 0):
            raise ValueError(
                f"criterion {self.criterion!r} keeps unit length without bias: leave bias_var out, not {self.bias_var}"
            )

    def answer(self, weight_var: float, bias_var: float, q: float, chi_1: float, chi_q: float) -> InitScale:
        return InitScale(weight_var, bias_var, sqrt(weight_var), self.criterion, q, chi_1, chi_q, self.name)

    def critical(self, point: Critical, chi_1: float = 1.0) -> InitScale:
        return self.answer(point.weight_var, point.bias_var, point.q, chi_1, point.chi_q)


@overload
def init_scale(phi: TransformerBlock, *, depth: int, cosine: float, below: float) -> TransformerInit: ...


@overload
def init_scale(
    phi: str | Pointwise,
    *,
    criterion: str = "edge_of_chaos",
    bias_var: float | None = None,
    depth: int | None = None,
    width: int | None = None,
    depth_scale: float | None = None,
    q0: float = 1.0,
) -> InitScale: ...


@overload
def init_scale(
    phi: Any,
    *,
    criterion: str = "edge_of_chaos",
    bias_var: float | None = None,
    depth: int | None = None,
    width: int | None = None,
    depth_scale: float | None = None,
    q0: float = 1.0,
    split: float | None = None,
) -> InitScale | FourierInit: ...


def init_scale(
    phi: Any,
    *,
    criterion: str = "edge_of_chaos",
    bias_var: float | None = None,
    depth: int | None = None,
    width: int | None = None,
    depth_scale: float | None = None,
    q0: float = 1.0,
    cosine: float | None = None,
    below: float | None = None,
    split: float | None = None,
) -> InitScale | TransformerInit | FourierInit:
    """Initialization scales of an activation (name, formula or layer), or of a block with free variances.

    Of a TransformerBlock with numbers: a TransformerInit, scales that keep the cosine of tokens, which starts at
    `cosine`, at most `below` behind `depth` blocks (mf.transformer_init; no other option applies).
    Of a block with mf.Spectral: a FourierInit, with all criteria up to "gradient", bias_var, depth_scale and `split`,
    the share of the spectral path in sigma_R^2 + sigma_W^2 where both are free (default 1/2).

    criterion: "edge_of_chaos" (bias_var default 0; with depth_scale, in layers, the ordered point that has it),
    "half_stable", "second_moment" (also "he"), "gradient", "isometry" (needs depth), "self_normalizing"; only the first
    takes a bias_var. depth (and width) add what to expect there of inputs of length q0. Raises NoEdge (a ValueError)
    where the wanted point does not exist, with the nearest that does.
    """
    if isinstance(phi, TransformerBlock):
        return transformer_scales(phi, depth, cosine, below, (criterion, bias_var, width, depth_scale, q0, split))
    if cosine is not None or below is not None:
        raise ValueError("cosine and below are those of the tokens of a mf.TransformerBlock: leave them out")
    _check(criterion, depth, width, depth_scale, q0)
    if isinstance(phi, Layer) and has_spectral(phi):
        if (depth, width, q0) != (None, None, 1.0):
            raise ValueError("of a block with mf.Spectral leave depth, width and q0 out: mf.fourier_operator walks it")
        return fourier_init(phi, init_scale, criterion, bias_var, depth_scale, split)
    if split is not None:
        raise ValueError("split is the share of the spectral path of a block with mf.Spectral: leave it out")
    layer, name = subject(phi)
    question = _Question(
        phi, layer, name, criterion, bias_var, None if depth is None else whole("depth", depth), depth_scale
    )
    found = CRITERIA[criterion](question)
    if depth is None:
        return found
    block = substituted(layer, {WEIGHT_VAR: found.weight_var, BIAS_VAR: found.bias_var})
    return replace(found, outlook=outlook(block, depth=depth, width=width, q0=q0))


def _check(criterion: str, depth: int | None, width: int | None, depth_scale: float | None, q0: float) -> None:
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; known are {', '.join(CRITERIA)}")
    if depth_scale is not None and (criterion != "edge_of_chaos" or not 0 < depth_scale < inf):
        raise ValueError(
            f"depth_scale is a finite number of layers above 0, for criterion 'edge_of_chaos' alone, not {depth_scale} "
            f"for {criterion!r}"
        )
    if width is not None and depth is None:
        raise ValueError("width says what to expect of a depth: give depth as well")
    if not 0 < q0 < inf:
        raise ValueError(f"q0 is the length of the input, positive and finite, not {q0}")


def _critical(question: _Question) -> InitScale:
    chi_1 = 1.0 if question.depth_scale is None else exp(-1 / question.depth_scale)
    bias_var = 0.0 if question.bias_var is None else question.bias_var
    return question.critical(edge_of_chaos(question.given, bias_var=bias_var, chi_1=chi_1), chi_1)


def _half_stable(question: _Question) -> InitScale:
    if question.bias_var is not None:
        raise ValueError("criterion 'half_stable' finds its own bias_var: leave it out")
    return question.critical(half_stable(question.given))


def _preserving(limit: str) -> Callable[[_Question], InitScale]:
    """weight_var at which the length, or the gradient, stays at q = 1."""

    def scale(question: _Question) -> InitScale:
        question.unbiased()
        kept = tabulated([length], [keeping(question.layer, limit)], f"{limit} kept by {question.layer}")
        weight_var = float(kept(1.0)[0, 0])
        if not 0 < weight_var < inf:
            raise NoEdge(
                f"no weight_var > 0 keeps the {limit} of '{question.name}', which asks for {weight_var:.6g}: "
                "scale the branches of a sum so that their squares add to 1"
            )
        unit = Block(substituted(question.layer, {WEIGHT_VAR: weight_var, BIAS_VAR: 0}))
        chi_1, chi_q = float(unit("slope_at_one", [1.0])[0, 0]), float(unit("length", [1.0])[0, 1])
        return question.answer(weight_var, 0.0, 1.0, chi_1, chi_q)

    return scale


def _isometry(question: _Question) -> InitScale:
    if question.depth is None:
        raise ValueError("criterion 'isometry' depends on how many layers there are: give depth")
    if question.bias_var is not None:
        raise ValueError("criterion 'isometry' finds its own bias_var: leave it out")
    at = _spreads(question.phi, question.depth)
    spread, _, bias, chi_q = at(LENGTHS)
    usable = (bias >= -1e-12 * LENGTHS) & np.isfinite(spread) & (chi_q <= 1 + 1e-12)
    good = np.flatnonzero(usable & (spread <= SPREAD))
    if not good.size:
        least = f"at best {spread[usable].min():.6g}" if usable.any() else "unknown, as it has no edge of chaos"
        raise NoEdge(
            f"{question.name} is no isometry over {question.depth} layers: the variance of its squared singular values "
            f"is {least}, not {SPREAD:g} or less, where lengths are stable: take fewer layers, or an activation that "
            "is smooth and odd, as tanh"
        )
    last = good[-1]
    q = 1.0 if spread[last] == 0 else float(LENGTHS[last])
    if last + 1 < len(LENGTHS) and usable[last + 1]:
        q = float(brentq(lambda x: float(at(x)[0][0]) - SPREAD, q, LENGTHS[last + 1], rtol=1e-14))
    weight_var, bias_var = float(at(q)[1][0]), max(0.0, float(at(q)[2][0]))
    return replace(question.answer(weight_var, bias_var, q, 1.0, float(at(q)[3][0])), ensemble="orthogonal")


def _spreads(phi: Pointwise, depth: int) -> Callable[[Any], Array]:
    """Rows depth (mu_2/mu_1^2 - 1), weight_var, bias_var and chi_q on the edge of chaos, for lengths q."""
    f, bend = phi.formula, slope(phi.formula)
    means = [Mean(g, length) for g in (bend**2, bend**4, f**2, X * f * bend)]
    table = tabulated([length], means, f"slopes of {phi}")

    def at(q: Any) -> Array:
        first, second, square, pull = table(q)
        return np.stack([depth * (second / first**2 - 1), 1 / first, q - square / first, pull / (first * q)])

    return at


def _self_normalizing(question: _Question) -> InitScale:
    question.unbiased()
    f = question.phi.formula
    moments = tabulated([length], [Mean(f, length), Mean(f**2, length)], f"mean and square of {f}")
    mean, square = (float(x) if abs(x) > 1e-15 else 0.0 for x in moments(1.0)[:, 0])
    if abs(mean) > NORMAL or abs(square - 1) > NORMAL:
        spread = sqrt(square - mean**2)
        raise ValueError(
            f"{question.name} is not self-normalizing: at q = 1 it has mean {mean:.9g} and mean square {square:.9g}, "
            f"not 0 and 1, as (phi(x) - {mean:.9g})/{spread:.9g} would have"
        )
    unit = Block(substituted(question.layer, {WEIGHT_VAR: 1, BIAS_VAR: 0}))
    chi_1, chi_q = float(unit("slope_at_one", [1.0])[0, 0]), float(unit("length", [1.0])[0, 1])
    if chi_q >= 1:
        raise ValueError(
            f"{question.name} keeps length 1, but does not return to it: chi_q = {chi_q:.6g} is not below 1: "
            "use criterion 'second_moment'"
        )
    return question.answer(1.0, 0.0, 1.0, chi_1, chi_q)


CRITERIA: dict[str, Callable[[_Question], InitScale]] = {
    "edge_of_chaos": _critical,
    "half_stable": _half_stable,
    "second_moment": _preserving("length"),
    "he": _preserving("length"),
    "gradient": _preserving("gradient"),
    "isometry": _isometry,
    "self_normalizing": _self_normalizing,
}
