"""Phase diagrams: fixed points, slopes and depth scales of a block on a grid of weight_var and bias_var.

For phi >> Dense everything follows from four functions of the length alone, E phi^2, E u phi phi', E phi'^2 and
E phi'(u) phi'(v) over the angle, tabulated once (solvers/tables.py) and solved in compiled threads; the edge of chaos
is the curve weight_var = 1/E phi'^2, bias_var = q - weight_var E phi^2, parametrised by q, not searched on the grid.
Other blocks are solved point by point. Poole et al. 2016 (arXiv 1606.05340), Schoenholz et al. 2017 (1611.01232).
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield.build import Array, tabulated
from meanfield.edge import subject
from meanfield.expectation import Expectation
from meanfield.phase import phase
from solvers import chebyshev, diagram, tables
from solvers.iterate import NotConverged
from solvers.spectra import CRITICAL, depth_scale
from symbolic.fourier_block import has_spectral
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.landmarks import slope
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Chain, Dense, Layer, Pointwise
from symbolic.structure import substituted
from symbolic.transformers import TransformerBlock

LOWEST, SHORT, LONGEST = 1e-14, 1e-30, 1e6  # lengths: of a table, of none, and where growth counts as endless
RESOLVED, MOST_ANGLES = 2e-14, 256


@dataclass(frozen=True)
class PhaseDiagram:
    """Arrays of shape (len(weight_var), len(bias_var)); see mf.phase for what they mean.

    `one_minus_c` keeps the digits that c loses close to 1; `fixed_points` counts lengths with V(q) = q, and `stable`
    says whether lengths are drawn to q (chi_q < 1). q is inf where lengths grow without bound, and slopes are then
    those at 1e6.
    """

    weight_var: Array
    bias_var: Array
    q: Array
    chi_1: Array
    chi_q: Array
    c: Array
    one_minus_c: Array
    chi_c: Array
    fixed_points: Array
    block: str = field(repr=False)
    edge: tuple[Array, Array] = field(repr=False)  # weight_var and bias_var along the edge of chaos

    @property
    def stable(self) -> npt.NDArray[np.bool_]:
        return self.chi_q < 1 - 1e-12

    @cached_property
    def xi_q(self) -> Array:
        return np.vectorize(depth_scale, otypes=[float])(self.chi_q)

    @cached_property
    def xi_c(self) -> Array:
        return np.vectorize(depth_scale, otypes=[float])(self.chi_c)

    @cached_property
    def phase(self) -> npt.NDArray[np.str_]:
        """ordered, critical (within 1e-9) or chaotic."""
        gap = self.chi_1 - 1
        return np.where(np.abs(gap) <= CRITICAL, "critical", np.where(gap < 0, "ordered", "chaotic"))

    def columns(self) -> dict[str, Any]:
        """One row for each grid point."""
        weight_var, bias_var = np.meshgrid(self.weight_var, self.bias_var, indexing="ij")
        names = ("q", "chi_1", "chi_q", "c", "one_minus_c", "chi_c", "xi_q", "xi_c", "phase", "stable", "fixed_points")
        found = {"weight_var": weight_var, "bias_var": bias_var} | {name: getattr(self, name) for name in names}
        return {name: values.ravel() for name, values in found.items()}

    def to_dict(self) -> dict[str, Any]:
        return {"block": self.block} | {name: values.tolist() for name, values in self.columns().items()}

    def to_xarray(self) -> Any:
        """The same as an xarray.Dataset with coordinates weight_var and bias_var; ImportError without xarray."""
        try:
            from xarray import Dataset
        except ImportError:
            raise ImportError("to_xarray needs the package xarray: pip install xarray, or use columns()") from None
        grid, shape = ("weight_var", "bias_var"), self.q.shape
        fields = {name: (grid, v.reshape(shape)) for name, v in self.columns().items() if name not in grid}
        coordinates = {"weight_var": self.weight_var, "bias_var": self.bias_var}
        return Dataset(fields, coords=coordinates, attrs={"block": self.block})

    def __str__(self) -> str:
        counts = {name: int((self.phase == name).sum()) for name in ("ordered", "critical", "chaotic")}
        lines = [f"{self.block}: {self.q.shape[0]} x {self.q.shape[1]} points"]
        lines += ["  " + ", ".join(f"{count} {name}" for name, count in counts.items())]
        unstable = int((~self.stable & np.isfinite(self.q) & (self.q > 0)).sum())
        if unstable:
            lines += [f"  at {unstable} the length fixed point is not stable (chi_q >= 1)"]
        if (self.fixed_points > 1).any():
            lines += [f"  at {int((self.fixed_points > 1).sum())} there are several length fixed points"]
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """Depth scales as a heat map, with the edge of chaos; the axes (needs matplotlib)."""
        from meanfield.plot import diagram_map

        return diagram_map(self, ax)


def phase_diagram(block: Any, *, weight_var: Any, bias_var: Any, q0: float = 1.0) -> PhaseDiagram:
    """The phase diagram of an activation (name, formula, layer) or of a block with free variances, on ascending grids.

    weight_var and bias_var are the grids; q0 is the length from which fixed points are sought, as in mf.phase; of a
    block with mf.Spectral the diagram is that of functions constant over the grid. Raises ValueError for grids that are
    empty, not finite, not ascending or out of range, and for a block without free variances; NotConverged where a mean
    does not exist at q0.
    """
    if isinstance(block, TransformerBlock):
        raise TypeError("tokens of a Transformer have a diagram of their own: mf.transformer_diagram(block, ...)")
    weights, biases = grid("weight_var", weight_var, open_low=True), grid("bias_var", bias_var, open_low=False)
    if not 0 < q0 < LONGEST:
        raise ValueError(f"q0 is a length to start from, between 0 and {LONGEST:g}, not {q0}")
    layer, given = subject(block)
    name = given if isinstance(block, Layer) and has_spectral(block) else str(layer)
    phi = _only_activation(layer)
    return _pointwise(layer, name, weights, biases, q0) if phi is None else _tabulated(phi, name, weights, biases, q0)


def grid(name: str, given: Any, *, open_low: bool) -> Array:
    """An ascending one-dimensional grid of finite numbers; ValueError else."""
    values = np.asarray(given, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} must be a non-empty one-dimensional grid, not of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, but {name}[{int((~np.isfinite(values)).argmax())}] is not")
    if (np.diff(values) <= 0).any():
        raise ValueError(f"{name} must be ascending: sort it first, np.sort({name}), without repeats")
    if values[0] < 0 or (open_low and values[0] == 0):
        raise ValueError(f"{name} must be {'greater than' if open_low else 'at least'} 0, not {values[0]:g}")
    return values


def _only_activation(layer: Layer) -> Pointwise | None:
    """phi of phi >> Dense() with free variances, None for another block."""
    if isinstance(layer, Chain) and len(layer.layers) == 2:
        phi, dense = layer.layers
        if isinstance(phi, Pointwise) and dense == Dense(WEIGHT_VAR, BIAS_VAR):
            return phi
    return None


def _tabulated(phi: Pointwise, name: str, weights: Array, biases: Array, q0: float) -> PhaseDiagram:
    moments, table = length_moments(phi), length_table(phi, q0)
    q, chi_1, chi_q, count = diagram.lengths(weights, biases, table, q0)
    gone = q == 0
    if gone.any():
        _, shrink, gradient = moments(np.array([SHORT]))[0]
        by_weight = np.broadcast_to(weights[:, None], q.shape)
        chi_1[gone], chi_q[gone] = by_weight[gone] * gradient, by_weight[gone] * shrink / SHORT
        # Below the table the map is linear.
        q[gone] = (np.broadcast_to(biases, q.shape) / np.where(chi_q < 1, 1 - chi_q, np.inf))[gone]
    inside = np.isfinite(q) & (q > np.exp(table.low)) & (chi_1 > 1)
    found = np.stack([np.where(inside, q, np.nan), chi_1])
    c, one_minus_c, chi_c = diagram.correlations(weights, found, _angles(phi, q[inside]))
    # Where lengths vanish or grow for ever, C(c) is normalised by V(q), not by q.
    chi_c[gone] = (chi_1 / chi_q)[gone]
    endless = np.isinf(q)
    ratio = weights[:, None] * moments(np.array([LONGEST]))[0, 0] / LONGEST + biases / LONGEST
    chi_c[endless] = (chi_1 / ratio)[endless]
    edge = critical_curve(table)
    return PhaseDiagram(weights, biases, q, chi_1, chi_q, c, one_minus_c, chi_c, count.astype(int), name, edge)


@lru_cache(maxsize=64)
def length_moments(phi: Pointwise) -> Any:
    """E phi^2, E u phi phi', E phi'^2 for an array of variances."""
    f, g = phi.formula, slope(phi.formula)
    table = tabulated([q], [Mean(f**2, q), Mean(X * f * g, q), Mean(g**2, q)], f"moments of {phi}")
    return lambda variances: np.ascontiguousarray(table(variances).T)


@lru_cache(maxsize=64)
def length_table(phi: Pointwise, q0: float = 1.0) -> tables.Table:
    """The moments over all lengths at which they exist."""
    moments = length_moments(phi)
    coarse = np.unique(np.append(np.geomspace(LOWEST, LONGEST, 81), q0))
    known = np.isfinite(moments(coarse)).all(axis=1)
    at = int(np.searchsorted(coarse, q0))
    if not known[at]:
        raise NotConverged(f"the second moments of {phi} at length {q0:g} do not exist: choose a smaller q0")
    high = coarse[at:][: int(np.argmin(np.append(known[at:], False)))][-1]
    low = coarse[: at + 1][::-1][: int(np.argmin(np.append(known[: at + 1][::-1], False)))][-1]
    return tables.tabulate(moments, low, high)


def _angles(phi: Pointwise, lengths: Array) -> diagram.Angles:
    """E phi'(u) phi'(v) over the lengths that occur and all angles, as many as resolve it at the longest."""
    g = slope(phi.formula)
    expectation = Expectation(PairMean(g, g, p, q, k), (p, q, k))
    low, high = (lengths.min() * (1 - 1e-9), lengths.max() * (1 + 1e-9)) if lengths.size else (1.0, 1.0001)
    start, variances = tables.variances(low, high)

    def values(q: Array, n: int) -> Array:
        cosine = np.cos(chebyshev.nodes(n, 0.0, np.pi))
        k = np.where(cosine < 1, q[:, None] * cosine, q[:, None])
        columns = [np.repeat(q, n), np.repeat(q, n), k.ravel()]
        return expectation.values(columns, error=False)[0].reshape(len(q), n)

    n = 16
    while n < MOST_ANGLES:
        c = chebyshev.coefficients(values(variances.ravel()[-1:], n), 1)[0]
        if np.abs(c[-max(2, n // 8) :]).sum() <= RESOLVED * np.abs(c).max():
            break
        n *= 2
    return diagram.angles(values(variances.ravel(), n).reshape(*variances.shape, n), start)


def critical_curve(table: tables.Table) -> tuple[Array, Array]:
    """weight_var and bias_var along the critical curve, at the lengths of the table where bias_var is not negative."""
    log_q = np.linspace(table.low, table.high, 20 * len(table.coefficients))
    cell = np.minimum(((log_q - table.low) / tables.WIDTH).astype(int), len(table.coefficients) - 1)
    x = 2 * ((log_q - table.low) / tables.WIDTH - cell) - 1
    basis = np.polynomial.chebyshev.chebvander(x, table.coefficients.shape[1] - 1)
    square, _, gradient = np.einsum("im,imr->ri", basis, table.coefficients[cell])
    weight_var = 1 / gradient
    bias_var = np.exp(log_q) - weight_var * square
    return weight_var[bias_var >= 0], bias_var[bias_var >= 0]


def _pointwise(layer: Layer, name: str, weights: Array, biases: Array, q0: float) -> PhaseDiagram:
    """Any block, one point after another."""
    free = {WEIGHT_VAR, BIAS_VAR}
    out = np.empty((6, weights.size, biases.size))
    for i, w in enumerate(weights):
        for j, b in enumerate(biases):
            given = substituted(layer, dict(zip((WEIGHT_VAR, BIAS_VAR), (float(w), float(b)), strict=True)))
            if given == layer:
                names = " and ".join(sorted(s.name for s in free))
                raise ValueError(f"'{layer}' leaves neither {names} free: write Dense()")
            at = phase(given, q0=q0)
            out[:, i, j] = at.q, at.chi_1, at.chi_q, at.c, 1 - at.c, at.chi_c
    none = np.empty(0)
    q, chi_1, chi_q, c, one_minus_c, chi_c = out
    count = np.ones(q.shape, dtype=int)
    return PhaseDiagram(weights, biases, q, chi_1, chi_q, c, one_minus_c, chi_c, count, name, (none, none))
