"""The singular values of the input-output Jacobian J = prod_l D_l W_l of a wide network at initialization.

D = diag(phi'(h)), h ~ N(0, q) with q the fixed point of lengths; W has variance weight_var/n, Gaussian or orthogonal.
lambda is a squared singular value, an eigenvalue of J J^T: mean chi^L, chi = weight_var mu_1, mu_k = E phi'(h)^{2k},
variance/mean^2 = L (mu_2/mu_1^2 - 1 - s_1), s_1 = -1 Gaussian, 0 orthogonal. Pennington, Schoenholz, Ganguli 2017
(arXiv 1711.04735), 2018 (1802.09979), from memory, checked against networks. One Gaussian matrix (n x n, entries of
variance weight_var/n) has Lyapunov exponents (log(2 weight_var/n) + psi((n - i + 1)/2))/2, i = 1 .. n (Newman 1986).
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import sympy as sp
from scipy.special import digamma

from meanfield.build import Array, Block
from meanfield.edge import edge_of_chaos
from solvers import support
from solvers.factors import Factor, discrete, smooth
from solvers.free import Product, Unresolved
from solvers.iterate import NotConverged, fixed_point
from symbolic import freeprob
from symbolic.activations import activation
from symbolic.functions import X, elementary
from symbolic.landmarks import kinks, slope
from symbolic.networks import Chain, Dense, Layer, Pointwise
from symbolic.rays import rays

Ensemble = Literal["gaussian", "orthogonal"]
WEIGHTS = {"gaussian": freeprob.gaussian, "orthogonal": freeprob.orthogonal}
HOMOGENEOUS_AT = 1.0  # the slopes of a positively homogeneous activation do not depend on q
SOUND = 1e-7  # largest error of mass and mean with which a density is integrated
MOST = 64  # moments


@dataclass(frozen=True)
class SingularValues:
    """The law of lambda, an eigenvalue of J J^T (a squared singular value of J), in the limit of width."""

    activation: str
    depth: int
    ensemble: str
    weight_var: float
    bias_var: float
    q: float
    factor: Factor = field(repr=False, compare=False)

    @cached_property
    def _product(self) -> Product:
        return Product(self.factor, self.depth, self.weight_var, self.ensemble == "gaussian")

    @cached_property
    def _bands(self) -> list[support.Band]:
        return support.bands(self._product)

    @property
    def chi(self) -> float:
        """weight_var E phi'^2, the mean of lambda for one layer."""
        return self.weight_var * self.factor.moment(1)

    @property
    def mean(self) -> float:
        return float(self.chi**self.depth)

    @property
    def variance(self) -> float:
        """The variance of lambda over its mean squared: L (mu_2/mu_1^2 - 1 - s_1)."""
        mu_1, mu_2 = self.factor.moment(1), self.factor.moment(2)
        return float(freeprob.relative_variance(self.depth, mu_1, mu_2, WEIGHTS[self.ensemble](self.weight_var)))

    def moments(self, k: int) -> list[float]:
        """E lambda, ..., E lambda^k."""
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MOST:
            raise ValueError(f"k is how many moments are wanted, a whole number from 1 to {MOST}, not {k!r}")
        mu = [sp.Float(self.factor.moment(i) / self.factor.moment(1) ** i, 30) for i in range(1, k + 1)]
        layer = freeprob.from_moments(mu) * WEIGHTS[self.ensemble](1)
        return [float(m) * self.mean ** (i + 1) for i, m in enumerate(freeprob.moments(layer, self.depth, k))]

    @property
    def atoms(self) -> dict[float, float]:
        """Where a share of all lambda lies at one place, and how much."""
        return self._product.atoms

    @cached_property
    def support(self) -> list[tuple[float, float]]:
        """The intervals that carry a density."""
        return [(band.low, band.high) for band in self._bands]

    @property
    def largest(self) -> float:
        """The upper end of the law of lambda."""
        return max([*self.atoms, *(high for _, high in self.support)])

    def density(self, x: Any, *, reasons: bool = False) -> Any:
        """The density of lambda, without its atoms; NaN where it is not known, with reasons=True also why, else ""."""
        value, reason = self._product.density(_points(x))
        if not reasons:
            return value[()]
        return value[()], np.array([Unresolved(int(r)).why if r else "" for r in reason.ravel()]).reshape(reason.shape)[
            ()
        ]

    def cdf(self, x: Any) -> Any:
        """P(lambda <= x), with the atoms.

        Raises NotConverged if mass 1 and the mean are not met to 1e-7: then the density is not known everywhere.
        """
        self.sound()
        points = _points(x)
        flat = points.ravel()
        total = np.zeros(flat.size)
        for place, mass in self.atoms.items():
            total += mass * (flat >= place)
        for band in self._bands:
            total += band.below(flat)
        return np.clip(total, 0.0, 1.0).reshape(points.shape)[()]

    def sound(self) -> None:
        """Raise NotConverged unless atoms and density have mass 1 and the right mean."""
        mass = sum(self.atoms.values()) + sum(band.mass for band in self._bands)
        mean = sum(x * m for x, m in self.atoms.items()) + sum(band.mean for band in self._bands)
        if not (abs(mass - 1) <= SOUND and abs(mean / self.mean - 1) <= SOUND):
            lost = sum(band.unresolved for band in self._bands)
            raise NotConverged(
                f"the density of {self.activation} over {self.depth} {self.ensemble} layers has mass {mass:.9g} and "
                f"mean {mean / self.mean:.9g} chi^L, with {lost} places unresolved: its moments are known, its cdf not"
            )

    def to_dict(self) -> dict[str, Any]:
        names = ("activation", "depth", "ensemble", "weight_var", "bias_var", "q", "chi", "mean", "variance", "largest")
        found = {name: getattr(self, name) for name in names}
        return found | {"atoms": [list(a) for a in self.atoms.items()], "support": [list(s) for s in self.support]}

    def __str__(self) -> str:
        spread = math.sqrt(max(self.variance, 0.0))
        lines = [
            f"{self.activation}, {self.depth} layers, {self.ensemble} weights: squared singular values of the Jacobian",
            f"  weight_var = {self.weight_var:.12g}   bias_var = {self.bias_var:.12g}   q = {self.q:.12g}",
            f"  mean = {self.mean:.12g}   std/mean = {spread:.6g}   largest = {self.largest:.12g}",
            *(f"  {mass:.6g} of them are {place:.6g}" for place, mass in self.atoms.items()),
        ]
        return "\n".join(lines)

    __repr__ = __str__


