"""Regression with infinitely wide networks: Gaussian process posteriors, and ensembles trained by gradient flow.

A network f0 with covariance K (the NNGP) follows d theta/dt = -grad(|f - y|^2 + j |theta - theta_0|^2)/2. While its
tangent kernel T stays fixed (the NTK if all layers are trained, K itself if the last alone is), with G = T + j I
    f_t(x) = f0(x) + T(x, train) A (y - f0(train)),    A = G^-1 (1 - exp(-G t)),
which is Gaussian over f0 (Jacot et al. 2018; Lee et al. 2019, arXiv:1902.06720, with j = 0). With T = K, t = inf and
targets with noise of variance j it is the posterior of a Gaussian process (Matthews et al. 2017).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh, eigvalsh
from scipy.linalg.lapack import dpocon
from scipy.special import exprel

from meanfield import images
from meanfield.build import Array
from meanfield.kernels import KERNELS, data, kernel
from symbolic.networks import Layer
from symbolic.pictures import is_spatial, shape_after

EPS = float(np.finfo(float).eps)
FOREVER = 1e200  # a finite time after which nothing happens; longer ones would overflow
GROWTH = 1e-6  # how far rounding may let an error grow that should decay


@dataclass(frozen=True, eq=False)
class Posterior:
    """The Gaussian law of the outputs at the test points, of a posterior or of an ensemble of trained networks.

    `mean` (test points, outputs); `cov` (test points, test points), the same for every output, outputs independent;
    `jitter` is what was added to the diagonal of the training kernel: `ridge` times its mean.
    """

    mean: Array
    cov: Array
    jitter: float

    @property
    def std(self) -> Array:
        """Standard deviations (test points,); a variance that rounding made negative counts as 0."""
        return np.sqrt(np.maximum(np.diag(self.cov), 0.0))


@overload
def predict(
    net: Layer,
    x_train: Any,
    y_train: Any,
    x_test: Any,
    *,
    get: str = ...,
    t: float = ...,
    ridge: float = ...,
    cov: Literal[False] = ...,
) -> Array: ...
@overload
def predict(
    net: Layer,
    x_train: Any,
    y_train: Any,
    x_test: Any,
    *,
    get: str = ...,
    t: float = ...,
    ridge: float = ...,
    cov: Literal[True],
) -> Posterior: ...
def predict(
    net: Layer,
    x_train: Any,
    y_train: Any,
    x_test: Any,
    *,
    get: str = "nngp",
    t: float = np.inf,
    ridge: float = 1e-6,
    cov: bool = False,
) -> Array | Posterior:
    """Predictions (test points, outputs) of infinitely wide networks; with `cov=True` a `Posterior`, with covariances.

    x_train (points, features), y_train (points,) or (points, outputs), x_test (test points, features), or inputs of
    other shapes as `mf.kernel` takes them.

    get="nngp" is the posterior of the Gaussian process (the last layer alone is trained), get="ntk" the mean of
    networks trained in all layers. `t` is the time of gradient flow on half the sum of squared errors, the learning
    rate times the number of small steps; inf is training to the end. `ridge`, relative to the mean diagonal of the
    training kernel, is j = ridge mean(diag T): decay towards the initial weights and, for "nngp" alone, noise of
    variance j in the targets. Then mean = T* A y and cov = K** + T* A C A T*^T - (T* A K*^T + transpose), C = K + j I
    for "nngp", K for "ntk" (Lee et al. 2019, arXiv:1902.06720, for j = 0; j > 0 derived here).

    Raises ValueError for shapes, t or ridge that do not fit, and for a training kernel that is numerically not
    positive definite where t needs it, with its smallest eigenvalue and a ridge that is enough.
    """
    x_train, y, x_test = _inputs(net, x_train, y_train, x_test, get, t, ridge)
    if cov:
        return _posterior(net, x_train, y, x_test, get, t, ridge)
    trained, _ = _trained(kernel(net, x_train, get=get), t, ridge)
    return np.asarray(kernel(net, x_test, x_train, get=get) @ trained(y))


def _posterior(net: Layer, x_train: Array, y: Array, x_test: Array, get: str, t: float, ridge: float) -> Posterior:
    # One call, so that all parts carry the same rounding and the covariance stays positive.
    n = len(x_train)
    nngp, tangent = kernel(net, np.vstack([x_train, x_test]), get=("nngp", get))
    trained, jitter = _trained(tangent[:n, :n].copy(), t, ridge)
    cross = tangent[n:, :n]
    noise = jitter if get == "nngp" else 0.0
    return Posterior(cross @ trained(y), _covariance(nngp, trained(cross.T), noise), jitter)


def _inputs(
    net: Layer, x_train: Any, y_train: Any, x_test: Any, get: str, t: float, ridge: float
) -> tuple[Array, Array, Array]:
    x_train, x_test = _points(net, x_train, x_test)
    y = data(np.atleast_2d(np.asarray(y_train, dtype=np.float64).T).T, "y_train")
    if len(y) != len(x_train):
        raise ValueError(f"x_train and y_train must have the same number of points, not {len(x_train)} and {len(y)}")
    if not 0 <= ridge < np.inf:
        raise ValueError(f"ridge must be finite and at least 0, not {ridge}")
    if not t >= 0:
        raise ValueError(f"t must be a time of at least 0 (inf: train to the end), not {t}")
    if not isinstance(get, str) or get not in KERNELS:
        raise ValueError(f"a prediction is made with one kernel, 'nngp' or 'ntk', not with {get!r}")
    return x_train, y, x_test


def _points(net: Layer, x_train: Any, x_test: Any) -> tuple[Array, Array]:
    if isinstance(net, Layer) and is_spatial(net):
        x_train, x_test = images.checked(net, x_train, x_test, ("x_train", "x_test"))
        if shape_after(net, x_train.shape[1:-1]):
            raise ValueError(
                f"outputs are no pictures, as those of '{net}' are: end it with Flatten() or GlobalAvgPool()"
            )
        return x_train, x_test
    x_train, x_test = data(x_train, "x_train"), data(x_test, "x_test")
    if x_train.shape[1] != x_test.shape[1]:
        shapes = f"{x_train.shape[1]} and {x_test.shape[1]}"
        raise ValueError(f"x_train and x_test must have the same number of features, not {shapes}")
    return x_train, x_test


def _trained(gram: Array, t: float, ridge: float) -> tuple[Callable[[Array], Array], float]:
    """b -> G^-1 (1 - exp(-G t)) b, by Cholesky at the end of training, by eigenvalues before; and j.

    G is made from the tangent kernel in place.
    """
    jitter = float(ridge * np.diag(gram).mean())
    gram[np.diag_indices(len(gram))] += jitter
    if t == np.inf:
        factor = _cholesky(gram, ridge)
        return lambda b: np.asarray(cho_solve(factor, b)), jitter
    values, vectors = eigh(gram)
    t = min(t, FOREVER)
    if values[0] * t < -GROWTH:
        raise _indefinite(gram, values, ridge)
    weights = t * exprel(-values * t)
    return lambda b: np.asarray(vectors @ (weights[:, None] * (vectors.T @ b))), jitter


def _cholesky(gram: Array, ridge: float) -> tuple[Array, bool]:
    try:
        factor = cho_factor(gram, lower=True)
    except LinAlgError:
        raise _indefinite(gram, eigvalsh(gram), ridge) from None
    # A factor of a matrix that is singular to rounding may exist, but its solutions mean nothing.
    condition, _ = dpocon(factor[0], np.linalg.norm(gram, 1), uplo="L")
    if condition < EPS:
        raise _indefinite(gram, eigvalsh(gram), ridge)
    return factor


def _indefinite(gram: Array, values: Array, ridge: float) -> ValueError:
    mean = np.diag(gram).mean() / (1 + ridge)
    if mean <= 0:
        return ValueError("the training kernel is zero: give inputs that are not zero, or bias_var > 0")
    lacking = 10 * len(gram) * EPS * values[-1] - min(values[0], 0.0)
    enough = 10.0 ** np.ceil(np.log10(ridge + lacking / mean))
    return ValueError(
        f"the training kernel is numerically not positive definite (smallest eigenvalue {values[0]:.3g}, "
        f"largest {values[-1]:.3g}): raise ridge={ridge:g} to {enough:g}"
    )


def _covariance(nngp: Array, weights: Array, noise: float) -> Array:
    """Of f0(x) - W^T (f0(train) + noise), W (training, test)."""
    n = len(weights)
    product = weights.T @ (nngp[:n, :n] @ weights + noise * weights - 2 * nngp[:n, n:])
    return np.asarray(nngp[n:, n:] + 0.5 * (product + product.T))
