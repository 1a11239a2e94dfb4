"""Limits against the literature's numbers, against each other, and against a finite network written out in full."""

from math import pi as PI
from typing import Any

import mpmath
import pytest
from sympy import Expr, Integer, Poly, Rational, Symbol, factorial2, lambdify, pi, sqrt, symbols

from symbolic.activations import ACTIVATIONS as ACT
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean, g, k, p, q, t
from symbolic.limits import LIMITS, derive, readable
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Dense, Dropout, Identity, Layer, LayerNorm, Pointwise, RMSNorm
from symbolic.signals import FEATURES, GAUSSIAN, NoRule
from tests.symbolic.quadrature_oracle import numeric

TANH, RELU, GELU, ERF = (ACT[n] for n in ("tanh", "relu", "gelu", "erf"))
HALF_STABLE = (1.98305825743754713, 0.172922390756067352)
TOGETHER = {p: q, k: q}


def iterate(block: Layer, limit: str, state: tuple[float, ...], times: int) -> tuple[Any, ...]:
    """The closed map, iterated with 25 digits."""
    derived = derive(block, limit)
    step = lambdify(derived.state, derived.update, "mpmath")
    with mpmath.workdps(25):
        state = tuple(mpmath.mpf(x) for x in state)
        for _ in range(times):
            state = step(*state)
    return tuple(float(x) for x in state)


@pytest.mark.parametrize(("name", "weight", "bias", "depth", "anchor"), [
    ("relu", 2, 0, 2, (2, 1.2179955620885, 4, 1.8846622287551)),
    ("relu", 2, 0, 3, (2, 1.3678113017974, 6, 2.7029591222470)),
    ("relu", 2, 0, 5, (2, 1.5577902747887, 10, 4.2142250767932)),
    ("relu", 2, 0, 10, (2, 1.7720669566807, 20, 7.5853887124351)),
    ("relu", 2, 0.1, 5, (2.5, 2.0379116812622, 11.5, 5.3929982722727)),
    ("relu", 2, 0.1, 10, (3, 2.7433045093004, 25.5, 11.4750527889126)),
    ("erf", 2.25, 0.01, 2, (1.3842224797268, 0.6170560837951, 3.4275322869896, 1.2632726525107)),
    ("erf", 2.25, 0.01, 10, (1.0932959163026, 0.2771398621206, 36.7784411219736, 2.6284692253485)),
    ("gelu", *HALF_STABLE, 2, (2.1569015684619, 1.3357970037521, 4.2607100312324, 2.1613868293866)),
    ("gelu", *HALF_STABLE, 10, (2.1641745485586, 1.8459936172426, 19.4085204409370, 8.6312604291823)),
])  # fmt: skip
def test_kernels_in_depth_have_their_printed_values(
    name: str, weight: float, bias: float, depth: int, anchor: tuple[float, ...]
) -> None:
    """NNGP and tangent kernels of one input and of two at angle 60 degrees."""
    block, one, two = ACT[name] >> Dense(weight, bias), weight + bias, weight / 2 + bias
    same = iterate(block, "ntk_diagonal", (one, one), depth - 1)
    _, _, cross, tangent = iterate(block, "ntk", (one, one, two, two), depth - 1)
    assert (same[0], cross, same[1], tangent) == pytest.approx(anchor, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("times", "length", "correlation"), [
    (1, 1.4942944904, 0.526217836080), (2, 2.0618898855, 0.540443285382),
    (10, 7.9687561792, 0.545196983632),
])  # fmt: skip
def test_a_residual_network_has_its_printed_orbit(times: int, length: float, correlation: float) -> None:
    """x + W tanh(x) + b, weight_var 1, bias_var 0.1, from q = 1, c = 1/2."""
    derived, state = derive(Identity() + (TANH >> Dense(1, 0.1))), (1.0, 1.0, 0.5)
    for _ in range(times):
        at = dict(zip(derived.state, state, strict=True))
        _, q_next, k_next = (numeric(e, at) for e in derived.raw)
        state = (q_next, q_next, k_next)
    assert (state[1], state[2] / state[1]) == pytest.approx((length, correlation), abs=2e-10)


