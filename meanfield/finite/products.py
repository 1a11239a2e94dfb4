"""Products x R with a random matrix, and the way back g R^H: by its entries, or by their law alone.

With x = L Q, rows of Q orthonormal, x R = L Z for Z = Q R, which has independent entries as R has. Given Z, R = Q^H Z +
(1 - Q^H Q) R' with R' fresh, so that g R^H = g Z^H Q + L' Z' (1 - Q^H Q), g = L' Q', Z' fresh. For n rows of D entries
that costs n^2 D in the place of n D^2, and has the same joint law. Conditioning on linear observations as in Bolthausen
2014 (arXiv 1201.2891, recalled), derived here.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[Any]  # real or complex, (..., rows, columns)
Entries = Callable[[int, int], Matrix]  # (rows, columns) -> independent entries of variance 1
Product = tuple[Matrix, Callable[[Matrix], Matrix]]
Multiply = Callable[[Matrix, int, Entries], Product]


def by_weights(x: Matrix, width: int, entries: Entries) -> Product:
    """x R, R (columns of x, width), and g -> g R^H."""
    weights = entries(x.shape[-1], width)
    back = weights.conj().swapaxes(-1, -2)
    return x @ weights, lambda g: g @ back


def by_law(x: Matrix, width: int, entries: Entries) -> Product:
    """The same in law without R; gradients go back once, since R' is drawn on the way."""
    left, basis = _rows(x)
    seen = entries(left.shape[-1], width)

    def back(g: Matrix) -> Matrix:
        size = _rows(g)[0]
        fresh = size @ entries(size.shape[-1], x.shape[-1])
        return g @ seen.conj().swapaxes(-1, -2) @ basis + fresh - (fresh @ basis.conj().swapaxes(-1, -2)) @ basis

    return left @ seen, back


def _rows(x: Matrix) -> tuple[Matrix, Matrix]:
    """x = L Q with orthonormal rows of Q, also where x has dependent rows."""
    q, r = np.linalg.qr(x.conj().swapaxes(-1, -2))
    return r.conj().swapaxes(-1, -2), q.conj().swapaxes(-1, -2)
