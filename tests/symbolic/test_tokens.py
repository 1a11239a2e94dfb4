"""The token map and its consequences, against plain matrices, printed formulas and limits."""

import pytest
from sympy import Matrix, Rational, Symbol, cos, exp, eye, ones, pi, simplify, sqrt, symbols

from symbolic.collapse import (
    K_VAR,
    OV_VAR,
    QK_VAR,
    RHO,
    T1,
    VARIANCE,
    WIDTH,
    attention_gradients,
    cubic_rate,
    deep_cosine,
    n,
    one_block,
)
from symbolic.gaussian import k, p, q
from symbolic.tokens import GAP, Y2, Y12, attention_stage, collapsed, d, mlp_stage, read, sequence_map, token_map
from symbolic.transformers import TransformerBlock

BLOCK = TransformerBlock


def test_a_row_reads_the_gram():
    """a C b for two explicit rows that sum to 1, C = p + (q - p) delta."""
    a, b = Matrix([[Rational(1, 2), Rational(1, 3), Rational(1, 6)]]), Matrix([[Rational(1, 5), Rational(4, 5), 0]])
    gram = p * ones(3) + (q - p) * eye(3)
    assert simplify((a * gram * b.T)[0] - read((q, p), (a * b.T)[0])) == 0
    assert simplify((a * gram * b.T)[0] - read((q, p), 2 * (a * b.T)[0])) != 0


def test_attention_alone_is_the_two_line_map():
    found = token_map(BLOCK(8, None, attn_skip=0, ov_var=3, norm=None))
    assert [simplify(x) for x in found.update] == [simplify(3 * (p + (q - p) * y)) for y in (Y2, Y12)]
    with_skip = token_map(BLOCK(8, None, attn_skip=2, norm=None))
    assert simplify(with_skip.update[0] - 4 * q - p - (q - p) * Y2) == 0


def test_uniform_attention_is_that_of_noci():
    alpha = Symbol("alpha", positive=True)
    block = BLOCK(n, "linear", attn_scale=alpha, mlp_scale=Rational(1, 2), norm=None)
    m = (q + (n - 1) * p) / n
    found = token_map(block, "uniform").update
    for after, before in zip(found, (q, p), strict=True):
        assert simplify(after - Rational(5, 4) * (before + alpha**2 * m)) == 0


def test_a_relu_mlp_keeps_lengths_and_bends_angles():
    """k(c) = (sqrt(1 - c^2) + c (pi - acos c))/pi at c = cos(pi/3)."""
    block = BLOCK.noci2022(4, attn_scale=0)
    state = {q: 2, p: 2 * cos(pi / 3)}
    length, product = (e.subs(state) for e in token_map(block, "uniform").update)
    bent = (sqrt(Rational(3, 4)) + Rational(1, 2) * (pi - pi / 3)) / pi
    assert simplify(length - 4) == 0 and simplify(product - 1 - 2 * bent) == 0


def test_exponents_are_the_slopes_of_the_map():
    """The printed lambda_a and lambda_g of Cowsik, from derivatives of the map at equal tokens."""
    a, m, chi = Rational(1, 4), Rational(9, 25), Symbol("chi")
    block = BLOCK.cowsik2024(8, attn_scale=Rational(1, 2), mlp_scale=Rational(3, 5), weight_var=4, phi="erf")
    (middle, first), (_, second) = collapsed(block)
    assert middle == (1 - a) * q + a and first == 1 - a
    slope = 4 * mean_square_slope()
    assert simplify((second - (1 - m) - m * chi / q).subs(chi, slope)).evalf() == pytest.approx(0, abs=1e-14)
    gradient = sequence_map(block).slopes()[1, 1].subs(k, q)
    at = (middle / q * (1 - m + m * chi / middle)).subs(chi, slope)
    assert float((gradient - at).subs(q, 0.8).evalf()) == pytest.approx(0, abs=1e-14)


def mean_square_slope():
    """E erf'(u)^2 = (4/pi)/sqrt(1 + 4 v) at variance v = 4."""
    return 4 / pi / sqrt(17)


def test_differences_cancel_before_numbers_do():
    _, apart = attention_stage(BLOCK.cowsik2024(8))
    assert not (apart / d).simplify().has(q - d) and apart.subs(d, 0) == 0
    assert mlp_stage(BLOCK(8, None)) == (q, d)
    assert apart.coeff(GAP) == d / (4 * q)


def test_the_cosine_at_infinite_depth():
    assert deep_cosine(Rational(1, 5), 1, 16).evalf() == pytest.approx(0.44039, abs=5e-6)
    formula = deep_cosine(RHO, T1, n)
    mean, apart = exp(T1) * (1 + (n - 1) * RHO) / n, 1 - RHO
    assert simplify(formula - (mean - apart / n) / (mean + (1 - 1 / n) * apart)) == 0
    depth = 2000
    block = BLOCK.noci2022(16, depth=depth, phi="linear")
    rates = one_block(block)
    grown = (rates[0, 0] / rates[1, 1]) ** depth
    assert rates[0, 1] == rates[1, 0] == 0 and float(grown) == pytest.approx(2.71828, abs=1e-3)
    with pytest.raises(ValueError, match="not linear"):
        one_block(BLOCK.noci2022(16))


def test_small_differences_are_cubed():
    """The annealed map agrees to leading order in 1/n, and not at few tokens."""
    block = BLOCK.dong2021(n, qk_var=QK_VAR, ov_var=OV_VAR)
    length, product = token_map(block, "annealed").update
    leading = (length - product).subs(p, q - d).series(d, 0, 4).removeO().coeff(d, 3)
    assert simplify(leading - OV_VAR * QK_VAR / n) == 0
    assert simplify(cubic_rate() - OV_VAR * QK_VAR * (n - 1) / n**2) == 0


def test_gradients_of_attention():
    value, query = attention_gradients()
    x = symbols("sigma_x2", positive=True)
    assert simplify(value - VARIANCE * WIDTH**2 * (1 + RHO * (n - 1))) == 0
    wanted = OV_VAR * K_VAR * x**3 * (n - 1) / n * (1 - RHO) ** 2 * WIDTH * (n + WIDTH)
    assert simplify(query - wanted) == 0


def test_blocks_scale():
    half = BLOCK.cowsik2024(8).scaled(0.5)
    assert float(half.attn_scale) == 0.25 and float(half.attn_skip**2 + half.attn_scale**2) == 1
    plain = BLOCK(8).scaled(0.5)
    assert plain.attn_skip == 1 and float(plain.mlp_scale) == 0.5
    assert BLOCK.dong2021(8).scaled(0.5).attn_skip == 0
