"""Burgers' equation u_t + u u_x = viscosity u_xx on the periodic [0, 1): the map u(., 0) -> u(., 1) as data.

Modes of u in space; in time Runge-Kutta of order four with the integrating factor exp(-viscosity k^2 t), which solves
the linear part exactly; products keep the modes below 2/3 of Nyquist. u(., 0) is Gaussian with the covariance
sigma^2 (-Laplacian + tau^2)^(-gamma) and mean 0 over space, as for the data of Li et al. 2021 (arXiv:2010.08895; law
and numbers recalled, not re-read).
"""

import numpy as np

VISCOSITY, GRID, STEPS = 0.01, 256, 400


def fields(
    count: int, rng: np.random.Generator, grid: int = GRID, sigma: float = 49, tau: float = 7, gamma: float = 2.5
):
    """Random functions (count, grid) with modes below 2/3 of Nyquist."""
    k = np.arange(1, _kept(grid))
    scales = np.sqrt(2) * sigma * ((2 * np.pi * k) ** 2 + tau**2) ** (-gamma / 2)
    cosines, sines = scales * rng.standard_normal((2, count, len(k)))
    modes = np.zeros((count, grid // 2 + 1), dtype=complex)
    modes[:, k] = grid / 2 * (cosines - 1j * sines)
    return np.fft.irfft(modes, grid)


def solve(
    u: np.ndarray, viscosity: float = VISCOSITY, time: float = 1.0, steps: int = STEPS, dealias: bool = True
) -> np.ndarray:
    """u(., time) on the grid of u(., 0) (samples, grid), in equal steps."""
    grid, step = u.shape[-1], time / steps
    k = 2 * np.pi * np.arange(grid // 2 + 1)
    kept = np.arange(len(k)) < (_kept(grid) if dealias else len(k))
    half = np.exp(-viscosity * k**2 * step / 2)

    def slope(modes: np.ndarray) -> np.ndarray:
        return -0.5j * k * kept * np.fft.rfft(np.fft.irfft(modes, grid) ** 2)

    v = np.fft.rfft(u) * kept
    for _ in range(steps):
        a = slope(v)
        b = slope(half * (v + step / 2 * a))
        c = slope(half * v + step / 2 * b)
        d = slope(half**2 * v + step * half * c)
        v = half**2 * v + step / 6 * (half**2 * a + 2 * half * (b + c) + d)
    return np.fft.irfft(v, grid)


def pairs(count: int, points: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """u(., 0) and u(., 1) of `count` samples, (count, points) each: every GRID/points-th point of the solver's grid."""
    start = fields(count, rng)
    return start[:, :: GRID // points], solve(start)[:, :: GRID // points]


def _kept(grid: int) -> int:
    """The number of modes 0 .. below grid/3: their products alias onto none of them."""
    return (grid + 2) // 3
