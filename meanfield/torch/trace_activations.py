"""Activations of PyTorch as formulas, read in the documentation of PyTorch 2.13 and tested against its functions.

H is the step function. Piecewise ones are written by Max, Min and H: ELU is max(x, 0) + alpha (exp(min(x, 0)) - 1).
"""

from collections.abc import Callable
from functools import lru_cache, singledispatch
from typing import Any

from torch import nn

from symbolic.activations import ACTIVATIONS
from symbolic.networks import Pointwise
from symbolic.parse import parse

CLIPPED_LINE = "Max(0, Min(1, x/6 + 1/2))"
GELU_TANH = "x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2"
NAMED: dict[type, str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.SELU: "selu",
    nn.ReLU6: "Max(0, Min(6, x))",
    nn.Hardsigmoid: CLIPPED_LINE,
    nn.Hardswish: f"x*{CLIPPED_LINE}",
    nn.Softsign: "x/(1 + Abs(x))",
    nn.LogSigmoid: "-softplus(-x)",
    nn.Tanhshrink: "x - tanh(x)",
}
"""Modules without numbers of their own."""

ENTRYWISE = {
    **{name: name for name in ("sin", "cos", "exp", "erf", "abs", "arctan", "sign")},
    **{"atan": "arctan", "square": "x**2", "sinh": "sinh(x)"},
}
"""Formulas of functions of one tensor, by their names."""


@singledispatch
def formula_of(module: Any) -> str | None:
    """The formula of an activation module in x; None for a module that has none."""
    return NAMED.get(type(module))


@formula_of.register
def _gelu(module: nn.GELU) -> str:
    return "gelu" if module.approximate == "none" else GELU_TANH


@formula_of.register
def _leaky(module: nn.LeakyReLU) -> str:
    return "leaky_relu" if module.negative_slope == 0.01 else _sloped(module.negative_slope)


@formula_of.register
def _prelu(module: nn.PReLU) -> str | None:
    """With one slope, at its present value."""
    return _sloped(module.weight.item()) if module.weight.numel() == 1 else None


@formula_of.register
def _elu(module: nn.ELU) -> str:
    return "elu" if module.alpha == 1 else f"Max(x, 0) + {text(module.alpha)}*(exp(Min(x, 0)) - 1)"


@formula_of.register
def _celu(module: nn.CELU) -> str:
    alpha = text(module.alpha)
    return "elu" if module.alpha == 1 else f"Max(x, 0) + {alpha}*(exp(Min(x, 0)/{alpha}) - 1)"


@formula_of.register
def _softplus(module: nn.Softplus) -> str:
    """PyTorch's threshold, above which it returns x, changes it by less than e^-20/beta."""
    beta = text(module.beta)
    return "softplus" if module.beta == 1 else f"softplus({beta}*x)/{beta}"


@formula_of.register
def _hardtanh(module: nn.Hardtanh) -> str:
    if (module.min_val, module.max_val) == (-1, 1):
        return "hard_tanh"
    return f"Max({text(module.min_val)}, Min({text(module.max_val)}, x))"


formula_of.register(nn.ReLU6, lambda module: NAMED[nn.ReLU6])


@formula_of.register
def _softshrink(module: nn.Softshrink) -> str:
    return f"Max(x - {text(module.lambd)}, 0) + Min(x + {text(module.lambd)}, 0)"


@formula_of.register
def _hardshrink(module: nn.Hardshrink) -> str:
    return f"x*Heaviside(Abs(x) - {text(module.lambd)})"


@formula_of.register
def _threshold(module: nn.Threshold) -> str:
    at = text(module.threshold)
    return f"x*Heaviside(x - {at}) + {text(module.value)}*Heaviside({at} - x)"


def _sloped(slope: float) -> str:
    return f"Max(x, 0) + {text(slope)}*Min(x, 0)"


def text(number: float) -> str:
    """A number as formulas write it, in brackets if it is below 0."""
    return f"({number!r})" if number < 0 else repr(number)


@lru_cache(maxsize=256)
def pointwise(formula: str) -> Pointwise:
    """mf.activation(formula) without its proof, in seconds, that the square has a mean: all formulas here have one."""
    return ACTIVATIONS[formula] if formula in ACTIVATIONS else Pointwise(formula, parse(formula))


MODULES: dict[str, Callable[..., Any]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "silu": nn.SiLU, "mish": nn.Mish, "selu": nn.SELU,
    "relu6": nn.ReLU6, "hardsigmoid": nn.Hardsigmoid, "hardswish": nn.Hardswish, "softsign": nn.Softsign,
    "logsigmoid": nn.LogSigmoid, "log_sigmoid": nn.LogSigmoid, "tanhshrink": nn.Tanhshrink, "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "celu": nn.CELU, "softplus": nn.Softplus, "hardtanh": nn.Hardtanh,
    "softshrink": nn.Softshrink, "hardshrink": nn.Hardshrink, "threshold": nn.Threshold,
}  # fmt: skip
"""The module of each function of torch and torch.nn.functional, which takes the same numbers in the same order."""


def of_function(name: str, *numbers: Any, **named: Any) -> str | None:
    """The formula of a function of tensors called with these numbers beside its tensor; None if it is no activation."""
    if name not in MODULES:
        return ENTRYWISE.get(name)
    named.pop("inplace", None)
    return formula_of(MODULES[name](*numbers, **named))
