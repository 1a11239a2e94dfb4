"""Initialization scales of a layer of a Fourier neural operator, skip g + phi >> (spectral + W).

With the paths' variances S = sigma_R^2, P = sigma_W^2 and z, m the shares of S that the mode 0 and the strongest mode
have, functions constant over the grid keep q = (z S + P) E phi^2 + sigma_b^2 + skip^2 q, and small deviations grow at
most by chi_1 = (m S + P) E phi'^2 + skip^2 per layer: on any grid, for any number of modes. z = m (real weights of one
variance) is the question of a dense block; else the edge of chaos is the curve m S + P = (chi_1 - skip^2)/E phi'^2,
sigma_b^2 = (1 - skip^2) q - (z S + P) E phi^2, parametrised by q. Derived here, checked by simulation.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import exp, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Integer

from meanfield.build import Array
from meanfield.diagram import length_moments
from meanfield.edge import LENGTHS, SMALL, meeting
from meanfield.finite.networks import whole
from meanfield.fourier_paths import Paths, paths_of
from symbolic.critical import NoEdge
from symbolic.fourier import Spectral
from symbolic.fourier_block import dense_twin
from symbolic.networks import Layer

if TYPE_CHECKING:
    from meanfield.init import InitScale

CRITERIA = ("edge_of_chaos", "half_stable", "second_moment", "he", "gradient")


@dataclass(frozen=True)
class Deviations:
    """Standard deviations to draw with: of the entries of Re R_k and Im R_k, of those of R_k at modes k = -k (the mean,
    Nyquist), of the entries of W, and of biases."""

    real_and_imaginary: float
    self_conjugate: float
    pointwise: float
    bias: float


@dataclass(frozen=True)
class FourierInit:
    """E|R_k,ij|^2 = weight_var/channels at kept modes, W_ij ~ N(0, pointwise_var/channels), biases N(0, bias_var).

    Where the block has a spectrum, weight_var is multiplied by it. q is the length that functions constant over the
    grid keep, chi_q the factor per layer of a small change of it, chi_1 the largest factor of a small deviation from
    such a function, and of squared gradients there; gain = sqrt(weight_var). `note`: what else there is to know, first
    of all where the mean over the grid is weaker than other modes; else "". dc: as in mf.Spectral.
    Formulas and checks: mf.init_scale; derived here, after the layer of Koshizuka et al. 2024 (arXiv 2310.06379).
    """

    weight_var: float
    pointwise_var: float
    bias_var: float
    gain: float
    q: float
    chi_1: float
    chi_q: float
    criterion: str
    activation: str
    dc: str
    note: str = ""

    def std(self, channels: int) -> Deviations:
        """What to draw with between `channels` channels: Re R_k, Im R_k ~ N(0, weight_var/(2 channels)) entry by entry,
        and real R_k ~ N(0, weight_var/channels) at modes k = -k.

        With dc="complex" these are drawn as the others are, real and imaginary part. With a spectrum deviations of R_k
        are multiplied by its root. ValueError for channels that are no whole number above 0.
        """
        n = whole("channels", channels)
        half = sqrt(self.weight_var / (2 * n))
        alone = sqrt(self.weight_var / n) if self.dc == "real" else half
        return Deviations(half, alone, sqrt(self.pointwise_var / n), sqrt(self.bias_var))

    def __str__(self) -> str:
        half, full = f"N(0, {self.weight_var / 2:.12g}/channels)", f"N(0, {self.weight_var:.12g}/channels)"
        lines = [f"{self.activation} ({self.criterion}): Re R_k and Im R_k {half}, gain {self.gain:.12g}"]
        if self.dc == "real":
            lines.append(f"  modes k = -k (the mean, Nyquist): R_k real, {full}; drawn complex,")
            lines.append("  as code with irfft does, they would keep their real part, half of the variance")
        else:
            lines.append("  modes k = -k (the mean, Nyquist) complex as well: irfft keeps half of their variance")
        if self.pointwise_var:
            lines.append(f"  pointwise path: W N(0, {self.pointwise_var:.12g}/channels)")
        lines.append(f"  biases N(0, {self.bias_var:.12g})")
        lines.append(f"  at length q = {self.q:.6g}: chi_1 = {self.chi_1:.6g}, chi_q = {self.chi_q:.6g}")
        return "\n".join([*lines, f"  {self.note}"] if self.note else lines)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Point:
    """Of m S + P, the bias of all paths, and the state there."""

    total: float
    bias_var: float
    q: float
    chi_1: float
    chi_q: float


def fourier_init(
    block: Layer,
    dense: "Callable[..., InitScale]",
    criterion: str,
    bias_var: float | None,
    depth_scale: float | None,
    split: float | None,
) -> FourierInit:
    """mf.init_scale of a block with a Spectral layer, `dense` being that of the dense block it is compared with."""
    if criterion not in CRITERIA:
        raise ValueError(
            f"criterion {criterion!r} is none of a block with mf.Spectral; those are {', '.join(CRITERIA)}"
        )
    paths = paths_of(block, split)
    wanted = paths.bias_of_all(bias_var)
    if paths.mean == paths.largest:
        free = dense_twin(replace(paths.form, spectral=Spectral(1), pointwise_var=Integer(0)))
        at = dense(free, criterion=criterion, bias_var=wanted, depth_scale=depth_scale)
        point = _Point(at.weight_var, at.bias_var, at.q, at.chi_1, at.chi_q)
    elif criterion == "edge_of_chaos":
        chi_1 = 1.0 if depth_scale is None else exp(-1 / depth_scale)
        point = _met(paths, str(block), chi_1, 0.0 if wanted is None else wanted)
    else:
        raise ValueError(
            f"criterion {criterion!r} is one of functions constant over the grid, but '{block}' has modes of a larger "
            "variance than that of the mean: use 'edge_of_chaos', or dc='real' without spectrum"
        )
    weight_var, pointwise_var, bias = paths.drawn(point.total, point.bias_var)
    name, dc = str(paths.form.phi), paths.form.spectral.dc
    slopes = point.q, point.chi_1, point.chi_q
    return FourierInit(
        weight_var, pointwise_var, bias, sqrt(weight_var), *slopes, criterion, name, dc, _note(paths, point)
    )


def _met(paths: Paths, name: str, chi_1: float, bias_var: float) -> _Point:
    """The point of the curve with this bias_var, at the shortest length, stable if there is one."""
    if not 0 <= bias_var < np.inf:
        raise ValueError(f"bias_var must be finite and at least 0, not {bias_var}")
    if paths.skip**2 >= chi_1:
        raise NoEdge(
            f"'{name}' has no edge of chaos: its skip alone gives slopes of {paths.skip**2:g}, not below "
            f"chi_1 = {chi_1:.6g}"
        )
    at = _curve(paths, chi_1)
    found = meeting(at, bias_var)
    if not found:
        reached = at(LENGTHS)[:, 1]
        reached = reached[(reached >= 0) & np.isfinite(reached)]
        nearest = f"about {reached[np.argmin(abs(reached - bias_var))]:.3g}" if reached.size else "none"
        raise NoEdge(f"'{name}' has no edge of chaos at bias_var = {bias_var:g}; the nearest that has one: {nearest}")
    points = sorted(
        (min(paths.divided(total)) < 0, chi_q > 1 + 1e-12, 0.0 if q == SMALL else q, float(total), float(chi_q))
        for q, (total, _, chi_q) in zip(found, at(found), strict=True)
    )
    *_, q, total, chi_q = points[0]
    return _Point(total, bias_var, q, chi_1, chi_q)


def _curve(paths: Paths, chi_1: float) -> Callable[[Any], Array]:
    """Rows m S + P, bias_var and chi_q for lengths."""
    means, skip = length_moments(paths.form.phi), paths.skip**2

    def at(q: Any) -> Array:
        lengths = np.atleast_1d(np.asarray(q, dtype=np.float64))
        square, pull, gradient = means(lengths).T
        with np.errstate(all="ignore"):  # a length at which a mean overflows is none of a point
            total = (chi_1 - skip) / gradient
            uniform = paths.of_the_mean(total)
            return np.stack([total, lengths * (1 - skip) - uniform * square, skip + uniform * pull / lengths], axis=1)

    return at


def _note(paths: Paths, point: _Point) -> str:
    spectral, found = paths.form.spectral, []
    if spectral.spectrum is not None:
        found.append("variances of R_k are these times the spectrum of the block")
    if paths.mean < paths.largest:
        skip = paths.skip**2
        slope = skip + (point.chi_1 - skip) * paths.of_the_mean(point.total) / point.total
        found.append(
            f"the mean over the grid has {paths.mean / paths.largest:.6g} of the variance of the strongest mode: where "
            f"that one is critical, the mode 0 of differences and of gradients shrinks by {slope:.6g} per layer"
        )
        if point.q == 0:
            found.append(
                "with a kink at 0, as ReLU has, one variance keeps lengths and another gradients, both depending on "
                "grid and modes (mf.fourier_operator)"
            )
        if spectral.dc == "complex" and spectral.spectrum is None:
            found.append("R_k drawn real at modes k = -k (dc='real') mends it")
    return "; ".join(found)
