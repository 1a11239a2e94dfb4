"""Difference target propagation with linear feedback fitted to the batch.

t_D = f + rate (y - f),   Q_l = argmin |H_{l-1} - Q H_l| of least norm,   t_{l-1} = h_{l-1} + Q_l (t_l - h_l);
the gradient of w_l is that of |t_l - h_l|^2/2, -a_l (t_l - h_l) x_{l-1}^T. Definition fixed here (after the abstract of
Ishikawa et al., arXiv:2411.02001, whose own is not re-read).
"""

import numpy as np

from meanfield.finite.training.gradients import Gradient
from meanfield.finite.training.mlp import Array, Network
from meanfield.finite.training.predictive import Signals


def target_propagation(rate: float = 0.5) -> Signals:
    """Signals of targets that lie `rate` of the way from f to y."""

    def signals(network: Network, x: Array, y: Array) -> list[Gradient]:
        states = network.forward(x)
        apart = [rate * (y - states.h[-1])]
        for before, after in zip(states.h[-2::-1], states.h[:0:-1], strict=True):
            apart.append(before @ (np.linalg.pinv(after) @ apart[-1]))
        found = zip(network.multipliers, reversed(apart), states.x, strict=True)
        return [Gradient(-a * d, v) for a, d, v in found]

    return signals
