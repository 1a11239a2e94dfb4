"""A formula is compared with quadrature before it is shown, and a wrong one never is."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import mpmath
import pytest
from sympy import DiracDelta, Expr, Integer, Max, Rational, Symbol, asin, erf, exp, pi, sin, sqrt, tanh

import symbolic.closing as closing
import symbolic.proof as proof
from symbolic.closing import close, formula, prove
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.proof import Disproved, check

a, b = Symbol("a", positive=True), Symbol("b", real=True)
TRUE: list[tuple[Expr, Expr]] = [
    (PairMean(X, X, p, q, k), k), (PairMean(X**2, X**2, p, q, k), p * q + 2 * k**2),
    (PairMean(erf(X), erf(X), p, q, k), 2 * asin(2 * k / sqrt((1 + 2 * p) * (1 + 2 * q))) / pi),
    (PairMean(X, X**3, p, q, k), 3 * k * q), (PairMean(exp(b * X), X, p, q, k), k * b * exp(b**2 * p / 2)),
    (PairMean(DiracDelta(X), DiracDelta(X), p, q, k), 1 / (2 * pi * sqrt(p * q - k**2))),
    (Mean(Max(X, 0) ** 2, q), q / 2), (Mean(sin(a * X) ** 2, q), (1 - exp(-2 * a**2 * q)) / 2),
    (Mean(X * DiracDelta(X - 1), q), exp(-1 / (2 * q)) / sqrt(2 * pi * q)),
]  # fmt: skip


@pytest.mark.parametrize(("mean", "value"), TRUE, ids=[str(m) for m, _ in TRUE])
def test_a_true_formula_is_proved_and_its_neighbours_are_not(mean: Expr, value: Expr) -> None:
    """One part in 10^20 is seen, and so are a lost term and swapped variances."""
    assert check(mean, value)
    twins = [value * (1 + Rational(1, 10**20)), value + Rational(1, 10**12), -value]
    twins += [value.subs(q, 2 * q)] if value.has(q) else []
    for twin in twins:
        with pytest.raises(Disproved, match=r"is .*, not "):
            check(mean, twin)


def test_what_quadrature_cannot_settle_is_not_proved() -> None:
    """A rapid oscillation: neither proved nor disproved, so never shown."""
    assert not check(Mean(sin(4000 * X) ** 2 * tanh(X) ** 2, q), Rational(1, 3))


def test_a_wrong_derivation_raises_instead_of_returning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the engine wrong, `formula` and `prove` would say so."""
    mean = Mean((X + 1) ** 2 * exp(-(X**2) / 7), q)
    right = close(mean)
    for cached in (closing._derived, closing._proved, closing._shown):
        cached.cache_clear()
    monkeypatch.setattr(closing, "line_mean", lambda *args: right * Rational(1000001, 1000000))
    for ask in (formula, lambda e: prove([e])):
        with pytest.raises(Disproved):
            ask(mean)
    monkeypatch.undo()
    for cached in (closing._derived, closing._proved, closing._shown):
        cached.cache_clear()
    assert formula(mean) != mean


def test_a_disproof_is_no_users_error() -> None:
    """It cannot be caught as bad input."""
    assert not issubclass(Disproved, ValueError | ArithmeticError | TypeError)


def test_proofs_in_two_threads_do_not_share_their_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """mpmath has one working precision for all threads: a proof must not lose its digits to another that ends."""
    seen = []

    def slow(*args: object) -> tuple[mpmath.mpf, mpmath.mpf]:
        sleep(0.01 * len(seen))
        seen.append(mpmath.mp.dps)
        return mpmath.mpf(1), mpmath.mpf(1)

    monkeypatch.setattr(proof, "_mean", slow)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda n: check(Mean(n * X, q), Integer(1)), range(8)))
    assert set(seen) == {proof.DIGITS + proof.GUARD}
