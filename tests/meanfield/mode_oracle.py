"""What a Fourier layer does to each mode: measured on white functions, and by hand from the modes that it keeps."""

from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

CHANNELS, DRAWS = 128, 12
MARGIN = 5 * np.sqrt(2 / (CHANNELS * DRAWS))  # the mean of n squared normal numbers deviates by sqrt(2/n)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def response(conv, grid, draw):
    """E|yhat_k|^2/E|xhat_k|^2 of every mode k, measured on white functions: channels and draws are averaged."""
    axes, noise, total = tuple(range(2, 2 + len(grid))), seeded(9), 0
    for _ in range(DRAWS):
        draw(conv)
        x = torch.randn(1, CHANNELS, *grid, generator=noise)
        with torch.no_grad():
            power = [torch.fft.fftn(f, dim=axes).abs().square().mean((0, 1)) for f in (conv(x), x)]
        total = total + power[0] / power[1]
    return (total / DRAWS).numpy()


def expected(others, last, grid, *, naive):
    """s_k by hand, one mode after the other: weights at R_k, of which a real function keeps (R_k + conj R_-k)/2 in the
    plane where the last k is 0 or Nyquist."""
    box = {tuple(np.mod(k, grid)) for k in product(*others, last)}
    shares = np.zeros(grid)
    for k in product(*map(range, grid)):
        minus, plane = tuple(np.mod(np.negative(k), grid)), 2 * k[-1] % grid[-1] == 0
        halves = [other in box for other in (k, minus)]
        shares[k] = sum(halves) / 4 if plane and naive else float(any(halves))
    return shares