def singular_values(
    block: Any,
    *,
    depth: int,
    ensemble: Ensemble = "gaussian",
    weight_var: float | None = None,
    bias_var: float | None = None,
) -> SingularValues:
    """The law of the squared singular values of the Jacobian of `depth` layers of an activation, or of a block
    phi >> Dense with numbers. Without weight_var an activation is taken to the edge of chaos at bias_var (default 0).

    Raises ValueError for a block of other layers, an unknown ensemble, or an activation that jumps; NoEdge (a
    ValueError) where there is no edge of chaos; NotConverged where lengths have no fixed point.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ValueError(f"depth is a number of layers, a whole number from 1, not {depth!r}")
    if ensemble not in WEIGHTS:
        raise ValueError(f"ensemble is 'gaussian' or 'orthogonal', not {ensemble!r}")
    if isinstance(block, Layer) and not isinstance(block, Pointwise):
        phi, dense = _parts(block, weight_var, bias_var)
    else:
        phi, dense = activation(block), None
    slopes = slope(phi.formula)
    if slopes.has(sp.DiracDelta) or slopes == 0:
        raise ValueError(f"{phi} has no Jacobian: its slope is zero almost everywhere, or it jumps")
    bias = 0.0 if bias_var is None else float(bias_var)
    if dense is None and weight_var is None:
        edge = edge_of_chaos(phi, bias_var=bias)
        return SingularValues(phi.name, depth, ensemble, edge.weight_var, bias, edge.q, _factor(phi, edge.q))
    dense = Dense(weight_var, bias) if dense is None else dense
    q = _length(phi, dense)
    numbers = float(dense.weight_var), float(dense.bias_var)
    return SingularValues(phi.name, depth, ensemble, *numbers, q, _factor(phi, q))


def lyapunov_exponents(n: int, *, weight_var: float = 1.0) -> Array:
    """The growth rates, per layer and in descending order, of a long product of n x n Gaussian matrices.

    (log(2 weight_var/n) + digamma((n - i + 1)/2))/2 for i = 1 .. n, entries of variance weight_var/n. Raises ValueError
    unless n is a whole number from 1 and weight_var is positive and finite.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n is the size of a matrix, a whole number from 1, not {n!r}")
    if not 0 < weight_var < math.inf:
        raise ValueError(f"weight_var must be finite and greater than 0, not {weight_var}")
    i = np.arange(1, n + 1)
    return np.asarray(0.5 * (math.log(2 * weight_var / n) + digamma((n - i + 1) / 2)))


def _parts(block: Layer, weight_var: Any, bias_var: Any) -> tuple[Pointwise, Dense]:
    if weight_var is not None or bias_var is not None:
        raise ValueError(f"'{block}' has its variances already: give weight_var and bias_var with an activation alone")
    match block:
        case Chain((Pointwise() as phi, Dense() as dense)) if not {*dense.weight_var.free_symbols} | {
            *dense.bias_var.free_symbols
        }:
            return phi, dense
    raise ValueError(f"the singular values of '{block}' are not known: give an activation >> Dense(numbers)")


def _length(phi: Pointwise, dense: Dense) -> float:
    """q, where lengths settle."""
    ends = rays(phi.formula)
    if ends is not None and ends.everywhere:
        return HOMOGENEOUS_AT
    built = Block(phi >> dense)

    def length(q: float) -> tuple[float, float]:
        (value, chi), *_ = built("length", [q])
        return float(value), float(chi)

    found = fixed_point(length, 1.0).unwrap()
    return found if found > 1e-250 else 0.0


def _factor(phi: Pointwise, q: float) -> Factor:
    """The law of phi'(u)^2, u ~ N(0, q)."""
    derivative = slope(phi.formula)
    if q == 0:
        return discrete([float(derivative.subs(X, 0)) ** 2], [1.0])
    law = freeprob.atoms(phi, sp.Float(q, 30))
    if law is not None:
        return discrete([float(v) for v in law], [float(p) for p in law.values()])
    plain = elementary(derivative)
    square = sp.lambdify(X, plain**2, ["numpy", "scipy"])
    root = math.sqrt(q)
    if kinks(phi.formula):
        return smooth(lambda t: square(root * t.real) + 0j, None)
    ratio = sp.lambdify(X, 2 * sp.cancel(plain.diff(X) / plain), ["numpy", "scipy"])
    return smooth(lambda t: square(root * t), lambda t: root * ratio(root * t))


def _points(x: Any) -> Array:
    points = np.asarray(x, dtype=np.float64)
    if np.isnan(points).any():
        raise ValueError("x must hold numbers, not NaN")
    return points
