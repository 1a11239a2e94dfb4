"""An activation's formula and its slope as compiled array functions.

Heaviside(0) = 1/2 and sign(0) = 0, as in the theory. A piecewise formula is evaluated on all its branches and
then selected, so the unselected exp(x) of ELU may overflow: infinities pass on the way, never in the result.
A jump has no slope (its derivative is a delta), and asking for one is an error.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import sympy as sp
from scipy.special import expit
from sympy import Expr

from symbolic.functions import Whole, X, sigmoid, softplus

Array = npt.NDArray[np.float64]

_step = sp.Function("step")
_WORDS = {
    "sigmoid": expit,
    "softplus": lambda x: np.logaddexp(0.0, x),
    # As a word of its own because lambdify spells it as a selection between three arrays, ten times slower.
    "step": np.heaviside,
}


def evaluate(formula: Expr, x: Array) -> Array:
    """The formula at every entry of x; ValueError where it is not a finite real number."""
    with np.errstate(all="ignore"):
        y = np.asarray(compiled(formula)(x))
    if not np.isfinite(y).all():
        where = x[~np.isfinite(np.broadcast_to(y, x.shape))]
        raise ValueError(f"the activation {formula} is not a finite real number at x = {float(where.flat[0]):.6g}")
    return np.broadcast_to(np.asarray(y, dtype=np.float64), x.shape)


@lru_cache(maxsize=512)
def compiled(formula: Expr) -> Callable[[Array], Array]:
    """The formula as a NumPy function of x; ValueError for a symbol without a value or a word NumPy lacks."""
    missing = sorted(s.name for s in formula.free_symbols - {X})
    if missing:
        raise ValueError(f"{' and '.join(missing)} in the activation {formula} has no value: substitute a number")
    spelled = formula.replace(
        lambda e: isinstance(e, Whole) and not isinstance(e, sigmoid | softplus), lambda e: e.elementary()
    ).replace(sp.Heaviside, lambda x, at_zero=sp.S.Half: _step(x, at_zero))
    function: Callable[[Array], Array] = sp.lambdify([X], spelled, modules=[_WORDS, "scipy", "numpy"], cse=True)
    try:
        with np.errstate(all="ignore"):
            function(np.ones(1))
    except NameError as error:
        raise ValueError(f"the activation {formula} cannot be computed: NumPy has no {error.name}") from error
    return function


@lru_cache(maxsize=512)
def slope(formula: Expr) -> Expr:
    """The derivative; ValueError where the formula jumps or SymPy cannot differentiate it."""
    derivative = formula.diff(X)
    if derivative.has(sp.DiracDelta):
        raise ValueError(
            f"the activation {formula} jumps, so no gradient passes through it: its slope is a delta function"
        )
    if derivative.has(sp.Derivative, sp.Subs):
        raise ValueError(f"the activation {formula} has no derivative that can be computed")
    return derivative
