"""Gram matrices of tokens, x x^T/features, as users give them."""

from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.finite.convolutions import finite

SYMMETRIC, POSITIVE = 1e-10, 1e-10  # of the largest entry: beyond, it is not rounding


def gram(gamma: Any) -> Array:
    """A checked Gram matrix of tokens."""
    found = finite(gamma, "gamma")
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not found.size:
        raise ValueError(
            f"gamma is a square matrix (tokens, tokens), not of shape {found.shape}: give x @ x.T/features"
        )
    top = np.abs(found).max()
    off = np.abs(found - found.T)
    if off.max() > SYMMETRIC * top:
        i, j = np.unravel_index(int(off.argmax()), off.shape)
        raise ValueError(f"gamma is symmetric, but gamma[{i}, {j}] = {found[i, j]:.6g} and not {found[j, i]:.6g}")
    found = (found + found.T) / 2
    least = float(np.linalg.eigvalsh(found)[0])
    if least < -POSITIVE * top:
        raise ValueError(f"gamma is a Gram matrix, but its smallest eigenvalue is {least:.6g}: give x @ x.T/features")
    return np.ascontiguousarray(found)
