"""Standalone sources: they run with NumPy and SciPy alone and give the numbers of the formula."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sympy import Expr, Max, Rational, Symbol, erf, sin

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.standalone import source
from tests.symbolic.quadrature_oracle import mean, pair_mean

LAWS = np.array([[1.3, 0.7, 0.4], [2.0, 0.3, -0.6], [0.02, 9.0, 0.1], [1.0, 1.0, 0.0]])
NAMES = ["relu", "abs", "erf", "gelu", "sin", "gaussian", "snake", "tanh", "silu", "elu", "hard_tanh", "softplus"]


def run(text: str, name: str, *arguments: object) -> np.ndarray:
    """The function in a world of its own."""
    world: dict[str, object] = {"__name__": "standalone"}
    exec(compile(text, "standalone", "exec"), world)
    return np.asarray(world[name](*arguments))  # type: ignore[operator]


@pytest.mark.parametrize("name", NAMES)
def test_a_dual_agrees_with_quadrature(name: str) -> None:
    """On arrays, closed or not."""
    f = ACT[name].formula
    found = run(source(PairMean(f, f, p, q, k)), "dual", *LAWS.T)
    assert found == pytest.approx([pair_mean(f, f, *law) for law in LAWS], rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("name", ["relu", "elu", "tanh"])
def test_at_correlation_one_and_variance_zero(name: str) -> None:
    """k = +-p, next to it, and a constant: the square, and f(0) times the mean."""
    f = ACT[name].formula
    text = source(PairMean(f, f, p, q, k))
    wanted = [mean(f**2, 2.0), mean(f * f.subs(X, -X), 2.0)]
    assert run(text, "dual", 2.0, 2.0, [2.0, -2.0]) == pytest.approx(wanted, rel=1e-11, abs=1e-13)
    assert run(text, "dual", 2.0, 2.0, 2.0 - 1e-13) == pytest.approx(wanted[0], rel=1e-11)
    assert run(text, "dual", 0.0, 2.0, 0.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("body", [ACT["elu"].formula ** 2, ACT["tanh"].formula ** 2, Max(X - 1, 0), erf(X) ** 2])
def test_a_mean_agrees_with_quadrature(body: Expr) -> None:
    """One variable, closed or not."""
    found = run(source(Mean(body, q)), "mean", [0.3, 2.0])
    assert found == pytest.approx([mean(body, 0.3), mean(body, 2.0)], rel=1e-11)


def test_a_parameter_becomes_an_argument() -> None:
    """Of a formula; without a formula it must have a value."""
    a = Symbol("a", positive=True)
    text = source(PairMean(sin(a * X), sin(a * X), p, q, k))
    assert run(text, "dual", 1.0, 2.0, 0.5, 1.5) == pytest.approx(
        pair_mean(sin(Rational(3, 2) * X), sin(Rational(3, 2) * X), 1.0, 2.0, 0.5), rel=1e-12
    )
    with pytest.raises(ValueError, match="no numbers before its parameters have values"):
        source(PairMean(ACT["tanh"].formula.subs(X, a * X), X**2 * a, p, q, k).subs(a, a))


def test_the_text_needs_nothing_of_ours(tmp_path: Path) -> None:
    """A fresh interpreter without the package on its path."""
    text = source(PairMean(ACT["gelu"].formula, ACT["relu"].formula, p, q, k))
    (tmp_path / "dual.py").write_text(text + "\nprint(repr(float(dual(1.3, 0.7, 0.4))))\n")
    command = [sys.executable, "-I", "dual.py"]
    out = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    wanted = pair_mean(ACT["gelu"].formula, ACT["relu"].formula, 1.3, 0.7, 0.4)
    assert float(out) == pytest.approx(wanted, rel=1e-12) and "symbolic" not in text and "meanfield" not in text
