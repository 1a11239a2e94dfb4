"""Activations: each line says what its name promises, and text and expressions become activations or are refused."""

from typing import Any

import numpy as np
import pytest
from scipy.special import erf, expit
from sympy import Expr, Integer, Max, Rational, Symbol, exp, sin, tanh

from symbolic import activations
from symbolic.activations import ACTIVATIONS, activation
from symbolic.functions import X, sigmoid
from symbolic.networks import Pointwise
from symbolic.parse import ParseError
from tests.symbolic.quadrature_oracle import numpy_function

Z = np.linspace(-6, 6, 241)
SOFTPLUS = np.logaddexp(0, Z)
PLAIN: dict[str, Any] = {
    "relu": np.maximum(Z, 0), "leaky_relu": np.where(Z > 0, Z, 0.01 * Z), "abs": np.abs(Z),
    "step": np.heaviside(Z, 0.5), "sign": np.sign(Z),
    "erf": erf(Z), "phi": (1 + erf(Z / np.sqrt(2))) / 2, "tanh": np.tanh(Z), "sigmoid": expit(Z), "softplus": SOFTPLUS,
    "silu": Z * expit(Z),
    "gelu": Z * (1 + erf(Z / np.sqrt(2))) / 2, "mish": Z * np.tanh(SOFTPLUS), "elu": np.where(Z > 0, Z, np.expm1(Z)),
    "selu": 1.0507009873554805 * np.where(Z > 0, Z, 1.6732632423543772 * np.expm1(Z)), "hard_tanh": np.clip(Z, -1, 1),
    "arctan": np.arctan(Z),
    "sin": np.sin(Z), "cos": np.cos(Z), "exp": np.exp(Z), "gaussian": np.exp(-(Z**2)), "snake": Z + np.sin(Z) ** 2,
    "linear": Z,
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_line_is_the_function_of_its_name(name: str) -> None:
    """Against NumPy, written independently; an activation without a row here fails."""
    assert numpy_function(ACTIVATIONS[name].formula)(Z) == pytest.approx(PLAIN[name], rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_name_resolves(name: str) -> None:
    """As text, as an attribute, in capitals, with a hyphen, and as itself."""
    wanted = ACTIVATIONS[name]
    spellings = (name, name.upper(), f" {name} ", name.replace("_", "-"), wanted)
    assert all(activation(given) is wanted for given in spellings) and getattr(activations, name) is wanted


@pytest.mark.parametrize(("text", "formula"), [
    ("x*sigmoid(1.702*x)", X * sigmoid(Rational("1.702") * X)), ("tanh(x)", tanh(X)), ("x", X),
    ("max(x, 0) + 0.1*x", Max(X, 0) + X / 10),
    ("exp(-x**2/2)", exp(-(X**2) / 2)), (" sin(3*x) ", sin(3 * X)),
])  # fmt: skip
def test_a_formula_is_read(text: str, formula: Expr) -> None:
    """Decimals exactly; the name is what was written."""
    if text.startswith("max"):
        text = text.replace("max", "Max")
    assert activation(text) == Pointwise(text.strip(), formula)


Y, A, PLAIN_X = Symbol("y"), Symbol("a", positive=True), Symbol("x")


@pytest.mark.parametrize(("given", "formula"), [
    (tanh(X), tanh(X)), (tanh(Y), tanh(X)), (tanh(PLAIN_X), tanh(X)), (tanh(A * X), tanh(A * X)),
    (tanh(A * PLAIN_X), tanh(A * X)),
    (X, X), (Integer(1), Integer(1)),
])  # fmt: skip
def test_an_expression_is_read_in_its_own_variable(given: Expr, formula: Expr) -> None:
    """The symbol named x, or else the only one; other symbols are parameters."""
    assert activation(given) == Pointwise(str(given), formula)


def test_an_expression_whose_variable_is_unclear_is_refused() -> None:
    """A constant would be derived silently otherwise."""
    with pytest.raises(ValueError, match=r"which of a, y is the variable of tanh\(a\*y\)\? Name it x"):
        activation(tanh(A * Y))
    with pytest.raises(ValueError, match="which of x, x is the variable"):
        activation(tanh(X) + PLAIN_X)


@pytest.mark.parametrize(
    ("text", "near"),
    [("gelo", "gelu"), ("Relu6", "relu"), ("tahn", "tanh"), ("softmax", "softplus"), ("hardtanh", "hard_tanh")],
)
def test_an_unknown_name_is_refused_with_the_nearest(text: str, near: str) -> None:
    """And with all that are known."""
    with pytest.raises(
        ParseError, match=f"unknown activation '{text}': did you mean .*{near}.*Known are relu, .*or a formula in x"
    ) as caught:
        activation(text)
    assert caught.value.pointer == f"{text}\n^"


def test_a_name_near_nothing_lists_all() -> None:
    """No guess is better than a bad one."""
    with pytest.raises(ValueError, match="unknown activation 'qqqqqq': Known are relu"):
        activation("qqqqqq")


@pytest.mark.parametrize("text", ["", "tanh(x", "y*2", "__import__('os')", "x.real", "lambda: 0"])
def test_text_that_is_no_formula_is_refused(text: str) -> None:
    """By the parser, as a ValueError."""
    with pytest.raises(ParseError):
        activation(text)


@pytest.mark.parametrize("given", [3, 0.5, None, b"tanh", ["tanh"], np.tanh, lambda x: x])
def test_what_is_no_activation_is_refused(given: Any) -> None:
    """Functions of Python too: they have no formula."""
    with pytest.raises(TypeError, match="an activation is a name, a formula in x or a SymPy expression, not"):
        activation(given)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    """So that hasattr and from-imports behave."""
    assert not hasattr(activations, "nothing")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        activations.nothing  # noqa: B018
