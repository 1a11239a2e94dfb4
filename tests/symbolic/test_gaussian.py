"""Mean and PairMean: Price's theorem, the scale rules, the chain rule, their values, and how they look."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import (
    Abs,
    Expr,
    Heaviside,
    Lambda,
    Max,
    Piecewise,
    Rational,
    Symbol,
    cos,
    erf,
    exp,
    latex,
    pretty,
    sign,
    sin,
    tanh,
)

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.closing import close
from symbolic.functions import X, elementary
from symbolic.gaussian import Mean, PairMean, k, p, q
from tests.symbolic.quadrature_oracle import numeric, pair_mean

a, s = Symbol("a", positive=True), Symbol("s", positive=True)
POINT = {p: 1.3, q: 0.7, k: 0.4}
EXACT = {p: Rational(13, 10), q: Rational(7, 10), k: Rational(-2, 5)}
PAIRS = [
    ("tanh", "tanh"), ("relu", "tanh"), ("elu", "relu"), ("gelu", "selu"), ("softplus", "mish"), ("silu", "abs"),
    ("linear", "tanh"),
    ("tanh", "linear"), ("hard_tanh", "sin"), ("linear", "linear"),
]  # fmt: skip


def slope(expr: Expr, at: dict[Symbol, float], symbol: Symbol) -> float:
    """A central difference of sixth order; its error is about 1e-11 here."""
    h = 0.02
    f = {j: numeric(expr, {**at, symbol: at[symbol] + j * h}) for j in (-3, -2, -1, 1, 2, 3)}
    return (45 * (f[1] - f[-1]) - 9 * (f[2] - f[-2]) + (f[3] - f[-3])) / (60 * h)


@pytest.mark.parametrize(("f", "g"), PAIRS)
@pytest.mark.parametrize("symbol", [p, q, k], ids=str)
def test_the_derivative_of_a_pair_mean_is_the_slope_of_the_integral(f: str, g: str, symbol: Symbol) -> None:
    """Price for k, the scale rules for p and q, against differences of a quadrature."""
    mean = PairMean(ACT[f].formula, ACT[g].formula, p, q, k)
    assert numeric(mean.diff(symbol), POINT) == pytest.approx(slope(mean, POINT, symbol), abs=2e-9)


@pytest.mark.parametrize("name", ["tanh", "relu", "selu", "silu", "hard_tanh", "arctan", "linear"])
def test_the_derivative_of_a_mean_is_the_slope_of_the_integral(name: str) -> None:
    """dE f(u)/dq = E u f'(u)/(2q)."""
    mean = Mean(ACT[name].formula ** 2, q)
    assert numeric(mean.diff(q), POINT) == pytest.approx(slope(mean, POINT, q), abs=2e-9)


STEP = Piecewise((1, X > 0), (0, True))


@pytest.mark.parametrize(("f", "g"), [
    (Max(X, 0), Heaviside(X)), (Heaviside(X), Heaviside(X)), (sign(X), erf(X)), (Abs(X), sign(X)), (X, Max(X, 0)),
    (STEP, STEP),
    (STEP, Max(X, 0)), (X**3, X * Heaviside(X)), (exp(-(X**2)) * Heaviside(X), STEP),
])  # fmt: skip
@pytest.mark.parametrize("symbol", [p, q, k], ids=str)
def test_deriving_and_closing_commute_where_the_function_jumps(f: Expr, g: Expr, symbol: Symbol) -> None:
    """Steps, also those written as Piecewise, have deltas for derivatives."""
    mean = PairMean(f, g, p, q, k)
    first = elementary(close(mean.diff(symbol)))
    error = first - elementary(close(mean)).diff(symbol)
    assert not first.has(PairMean)
    assert abs(error.subs(EXACT).evalf(25)) < Rational(1, 10**20)


def test_a_squared_step_does_not_depend_on_the_variance() -> None:
    """x H(x) delta(x) = 0, so dE H(u)^2/dq = 0."""
    assert close(Mean(Heaviside(X) ** 2, q).diff(q)) == 0
    assert close(Mean(STEP**2, q).diff(q)) == 0


def test_the_chain_rule_reaches_variances_that_are_expressions() -> None:
    """p, q and k may be expressions of the differentiated symbol."""
    at = {s: 0.6, k: 0.2}
    mean = PairMean(tanh(X), Max(X, 0), 1 + s**2, 2 * s, k * s)
    assert numeric(mean.diff(s), at) == pytest.approx(slope(mean, at, s), abs=2e-9)


def test_the_chain_rule_reaches_a_mean_inside_a_mean() -> None:
    """d/dq E f(u), Var u = E g(v)^2, Var v = q."""
    mean = Mean(tanh(X) ** 2, 1 + Mean(Max(X, 0) ** 2 + X * tanh(X), q))
    assert numeric(mean.diff(q), POINT) == pytest.approx(slope(mean, POINT, q), abs=2e-9)


