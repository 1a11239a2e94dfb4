"""Words about Gaussian variables against 60 digits, where naive shapes lose everything."""

import math

import mpmath as mp
import numpy as np
import pytest

from solvers import gaussmath


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def exact(*numbers: float) -> list[mp.mpf]:
    return [mp.mpf(float(x)) for x in numbers]


def test_the_area_keeps_its_digits_next_to_one(rng: np.random.Generator) -> None:
    """Within two ulps where p q - k k is rounding noise."""
    with mp.workdps(60):
        for delta in 10.0 ** rng.uniform(-15, 0, 200):
            p, q = 10.0 ** rng.uniform(-6, 6, 2)
            k = math.sqrt(p) * math.sqrt(q) * (1 - delta) * rng.choice([-1, 1])
            a, b, c = exact(p, q, k)
            wanted = max(a * b - c * c, mp.mpf(0))
            assert abs(gaussmath.area(p, q, k) - wanted) <= 4.5e-16 * wanted
    p, k = 0.7, 0.7 * (1 - 1e-15)
    assert abs(p * p - k * k - gaussmath.area(p, p, k)) > 0.01 * gaussmath.area(p, p, k)


def test_correlation_and_its_complement_agree(rng: np.random.Generator) -> None:
    """c^2 + s^2 = 1, s with all its digits, clamped beyond 1, (0, 1) with a constant."""
    with mp.workdps(60):
        for delta in 10.0 ** rng.uniform(-15, 0, 200):
            p, q = 10.0 ** rng.uniform(-6, 6, 2)
            k = math.sqrt(p) * math.sqrt(q) * (1 - delta)
            c, s = gaussmath.correlation(p, q, k)
            a, b, d = exact(p, q, k)
            wanted = mp.sqrt(max(a * b - d * d, mp.mpf(0)) / (a * b))
            assert abs(s - wanted) <= 1e-15 * wanted and abs(c - d / mp.sqrt(a * b)) <= 3e-16
    assert gaussmath.correlation(1.0, 1.0, 1.1) == (1.0, 0.0) and gaussmath.correlation(2.0, 2.0, -2.0) == (-1.0, 0.0)
    assert gaussmath.correlation(0.0, 1.0, 0.0) == (0.0, 1.0)
    assert all(math.isnan(x) for x in gaussmath.correlation(1.0, 1.0, math.nan))


@pytest.mark.parametrize("v", [1e-8, 0.3, 4.0, 1e6])
def test_tails_neither_overflow_nor_lose_their_digits(v: float) -> None:
    """E[exp(b x); x > t] also where exp(b^2 v/2) overflows."""
    with mp.workdps(60):
        for b in (-2.0, -1.0, 0.0, 1.0):
            for t in (-1.0, 0.0, 0.5):
                for m in (-3.0, 0.0, 2.0):
                    bb, tt, mm, vv = exact(b, t, m, v)
                    wanted = mp.exp(bb * mm + bb * bb * vv / 2) * mp.erfc((tt - mm - bb * vv) / mp.sqrt(2 * vv)) / 2
                    found = gaussmath.tail(b, t, m, v)
                    if wanted < mp.mpf(10) ** 300:
                        # a far tail is off by the rounding of its exponent
                        size = 1e-15 * (4 + abs(float(mp.log(wanted))) if wanted > 0 else 4)
                        assert abs(found - wanted) <= size * wanted + 1e-300, (b, t, m)


def test_gains_keep_the_digits_that_differences_of_tails_lose(rng: np.random.Generator) -> None:
    """E[exp(b x) - 1; x > t] at small b x, and where it switches to the difference."""
    worst = 0.0
    with mp.workdps(60):
        for _ in range(300):
            b, m = rng.uniform(-3, 3), rng.normal() * 10.0 ** rng.uniform(-8, 0)
            t, v = rng.choice([0.0, m, 2 * m]), 10.0 ** rng.uniform(-16, 1)
            bb, tt, mm, vv = exact(b, t, m, v)
            tails = [
                mp.exp(c * mm + c * c * vv / 2) * mp.erfc((tt - mm - c * vv) / mp.sqrt(2 * vv)) / 2
                for c in (bb, mp.mpf(0))
            ]
            wanted = tails[0] - tails[1]
            size = abs(b) * (abs(m) + math.sqrt(v)) * tails[1] + mp.mpf(10) ** -290
            # The exponents of a far tail and of a large mean are rounded.
            bound = 4e-15 * (1 + (t - m) ** 2 / (2 * v)) + 2.3e-16 * abs(b * m + b * b * v / 2)
            assert abs(gaussmath.gain(b, t, m, v) - wanted) <= bound * (size + abs(wanted))
            worst = max(worst, abs(gaussmath.tail(b, t, m, v) - gaussmath.tail(0.0, t, m, v) - wanted) / size)
    assert worst > 1e-10


def test_the_arcsine_is_told_by_its_complement() -> None:
    """asin(n/sqrt(n^2 + m)) next to pi/2, where n/sqrt(n^2 + m) rounds to 1."""
    with mp.workdps(60):
        for m in (1e-18, 1e-6, 0.5, 1e6):
            for n in (-2.0, 1e-5, 1.0):
                wanted = mp.atan2(mp.mpf(n), mp.sqrt(mp.mpf(m)))
                assert abs(gaussmath.arcsine(n, m) - wanted) <= 3e-16 * abs(wanted)
    assert math.asin(1.0 / math.sqrt(1.0 + 1e-18)) == math.pi / 2 != gaussmath.arcsine(1.0, 1e-14)
