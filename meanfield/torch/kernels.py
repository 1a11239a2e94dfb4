"""The kernel of an infinitely wide network as a kernel of GPyTorch (extra `gpytorch`).

K(x, x') is the NNGP or NTK of Dense(w, b) >> (phi >> Dense(w, b)) ** depth, w = weight_var, b = bias_var, between
inputs whose Gram is x1 x2^T/features, or that of any network with all its numbers. w and b stand behind constraints,
as in GPyTorch's own kernels; dK/dv = (dK/d log v)/v by the differences of slopes.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from meanfield.build import Array
from meanfield.kernels import checked, diagonal, kernel, precision
from meanfield.slopes import one_kernel, slope, uniform, whole
from symbolic.networks import Dense, Layer
from symbolic.pictures import is_spatial

try:
    import torch
    from gpytorch.constraints import Positive
    from gpytorch.kernels import Kernel
    from gpytorch.priors import Prior
except ImportError as error:
    raise ImportError("InfiniteWidthKernel needs GPyTorch: pip install 'meanfield-calculator[gpytorch]'") from error


class InfiniteWidthKernel(Kernel):
    """The NNGP or NTK of Dense(w, b) >> (activation >> Dense(w, b)) ** depth, or of `network`, for GPyTorch's models.

    kernel(x1, x2) between x1 (*batch, n, features) and x2 (*batch, m, features) is (*batch, n, m), kernel(x, diag=True)
    (*batch, n); sets of points that are equal are one set, K(x, x). Entries are computed in float64 on the CPU and
    come in the type of x (float32 or float64) on its device.

    Without `network` the activation (a name, or what mf.activation gives) is "relu", depth 3, weight_var 2.0 and
    bias_var 0.1, unless they are given. The last two, of shape batch_shape, are trained through raw_weight_var and
    raw_bias_var, with Positive() or the given constraints, and priors on their values. A bias_var of 0 stays 0. One
    gradient costs eight kernels: cheap where the dual of the activation is closed (relu, erf, gelu, ...).
    `network` is any network with all its numbers that starts from features, and has nothing to train: put a
    ScaleKernel around it. x has no gradient: one that requires it is refused.

    Raises ValueError or TypeError for numbers that make no network, an unknown `get`, numbers or priors beside
    `network`, layers for pictures, and whatever `mf.kernel` refuses; NotConverged as that does. Sources: Lee et al.
    2018, arXiv:1711.00165; Jacot et al. 2018, arXiv:1806.07572.
    """

    def __init__(
        self,
        activation: Any = None,
        depth: Any = None,
        weight_var: Any = None,
        bias_var: Any = None,
        get: str = "nngp",
        *,
        network: Layer | None = None,
        weight_var_prior: Any = None,
        bias_var_prior: Any = None,
        weight_var_constraint: Any = None,
        bias_var_constraint: Any = None,
        batch_shape: Any = None,
        active_dims: Any = None,
    ) -> None:
        free = {
            "weight_var": (weight_var, weight_var_prior, weight_var_constraint),
            "bias_var": (bias_var, bias_var_prior, bias_var_constraint),
        }
        super().__init__(batch_shape=torch.Size(batch_shape or ()), active_dims=active_dims)
        self.get = one_kernel(get)
        self.fixed = network
        if network is not None:
            others = (activation, depth, batch_shape, *free["weight_var"], *free["bias_var"])
            _check_fixed(network, get, others)
            return
        self.activation = "relu" if activation is None else activation
        self.depth = 3 if depth is None else whole(depth)
        uniform(self.activation, self.depth, 1.0, 0.0)
        for name, start in (("weight_var", 2.0), ("bias_var", 0.1)):
            self._register(name, start, *free[name])

    @property
    def weight_var(self) -> Any:
        """The variances of weights times their fan-in, of shape batch_shape."""
        return self.raw_weight_var_constraint.transform(self.raw_weight_var)

    @weight_var.setter
    def weight_var(self, value: Any) -> None:
        _assign("weight_var", self, value)

    @property
    def bias_var(self) -> Any:
        """The variances of biases, of shape batch_shape."""
        return self.raw_bias_var_constraint.transform(self.raw_bias_var)

    @bias_var.setter
    def bias_var(self, value: Any) -> None:
        _assign("bias_var", self, value)

    @property
    def network(self) -> Layer:
        """The network whose kernel this is; ValueError where batch_shape makes them several."""
        if self.fixed is not None:
            return self.fixed
        if self.batch_shape:
            raise ValueError(
                f"a kernel of batch_shape {tuple(self.batch_shape)} has a network for each; index it first"
            )
        return uniform(self.activation, self.depth, self.weight_var.item(), self.bias_var.item())

    def forward(self, x1: Any, x2: Any, diag: bool = False, last_dim_is_batch: bool = False, **params: Any) -> Any:
        """K of x1 (*batch, n, features) and x2 (*batch, m, features): (*batch, n, m), (*batch, n) with `diag`; with
        last_dim_is_batch each feature alone, (*batch, features, n, m)."""
        if torch.is_grad_enabled() and (x1.requires_grad or x2.requires_grad):
            raise ValueError(
                "InfiniteWidthKernel has no gradient in its inputs, but x requires one: give x.detach(), or call it "
                "under torch.no_grad()"
            )
        variances = [] if self.fixed is not None else [self.weight_var, self.bias_var]
        shape = self.batch_shape
        if last_dim_is_batch:
            x1, x2 = (x.transpose(-1, -2).unsqueeze(-1) for x in (x1, x2))
            variances, shape = [v.unsqueeze(-1) for v in variances], (*shape, 1)
        batch = torch.broadcast_shapes(shape, x1.shape[:-2], x2.shape[:-2])
        a, b = (x.detach().cpu().expand(*batch, *x.shape[-2:]).reshape(-1, *x.shape[-2:]) for x in (x1, x2))
        depth = self.depth if self.fixed is None else 0
        kernels = _Kernels(self._at, a, b, diag, _type(x1, x2), self.get, depth)
        flat = (v.to("cpu", torch.float64).expand(batch).reshape(-1) for v in variances)
        found = _Entries.apply(kernels, *flat)
        return found.reshape(*batch, *found.shape[1:]).to(x1.device)

    def _at(self, *variances: float) -> Layer:
        return uniform(self.activation, self.depth, *variances) if self.fixed is None else self.fixed

    def _register(self, name: str, start: float, value: Any, prior: Any, constraint: Any) -> None:
        raw = f"raw_{name}"
        self.register_parameter(raw, torch.nn.Parameter(torch.zeros(self.batch_shape)))
        self.register_constraint(raw, Positive() if constraint is None else constraint)
        if prior is not None:
            if not isinstance(prior, Prior):
                raise TypeError(f"{name}_prior must be a gpytorch.priors.Prior, not {type(prior).__name__}")
            self.register_prior(f"{name}_prior", prior, partial(_value, name), partial(_assign, name))
        if value is not None or constraint is None or constraint.initial_value is None:
            setattr(self, name, start if value is None else value)


def _value(name: str, module: Any) -> Any:
    return getattr(module, name)


def _assign(name: str, module: Any, value: Any) -> None:
    raw = f"raw_{name}"
    tensor = torch.as_tensor(value).to(getattr(module, raw))
    for number in tensor.reshape(-1).tolist():
        Dense(**{name: number})  # which says what is wrong with it
    module.initialize(**{raw: getattr(module, f"{raw}_constraint").inverse_transform(tensor)})


def _check_fixed(network: Layer, get: str, others: Iterable[Any]) -> None:
    if any(other is not None for other in others):
        raise ValueError("network= has its own layers and numbers: give beside it only get and active_dims")
    if isinstance(network, Layer) and is_spatial(network):
        raise ValueError(f"GPyTorch's inputs are features, but '{network}' has layers for pictures: use mf.predict")
    checked(network, [[1.0]], None, get)


def _type(x1: Any, x2: Any) -> Any:
    return precision(str(torch.promote_types(x1.dtype, x2.dtype)).removeprefix("torch."))


@dataclass(frozen=True)
class _Kernels:
    """The kernels between x1 (batch, n, features) and x2 (batch, m, features) as functions of their variances."""

    network: Callable[..., Layer]
    x1: Any
    x2: Any
    diag: bool
    dtype: Any
    get: str
    depth: int

    def at(self, place: int, variances: Iterable[float], dtype: Any) -> npt.NDArray[Any]:
        """(n, m), or (n,) with `diag`, of one place in the batch."""
        net, a, b = self.network(*variances), self.x1[place].numpy(), self.x2[place].numpy()
        same = np.array_equal(a, b)
        if not self.diag:
            return np.asarray(kernel(net, a, None if same else b, get=self.get, dtype=dtype))
        if same:
            return diagonal(net, a, self.get, dtype=dtype)
        if len(a) != len(b):
            raise ValueError(f"a diagonal needs as many points in x1 as in x2, not {len(a)} and {len(b)}")
        return np.diagonal(kernel(net, a, b, get=self.get, dtype=dtype))

    def slope(self, place: int, variances: list[float], which: int) -> Array:
        """d K/dv of one variance; 0 at 0, where it stays."""
        value = variances[which]

        def scaled(factor: float) -> Array:
            # In float64 whatever the type of x is, since differences cancel.
            return self.at(place, [v * factor if i == which else v for i, v in enumerate(variances)], np.float64)

        return slope(scaled, self.depth) / value if value else np.zeros(())


class _Entries(torch.autograd.Function):
    """Stacked kernels (batch, n, m), or diagonals (batch, n), differentiable in their variances, each (batch,)."""

    @staticmethod
    def forward(ctx: Any, kernels: _Kernels, *variances: Any) -> Any:
        ctx.kernels = kernels
        ctx.save_for_backward(*variances)
        return torch.from_numpy(
            np.stack([kernels.at(i, v, kernels.dtype) for i, v in enumerate(_places(kernels, variances))])
        )

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        outer, variances = gradient.detach().double().numpy(), ctx.saved_tensors
        places = _places(ctx.kernels, variances)

        def along(which: int) -> Any:
            slopes = (ctx.kernels.slope(i, values, which) for i, values in enumerate(places))
            sums = [(g * s).sum() for g, s in zip(outer, slopes, strict=True)]
            return _Last.apply(torch.tensor(sums, dtype=torch.float64), gradient, *variances)

        return None, *(along(which) if wanted else None for which, wanted in enumerate(ctx.needs_input_grad[1:]))


class _Last(torch.autograd.Function):
    """A derivative that cannot be differentiated again, whatever it came from: else autograd would take it for a
    constant."""

    @staticmethod
    def forward(ctx: Any, value: Any, *causes: Any) -> Any:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        raise ValueError(
            "InfiniteWidthKernel has first derivatives only: differentiate once, without create_graph=True"
        )


def _places(kernels: _Kernels, variances: Iterable[Any]) -> list[list[float]]:
    """The variances of each place in the batch."""
    return [[v[i].item() for v in variances] for i in range(len(kernels.x1))]