def test_the_residual_length_by_mpmath() -> None:
    """The first step once more, through the node's own quadrature."""
    found = derive(Identity() + (TANH >> Dense(1, 0.1)), "length").raw[0].subs(q, 1).evalf(20)
    assert float(found) == pytest.approx(1.4942944903978, abs=1e-13)


def test_residual_relu_grows_geometrically() -> None:
    """q' = (1 + weight_var/2) q."""
    assert (derive(Identity() + (RELU >> Dense(WEIGHT_VAR, 0)), "length").update[0] / q).expand() == 1 + WEIGHT_VAR / 2


@pytest.mark.parametrize(("name", "at_one", "at_zero", "digits"), [
    ("relu", PI / (PI - 1), 0.73347110346213, 1e-13), ("gelu", 1.318844970866, 0.723287521341, 1e-11),
    ("silu", 1.212081114757, 0.798509541710, 1e-11),
])  # fmt: skip
def test_layer_norm_behind_an_activation_has_its_printed_slopes(
    name: str, at_one: float, at_zero: float, digits: float
) -> None:
    """C(c) = (E phi phi - (E phi)^2)/(E phi^2 - (E phi)^2): slopes at c = 1 and c = 0."""
    slope = derive(ACT[name] >> LayerNorm()).slopes()[2, 2].subs({p: 1, q: 1})
    assert (numeric(slope.subs(k, 1), {}), numeric(slope, {k: 0.0})) == pytest.approx((at_one, at_zero), abs=digits)


@pytest.mark.parametrize("norm", [LayerNorm(), RMSNorm()])
@pytest.mark.parametrize(("name", "chi"), [
    ("tanh", 1.177807232304), ("erf", 1.225700003786), ("sin", 1.313035285499), ("gelu", 1.072031598436),
    ("silu", 1.066634241242), ("relu", 1.0),
])  # fmt: skip
def test_normalising_before_an_activation_has_its_printed_gradient(name: str, chi: float, norm: Layer) -> None:
    """chi = weight_var E phi'^2/(weight_var E phi^2 + bias_var) at q = 1; both normalisations agree there."""
    derived = derive(norm >> ACT[name] >> Dense(3, 0), "gradient")
    fixed = numeric(derived.raw[0], {q: 2.0})
    assert numeric(derived.slopes()[1, 1], {q: fixed}) == pytest.approx(chi, abs=1e-11)


@pytest.mark.parametrize(("weight", "bias", "keep", "length", "correlation", "slope", "gradient"), [
    (1.69, 0.05, 0.9, 0.642963906909, 0.381452398606, 0.806226929746, 1.024051721601),
    (1.69, 0.05, 0.99, 0.537323395025, 0.805441487286, 0.931491119446, 0.988307141961),
    (2, 0.05, 0.8, 1.063958377417, 0.160837371325, 0.710130510891, 1.133515698704),
])  # fmt: skip
def test_dropout_has_its_printed_fixed_point(
    weight: float, bias: float, keep: float, length: float, correlation: float, slope: float, gradient: float
) -> None:
    """q' = (w/keep) E phi^2 + b, k' without 1/keep: correlation 1 is no fixed point."""
    block, at = TANH >> Dropout(keep) >> Dense(weight, bias), {p: length, q: length, k: correlation * length}
    derived = derive(block)
    assert [numeric(e, at) for e in derived.raw] == pytest.approx([length, length, correlation * length], abs=3e-11)
    assert numeric(derived.raw[2].diff(k), at) == pytest.approx(slope, abs=1e-10)
    assert numeric(derive(block, "gradient").slopes()[1, 1], at) == pytest.approx(gradient, abs=1e-10)


