"""Kernel regression: the mean of a Gaussian process posterior, or of infinitely wide networks trained to the end.

y = K(test, train) (K(train, train) + ridge mean(diag K) I)^-1 y_train: with the NNGP kernel the posterior mean, with
the NTK the limit of gradient flow (Jacot et al. 2018, Lee et al. 2019) from a function that starts at zero.
"""

from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from meanfield.build import Array
from meanfield.kernels import data, kernel
from symbolic.networks import Layer


def predict(net: Layer, x_train: Any, y_train: Any, x_test: Any, *, get: str = "nngp", ridge: float = 1e-6) -> Array:
    """Predictions (test points, outputs) of kernel regression with the NNGP or NTK of a network.

    `ridge` is relative to the mean diagonal of the training kernel. Raises ValueError for shapes that do not fit or a
    kernel that is not positive definite even with the ridge, with its smallest eigenvalue.
    """
    x_train, x_test = data(x_train, "x_train"), data(x_test, "x_test")
    y = data(np.atleast_2d(np.asarray(y_train, dtype=np.float64).T).T, "y_train")
    if len(y) != len(x_train):
        raise ValueError(f"x_train and y_train must have the same number of points, not {len(x_train)} and {len(y)}")
    if not 0 <= ridge < np.inf:
        raise ValueError(f"ridge must be finite and at least 0, not {ridge}")
    if not isinstance(get, str):
        raise ValueError(f"a prediction is made with one kernel, 'nngp' or 'ntk', not with {get!r}")
    gram = kernel(net, x_train, get=get)
    gram[np.diag_indices(len(gram))] += ridge * np.diag(gram).mean()
    try:
        factor = cho_factor(gram, lower=True)
    except LinAlgError:
        least = float(np.linalg.eigvalsh(gram)[0])
        raise ValueError(
            f"the training kernel is not positive definite (smallest eigenvalue {least:.3g}): raise ridge={ridge:g}"
        ) from None
    return np.asarray(kernel(net, x_test, x_train, get=get) @ cho_solve(factor, y))
