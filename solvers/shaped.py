"""A stochastic equation dV = b(V) dT + Sigma(V)^(1/2) dB for m x m covariances V, in any number m of tokens.

b^(ab) = (gamma/tau)^2 [V^(ab) sum_de Vc^(de) V^(de)/m^2 + sum_d S^d (V^(aa) V^(db) + V^(bb) V^(da))/(2m)],
Sigma^(ab,cd) = gamma^2 (2 - gamma^2) [V^(ac) V^(bd) + V^(ad) V^(bc)]
                + gamma^4 [V^(ac) Q^(bd) + V^(ad) Q^(bc) + V^(bc) Q^(ad) + V^(bd) Q^(ac)],   Q = V Vc V/(m tau)^2,
Vc = C V C, C = 1 - 1/m, S^d = V^(dd) - 2 mean_e V^(de) + 2 mean V - mean_e V^(ee). With V = L L^T and G, G' matrices of
independent N(0, 1), Sigma is the covariance of N + N^T, N = gamma sqrt(1 - gamma^2/2) L G L^T
+ gamma^2 L G' L^T C V/(m tau), so that paths need no root of Sigma.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from solvers.jit import cached, jit

Array = npt.NDArray[np.float64]
RAN, LEFT, EXPLODED = 0, 1, 2  # how a path ended: at T, outside of the covariances, beyond FAR
FAR = 1e6  # times the largest variance at the start
ROUNDING = 1e-10  # of the largest variance: a smaller pivot counts as zero


def drift(V: Array, gamma: float, tau: float) -> Array:
    """b(V) for V (..., m, m)."""
    m = V.shape[-1]
    mean, own = V.mean(axis=-1), np.diagonal(V, axis1=-2, axis2=-1)
    overall = mean.mean(axis=-1)[..., None]
    spread = own - 2 * mean + 2 * overall - own.mean(axis=-1)[..., None]
    shared = (centred(V) * V).sum(axis=(-2, -1))[..., None, None] / m**2
    pull = np.einsum("...d,...db->...b", spread, V) / (2 * m)
    cross = own[..., :, None] * pull[..., None, :]
    return np.asarray((gamma / tau) ** 2 * (V * shared + cross + np.swapaxes(cross, -2, -1)))


def diffusion(V: Array, gamma: float, tau: float) -> Array:
    """Sigma(V), (..., m, m, m, m), for V (..., m, m)."""
    Q = V @ centred(V) @ V / (V.shape[-1] * tau) ** 2
    mixed = np.einsum("...ac,...bd->...abcd", V, gamma**2 * (1 - gamma**2 / 2) * V + gamma**4 * Q)
    mixed = mixed + np.swapaxes(np.swapaxes(mixed, -4, -3), -2, -1)  # V^(bd) ... ^(ac)
    return np.asarray(mixed + np.swapaxes(mixed, -2, -1))


def centred(V: Array) -> Array:
    """C V C, the Gram of tokens without their mean."""
    rows = V - V.mean(axis=-1, keepdims=True)
    return np.asarray(rows - rows.mean(axis=-2, keepdims=True))


@jit
def _factor(V: Array, L: Array) -> bool:
    """L lower triangular with L L^T = V, also for a singular V; False if V is no covariance."""
    m, largest = V.shape[0], 0.0
    for a in range(m):
        largest = max(largest, V[a, a])
    for b in range(m):
        rest = V[b, b]
        for d in range(b):
            rest -= L[b, d] * L[b, d]
        if not rest > -ROUNDING * largest:
            return False
        root = np.sqrt(rest) if rest > ROUNDING * largest else 0.0
        L[b, b] = root
        for a in range(b + 1, m):
            entry = V[a, b]
            for d in range(b):
                entry -= L[a, d] * L[b, d]
            L[a, b] = entry / root if root > 0.0 else 0.0
            L[b, a] = 0.0
    return True


@jit
def _noise(V: Array, L: Array, gamma: float, tau: float, rng: Any, buffer: Array, N: Array) -> None:
    """N of one step; N + N^T has the covariance Sigma(V). Loops, as products by a library cost more here."""
    m = V.shape[0]
    plain, scores = gamma * np.sqrt(1.0 - gamma**2 / 2.0), gamma**2 / (m * tau)
    rows, inner = buffer[0], buffer[1]
    for b in range(m):
        mean = V[:, b].mean()
        for d in range(m):
            rows[d, b] = inner[d, b] = N[d, b] = 0.0
            for a in range(d, m):
                rows[d, b] += scores * L[a, d] * (V[a, b] - mean)  # gamma^2 L^T C V/(m tau)
    for a in range(m):
        for d in range(m):
            one, two = plain * rng.standard_normal(), rng.standard_normal()
            for b in range(m):
                inner[a, b] += one * (L[b, d] if d <= b else 0.0) + two * rows[d, b]
    for a in range(m):
        for d in range(a + 1):
            for b in range(m):
                N[a, b] += L[a, d] * inner[d, b]


@jit
def _slope(V: Array, gamma: float, tau: float) -> Array:
    """`drift` of one V."""
    m = V.shape[0]
    mean, pull, out = np.zeros(m), np.zeros(m), np.empty((m, m))
    overall, trace, shared = V.mean(), np.trace(V) / m, 0.0
    for d in range(m):
        mean[d] = V[d].mean()
    for d in range(m):
        spread = V[d, d] - 2.0 * mean[d] + 2.0 * overall - trace
        for b in range(m):
            shared += (V[d, b] - mean[d] - mean[b] + overall) * V[d, b] / m**2
            pull[b] += spread * V[d, b] / (2.0 * m)
    for a in range(m):
        for b in range(m):
            out[a, b] = (gamma / tau) ** 2 * (V[a, b] * shared + V[a, a] * pull[b] + V[b, b] * pull[a])
    return out


@cached
def walk(V: Array, ends: npt.NDArray[np.int64], gamma: float, tau: float, step: float, rng: Any) -> None:
    """Euler-Maruyama in place: V (paths, times, m, m) holds the start at time 0 of every path; ends (paths, 2) how each
    ended and after which time. What follows the end of a path is NaN."""
    m = V.shape[2]
    L, N, buffer = np.empty((m, m)), np.empty((m, m)), np.empty((2, m, m))
    for path in range(V.shape[0]):
        far = FAR * np.max(V[path, 0])
        for at in range(V.shape[1]):
            now = V[path, at]
            big, within = np.max(now), _factor(now, L)
            if not (within and big < far):
                ends[path, 0] = EXPLODED if not big < far else LEFT
                ends[path, 1] = at
                V[path, at:] = np.nan
                break
            if at + 1 == V.shape[1]:
                break
            _noise(now, L, gamma, tau, rng, buffer, N)
            V[path, at + 1] = now + step * _slope(now, gamma, tau) + np.sqrt(step) * (N + N.T)
