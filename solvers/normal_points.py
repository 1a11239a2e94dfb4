"""Standard normal points that fill space evenly: scrambled Sobol sequences (Owen 1995)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri


def normal_points(size: int, log_points: int, seed: Any) -> npt.NDArray[np.float64]:
    """2^log_points scrambled points (points, size); seed as that of numpy's default_rng."""
    from scipy.stats.qmc import Sobol  # late, for scipy.stats is long to import

    uniform = Sobol(size, scramble=True, seed=np.random.default_rng(seed)).random_base2(log_points)
    return np.ascontiguousarray(ndtri(uniform + 2.0**-31))  # the middle of cells of 2^-30, never 0