@pytest.mark.parametrize("body", [tanh(a * X), Max(X, 0) + a * X, sin(a**2 * X) + X])
def test_a_parameter_inside_the_function_is_differentiated(body: Expr) -> None:
    """d/da goes under the integral, on both sides of a pair."""
    at = {**POINT, a: 0.8}
    for mean in (Mean(body**2, q), PairMean(body, body, p, q, k)):
        found = numeric(mean.diff(a).subs(a, 0.8), at)
        h = 0.01
        f = {j: numeric(mean.subs(a, 0.8 + j * h), at) for j in (-3, -2, -1, 1, 2, 3)}
        assert found == pytest.approx((45 * (f[1] - f[-1]) - 9 * (f[2] - f[-2]) + f[3] - f[-3]) / (60 * h), abs=2e-9)


def test_a_symbol_that_does_not_occur_gives_zero() -> None:
    """No spurious terms, and no 0/0."""
    assert PairMean(tanh(X), tanh(X), p, q, k).diff(a) == 0 and Mean(tanh(X), 2).diff(q) == 0


def test_equal_variables_collapse_to_one() -> None:
    """E f(u) g(u) is a mean over one variable, at construction and after substitution."""
    pair = PairMean(tanh(X), erf(X), p, q, k)
    assert PairMean(tanh(X), erf(X), q, q, q) == Mean(tanh(X) * erf(X), q)
    assert pair.subs({p: q, k: q}, simultaneous=True) == Mean(tanh(X) * erf(X), q)
    assert isinstance(pair.subs({p: q}), PairMean)


@pytest.mark.parametrize("body", [X, tanh(X), X**2, Rational(3)])
def test_an_expression_and_its_lambda_are_the_same_function(body: Expr) -> None:
    """The identity too, which SymPy would give a variable of its own."""
    t = Symbol("t", real=True)
    assert Mean(Lambda(t, body.subs(X, t)), q) == Mean(body, q)
    mean = PairMean(body, body, p, q, k)
    assert mean.func(*mean.args) == mean and mean.args[0].expr == body


def test_the_variable_is_bound() -> None:
    """x is no free symbol of a mean; parameters are."""
    assert PairMean(tanh(a * X), X, p, q, k).free_symbols == {a, p, q, k}
    assert Mean(tanh(X), 1).free_symbols == set()


@pytest.mark.parametrize(("name", "power", "printed"), [
    ("tanh", 2, "0.39429449039784"), ("silu", 2, "0.35577551981735"), ("silu", 1, "0.20662096414191"),
    ("erf", 2, "0.46455905439754"),
    ("gelu", 1, "0.28209479177388"), ("selu", 2, "1.0000000000000"), ("relu", 2, "0.50000000000000"),
])  # fmt: skip
def test_a_mean_has_its_printed_value(name: str, power: int, printed: str) -> None:
    """mpmath's quadrature at q = 1 to 30 digits against the 14 digits of the literature."""
    found = Mean(ACT[name].formula ** power, 1).evalf(30)
    assert abs(found - Rational(printed)) < Rational(6, 10**15)


@pytest.mark.parametrize(
    ("name", "slope"),
    [("tanh", "0.46440290244827"), ("silu", "0.37948235163283"), ("selu", "1.0715749924558")],
)
def test_a_mean_squared_slope_has_its_printed_value(name: str, slope: str) -> None:
    """E phi'^2 at q = 1."""
    assert abs(Mean(ACT[name].formula.diff(X) ** 2, 1).evalf(20) - Rational(slope)) < Rational(6, 10**14)


def test_an_odd_kinked_function_has_mean_zero() -> None:
    """Every kink of hard tanh is cut, also the one inside the nested minimum."""
    assert abs(Mean(ACT["hard_tanh"].formula, 3).evalf(30)) < 1e-28


def test_evalf_keeps_thirty_digits() -> None:
    """A closed mean and mpmath's quadrature agree to the digits asked for."""
    for body in (erf(X) ** 2, Max(X, 0) * erf(X), cos(X)):
        error = Mean(body, Rational(3, 2)).evalf(30) - elementary(close(Mean(body, Rational(3, 2)))).evalf(40)
        assert abs(error) < 1e-28


def test_a_pair_mean_has_a_value() -> None:
    """The two-dimensional mpmath quadrature, at few digits because it is slow."""
    assert PairMean(X, X**3, 1, Rational(1, 2), Rational(1, 4)).evalf(5) == pytest.approx(
        pair_mean(X, X**3, 1, 0.5, 0.25), rel=2e-5
    )


