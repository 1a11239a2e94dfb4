"""Laws of every dual: bounds, symmetry, monotonicity, positive kernels, Price, scale, Parseval; and random formulas."""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import meanfield as mf
from symbolic.closing import close
from symbolic.functions import X, elementary
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.growth import Divergent, refuse_divergent
from symbolic.landmarks import slope
from tests.symbolic.quadrature_oracle import pair_mean

NAMES = [
    "relu",
    "leaky_relu",
    "abs",
    "erf",
    "gelu",
    "sin",
    "cos",
    "gaussian",
    "snake",
    "tanh",
    "silu",
    "elu",
    "hard_tanh",
]
names = st.sampled_from(NAMES)
variances = st.floats(-4, 2).map(lambda e: 10.0**e)
correlations = st.floats(-1, 1) | st.sampled_from([-1.0, 0.0, 1.0]) | st.floats(-12, -1).map(lambda e: 1 - 10.0**e)
LAW = settings(derandomize=True, deadline=None, max_examples=60)


def covariance(p: float, q: float, c: float) -> float:
    return p * c if p == q else float(np.sqrt(p) * np.sqrt(q)) * (1 - 1e-15) * c


def value(name: str, p: float, q: float, c: float) -> tuple[float, float]:
    return tuple(map(float, mf.dual(name)(p, q, covariance(p, q, c), error=True)))


@LAW
@given(names, variances, variances, correlations)
def test_cauchy_schwarz_and_symmetry(name: str, p: float, q: float, c: float) -> None:
    """|E phi(u) phi(v)| <= sqrt(E phi(u)^2 E phi(v)^2), and u, v may be swapped."""
    (one, error), (other, also) = value(name, p, q, c), value(name, q, p, c)
    (first, e1), (second, e2) = value(name, p, p, 1.0), value(name, q, q, 1.0)
    assert abs(one) <= np.sqrt((first + e1) * (second + e2)) * (1 + 1e-15) + error
    assert abs(one - other) <= error + also


@LAW
@given(names, variances, st.floats(0, 1), st.floats(0, 1))
def test_monotone_in_the_correlation(name: str, q: float, a: float, b: float) -> None:
    """At equal variances E phi(u) phi(v) = sum a_k^2 c^k grows with c >= 0 and is positive there."""
    (low, e1), (high, e2) = value(name, q, q, min(a, b)), value(name, q, q, max(a, b))
    assert -e1 <= low <= high + e1 + e2


@LAW
@given(names, st.integers(0, 2**32 - 1), variances)
def test_grams_are_positive_semidefinite(name: str, seed: int, scale: float) -> None:
    """The duals of six random points, some of them nearly equal."""
    x = np.random.default_rng(seed).standard_normal((6, 3)) * np.sqrt(scale)
    x[5] = x[4] * (1 + 1e-9)
    gram = x @ x.T / 3
    d = gram.diagonal()
    kernel = mf.dual(name)(d[:, None], d[None, :], np.clip(gram, -np.sqrt(np.outer(d, d)), np.sqrt(np.outer(d, d))))
    assert np.linalg.eigvalsh((kernel + kernel.T) / 2)[0] >= -1e-13 * np.trace(kernel)


@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "sin", "gaussian", "tanh", "silu", "elu"])
def test_price_against_a_high_order_difference(name: str) -> None:
    """d/dk E phi phi = E phi' phi', by an eighth-order difference in k; E phi phi'' would be noticed."""
    at, h = (1.3, 0.7, 0.4), 0.02
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    dual = mf.dual(name)
    ends = {j: dual(at[0], at[1], at[2] + j * h) - dual(at[0], at[1], at[2] - j * h) for j in weights}
    difference = sum(w * ends[j] for j, w in weights.items()) / h
    assert dual.derivative(*at) == pytest.approx(difference, rel=3e-10)
    assert abs(dual.derivative(*at) - dual(*at)) > 1e-3 * abs(difference)


