"""Exponents of power laws from repeated measurements, and what they say about exponents claimed beforehand.

For each repetition s the least-squares slope of log y on log n over the sizes n; slopes of independent repetitions give
mean, standard error and Student's t interval. It agrees if the interval of level 1 - alpha around the mean lies within
+-margin of the claim (all must: no correction, Berger 1982), disagrees if the one of level 1 - alpha/(number of claims)
lies outside (one is enough: Bonferroni), else is inconclusive. A slope over finite sizes is not yet the limit's: the
margin, not the interval, makes room for that.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
LEAST = 2


def slopes(sizes: Any, values: Array) -> Array:
    """Slope of log y on log n for every repetition, (repetitions, ...), of values (repetitions, sizes, ...) above 0."""
    x = np.log(np.asarray(sizes, dtype=np.float64))
    x = x - x.mean()
    return np.asarray(np.einsum("n,rn...->r...", x, np.log(values))) / float(x @ x)


def quantile(repetitions: int, level: float) -> float:
    """Student's t above which a share `level` lies, of the mean of that many repetitions."""
    from scipy.special import stdtrit

    return -float(stdtrit(repetitions - 1, level))


def outcomes(offsets: Array, errors: Array, margins: Array, repetitions: int, alpha: float) -> list[str]:
    """For mean offsets from the claims with their standard errors and margins, (claims) each."""
    near = quantile(repetitions, alpha / 2) * errors
    far = quantile(repetitions, alpha / 2 / len(offsets)) * errors
    agrees, disagrees = np.abs(offsets) + near <= margins, np.abs(offsets) - far > margins
    return ["agrees" if a else "disagrees" if d else "inconclusive" for a, d in zip(agrees, disagrees, strict=True)]
