"""Numbers at the ends of the range: variances 1e-8 and 1e6, correlations +-1 and one part in 1e15 off them."""

import math

import mpmath as mp
import numpy as np
import pytest

import meanfield as mf

pytest.importorskip("flint")

FAST = ["tanh", "relu", "gelu", "gaussian"]
NAMES = [*FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in ("silu", "softplus", "elu", "hard_tanh", "snake"))]
# Too rough, or too large in between, for a series of certified coefficients: no ball is better than a wrong one.
UNCERTIFIED = {("softplus", 1e6, 1e6), ("softplus", 1e-8, 1e6), ("hard_tanh", 1e-8, 1e-8), ("hard_tanh", 1e-8, 1e6)}
LAWS = [(1e-8, 1e-8), (1e6, 1e6), (1e-8, 1e6)]


def inside(value: float, bound: float, ball: mf.Ball) -> bool:
    """Does value +- bound meet the certified ball?"""
    with mp.workdps(40):
        return bool(abs(mp.mpf(value) - mp.mpf(ball.mid)) <= mp.mpf(bound) + mp.mpf(ball.radius))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("p", "q"), LAWS, ids=str)
def test_values_lie_inside_certified_balls(name: str, p: float, q: float) -> None:
    """At correlation 0 and 1/2, and for equal variances +-1; a value off by ten bounds does not."""
    dual = mf.dual(name)
    ks = [0.0, 0.5 * math.sqrt(p * q)] + ([q, -q] if p == q else [])
    for k in ks:
        value, bound = dual(p, q, k, error=True)
        scale = math.sqrt(dual(p, p, p) * dual(q, q, q))
        assert bound <= 1e-13 * scale
        if (name, p, q) in UNCERTIFIED:
            continue
        ball = dual.enclose(p, q, k, digits=22)
        assert inside(value, bound, ball), (k, value, bound, str(ball))
        assert not inside(value + 20 * bound + 1e-12 * scale, bound, ball)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("q", [1e-8, 1.0, 1e6])
@pytest.mark.parametrize("delta", [1e-15, 1e-12, 1e-8])
def test_next_to_correlation_one_the_dual_is_squeezed(name: str, q: float, delta: float) -> None:
    """E(1) - q (1 - c) E phi'^2 <= E(c) <= E(1): the slope in k grows with c."""
    dual, k = mf.dual(name), q * (1 - delta)
    (top, e1), (value, e2) = dual(q, q, q, error=True), dual(q, q, k, error=True)
    slope, e3 = dual.derivative(q, q, q, error=True)
    assert top - (q - k) * (slope + e3) - e1 - e2 <= value <= top + e1 + e2


def test_the_step_keeps_half_the_digits_that_its_angle_has() -> None:
    """P(u > 0, v > 0) at 1 - c = 1e-15 and unequal variances: naive rounding would be off by 1e-9."""
    p, q = 0.7, 1.9
    k = float(np.nextafter(math.sqrt(p * q), 0) * (1 - 1e-15))
    with mp.workdps(40):
        angle = mp.acos(mp.mpf(k) / mp.sqrt(mp.mpf(p) * mp.mpf(q)))
        wanted = (mp.pi - angle) / (2 * mp.pi)
        for name in ("step", "Heaviside(x)"):
            assert abs(mf.dual(name)(p, q, k) - wanted) < 1e-16
        direct, bound = mf.dual(lambda x: 1.0 if x > 0 else 0.0, kinks=[0.0])(p, q, k, error=True)
        assert abs(direct - wanted) <= bound < 1e-14
        naive = (math.pi - math.acos(k / (math.sqrt(p) * math.sqrt(q)))) / (2 * math.pi)
        assert abs(naive - wanted) > 1e-10