def test_price_at_fifty_digits() -> None:
    """The closed GELU dual by an mpmath difference of its own formula."""
    with mp.workdps(50):
        f = sp.lambdify((p, q, k), mf.dual("gelu").expr, "mpmath")
        g = sp.lambdify((p, q, k), mf.dual("gelu").derivative.expr, "mpmath")
        a, b, c = mp.mpf("1.3"), mp.mpf("0.7"), mp.mpf("0.4")
        assert abs(mp.diff(lambda x: f(a, b, x), c) - g(a, b, c)) < mp.mpf(10) ** -30


@LAW
@given(st.sampled_from(["relu", "leaky_relu", "abs", "linear"]), variances, correlations, st.floats(-3, 3))
def test_scale_covariance(name: str, q: float, c: float, e: float) -> None:
    """A homogeneous activation's dual scales with the law."""
    a = 10.0**e
    (one, e1), (other, e2) = value(name, q, q, c), value(name, a * q, a * q, c)
    assert abs(a * one - other) <= a * e1 + e2 + 4e-16 * abs(other)


@LAW
@given(names, variances)
def test_hermite_coefficients_rebuild_the_dual(name: str, q: float) -> None:
    """sum a_k^2 c^k at c = 1/2 and Parseval from below."""
    a = mf.hermite_coefficients(name, q, 60)
    half, error = value(name, q, q, 0.5)
    whole, also = value(name, q, q, 1.0)
    assert abs((a**2 * 0.5 ** np.arange(60)).sum() - half) <= error + 2.0**-59 * whole + 1e-14 * whole
    assert (a**2).sum() <= whole * (1 + 1e-14) + also


atoms = st.sampled_from([X, X**2, X**3, sp.sin(X), sp.cos(2 * X), sp.exp(-(X**2)), sp.erf(X), sp.Max(X, 0), abs(X)])
atoms |= st.sampled_from([sp.Heaviside(X), sp.sign(X), sp.exp(X / 2), sp.Min(2 * X, 0), sp.Integer(1)])
products = st.lists(atoms, min_size=1, max_size=2).map(lambda f: sp.Mul(*f))
formulas = st.lists(products, min_size=1, max_size=3).map(lambda f: sp.Add(*f))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(formulas, products)
def test_random_formulas_of_the_grammar(f: sp.Expr, g: sp.Expr) -> None:
    """Derived form == quadrature, by code of another kind; what stays open is a product that the grammar excludes."""
    mean = PairMean(f, g, p, q, k)
    closed = close(mean)
    if closed.has(PairMean):
        return
    numbers = {p: sp.Rational(13, 10), q: sp.Rational(7, 10), k: sp.Rational(-2, 5)}
    wanted = pair_mean(f, g, 1.3, 0.7, -0.4)
    size = np.sqrt(pair_mean(f, f, 1.3, 1.3, 1.3 * (1 - 1e-14)) * pair_mean(g, g, 0.7, 0.7, 0.7 * (1 - 1e-14)))
    assert abs(float(elementary(closed).subs(numbers).evalf(20, maxn=200)) - wanted) <= 1e-10 * max(size, 1e-3)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(products)
def test_a_derivative_dual_is_the_dual_of_the_slope(f: sp.Expr) -> None:
    """Price, symbolically: d/dk of the closed form is the closed form of E f' f'."""
    whole, part = close(PairMean(f, f, p, q, k)), close(PairMean(slope(f), slope(f), p, q, k))
    if whole.has(PairMean) or part.has(PairMean, Mean):
        return
    numbers = {p: sp.Rational(3, 2), q: sp.Rational(5, 7), k: sp.Rational(1, 3)}
    error = (elementary(whole).diff(k) - elementary(part)).subs(numbers).evalf(20, maxn=200)
    assert abs(error) < 1e-15 * (1 + abs(elementary(part).subs(numbers).evalf(20, maxn=200)))


@pytest.mark.parametrize("body", [sp.exp(X**2) * X, sp.cosh(X**2 / 3), sp.exp(X**4)])
def test_no_law_holds_where_the_square_diverges(body: sp.Expr) -> None:
    """So nothing is derived there."""
    with pytest.raises(Divergent):
        refuse_divergent(body)
    assert close(PairMean(body, body, p, q, k)).has(PairMean)