def test_dropout_at_keep_one_is_no_dropout() -> None:
    """keep = 1 masks nothing."""
    for limit in LIMITS:
        assert derive(RELU >> Dropout(1) >> Dense(), limit).update == derive(RELU >> Dense(), limit).update


@pytest.mark.parametrize("name", ACT)
def test_the_gradient_factor_is_chi_one(name: str) -> None:
    """weight_var E phi'(u)^2, whatever the activation."""
    f = ACT[name].formula
    assert derive(ACT[name] >> Dense(), "gradient").raw[1] == g * WEIGHT_VAR * Mean(f.diff(X) ** 2, q)


def test_the_nngp_rule_of_a_block_is_the_definition() -> None:
    """k' = weight_var E phi(u) phi(v) + bias_var."""
    f = TANH.formula
    assert derive(TANH >> Dense()).raw == (
        WEIGHT_VAR * Mean(f**2, p) + BIAS_VAR, WEIGHT_VAR * Mean(f**2, q) + BIAS_VAR,
        WEIGHT_VAR * PairMean(f, f, p, q, k) + BIAS_VAR,
    )  # fmt: skip


BLOCKS: dict[str, Layer] = {
    "plain": RELU >> Dense(), "residual": Identity() + (GELU >> Dense()), "post norm": RELU >> LayerNorm() >> Dense(),
    "rms": ERF >> RMSNorm() >> Dense(), "pre norm": LayerNorm() >> ACT["sin"] >> Dense(),
    "branches": Dense(1, 0) + 2 * (ERF >> Dense(3, 1)),
    "odd branch": Identity() + (Dense(2, 1) >> ERF), "norm of a sum": (Identity() + (RELU >> Dense(1, 0))) >> RMSNorm(),
    "inner repeat": Identity() + (RELU >> Dense(2, 0)) ** 2, "features": Dense() >> RELU,
}  # fmt: skip
VALUES = {WEIGHT_VAR: 1.7, BIAS_VAR: 0.3, p: 1.3, q: 0.7, k: 0.4, t: 0.9}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_two_equal_inputs_are_one(block: Layer) -> None:
    """At k = p = q the pair maps reduce to the maps of a single input."""
    *_, cross, tangent = derive(block, "ntk").raw
    length, diagonal = derive(block, "ntk_diagonal").raw
    for two, one in ((cross, length), (tangent, diagonal)):
        assert numeric(two.subs(TOGETHER, simultaneous=True), VALUES) == pytest.approx(numeric(one, VALUES), rel=1e-12)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_the_two_inputs_may_change_places(block: Layer) -> None:
    """p <-> q exchanges p' and q' and leaves k' and t'."""
    first, second, cross, tangent = derive(block, "ntk").raw
    swapped = {**VALUES, p: VALUES[q], q: VALUES[p]}
    assert numeric(first, VALUES) == pytest.approx(numeric(second, swapped), rel=1e-12)
    for e in (cross, tangent):
        assert numeric(e, VALUES) == pytest.approx(numeric(e, swapped), rel=1e-11)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_the_pullback_is_the_slope_of_the_covariance(block: Layer) -> None:
    """dt'/dt = dk'/dk where norms depend on p and q only: both pull a tangent vector back."""
    derived = derive(block, "ntk")
    assert numeric(derived.raw[3].diff(t), VALUES) == pytest.approx(numeric(derived.raw[2].diff(k), VALUES), rel=1e-11)


