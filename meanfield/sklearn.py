"""The kernel of an infinitely wide network as a kernel of scikit-learn (extra `sklearn`).

K(x, x') is the NNGP or NTK of Dense(w, b) >> (phi >> Dense(w, b)) ** depth, w = weight_var, b = bias_var, between
inputs whose Gram is X Y^T/features. Its hyperparameters are log w and log b, as scikit-learn wants them; gradients are
central differences of order four in them.
"""

from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.kernels import diagonal, kernel
from meanfield.slopes import one_kernel, slope, uniform
from symbolic.networks import Layer

try:
    from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
except ImportError as error:
    raise ImportError("InfiniteWidthKernel needs scikit-learn: pip install 'meanfield-calculator[sklearn]'") from error


class InfiniteWidthKernel(Kernel):
    """The NNGP or NTK of Dense(w, b) >> (activation >> Dense(w, b)) ** depth, for scikit-learn's estimators.

    kernel(X) is (points, points), kernel(X, Y) (points of X, points of Y), kernel.diag(X) (points,); with
    eval_gradient=True also the gradient (points, points, free hyperparameters) in log bias_var, log weight_var, in
    this order, by differences of order four.
    Bounds are those of the values, or "fixed"; a bias_var of 0 stays 0, which has no logarithm. `activation` is a name,
    a formula or an mf.activation; tuning is fast where its dual is closed (relu, erf, gelu, ...) and takes seconds per
    step elsewhere (tanh). It works in GaussianProcessRegressor and -Classifier, as SVC(kernel=...), and joins other
    kernels by +, * and **.

    Raises ValueError or TypeError, when called, for an unknown `get`, a depth or variance that is none, a gradient
    between two sets of points and whatever `mf.kernel` refuses. Sources: Lee et al. 2018, arXiv:1711.00165; Jacot et
    al. 2018, arXiv:1806.07572.
    """

    def __init__(
        self,
        activation: Any = "relu",
        depth: int = 3,
        weight_var: float = 2.0,
        bias_var: float = 0.1,
        get: str = "nngp",
        weight_var_bounds: Any = (1e-1, 1e1),
        bias_var_bounds: Any = (1e-5, 1e1),
    ) -> None:
        self.activation = activation
        self.depth = depth
        self.weight_var = weight_var
        self.bias_var = bias_var
        self.get = get
        self.weight_var_bounds = weight_var_bounds
        self.bias_var_bounds = bias_var_bounds

    @property
    def hyperparameter_weight_var(self) -> Any:
        """How scikit-learn tunes weight_var."""
        return Hyperparameter("weight_var", "numeric", self.weight_var_bounds)

    @property
    def hyperparameter_bias_var(self) -> Any:
        """How scikit-learn tunes bias_var: not at all if it is 0."""
        return Hyperparameter("bias_var", "numeric", self.bias_var_bounds, fixed=True if self.bias_var == 0 else None)

    @property
    def network(self) -> Layer:
        """The network whose kernel this is; ValueError for numbers that make none."""
        return self._network(self.weight_var, self.bias_var)

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """K(X, Y), or K(X, X) without Y; with eval_gradient a pair: K(X, X) and its gradient."""
        if not eval_gradient:
            return kernel(self.network, X, Y, get=one_kernel(self.get))
        if Y is not None:
            raise ValueError("a gradient is that of kernel(X): leave Y out, or eval_gradient=False")
        value = kernel(self.network, X, get=one_kernel(self.get))
        slopes = [self._slope(X, h.name) for h in self.hyperparameters if not h.fixed]
        return value, np.stack(slopes, axis=2) if slopes else np.empty((*value.shape, 0))

    def diag(self, X: Any) -> Array:
        """The diagonal (points,) of K(X, X), without the rest."""
        return diagonal(self.network, X, one_kernel(self.get))

    def is_stationary(self) -> bool:
        """False: the kernel depends on the lengths of its inputs."""
        return False

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.activation!r}, depth={self.depth}, weight_var={self.weight_var:.3g}, "
            f"bias_var={self.bias_var:.3g}, get={self.get!r})"
        )

    def _network(self, weight_var: float, bias_var: float) -> Layer:
        return uniform(self.activation, self.depth, weight_var, bias_var)

    def _slope(self, x: Any, name: str) -> Array:
        """d K/d log(name)."""
        values = {"weight_var": self.weight_var, "bias_var": self.bias_var}
        return slope(
            lambda factor: kernel(self._network(**values | {name: values[name] * factor}), x, get=self.get), self.depth
        )
