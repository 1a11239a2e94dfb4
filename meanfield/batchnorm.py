"""Batch normalization before an activation: how much squared gradients grow per layer of a deep phi(BN(h)) network.

B normalized values h of a neuron are uniform on the sphere |h|^2 = B, sum h = 0, whatever the weights' variance: Sigma*
has E phi(h_1)^2 on and E phi(h_1) phi(h_2) off the diagonal, D their difference. Towards the input, for B > 3,
growth = [(B-1) E phi'^2 + E phi'_1 phi'_2 - E h^2 phi'^2 + E h_1 phi'_1 h_2 phi'_2]/((B-3) D), -> E phi'^2/Var phi over
N(0, 1) as B -> infinity: linear (B-2)/(B-3), ReLU pi/(pi-1) in the limit. Derived here from first principles, not read;
its limits are those of Yang et al. 2019 (arXiv 1902.08129) as recalled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.dual import mean
from meanfield.finite.formulas import evaluate, slope
from meanfield.finite.networks import whole
from solvers import spheres
from solvers.iterate import NotConverged
from symbolic.activations import activation
from symbolic.landmarks import landmarks
from symbolic.networks import Pointwise

TOLERANCE = 1e-10


@dataclass(frozen=True)
class BatchGrowth:
    """`growth` per layer, the estimate `error` of its error, and the entries of Sigma* for weight_var 1."""

    phi: Pointwise
    batch: int
    growth: float
    error: float
    diagonal: float
    off_diagonal: float

    @property
    def limit(self) -> float:
        """The growth for batches without end: the slope at 1 of LayerNorm behind the activation.

        Raises NotConverged or ValueError where phi or phi' is not square integrable.
        """
        formula = self.phi.formula
        variance = mean(formula**2)(1) - mean(formula)(1) ** 2
        return float(mean(slope(formula) ** 2)(1) / variance)

    def __str__(self) -> str:
        return (
            f"batch normalization of {self.batch} before {self.phi}: squared gradients grow by {self.growth:.12g} per "
            f"layer\n  Sigma*: {self.diagonal:.12g} on, {self.off_diagonal:.12g} off the diagonal"
        )

    __repr__ = __str__


def batchnorm(phi: Any, *, batch: int) -> BatchGrowth:
    """The growth of squared gradients per layer, and the covariance of a batch, in deep batch-normalized networks.

    Raises ValueError for batch < 4, where the growth is infinite, and for an activation that jumps or is constant;
    NotConverged where the sphere averages are not right to 1e-10.

    >>> round(batchnorm("linear", batch=8).growth, 12)
    1.2
    """
    function, size = activation(phi), whole("batch", batch)
    if size < 4:
        raise ValueError(
            f"batch must be at least 4, not {size}: a gradient is divided by the spread of the batch, whose inverse "
            f"square has the mean B/(B-3), infinite for B <= 3"
        )
    bend = slope(function.formula)
    marks = [float(m) for m in landmarks(function.formula)]

    def rows(h: Array) -> Array:
        y, s = evaluate(function.formula, h), evaluate(bend, h)
        return np.stack([y, s, h * s])

    (square, slopes, moment), error_1 = spheres.one(lambda h: rows(h) ** 2, size, marks)
    (across, slopes_2, moment_2), error_2 = spheres.two(rows, size, marks)
    spread = (size - 3) * (square - across)
    if spread <= 1e-12 * (size - 3) * square:
        raise ValueError(f"{function} is constant, so that nothing is left to be normalized: choose another activation")
    growth = ((size - 1) * slopes + slopes_2 - moment + moment_2) / spread
    error = (size * error_1 + 2 * error_2 + growth * (size - 3) * (error_1 + error_2)) / spread
    if not error <= TOLERANCE * max(1.0, growth):
        raise NotConverged(
            f"the sphere averages of {function} at batch {size} were found to {error:.1g} only: it is too sharp"
        )
    return BatchGrowth(function, size, float(growth), float(error), float(square), float(across))
