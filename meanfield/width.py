"""Finite width: how far the lengths of real networks phi >> Dense scatter around the length map, to first order in 1/n.

K' = C_W <phi^2> + C_b, and Var K = V/n with V' = chi_par^2 V n'/n + C_W^2 [<phi^4> - <phi^2>^2], V = 0 at the input,
chi_par = dK'/dK (Roberts, Yaida, Hanin 2021, arXiv 2106.10165; recalled and checked numerically, not re-read).
Exact for phi(x) = a_-+ x, A_n = (a_-^n + a_+^n)/2: E K_L^2/(E K_L)^2 = prod (1 + s/n_l), s = 3 A_4/A_2^2 - 1 (linear 2,
ReLU 5). Tangent kernel: E T^2/(E T)^2 = (L+1)^-2 sum_{l,m} (1 + s/n)^{L-|l-m|} (1 + t/n)^{|l-m|}, t = A_4/A_2^2 - 1
(derived here, not read).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np

from meanfield.build import Array, Block
from meanfield.dual import mean
from meanfield.edge import edge_of_chaos
from meanfield.finite.lengths import lengths
from meanfield.finite.networks import number, whole
from meanfield.finite.sample import Seed, stream
from solvers.iterate import orbit
from symbolic.activations import activation
from symbolic.networks import Chain, Dense, Layer, Pointwise
from symbolic.rays import Rays, rays

SHORT = np.array([1e-4, 1e-2, 0.1])  # lengths at which an activation shows whether it shrinks what its slopes at 0 keep
FAR = 1e150


@dataclass(frozen=True, eq=False)
class FiniteWidth:
    """Layers 0 .. depth: lengths K, vertices V, `variance` = V/n of a length and `relative` = V/(n K^2).

    widths[l] is the number n of neurons that K_{l+1} is a mean over.
    """

    phi: Pointwise
    dense: Dense
    widths: tuple[int, ...]
    K: Array = field(repr=False)
    chi_par: Array = field(repr=False)
    V: Array = field(repr=False)

    @property
    def variance(self) -> Array:
        return self.V / np.array([1, *self.widths])

    @property
    def relative(self) -> Array:
        return self.variance / self.K**2

    @property
    def scale(self) -> float:
        """The emergent scale, the sum of 1/n over the layers: L/n."""
        return float(np.sum(1 / np.array(self.widths)))

    @cached_property
    def nu(self) -> float:
        """The slope of V/K^2 in depth far down a critical network: s if scale invariant, s/3 if lengths decay to 0.

        Then (V/K^2)' = (1 - 2/l) V/K^2 + s. Raises ValueError unless C_b = 0 and C_W A_2 = 1.
        """
        ends = self._critical()
        s = float(3 * ends.moment(4) / ends.moment(2) ** 2 - 1)
        if ends.everywhere:
            return s
        after = Block(Chain((self.phi, self.dense)))("length", SHORT[:, None])[:, 0]
        if (after > SHORT * (1 + 1e-13)).any() or after[-1] >= SHORT[-1]:
            raise ValueError(f"nu asks for lengths that decay to 0, but those of {self.phi} grow away from it")
        return s / 3

    def aspect_ratio(self, outputs: int = 1) -> float:
        """The optimal depth over width, 4/((20 + 3 outputs) nu) (Roberts, Yaida, Hanin; recalled)."""
        return 4 / ((20 + 3 * whole("outputs", outputs)) * self.nu)

    def second_moment(self) -> float:
        """E K_L^2/(E K_L)^2 of a scale-invariant activation without bias, exact at any width."""
        ends = self._scale_invariant("the norm product")
        s = float(3 * ends.moment(4) / ends.moment(2) ** 2 - 1)
        return float(np.prod(1 + s / np.array(self.widths)))

    def log_length(self) -> float:
        """E log(K_L/K_0) of a scale-invariant activation without bias, exact; if one slope is 0, of the networks in
        which no layer is dead."""
        ends = self._scale_invariant("the mean logarithm")
        each = {n: _log_mean(ends, n) for n in set(self.widths)}
        grown = np.log(number(self.dense, "weight_var") * float(ends.moment(2)))
        return sum(each[n] + float(grown) for n in self.widths)

    def tangent_moment(self) -> float:
        """E Theta^2/(E Theta)^2 of the tangent kernel of one input, all weights of depth + 1 layers trained."""
        ends = self._scale_invariant("the moment of the tangent kernel")
        if len(set(self.widths)) > 1:
            raise ValueError(f"the moment of the tangent kernel is known for layers of one width, not {self.widths}")
        depth, n, ratio = len(self.widths), self.widths[0], float(ends.moment(4) / ends.moment(2) ** 2)
        same, mixed = np.log1p((3 * ratio - 1) / n), np.log1p((ratio - 1) / n)
        apart = np.arange(depth + 1)
        pairs = np.where(apart == 0, 1, 2) * (depth + 1 - apart)
        return float(np.sum(pairs * np.exp(same * (depth - apart) + mixed * apart)) / (depth + 1) ** 2)

    def tangent_moment_limit(self) -> float:
        """The same for depth and width to infinity at this ratio beta = L/n: e^{s beta} 2 (x - 1 + e^-x)/x^2, x =
        2 beta A_4/A_2^2."""
        ends = self._scale_invariant("the moment of the tangent kernel")
        ratio = float(ends.moment(4) / ends.moment(2) ** 2)
        x = 2 * ratio * self.scale
        return float(np.exp((3 * ratio - 1) * self.scale) * 2 * (x + np.expm1(-x)) / x**2)

    def sample(self, *, networks: int = 100_000, seed: Seed = 0) -> Array:
        """Lengths (networks, depth + 1) of independent networks, drawn from their exact law."""
        rng = stream(seed, *self.widths)
        return lengths(self.phi, self.dense, self.widths, networks=networks, rng=rng, start=float(self.K[0]))

    def __str__(self) -> str:
        return (
            f"{self.phi} >> {self.dense}, depth {len(self.widths)}, L/n = {self.scale:.6g}\n"
            f"  K = {self.K[-1]:.12g}   V = {self.V[-1]:.12g}   Var K/K^2 = {self.relative[-1]:.6g}"
        )

    __repr__ = __str__

    def _scale_invariant(self, what: str) -> Rays:
        ends = rays(self.phi.formula)
        if ends is None or not ends.everywhere or number(self.dense, "bias_var") != 0:
            raise ValueError(
                f"{what} is known for scale-invariant activations (relu, leaky_relu, abs, linear) without bias, not "
                f"for {self.phi} >> {self.dense}: `relative` is its first order in 1/n"
            )
        return ends

    def _critical(self) -> Rays:
        ends = rays(self.phi.formula)
        kept = ends is not None and abs(number(self.dense, "weight_var") * float(ends.moment(2)) - 1) < 1e-12
        if ends is None or not kept or number(self.dense, "bias_var") != 0:
            wanted = "" if ends is None else f", weight_var = {float(1 / ends.moment(2)):.12g}"
            raise ValueError(f"nu is defined for phi(0) = 0, bias_var = 0{wanted}, not for {self.phi} >> {self.dense}")
        return ends


def finite_width(
    block: Any,
    *,
    depth: int,
    width: int | Sequence[int],
    weight_var: float | None = None,
    bias_var: float | None = None,
    q0: float = 1.0,
) -> FiniteWidth:
    """Fluctuations of lengths in `depth` layers of a block phi >> Dense, or of an activation, from an input of length
    q0.

    An activation takes weight_var (default: critical) and bias_var (default 0); a block brings its own. `width` is one
    number for all layers or one for each. Raises ValueError or TypeError for other blocks and bad numbers.
    """
    phi, dense = _parts(block, weight_var, bias_var)
    widths = _widths(width, whole("depth", depth))
    if not (isfinite(q0) and q0 > 0):
        raise ValueError(f"q0 is the length of the input, positive and finite, not {q0}")
    built, square, fourth = Block(Chain((phi, dense))), mean(phi.formula**2), mean(phi.formula**4)
    found = orbit(lambda state: built("length", state)[0, :1], (q0,), depth)[:, 0]
    lost = ~((found > 1 / FAR) & (found < FAR))
    if lost.any():
        raise ValueError(
            f"the length of '{phi} >> {dense}' is {found[lost][0]:.3g} at layer {int(lost.argmax())}, too far from 1 "
            "for its square: take fewer layers, or a critical weight_var"
        )
    before = found[:-1]
    chi_par = built("length", before[:, None])[:, 1]
    noise = number(dense, "weight_var") ** 2 * (fourth(before) - square(before) ** 2)
    vertex = [0.0]
    for layer, n in enumerate(widths):
        wider = n / widths[layer - 1] if layer else 1.0
        vertex.append(chi_par[layer] ** 2 * vertex[-1] * wider + noise[layer])
    return FiniteWidth(phi, dense, widths, found, chi_par, np.array(vertex))


def _parts(block: Any, weight_var: float | None, bias_var: float | None) -> tuple[Pointwise, Dense]:
    if isinstance(block, Layer) and not isinstance(block, Pointwise):
        match block:
            case Chain(layers=(Pointwise() as phi, Dense() as dense)):
                if weight_var is not None or bias_var is not None:
                    raise ValueError(
                        f"'{block}' brings its own variances: weight_var= and bias_var= are for activations"
                    )
                return phi, dense
        raise ValueError(f"the vertex is known for blocks such as mf.tanh >> mf.Dense(1, 0), not for '{block}'")
    phi, bias = activation(block), 0.0 if bias_var is None else bias_var
    if weight_var is None:
        ends = rays(phi.formula)
        weight_var = 1 / ends.moment(2) if ends and bias == 0 else edge_of_chaos(phi, bias_var=bias).weight_var
    return phi, Dense(weight_var, bias)


def _widths(width: int | Sequence[int], depth: int) -> tuple[int, ...]:
    widths = (width,) * depth if isinstance(width, int) or not hasattr(width, "__len__") else tuple(width)
    if len(widths) != depth:
        raise ValueError(f"width is one number, or one for each of the {depth} layers, not {len(widths)}")
    return tuple(whole("width", n) for n in widths)


def _log_mean(ends: Rays, n: int) -> float:
    """E log X, X = sum_i phi(z_i)^2/(n A_2), as the integral of (e^-t - E e^-tX)/t over t = e^s (Frullani).

    The integrand is analytic for |Im s| < pi/2, so the trapezoidal rule is exact to rounding.
    """
    squares = np.array([float(a**2 / ends.moment(2)) for a in (ends.minus, ends.plus)])
    dead = 0.5**n if (squares == 0).any() else 0.0
    # The tail is t^(-n/2), but t^(-1/2) where all neurons but one may be dead.
    s = np.arange(-45.0, max(5.0, np.log(n / squares[squares > 0].min())) + 90.0 / (1 if dead else n), 0.05)
    t = np.minimum(np.exp(s), 1e300)
    one = 0.5 * np.expm1(-0.5 * np.log1p(2 * np.outer(t, squares) / n)).sum(axis=1)
    with np.errstate(divide="ignore"):
        laplace = np.expm1(n * np.log1p(one)) / (1 - dead)
    return float(0.05 * np.sum(np.expm1(-t) - laplace))
