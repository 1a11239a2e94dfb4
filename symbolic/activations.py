"""Activations, one line each; all else about them is derived from the line.

To add one, add its line: the duals, kernels, phases and samplers need nothing more.
"""

from difflib import get_close_matches
from typing import Any

import sympy as sp

from symbolic.functions import X
from symbolic.functions import sigmoid as _sigmoid
from symbolic.functions import softplus as _softplus
from symbolic.growth import exact, refuse_complex, refuse_divergent
from symbolic.networks import Pointwise
from symbolic.parse import ParseError, parse

_HALF = sp.Rational(1, 2)
_FORMULAS = {
    "relu": sp.Max(X, 0),
    "leaky_relu": sp.Max(X, X / 100),
    "abs": sp.Abs(X),
    "step": sp.Heaviside(X, _HALF),
    "sign": sp.sign(X),
    "erf": sp.erf(X),
    "phi": (1 + sp.erf(X / sp.sqrt(2))) / 2,
    "tanh": sp.tanh(X),
    "sigmoid": _sigmoid(X),
    "softplus": _softplus(X),
    "silu": X * _sigmoid(X),
    "gelu": X * (1 + sp.erf(X / sp.sqrt(2))) / 2,
    "mish": X * sp.tanh(_softplus(X)),
    "elu": sp.Piecewise((X, X > 0), (sp.exp(X) - 1, True)),
    "selu": sp.Rational("1.0507009873554804934193349852946")
    * sp.Piecewise((X, X > 0), (sp.Rational("1.6732632423543772848170429916717") * (sp.exp(X) - 1), True)),
    "hard_tanh": sp.Max(-1, sp.Min(1, X)),
    "arctan": sp.atan(X),
    "sin": sp.sin(X),
    "cos": sp.cos(X),
    "exp": sp.exp(X),
    "gaussian": sp.exp(-(X**2)),
    "snake": X + sp.sin(X) ** 2,
    "linear": X,
}

ACTIVATIONS: dict[str, Pointwise] = {name: Pointwise(name, formula) for name, formula in _FORMULAS.items()}


def __getattr__(name: str) -> Pointwise:
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def activation(given: Any) -> Pointwise:
    """An activation from its name, its formula in x, a SymPy expression in x, or itself.

    Raises ParseError (a ValueError) for text that is neither a name nor a formula, with the nearest names; ValueError
    for an expression whose variable is unclear; Divergent or NotReal (ValueErrors) for one whose square has no mean or
    that is complex somewhere; TypeError for anything else.

    >>> activation("tanh").formula, activation("x*sigmoid(2*x)").formula
    (tanh(x), x*sigmoid(2*x))
    """
    if isinstance(given, Pointwise):
        return given
    if isinstance(given, sp.Expr):
        return _sound(Pointwise(str(given), exact(_in_x(given))))
    if not isinstance(given, str):
        raise TypeError(f"an activation is a name, a formula in x or a SymPy expression, not {given!r}")
    name = given.strip().lower().replace("-", "_")
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    if given.strip().isidentifier() and given.strip() not in {"x", "pi"}:
        near = get_close_matches(name, ACTIVATIONS, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ParseError(
            f"unknown activation {given!r}: {hint}"
            f"Known are {', '.join(ACTIVATIONS)}, or a formula in x such as 'x*tanh(x)'",
            given,
        )
    return _sound(Pointwise(given.strip(), parse(given)))


def _sound(phi: Pointwise) -> Pointwise:
    """The activation, if it is real and square integrable. With free parameters the latter depends on their values."""
    refuse_complex(phi.formula)
    if phi.formula.free_symbols <= {X}:
        refuse_divergent(phi.formula)
    return phi


def _in_x(given: sp.Expr) -> sp.Expr:
    """The expression with its variable, the symbol named x or else its only symbol, as X."""
    free = given.free_symbols
    variables = [s for s in free if s.name == "x"] or list(free)
    if len(variables) > 1:
        names = ", ".join(sorted(str(s) for s in free))
        raise ValueError(f"which of {names} is the variable of {given}? Name it x, once")
    return given.subs(dict.fromkeys(variables, X))
