"""The derivation of shaped attention: its parts against mpmath, its result by hand for two tokens."""

import mpmath
import pytest
from sympy import Matrix, Rational, expand, symbols

import meanfield as mf
from symbolic.shaped import GAMMA, TAU, ShapedAttention, isserlis, shaped_limit, softmax_terms


def test_the_softmax_is_expanded_to_second_order():
    y, one, two = softmax_terms(3)
    at = {y[0]: Rational(1, 3), y[1]: Rational(-1, 2), y[2]: Rational(2)}
    with mpmath.workdps(30):
        for a in range(3):
            value = lambda h, a=a: mpmath.exp(h * at[y[a]]) / sum(mpmath.exp(h * v) for v in at.values())  # noqa: E731
            found = mpmath.taylor(value, 0, 2)
            assert abs(found[1] - one[a].subs(at)) < 1e-15
            assert abs(found[2] - two[a].subs(at)) < 1e-15


def test_isserlis_pairs_all_factors():
    p, q, k = symbols("p q k")
    C = Matrix([[p, k], [k, q]])
    assert expand(isserlis([0, 0, 1, 1], C)) == p * q + 2 * k**2
    assert expand(isserlis([0, 0, 0, 1, 1, 1], C)) == expand(9 * p * q * k + 6 * k**3)
    assert isserlis([0, 1, 1], C) == 0


def test_one_token_attends_to_itself_and_only_scatters():
    found = shaped_limit(ShapedAttention(), 1)
    V = found.gram[0, 0]
    assert found.drift[0, 0] == 0
    assert expand(found.diffusion[0, 0, 0, 0] - GAMMA**2 * (2 - GAMMA**2) * 2 * V**2) == 0


def test_two_tokens_by_hand():
    """Row 0 of A is (1 + u/4, -u/4) to second order, u = y_00 - y_01 of variance V00 D, D = V00 - 2 V01 + V11."""
    found = shaped_limit(ShapedAttention(), 2)
    p, k, q = found.gram[0, 0], found.gram[0, 1], found.gram[1, 1]
    D = p - 2 * k + q
    assert expand(found.drift[0, 0] - GAMMA**2 / TAU**2 * p * D**2 / 16) == 0
    assert expand(found.drift[0, 1] - GAMMA**2 / TAU**2 * k * D**2 / 16) == 0
    assert found.update == (found.drift[0, 0], found.drift[0, 1], found.drift[1, 1])


@pytest.mark.parametrize(("gamma", "tau"), [(1.2, 1), (-0.1, 1), (0.5, 0)])
def test_other_weights_are_refused(gamma, tau):
    with pytest.raises(ValueError, match=r"gamma must be|tau must be"):
        ShapedAttention(gamma, tau)


def test_it_is_no_map_of_pairs():
    with pytest.raises(mf.NoRule, match="ShapedAttention"):
        mf.derive(ShapedAttention(0.5, 1))
