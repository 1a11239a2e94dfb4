"""Exponents of power laws from repeated measurements, and what they say about exponents claimed beforehand.

For each repetition s the least-squares slope of log y on log n over the sizes n; slopes of independent repetitions give
mean, standard error and Student's t interval. A claim, an exponent or a range of them, widened by a margin, agrees if
the interval of level 1 - alpha lies inside (all claims must: no correction, Berger 1982), disagrees if the one of level
1 - alpha/(number of claims) lies outside (one is enough: Bonferroni), else is inconclusive. A slope over finite sizes
is not yet the limit's: the margin, not the interval, makes room for that.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def slopes(sizes: Any, values: Array) -> Array:
    """Slope of log y on log n for every repetition, (repetitions, ...), of values (repetitions, sizes, ...) above 0."""
    x = np.log(np.asarray(sizes, dtype=np.float64))
    x = x - x.mean()
    return np.asarray(np.einsum("n,rn...->r...", x, np.log(values))) / float(x @ x)


def quantile(repetitions: int, level: float) -> float:
    """Student's t above which a share `level` lies, of the mean of that many repetitions."""
    from scipy.special import stdtrit

    return -float(stdtrit(repetitions - 1, level))


def outcomes(means: Array, errors: Array, claims: Array, margins: Array, repetitions: int, alpha: float) -> list[str]:
    """For mean slopes with their standard errors, claims (n, 2) of least and greatest exponent, and margins."""
    least, greatest = claims[:, 0] - margins, claims[:, 1] + margins
    near = quantile(repetitions, alpha / 2) * errors
    far = quantile(repetitions, alpha / 2 / len(means)) * errors
    agrees = (means - near >= least) & (means + near <= greatest)
    disagrees = (means - far > greatest) | (means + far < least)
    return ["agrees" if a else "disagrees" if d else "inconclusive" for a, d in zip(agrees, disagrees, strict=True)]
