"""The variances of the paths of a layer of a Fourier neural operator, as drawn and as they enter its equations.

skip g + phi >> (spectral + W): of m S + P, m the share of S that the strongest mode has, each path whose variance is a
number keeps it and the other has the rest; two free paths share S + P as split to 1 - split. A factor before a path
multiplies its variance by its square, so that what enters is factor * what is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Expr

from meanfield.uniform import extreme_shares
from symbolic.critical import NoEdge
from symbolic.fourier import Spectral
from symbolic.fourier_block import POINTWISE_VAR, FourierForm, fourier_form, is_pointwise
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Layer
from symbolic.pictures import layers_in

FREE = (WEIGHT_VAR, POINTWISE_VAR, BIAS_VAR)


@dataclass(frozen=True)
class Variance:
    """factor times what is drawn enters; `given` is what is drawn, None where it is free."""

    factor: float
    given: float | None

    @property
    def kept(self) -> float | None:
        return None if self.given is None else self.factor * self.given


NOTHING = Variance(1.0, 0.0)


@dataclass(frozen=True)
class Paths:
    """mean and largest: the shares z and m; split: the share of the spectral path where both are free."""

    form: FourierForm
    block: Layer
    spectral: Variance
    pointwise: Variance
    bias: Variance
    mean: float
    largest: float
    split: float

    @property
    def skip(self) -> float:
        return float(self.form.skip)

    def divided(self, total: Any) -> tuple[Any, Any]:
        """S and P of m S + P = total, numbers or arrays."""
        S, P = self.spectral.kept, self.pointwise.kept
        if P is not None:
            return (total - P) / self.largest, P
        if S is not None:
            return S, total - self.largest * S
        S = total / (self.largest + (1 - self.split) / self.split)
        return S, S * (1 - self.split) / self.split

    def of_the_mean(self, total: Any) -> Any:
        """z S + P."""
        S, P = self.divided(total)
        return self.mean * S + P

    def bias_of_all(self, option: float | None) -> float | None:
        """The variance that all biases add, None where it is free; ValueError for one that is given twice."""
        if self.bias.given is None:
            return None if option is None else self.bias.factor * option
        if option is not None:
            raise ValueError(f"bias_var of '{self.block}' is {self.bias.given:g} already: leave bias_var out")
        return self.bias.kept

    def drawn(self, total: float, bias_var: float) -> tuple[float, float, float]:
        """weight_var, pointwise_var and bias_var to draw with; NoEdge where a path that is a number leaves nothing."""
        S, P = self.divided(total)
        for name, other, value, kept in (
            ("pointwise_var", "weight_var", S, self.pointwise),
            ("weight_var", "pointwise_var", P, self.spectral),
        ):
            if kept.given and value <= 0:
                raise NoEdge(
                    f"{name} = {kept.given:g} of '{self.block}' leaves nothing for {other}: its paths have "
                    f"{total:.6g} together: lower it"
                )
        bias = bias_var / self.bias.factor if self.bias.given is None else self.bias.given
        return S / self.spectral.factor, P / self.pointwise.factor, bias


def paths_of(block: Layer, split: float | None) -> Paths:
    """What a block says of its variances; ValueError where none is free, NoRule where it is no such block."""
    form = fourier_form(block)
    spectral = next(part for part in layers_in(block) if isinstance(part, Spectral))
    matrices = [part for part in layers_in(block) if is_pointwise(part)]
    if len(matrices) > 1:
        raise ValueError(f"'{block}' has {len(matrices)} pointwise paths, which are one of the sum of their variances")
    if not form.skip.is_number:
        raise ValueError(f"the skip {form.skip} of '{block}' must be a number")
    weight = _variance("weight_var", form.spectral.weight_var, spectral.weight_var, block)
    pointwise, biases = NOTHING, [spectral.bias_var]
    if matrices:
        pointwise = _variance("pointwise_var", form.pointwise_var, matrices[0].weight_var, block)
        biases.append(matrices[0].bias_var)
    mean, largest = extreme_shares(spectral)
    bias = _bias(form.spectral.bias_var, biases, block)
    return Paths(form, block, weight, pointwise, bias, mean, largest, _split(weight, pointwise, split, block))


def _variance(name: str, entering: Expr, drawn: Expr, block: Layer) -> Variance:
    factor = entering / drawn
    if drawn not in FREE and not drawn.is_number:
        raise ValueError(f"{name} = {drawn} of '{block}' must be a number, or left out")
    if not factor.is_number:
        raise ValueError(f"factors of paths must be numbers, not {factor} as the square of one in '{block}'")
    return Variance(float(factor), None if drawn in FREE else float(drawn))


def _bias(entering: Expr, drawn: Sequence[Expr], block: Layer) -> Variance:
    """Of all biases, which have one variance where they have any."""
    each = {variance for variance in drawn if variance != 0}
    if not each:
        return NOTHING
    if len(each) > 1:
        raise ValueError(
            f"biases of '{block}' have the variances {' and '.join(sorted(map(str, each)))}: give them one, or the "
            "pointwise path none, bias_var=0"
        )
    return _variance("bias_var", entering, each.pop(), block)


def _split(spectral: Variance, pointwise: Variance, split: float | None, block: Layer) -> float:
    free = [variance.given is None for variance in (spectral, pointwise)]
    if not any(free):
        names = "weight_var" if pointwise is NOTHING else "weight_var and pointwise_var"
        raise ValueError(f"{names} of '{block}' must be left out, to be found: write mf.Spectral(modes)")
    if not all(free):
        if split is not None:
            raise ValueError(f"split shares a variance between two paths, but '{block}' leaves one free: leave it out")
        return 1.0
    share = 0.5 if split is None else float(split)
    if not 0 < share < 1:
        raise ValueError(f"split is the share of the spectral path, between 0 and 1, not {split}")
    return share
