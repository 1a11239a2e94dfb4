"""Lengths K_0 .. K_L of many narrow networks phi >> Dense at once, without their weights, from their exact law.

Given K, pre-activations are independent N(0, K), so that K' = (weight_var/n) sum_i phi(sqrt(K) z_i)^2 + bias_var: with
z_i drawn, or, if phi is a_- x and a_+ x on the two sides of 0, K (weight_var/n) (a_+^2 chi^2_m + a_-^2 chi^2_{n-m}),
m ~ Bin(n, 1/2), without.
"""

from collections.abc import Sequence

import numpy as np

from meanfield.finite.formulas import evaluate
from meanfield.finite.networks import Array, number, whole
from symbolic.networks import Dense, Pointwise
from symbolic.rays import Rays, rays

AT_ONCE = 1 << 19


def lengths(
    phi: Pointwise,
    dense: Dense,
    widths: Sequence[int],
    *,
    networks: int,
    rng: np.random.Generator,
    start: float = 1.0,
) -> Array:
    """Lengths (networks, depth + 1) from `start` on; widths[l] is how many neurons K_{l+1} is a mean over."""
    weight_var, bias_var, ends = number(dense, "weight_var"), number(dense, "bias_var"), rays(phi.formula)
    found = np.full((whole("networks", networks), len(widths) + 1), start, dtype=np.float64)
    for layer, n in enumerate(widths):
        if ends is not None and ends.everywhere:
            mean = found[:, layer] * _two_rays(ends, n, networks, rng)
        else:
            mean = _drawn(phi, found[:, layer], n, rng)
        found[:, layer + 1] = weight_var * mean + bias_var
    return found


def _two_rays(ends: Rays, n: int, networks: int, rng: np.random.Generator) -> Array:
    """(1/n) sum_i phi(z_i)^2, half a chi-square of m degrees of freedom being a gamma variable of shape m/2."""
    m = rng.binomial(n, 0.5, networks)
    above, below = rng.standard_gamma(m / 2), rng.standard_gamma((n - m) / 2)
    return 2 / n * (float(ends.plus) ** 2 * above + float(ends.minus) ** 2 * below)


def _drawn(phi: Pointwise, variances: Array, n: int, rng: np.random.Generator) -> Array:
    out = np.empty_like(variances)
    step = max(1, AT_ONCE // n)
    for first in range(0, len(out), step):
        part = slice(first, first + step)
        scale = np.sqrt(variances[part])[:, None]
        y = evaluate(phi.formula, scale * rng.standard_normal((len(scale), n)))
        out[part] = np.einsum("ij,ij->i", y, y) / n
    return out
