"""How many tokens a softmax row reads: Y2 = E sum_k A_ik^2 and Y12 = E sum_k A_ik A_jk of scores x_k ~ N(0, s^2).

Scores of different keys are independent, those of two rows have correlation c. With f0(l; s) = E[1 - exp(-e^(l+x))],
Y2 = n int E[e^(2(l+x)) exp(-e^(l+x))] (1 - f0)^(n-1) dl, and Y12 = n iint g (1 - h)^(n-1) dl dm with
g = E[v w e^-(v+w)], h = E[1 - e^-(v+w)], v = e^(l+x), w = e^(m+y): trapezoidal sums of analytic functions, exact to
rounding. Derived by us.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Array: TypeAlias = npt.NDArray[np.float64]

STEP = 0.2  # of log u, fine enough for chances of 1e-8
SHORT = 1.0  # below it a Gaussian is summed in its own units, above in those of the Gumbel law
GUMBEL = np.arange(-84.0, 4.4, STEP)
DENSITY = STEP * np.exp(GUMBEL - np.exp(GUMBEL))
FAR = 13.0  # deviations: a score that takes part in e^(2x) has moved by up to 2 s before its tail is counted
NORMAL = np.arange(-FAR, FAR + 0.1, 0.25)
WEIGHTS = 0.25 * np.exp(-0.5 * NORMAL**2) / np.sqrt(2 * np.pi)
NOTHING = 1e-19


def _moments(at: Array, s: float) -> Array:
    """Rows E[1 - e^-v], E[v e^-v], E[v^2 e^-v], v = e^(at + x), x ~ N(0, s^2)."""
    if s < SHORT:
        t = at[:, None] + s * NORMAL
        with np.errstate(over="ignore", under="ignore"):
            v = np.exp(np.minimum(t, 50.0))
            decay = np.exp(-v)
            return np.stack([-np.expm1(-v) @ WEIGHTS, (v * decay) @ WEIGHTS, (v * v * decay) @ WEIGHTS])
    z = (at[:, None] - GUMBEL) / s
    with np.errstate(under="ignore"):
        bell = np.exp(-0.5 * z * z) / (s * np.sqrt(2 * np.pi))
        # 1 - e^-v is the distribution function of a Gumbel variable.
        return np.stack([ndtr(z) @ DENSITY, bell @ DENSITY, bell @ (DENSITY * np.exp(GUMBEL))])


def _power(chance: Array, n: float) -> Array:
    """(1 - chance)^(n-1)."""
    with np.errstate(divide="ignore", under="ignore"):
        return np.asarray(np.exp((n - 1) * np.log1p(-np.minimum(chance, 1.0))))


def _grid(s: float, n: float, step: float) -> Array:
    """Places of log u; towards 0 the integrand over two rows falls as u, and nothing is below the rounding of 1/n."""
    return np.asarray(np.arange(-42.0 - np.log(n) - 13.0 * s, 5.0 + 13.0 * s, step))


def participation(s: float, n: float) -> float:
    """Y2 of one row of n independent scores N(0, s^2), to about 1e-13."""
    step = STEP * max(1.0, s / 4)
    none, _, second = _moments(_grid(s, n, step), s)
    return float(n * step * np.sum(second * _power(none, n)))


def joint_participation(s: float, c: float, n: float) -> float:
    """Y12 of two rows of n independent pairs of scores of variance s^2 and correlation c, to about 1e-12."""
    shared, own = s * np.sqrt(abs(c)), s * np.sqrt(1 - abs(c))
    if shared < 1e-9:
        return 1 / n
    low, high = _reach(s, n)
    at, first, second, weights = _conditioned(low, high, float(shared), float(own), float(max(1.0, s / 4)))
    back = slice(None, None, 1 if c > 0 else -1)  # rows of negative correlation read the shared score with two signs
    with np.errstate(under="ignore"):
        marginal = first @ weights
        either = marginal[:, None] + marginal - (first * weights) @ first[:, back].T
        both = (second * weights) @ second[:, back].T
        return float(n * (at[1] - at[0]) ** 2 * np.sum(both * _power(either, n)))


def _reach(s: float, n: float) -> tuple[float, float]:
    """Where the integrand over log u is not nothing."""
    at = _grid(s, n, STEP * max(1.0, s / 4))
    none, first, _ = _moments(at, s)
    kept = at[first * _power(none, n) > NOTHING / n**2]
    return float(kept[0]), float(kept[-1])


def _conditioned(
    low: float, high: float, shared: float, own: float, stretch: float
) -> tuple[Array, Array, Array, Array]:
    """Places l, and E[1 - e^-v], E[v e^-v] given the shared score z (places, scores), with the weights of z."""
    if shared < 2 * STEP:
        nodes, mass = np.polynomial.hermite_e.hermegauss(32)
        at = np.asarray(np.arange(low, high + STEP, STEP), dtype=np.float64)
        first, second, _ = _moments((at[:, None] + shared * nodes).ravel(), own)
        mass = np.asarray(mass, dtype=np.float64) / np.sqrt(2 * np.pi)
        return at, first.reshape(len(at), -1), second.reshape(len(at), -1), mass
    # The step of z is one of l too, so that both share one table.
    reach, every = int(np.ceil(FAR * shared / STEP)), int(stretch)
    places = np.arange(0, int((high - low) / STEP) + every + 1, every)
    table = _moments(low + STEP * np.arange(-reach, places[-1] + reach + 1), own)
    z = STEP * np.arange(-reach, reach + 1) / shared
    index = places[:, None] + np.arange(2 * reach + 1)
    weights = STEP / shared * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return np.asarray(low + STEP * places), table[0][index], table[1][index], weights
