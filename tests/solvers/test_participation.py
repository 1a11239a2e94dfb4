"""How many tokens a softmax row reads: printed tables, mpmath, drawn softmax rows, limits."""

import mpmath
import numpy as np
import pytest

from solvers.overlaps import Interpolant, overlaps
from solvers.participation import joint_participation, participation
from solvers.softmax_moments import participation_moments

TABLE = {
    0.5: (0.01993, 0.00501, 0.00125), 1: (0.0388, 0.01033, 0.00264), 2: (0.16074, 0.07267, 0.02854),
    3: (0.32631, 0.21558, 0.13495), 5: (0.55282, 0.46442, 0.38935), 8: (0.71178, 0.65285, 0.60166),
}  # fmt: skip


def by_mpmath(s, n):
    """Y2 by Gauss-Legendre quadrature over u, of Gauss-Legendre quadratures over the score."""
    rule = {"method": "gauss-legendre", "maxdegree": 3}

    def gauss(f):
        return mpmath.quad(lambda z: f(mpmath.exp(s * z)) * mpmath.npdf(z), [-9, -6, -4, -2, 0, 2, 4, 6, 9], **rule)

    def integrand(log_u):
        u = mpmath.exp(log_u)
        kept = gauss(lambda w: mpmath.exp(-u * w))
        return u * u * gauss(lambda w: w * w * mpmath.exp(-u * w)) * kept ** (n - 1)

    return n * mpmath.quad(integrand, [-24, -17, -12, -9, -7, -5, -3, -1, 1, 4, 8], **rule)


def drawn(s, c, n, rows=4000, seed=0):
    """Mean and standard error of sum_k A_ik A_jk over drawn pairs of rows."""
    rng = np.random.default_rng(seed)
    z, x, y = rng.standard_normal((3, rows, n))
    both = [sign * np.sqrt(abs(c)) * z + np.sqrt(1 - abs(c)) * own for sign, own in ((1, x), (np.sign(c), y))]
    first, second = (np.exp(s * t) / np.exp(s * t).sum(axis=1, keepdims=True) for t in both)
    found = (first * second).sum(axis=1)
    return found.mean(), found.std() / np.sqrt(rows)


@pytest.mark.parametrize(("s", "row"), TABLE.items())
def test_the_printed_table(s, row):
    assert [participation(s, n) for n in (64, 256, 1024)] == pytest.approx(list(row), abs=6e-6)


@pytest.mark.parametrize(("s", "n"), [pytest.param(0.7, 16, marks=pytest.mark.slow), (2.0, 256)])
def test_against_mpmath(s, n):
    assert participation(s, n) == pytest.approx(float(by_mpmath(s, n)), rel=1e-10)


@pytest.mark.parametrize(("s", "n"), [(0.5, 3), (2.0, 64), (4.0, 200), (0.9, 10**8), (3.0, 10**8)])
def test_one_row_against_itself_is_one_row(s, n):
    """Two integrals with nothing in common but the marginal law."""
    assert joint_participation(s, 1.0, n) == pytest.approx(participation(s, n), rel=1e-12)


@pytest.mark.parametrize(
    ("s", "c", "n"), [(0.5, 0.3, 16), (2, 0.5, 64), (3, 0.9, 128), (5, 0.2, 512), (3, -1, 2), (1, -0.5, 3)]
)
def test_two_rows_against_drawn_softmax_rows(s, c, n):
    """And the leading exponential e^(c s^2)/n is told apart where it does not hold."""
    found, error = drawn(s, c, n)
    assert abs(found - joint_participation(s, c, n)) < 3.5 * error
    if s * s > np.log(n) / 2:
        assert abs(found - np.exp(c * s * s) / n) > 5 * error


def test_two_rows_of_two_tokens_in_one_integral():
    """n = 2: A_1 = logistic(x - x'), so Y12 = E[a b + (1-a)(1-b)] over two Gaussians of variance 2 s^2."""
    s, c = 1.5, 0.4
    z = np.linspace(-9, 9, 1001)
    weights = np.exp(-0.5 * z * z) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    a = 1 / (1 + np.exp(-np.sqrt(2) * s * z))
    b = 1 / (1 + np.exp(-np.sqrt(2) * s * (c * z[:, None] + np.sqrt(1 - c * c) * z)))
    value = np.einsum("i,j,ij->", weights, weights, a[:, None] * b + (1 - a[:, None]) * (1 - b))
    assert joint_participation(s, c, 2) == pytest.approx(value, rel=1e-12)


