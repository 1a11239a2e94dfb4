"""Kernels as functions of two variances, for the optimizers of other packages.

The network is Dense(w, b) >> (phi >> Dense(w, b)) ** depth. Optimizers move log v of a variance v, where with
K(s) = K(v exp(s)) and h = 0.005/(depth + 1)
    d K/d log v = (8 (K(h) - K(-h)) - (K(2h) - K(-2h)))/(12 h) + O(h^4),
about 1e-10 of the slope; the other variance is held to the last bit.
"""

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.kernels import KERNELS
from symbolic.activations import activation as named
from symbolic.networks import Dense, Layer

STEP = 5e-3  # of the logarithms, times depth + 1: a kernel is a product of that many factors


def one_kernel(get: Any) -> str:
    """`get` if it names one kernel; ValueError else."""
    if get not in KERNELS:
        raise ValueError(f"get must be {' or '.join(map(repr, KERNELS))}, not {get!r}")
    return str(get)


def whole(depth: Any) -> int:
    """`depth` as a number of blocks; TypeError or ValueError if it is none."""
    try:
        found = index(depth)
    except TypeError:
        raise TypeError(f"depth must be a whole number, not {depth!r}") from None
    if found < 0:
        raise ValueError(f"depth must be at least 0, not {found}")
    return found


def uniform(activation: Any, depth: Any, weight_var: float, bias_var: float) -> Layer:
    """Dense(w, b) >> (activation >> Dense(w, b)) ** depth; ValueError or TypeError for what makes no network."""
    times = whole(depth)
    first = Dense(float(weight_var), float(bias_var))
    return first >> (named(activation) >> first) ** times if times else first


def slope(at: Callable[[float], Any], depth: Any) -> Array:
    """d K/d log v, of the shape of K, of the kernel at(factor) of the network with `factor` v in place of v."""
    step = STEP / (whole(depth) + 1)
    near, far = (at(float(np.exp(s * step))) - at(float(np.exp(-s * step))) for s in (1, 2))
    return np.asarray((8 * near - far) / (12 * step))
