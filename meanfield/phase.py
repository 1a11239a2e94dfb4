"""Where a block takes its signals in the limit of depth: fixed points, slopes, depth scales.

q = V(q) is the length a signal settles at, chi_q = V'(q); C(c) = k'(q, q, c q)/q maps correlations, chi_1 = C'(1) is
also the factor of mean squared gradients, c = C(c) the correlation of any two inputs in the deep limit, chi_c =
C'(c); xi = -1/log chi the depth over which a deviation falls by e. ordered: chi_1 < 1, chaotic: chi_1 > 1, critical:
chi_1 = 1. Poole et al. 2016 (arXiv 1606.05340), Schoenholz et al. 2017 (1611.01232).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from math import inf, isfinite, nan
from typing import Any

from meanfield.build import Array, Block
from meanfield.uniform import uniform_twin
from solvers.iterate import HUGE, Result, Solution, fixed_point, root
from solvers.spectra import depth_scale
from solvers.spectra import phase as phase_of
from symbolic.limits import readable
from symbolic.networks import Layer, Pointwise
from symbolic.signals import kinds_through

SMALL = 1e-30
Answers = Callable[[str, Any], Array]


@dataclass(frozen=True)
class Phase:
    """The deep behaviour of a block, from its length map V and its correlation map C.

    q = V(q) is the length a signal settles at and chi_q = V'(q); chi_1 = C'(1) is the factor per layer of a small
    deviation, chi_gradient that of mean squared gradients; c = C(c) is the correlation of any two inputs in the deep
    limit and chi_c = C'(c). xi_q, xi_c = -1/log chi are the layers over which a deviation falls by e. phase:
    "ordered" (chi_1 < 1), "chaotic" (chi_1 > 1) or "critical".
    q is inf where lengths grow without bound, and slopes are then those at 1e6. Poole et al. 2016 (arXiv 1606.05340),
    Schoenholz et al. 2017 (arXiv 1611.01232).
    """

    q: float
    c: float
    chi_1: float
    chi_q: float
    chi_c: float
    xi_q: float
    xi_c: float
    phase: str
    chi_gradient: float
    block: Layer = field(repr=False)

    def __str__(self) -> str:
        lines = [
            f"{self.block}: {self.phase}",
            f"  q = {self.q:.12g}   chi_q = {self.chi_q:.12g}   xi_q = {self.xi_q:.6g} layers",
        ]
        lines.append(f"  c = {self.c:.12g}   chi_c = {self.chi_c:.12g}   xi_c = {self.xi_c:.6g} layers")
        lines.append(f"  chi_1 = {self.chi_1:.12g}   gradients: {self.chi_gradient:.6g} per layer")
        if self.q == inf:
            lines.append("  lengths grow without bound; slopes are those of a very long signal")
        return "\n".join(lines)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)[:-1]} | {"block": str(self.block)}

    def plot(self, ax: Any = None) -> Any:
        """The correlation map with its fixed point; the axes (needs matplotlib)."""
        from meanfield.plot import c_map

        return c_map(self.block, ax)


def phase(block: Layer, *, q0: float = 1.0) -> Phase:
    """Fixed points, slopes and phase of a block with numbers; q0 is the length from which its fixed point is sought.

    Of a block with mf.Spectral: those of functions that are constant over the grid, which are what the ordered phase
    draws all functions to; chi_1 is the largest factor of a mode. In the chaotic phase functions that vary settle
    elsewhere where modes are dropped (mf.fourier_operator).

    Raises ValueError for a block with a free variance or whose output is not of the kind of its input; NotConverged
    if no fixed point is found.
    """
    built = Block(checked_block(uniform_twin(block)))
    if not (q0 > 0 and q0 < inf):
        raise ValueError(f"q0 is a length to start from, positive and finite, not {q0}")
    return solved(built, block, q0)


def solved(built: Answers, block: Layer, q0: float = 1.0) -> Phase:
    """The phase of a block from whatever answers the questions "length", "slope_at_one", "correlation" and "gradient"
    about it, as a Block does; NotConverged if no fixed point is found."""
    length = fixed_point(lambda x: _two(built("length", [x])), q0)
    if length.result is not Result.DIVERGES:
        length.unwrap()
    at = HUGE if length.value == inf else max(length.value, SMALL)
    chi_1 = float(built("slope_at_one", [at])[0, 0])
    correlation = _correlation(built, at, chi_1)
    c, chi_c = correlation.unwrap(), correlation.slope
    gradient = float(built("gradient", [at])[0, 0])
    return Phase(
        length.value,
        c,
        chi_1,
        length.slope,
        chi_c,
        depth_scale(length.slope),
        depth_scale(chi_c),
        phase_of(chi_1),
        gradient,
        block,
    )


def checked_block(block: Any) -> Layer:
    """A block that can be repeated: a layer whose output is of the kind of its input."""
    if not isinstance(block, Layer):
        raise TypeError(f"a block is a layer such as mf.tanh >> mf.Dense(weight_var=1.5, bias_var=0.05), not {block!r}")
    if isinstance(block, Pointwise):
        raise ValueError(f"'{block}' alone is not a block: join it with a Dense layer, {block} >> Dense(...)")
    kept = [before for before, after in kinds_through(block).items() if before == after]
    if not kept:
        raise ValueError(
            f"'{block}' cannot be repeated: it must give the kind of signal that it takes; end it with a Dense layer"
        )
    return readable(block, kept[0])


def _two(rows: Any) -> tuple[float, float]:
    return float(rows[0, 0]), float(rows[0, 1])


def _correlation(built: Answers, q: float, chi_1: float) -> Solution:
    """The fixed point of C that other correlations are drawn to; C is convex on [0, 1] (Hermite), so it is the
    lowest."""
    scale = float(built("length", [q])[0, 0])

    def c_map(c: float) -> tuple[float, float]:
        value, slope = _two(built("correlation", [q, q, c * q]))
        return value / scale, slope * q / scale

    at_one, at_zero = c_map(1.0)[0], c_map(0.0)
    if not (isfinite(scale) and isfinite(at_zero[0])):
        return Solution(q, nan, nan, 1, Result.UNDEFINED)
    if at_one >= 1 - 1e-12 and chi_1 * q / scale <= 1 + 1e-9:
        return Solution(1.0, chi_1 * q / scale, 0.0, 1, Result.FOUND)
    if abs(at_zero[0]) <= 1e-15:
        return Solution(0.0, at_zero[1], 0.0, 1, Result.FOUND)
    gap = 0.5
    while c_map(1 - gap)[0] >= 1 - gap and gap > 1e-14:
        gap /= 4
    return root(c_map, 0.0, 1 - gap)
