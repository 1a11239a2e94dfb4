"""Where a formula breaks or turns, found in the formula; and the deltas of a Piecewise that jumps."""

import numpy as np
import pytest
from sympy import (
    Abs,
    DiracDelta,
    Expr,
    Heaviside,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    erf,
    exp,
    sign,
    sin,
    sqrt,
    tanh,
)

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.functions import X, sigmoid, softplus
from symbolic.landmarks import kinks, landmarks, slope
from tests.symbolic.quadrature_oracle import numpy_function

r = Rational
CASES: list[tuple[Expr, tuple[Expr, ...], tuple[Expr, ...]]] = [
    (X**3, (), ()), (tanh(X), (), (0,)), (Max(X, 0), (0,), (0,)), (Abs(X - 2), (2,), (2,)),
    (sign(2 * X + 1), (-r(1, 2),), (-r(1, 2),)),
    (Heaviside(X - 3), (3,), (3,)), (Max(X, 0) + tanh(3 * X - 1) + Max(-1, X), (-1, 0), (-1, 0, r(1, 3))),
    (erf(2 * X + 1), (), (-r(1, 2),)),
    (sigmoid(X - 1) * softplus(X + 1), (), (-1, 1)), (Max(X**2 - 2, 0), (-sqrt(2), sqrt(2)), (-sqrt(2), sqrt(2))),
    (Piecewise((X, X > 1), (0, True)), (1,), (1,)), (Piecewise((0, X < 0), (X, X < 1), (1, True)), (0, 1), (0, 1)),
    (Max(-1, Min(1, X)), (-1, 1), (-1, 1)), (Max(Abs(X) - 1, 0), (-1, 0, 1), (-1, 0, 1)),
    (Max(0, Min(2, X) - 1), (1, 2), (1, 2)),
    (Heaviside(1 - X) * Heaviside(Min(1, X) + 1), (-1, 1), (-1, 1)), (DiracDelta(X - 1), (1,), (1,)),
    (exp(-(X**2)), (), (0,)),
    (tanh(Symbol("a") * X), (), (0,)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "breaks", "turns"), CASES, ids=[str(c[0]) for c in CASES])
def test_landmarks_are_found(body: Expr, breaks: tuple[Expr, ...], turns: tuple[Expr, ...]) -> None:
    """Kinks and jumps at roots of arguments, also of nested ones; transitions where arguments vanish; ascending."""
    assert kinks(body) == breaks
    assert landmarks(body) == turns


@pytest.mark.parametrize("name", ACT)
def test_every_break_of_an_activation_is_a_landmark(name: str) -> None:
    """Sampled first and second differences jump at landmarks only."""
    f, h = numpy_function(ACT[name].formula), 1e-3
    x = np.arange(-4, 4, h) + h / 2
    bend = np.abs(np.diff(f(x), 2)) / h
    smooth = np.median(bend[bend > 0]) if (bend > 0).any() else 0
    marks = np.array([float(c) for c in kinks(ACT[name].formula)] or [np.inf])
    for at in x[1:-1][bend > 0.4 + 10 * smooth]:
        assert np.min(np.abs(marks - at)) < 2 * h


@pytest.mark.parametrize("name", ACT)
def test_the_slope_of_a_continuous_activation_is_its_derivative(name: str) -> None:
    """No deltas are invented."""
    f = ACT[name].formula
    assert slope(f) == f.diff(X) and slope(f, X) == X * f.diff(X)


@pytest.mark.parametrize(("body", "deltas"), [
    (Piecewise((1, X > 0), (0, True)), DiracDelta(X)),
    (Piecewise((0, X < 0), (X, X < 1), (5, True)), 4 * DiracDelta(X - 1)),
    (Piecewise((X, X > 0), (exp(X) - 1, True)), 0),
    (2 * Piecewise((X + 1, X >= 2), (sin(0), True)), 6 * DiracDelta(X - 2)),
    (Piecewise((1, X > 0), (0, True)) ** 2 + X, DiracDelta(X)),
    (Piecewise((0, X < -1), (Piecewise((X, X > 0), (2, True)), True)), 2 * DiracDelta(X + 1) - 2 * DiracDelta(X)),
])  # fmt: skip
def test_a_piecewise_that_jumps_has_deltas(body: Expr, deltas: Expr) -> None:
    """The jump of the whole formula at each boundary, which SymPy's derivative forgets."""
    assert slope(body) - body.diff(X) == deltas


def test_a_weight_that_vanishes_at_the_jump_removes_its_delta() -> None:
    """x delta(x) = 0, x delta(x - 2) = 2 delta(x - 2)."""
    step = Piecewise((1, X > 0), (0, True))
    assert slope(step, X) == 0
    assert slope(step.subs(X, X - 2), X) == 2 * DiracDelta(X - 2)
