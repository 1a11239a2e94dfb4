"""Error bounds of formulas: they hold against 50 digits, are not much larger than needed, and notice cancellation."""

import mpmath as mp
import numpy as np
import pytest

from solvers.rounding import WORDS, Rounded, bounds

RNG = np.random.default_rng(5)
X = np.concatenate([RNG.uniform(-3, 3, 40), [0.0, 1e-9, -1e-9, 1.0, -1.0]])


def mp_tail(b: mp.mpf, t: mp.mpf, m: mp.mpf, v: mp.mpf) -> mp.mpf:
    return mp.exp(b * m + b * b * v / 2) * mp.erfc((t - m - b * v) / mp.sqrt(2 * v)) / 2


ONE = {
    "exp": mp.exp, "expm1": mp.expm1, "sin": mp.sin, "cos": mp.cos, "tanh": mp.tanh, "atan": mp.atan, "sinh": mp.sinh,
    "cosh": mp.cosh, "erf": mp.erf, "erfc": mp.erfc, "asin": mp.asin, "acos": mp.acos, "sqrt": mp.sqrt, "log": mp.log,
}  # fmt: skip
TWO = {
    "atan2": mp.atan2,
    "arcsine": lambda n, m: mp.atan2(n, mp.sqrt(m)),
    "exp_sinh": lambda a, b: mp.exp(a) * mp.sinh(b),
    "exp_cosh": lambda a, b: mp.exp(a) * mp.cosh(b),
}


def covered(result: Rounded, exact: list[mp.mpf], slack: float) -> None:
    """Every error is within its bound, and no bound is larger than slack."""
    for value, error, wanted in zip(result.value, result.error, exact, strict=True):
        assert abs(mp.mpf(float(value)) - wanted) <= error
        assert error <= slack * max(1.0, abs(float(wanted)))


@pytest.mark.parametrize("spread", [0.0, 1e-12])
@pytest.mark.parametrize("name", ONE)
def test_a_word_covers_its_rounding_and_the_error_of_its_argument(name: str, spread: float) -> None:
    """Also for an argument that is off by all of its error."""
    domain = {"asin": np.clip(X, -1, 1), "acos": np.clip(X, -1, 1), "sqrt": np.abs(X), "log": np.abs(X) + 0.1}
    x = domain.get(name, X)
    shift = spread if name not in {"asin", "acos"} else -spread * np.sign(x)
    if name == "sqrt":
        shift = spread
    result = WORDS[name](Rounded(x, np.full_like(x, spread)))
    with mp.workdps(50):
        exact = [ONE[name](mp.mpf(float(a)) + mp.mpf(float(b))) for a, b in np.broadcast(x, shift)]
        covered(result, exact, 2e-15 + 3 * np.sqrt(spread))


@pytest.mark.parametrize("name", TWO)
def test_a_word_of_two_arguments(name: str) -> None:
    """Random arguments, both signs."""
    a, b = RNG.uniform(-2, 2, 50), RNG.uniform(0.01, 3, 50)
    result = WORDS[name](Rounded(a, 0 * a), Rounded(b, 0 * b))
    with mp.workdps(50):
        covered(result, [TWO[name](mp.mpf(float(x)), mp.mpf(float(y))) for x, y in zip(a, b, strict=True)], 2e-14)


def test_tails_and_gaussian_words() -> None:
    """E[exp(b x); x > t] on both sides of its switch; pq - k^2 and the orthants next to correlation +-1."""
    b, t, m, v = (RNG.uniform(low, high, 60) for low, high in ((-2, 2), (-4, 4), (-2, 2), (0.05, 4)))
    result = WORDS["tail"](*(Rounded(x, 0 * x) for x in (b, t, m, v)))
    with mp.workdps(50):
        covered(result, [mp_tail(*(mp.mpf(float(y)) for y in row)) for row in zip(b, t, m, v, strict=True)], 1e-13)
        q = 10.0 ** RNG.uniform(-3, 3, 60)
        k = q * np.where(RNG.random(60) < 0.5, 1, -1) * (1 - 10.0 ** RNG.uniform(-15, -1, 60))
        exact = [mp.mpf(float(a)) ** 2 - mp.mpf(float(c)) ** 2 for a, c in zip(q, k, strict=True)]
        area = WORDS["area"](*(Rounded(x, 0 * x) for x in (q, q, k)))
        assert all(
            abs(mp.mpf(float(x)) - y) <= e <= 1e-15 * y for x, e, y in zip(area.value, area.error, exact, strict=True)
        )
        angle = [mp.acos(mp.mpf(float(-c)) / mp.mpf(float(a))) for a, c in zip(q, k, strict=True)]
        covered(WORDS["orthant"](*(Rounded(x, 0 * x) for x in (q, q, k))), [x / (2 * mp.pi) for x in angle], 1e-15)


def test_a_text_is_bounded_and_cancellation_is_seen() -> None:
    """(1 + x) - 1 loses what it says it loses; the same in other words does not."""
    x = np.array([1e-10, 3e-5, 0.7])
    ((value, error),) = bounds("def f(x):\n    return ((1.0 + x) - 1.0,)".replace("- 1.0", "+ (-1.0)"), "f", [x])
    assert (np.abs(value - x) <= error).all() and error[0] > 5e-8 * x[0]
    ((value, error),) = bounds("def f(x):\n    v0 = x*3.0\n    return (v0/3.0,)", "f", [x])
    assert (np.abs(value - x) <= error).all() and (error <= 1e-15 * x).all()


def test_sums_of_exact_numbers_are_exact_and_constants_are_not() -> None:
    """1/2 is meant exactly, 1/10 is not; a bound of zero would be wrong for pi."""
    ((_, half),) = bounds("def f(x):\n    return (x*0.5,)", "f", [np.array([3.0])])
    ((_, tenth),) = bounds("def f(x):\n    return (x*0.1,)", "f", [np.array([3.0])])
    assert half[0] / 1.5 < 0.6 * tenth[0] / 0.3 and tenth[0] > 3e-17


def test_division_by_what_may_be_zero_has_no_bound() -> None:
    """An infinite bound, not a small one."""
    ((_, error),) = bounds("def f(x):\n    v0 = (1.0 + x) + (-1.0)\n    return (1.0/v0,)", "f", [np.array([1e-17])])
    assert error[0] == np.inf or np.isnan(error[0])
