"""What one entry of one layer has to pay: the functions without which its means cannot be evaluated, in a bare loop.

NNGP and NTK together: relu needs the angle and its sine, erf and gelu an arcsine and a reciprocal root, sin two
exponentials that are each other's inverse, exp and rbf one. What depends on one point alone is not counted.
"""

import time
from collections.abc import Callable

import numpy as np
from numba import njit

from solvers import vecmath
from solvers.jit import OPTIONS, inlined, wide

SIZE, TIMES, TRIALS = 512, 20000, 5  # a strip that stays in the first cache; some milliseconds


@inlined
def relu(x: float) -> float:
    return vecmath.acos(x) + vecmath.sqrt(1 - x * x)


@inlined
def arc(x: float) -> float:
    return vecmath.asin(x) + 1 / vecmath.sqrt(1 - x * x)


@inlined
def waves(x: float) -> float:
    grown = vecmath.exp(x)
    return grown + 1 / grown


NEEDED: dict[str, tuple[str, Callable[[float], float]]] = {
    "relu": ("acos, root", relu),
    "erf": ("asin, root, division", arc),
    "gelu": ("asin, root, division", arc),
    "sin": ("exp, division", waves),
    "exp": ("exp", vecmath.exp),
    "rbf": ("exp", vecmath.exp),
}


def bare(name: str) -> float:
    """Processor seconds an element, the best of some trials in one thread."""
    function = NEEDED[name][1]

    @njit(**OPTIONS)
    def loop(x: np.ndarray, total: np.ndarray, times: int) -> None:
        wide()
        for _ in range(times):
            for i in range(x.size):
                total[i] += function(x[i])

    x, total = np.linspace(-0.9, 0.9, SIZE), np.zeros(SIZE)
    loop(x, total, 1)
    spent = []
    for _ in range(TRIALS):
        began = time.process_time()
        loop(x, total, TIMES)
        spent.append(time.process_time() - began)
    return min(spent) / (SIZE * TIMES)