def test_limits():
    for n in (2, 64, 10**8):
        assert participation(1e-3, n) * n == pytest.approx(1 + 1e-6 * (1 - 1 / n), rel=1e-11)
        assert joint_participation(3.0, 0.0, n) == 1 / n
        assert participation(1e3, n) == pytest.approx(1, abs=0.03)
    for s in (0.3, 0.5):
        for n in (64, 10**6):
            assert participation(s, n) == pytest.approx(np.exp(s * s) / n, rel=0.02)
    assert participation(2 * np.sqrt(np.log(1e8)), 1e8) == pytest.approx(0.353, abs=6e-4)


def test_the_series_meets_the_integrals():
    """At s^2 = 0.01 the neglected s^6 is 1e-6; a tenth of the s^4 term would be seen."""
    n, v, c = 16, 1e-2, 0.3
    seen = 1 - 1 / n
    short = 1 + seen * c * v + v * v * (c * c * (seen**2 - seen / n) / 2 - 2 * c * seen / n)
    assert n * joint_participation(0.1, c, n) == pytest.approx(short, abs=3e-7)
    assert abs(n * joint_participation(0.1, c, n) - short) < abs(2 * c * seen / n * v * v) / 2


def test_the_difference_keeps_its_digits():
    for v in (1e-3, 1e-6, 1e-9):
        gap = overlaps(v, 0.25, 8)[2]
        assert gap == pytest.approx(0.75 * v * (1 - 1 / 8) / 8, rel=2 * v + 1e-10)
        assert overlaps(v, 0.25, 8, "annealed")[2] == pytest.approx(0.75 * v / 8, rel=2 * v)


def test_regimes():
    v, c = np.array([0.0, 4.0, 64.0]), np.array([1.0, 0.5, 0.1])
    n = 1024
    for found in overlaps(v, c, n, "uniform")[:2]:
        assert (found == 1 / n).all()
    assert overlaps(v, c, n, "annealed")[0] == pytest.approx(np.exp(v) / n)
    rem = overlaps(v, c, n, "rem")
    assert rem[0] == pytest.approx([0, 0, 1 - np.sqrt(2 * np.log(n) / 64)]) and (rem[1] == 0).all()
    same, other, gap = overlaps(v, c, n)
    assert same - other == pytest.approx(gap, abs=1e-15) and same[0] == pytest.approx(1 / n)
    assert same[1:] == pytest.approx([TABLE[2][2], TABLE[8][2]], abs=6e-6)


def test_a_table_of_the_exact_regime():
    """Between its nodes, against the integrals; the differences too."""
    rng = np.random.default_rng(1)
    v, c = rng.uniform(0.01, 4, 12), rng.uniform(-1 / 31, 1, 12)
    table = Interpolant(32, 4.0, (16, 12))
    for found, wanted in zip(table(v, c, 32), overlaps(v, c, 32), strict=True):
        assert found == pytest.approx(wanted, rel=2e-5)
    with pytest.raises(ValueError, match="score variances up to 4"):
        table(np.array([4.1]), np.array([0.0]), 32)


def test_tails_of_many_tokens_are_counted():
    """10^8 tokens: rows are read through scores 6 deviations out, and the sums over the shared one reach as far."""
    fine = 529.2721631423101  # in units of 1/n, with a quarter of the step
    assert 1e8 * joint_participation(3.0, 0.7, 10**8) == pytest.approx(fine, rel=1e-12)


@pytest.mark.parametrize(("s", "n"), [(0.5, 2), (1.0, 32), (2.0, 200)])
def test_the_first_moment_of_the_participation_of_independent_scores_is_the_same_number(s: float, n: int) -> None:
    """By the integrals of attention with finitely many heads, which share no line."""
    (found, *_), _ = participation_moments(n, s * s, 2)
    assert found == pytest.approx(participation(s, n), rel=1e-12, abs=0)
    assert found != pytest.approx(participation(s * 1.001, n), rel=1e-6, abs=0)