def test_a_finite_tangent_kernel_written_out_in_full() -> None:
    """f = sqrt(w/2) sum_i v_i phi(h_i) + sqrt(b) c, h = sqrt(u/2) W x + sqrt(e) d: E sum of df/dtheta df'/dtheta."""
    w, b, u, e = Rational(3), Rational(2, 5), Rational(5, 4), Rational(1, 3)
    weights, v, c, d = symbols("W:4"), symbols("v:2"), Symbol("c"), symbols("d:2")
    theta = (*weights, *v, c, *d)
    phi = X + X**2 / 2

    def f(x: tuple[int, int]) -> Expr:
        h = [sqrt(u / 2) * (weights[2 * i] * x[0] + weights[2 * i + 1] * x[1]) + sqrt(e) * d[i] for i in range(2)]
        return sqrt(w / 2) * sum(v[i] * phi.subs(X, h[i]) for i in range(2)) + sqrt(b) * c

    def average(expr: Expr) -> Expr:
        found = Poly(expr.expand(), *theta).terms()
        return sum(value * Integer(all(n % 2 == 0 for n in powers)) * _product(powers) for powers, value in found)

    x, y = (1, 2), (3, -1)
    kernel = average(sum(f(x).diff(s) * f(y).diff(s) for s in theta))
    gram = {name: u * (a[0] * c_[0] + a[1] * c_[1]) / 2 + e for name, a, c_ in ((p, x, x), (q, y, y), (k, x, y))}
    derived = (
        derive(Pointwise("phi", phi) >> Dense(w, b), "ntk").update[3].subs({**gram, t: gram[k]}, simultaneous=True)
    )
    assert (kernel - derived).expand() == 0


def _product(powers: tuple[int, ...]) -> Expr:
    """E of a product of powers of independent standard normals, for even powers."""
    out = Integer(1)
    for n in powers:
        out *= factorial2(n - 1) if n > 0 else 1
    return out


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "limit", "error", "message"), [
    (RELU >> Dense(), "nnpg", ValueError,
        "unknown limit 'nnpg', did you mean 'nngp'.; known are length, nngp, ntk, ntk_diagonal, gradient"),
    (RELU >> Dense(), "zzz", ValueError, "unknown limit 'zzz'; known are length"),
    ("relu", "nngp", TypeError, "a limit is derived of a layer such as mf.tanh >> mf.Dense.., not of 'relu'"),
    ((RELU >> Dense()) ** 3, "nngp", ValueError, "depth is iterated, never composed"),
    (Dense() >> (RELU >> Dense()) ** 3, "nngp", ValueError, "derive one block of this network at a time"),
])  # fmt: skip
def test_what_cannot_be_derived_is_refused(layer: Any, limit: str, error: type[Exception], message: str) -> None:
    """Unknown limits, non-layers and whole networks."""
    with pytest.raises(error, match=message):
        derive(layer, limit)


def test_one_repeat_is_no_depth() -> None:
    """block ** 1 is the block."""
    assert derive((RELU >> Dense()) ** 1).raw == derive(RELU >> Dense()).raw


def test_a_norm_that_would_need_an_unknown_mean_is_refused() -> None:
    """LayerNorm of features whose mean over neurons the state does not carry."""
    for layer in (LayerNorm(), LayerNorm() >> Dense(), Dropout(0.5) >> LayerNorm()):
        assert readable(layer, GAUSSIAN) is layer
        with pytest.raises(NoRule, match="whose mean is not known here: put a Dense layer before it, or use RMSNorm"):
            readable(layer, FEATURES)


def test_a_norm_that_needs_no_mean_is_accepted() -> None:
    """RMSNorm reads the second moment only, and a Dense layer makes the mean zero, whatever the symbols are called."""
    mean = Symbol("mean", real=True)
    for layer in (RMSNorm() >> Dense(), Dense() >> LayerNorm(), RMSNorm() >> Dense(mean)):
        assert readable(layer, FEATURES) is layer


def test_constants_stay_exact() -> None:
    """The slope of ReLU behind LayerNorm at c = 1 is pi/(pi - 1)."""
    assert (derive(RELU >> LayerNorm()).jacobian()[2, 2].subs({p: 1, q: 1, k: 1}) - pi / (pi - 1)).simplify() == 0
