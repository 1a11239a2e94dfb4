"""Gaussian means of functions that come as compiled or plain Python functions rather than as text.

They are compiled into the same rules as emitted text, in this process alone: nothing is kept on disk.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.core.errors import NumbaError
from numba.extending import is_jitted

from solvers.jit import OPTIONS
from solvers.panels import Rates
from solvers.quadrature import bounded_pair_mean

Array = npt.NDArray[np.float64]


def compiled(f: Callable[[float], float]) -> Any:
    """f as a compiled function of one float; TypeError if it cannot be one."""
    function = f if is_jitted(f) else njit(**OPTIONS)(f)
    try:
        value = function(0.5)
    except NumbaError as error:
        reason = str(error).splitlines()[0]
        raise TypeError(f"{f!r} cannot be compiled as a function of one float ({reason}): use numba.njit") from None
    if not isinstance(value, float):
        raise TypeError(f"an activation maps a float to a float, but {f!r} gives {type(value).__name__}")
    return function


def pair_rows(f: Any, g: Any, f_marks: Array, g_marks: Array, f_rates: Rates, g_rates: Rates) -> Any:
    """A compiled loop (rows of p, q, k) -> (value, error bound), in place."""
    sides = (*f_rates, *g_rates)

    @njit(**OPTIONS)
    def rows(inputs: Array, out: Array) -> None:
        for i in range(inputs.shape[0]):
            p, q, k = inputs[i, 0], inputs[i, 1], inputs[i, 2]
            out[i, 0], out[i, 1] = bounded_pair_mean(f, f_marks, g, g_marks, p, q, k, sides)

    return rows