@pytest.mark.parametrize("correlation", [1, -1])
def test_a_pair_mean_at_perfect_correlation_is_one_integral(correlation: int) -> None:
    """v = +-u/2 exactly: E relu(2z) tanh(+-z) = +-E z tanh z."""
    found = PairMean(Max(X, 0), tanh(X), 4, 1, 2 * correlation).evalf(15)
    assert float(found) == pytest.approx(correlation * 0.605705509602, abs=1e-12)


def test_a_mean_with_symbols_stays_symbolic_under_evalf() -> None:
    """No number is invented for a free symbol."""
    assert Mean(tanh(X), q).evalf() == Mean(tanh(X), q) and Mean(tanh(a * X), 1).evalf() == Mean(tanh(a * X), 1)


def test_means_print_as_expectations() -> None:
    """str, LaTeX and pretty printing name the two variables u and v."""
    mean, pair = Mean(tanh(X), q), PairMean(tanh(X), X**2, p, q, k)
    assert (str(mean), str(pair)) == ("E[tanh(u); q]", "E[v**2*tanh(u); p, q, k]")
    assert latex(mean) == r"\operatorname{E}\left[\tanh{\left(u \right)}; q\right]"
    assert latex(mean**2).endswith(r"q\right]^{2}")
    assert "E[tanh(u); q]" in pretty(1 + mean) and "E[" in pretty(pair)


# -- laws of random activations ------------------------------------------------------------------------------------

KINKED = [X, Max(X, 0), erf(X), Heaviside(X), exp(-(X**2) / 2), X**2, Rational(1)]
WAVES = [sin(X), X**2, cos(2 * X), exp(-(X**2) / 3), Rational(1)]
SMALL = st.integers(-3, 3).map(lambda n: Rational(n, 2))
VARIANCES = st.sampled_from([Rational(1, 5), Rational(1), Rational(5, 2)])
CORRELATIONS = st.sampled_from([Rational(n, 5) for n in (-4, -1, 0, 2, 4)])


def combinations(atoms: list[Expr]) -> st.SearchStrategy[Expr]:
    terms = st.lists(st.tuples(SMALL, st.sampled_from(atoms)), min_size=1, max_size=3)
    return terms.map(lambda ts: sum((c * f for c, f in ts), Rational(0)))


PAIR = st.one_of(*(st.tuples(combinations(atoms), combinations(atoms)) for atoms in (KINKED, WAVES)))


def closed(f: Expr, g: Expr, x: Expr, y: Expr, c: Expr) -> Expr:
    """E f(u) g(v) for standard deviations x, y and correlation c."""
    found = elementary(close(PairMean(f, g, p, q, k)))
    assert not found.has(PairMean)
    return found.subs({p: x**2, q: y**2, k: c * x * y}).evalf(20)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(PAIR, VARIANCES, VARIANCES, CORRELATIONS)
def test_the_mean_of_a_product_is_bounded(pair: tuple[Expr, Expr], x: Expr, y: Expr, c: Expr) -> None:
    """Cauchy and Schwarz: |E f g|^2 <= E f^2 E g^2."""
    bound = [elementary(close(Mean(h**2, v**2))).evalf(20) for h, v in zip(pair, (x, y), strict=True)]
    assert closed(*pair, x, y, c) ** 2 <= bound[0] * bound[1] + 1e-15


@settings(derandomize=True, deadline=None, max_examples=25)
@given(PAIR, VARIANCES, VARIANCES, CORRELATIONS)
def test_the_names_of_the_two_variables_do_not_matter(pair: tuple[Expr, Expr], x: Expr, y: Expr, c: Expr) -> None:
    """E f(u) g(v) = E g(v) f(u)."""
    f, g = pair
    assert abs(closed(f, g, x, y, c) - closed(g, f, y, x, c)) < 1e-15


@settings(derandomize=True, deadline=None, max_examples=25)
@given(combinations(KINKED), VARIANCES, VARIANCES, st.integers(1, 3))
def test_a_gram_matrix_is_positive_semidefinite(f: Expr, x: Expr, y: Expr, n: int) -> None:
    """E f(u)^2 + E f(v)^2 >= 2 |E f(u) f(v)| for inputs of equal and of different length."""
    lengths = [elementary(close(Mean(f**2, v**2))).evalf(20) for v in (x, y)]
    assert sum(lengths) - 2 * abs(closed(f, f, x, y, Rational(n, 4))) >= -1e-15


@settings(derandomize=True, deadline=None, max_examples=15)
@given(PAIR, SMALL, CORRELATIONS)
def test_closing_is_linear(pair: tuple[Expr, Expr], weight: Expr, c: Expr) -> None:
    """E (f + w x)(u) g(v) = E f g + w E x g."""
    (f, g), x, y = pair, Rational(1), Rational(5, 2)
    whole, parts = closed(f + weight * X, g, x, y, c), (closed(f, g, x, y, c), closed(X, g, x, y, c))
    assert abs(whole - parts[0] - weight * parts[1]) < 1e-14
