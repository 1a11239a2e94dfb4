"""The atoms of closed means: derivatives, limits and numbers against their definitions as integrals."""

import mpmath as mp
import pytest
from sympy import Expr, Rational, S, Symbol, oo

from symbolic.atoms import Arcsine, Area, Bvn, Gain, Orthant, Ramp, Tail
from symbolic.functions import Whole, elementary
from symbolic.gaussian import k, p, q

b, t, m = (Symbol(name, real=True) for name in "btm")
v, n, h = Symbol("v", positive=True), Symbol("n", positive=True), Symbol("h", real=True)
POINT = {p: Rational(13, 10), q: Rational(7, 10), k: Rational(-2, 5), b: Rational(3, 4), t: Rational(-1, 3)}
POINT |= {m: Rational(1, 5), v: Rational(9, 7), n: Rational(1, 3), h: Rational(2, 3)}
ATOMS = [Area(p, q, k), Orthant(p, q, k), Ramp(p, q, k), Arcsine(n, v), Tail(b, t, m, v), Tail(0, t, m, v)]
ATOMS += [Gain(b, t, m, v)]


@pytest.mark.parametrize("atom", ATOMS, ids=str)
def test_a_derivative_is_that_of_the_definition(atom: Expr) -> None:
    """In every argument, to 25 digits."""
    for s in atom.free_symbols:
        error = elementary(atom.diff(s)) - elementary(atom).diff(s)
        assert abs(error.subs(POINT).evalf(30, maxn=200)) < Rational(1, 10**25)


def test_the_bivariate_normal_is_differentiated_and_integrated() -> None:
    """Against differences of its own numbers, and those against a double integral."""
    r, args = Rational(2, 5), (POINT[h], POINT[t], Rational(2, 5))
    found = Bvn(*args).evalf(25)
    with mp.workdps(30):
        hh, kk, rr = (mp.mpf(a.p) / a.q for a in args)
        outer = mp.quad(lambda x: mp.npdf(x) * mp.ncdf((kk - rr * x) / mp.sqrt(1 - rr**2)), [-20, -5, hh])
        assert abs(mp.mpf(found) - outer) < mp.mpf(10) ** -22
    names = (h, t, n)
    for i, s in enumerate(names):
        slope = Bvn(*names).diff(s).subs(dict(zip(names, args, strict=True))).evalf(20)
        step = Rational(1, 10**8)
        ends = [Bvn(*(a + d * step * int(j == i) for j, a in enumerate(args))).evalf(30) for d in (1, -1)]
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-12), (s, r)


@pytest.mark.parametrize(("atom", "value"), [
    (Area(q, q, q), 0), (Area(p, q, S.Zero), p * q), (Area(2, 3, 1), 5), (Orthant(q, q, q), Rational(1, 2)),
    (Ramp(q, q, q), q / 2), (Arcsine(S.Zero, v), 0), (Tail(b, oo, m, v), 0), (Tail(0, m, m, v), Rational(1, 2)),
    (Tail(0, -oo, m, v), 1), (Gain(0, t, m, v), 0),
    (Gain(b, oo, m, v), 0), (Bvn(oo, oo, n), 1), (Bvn(-oo, h, n), 0), (Bvn(0, 0, 0), Rational(1, 4)),
])  # fmt: skip
def test_limits_are_known(atom: Expr, value: Expr) -> None:
    """Where nothing is left to integrate."""
    assert atom == value


def test_atoms_stay_whole_and_a_wrong_one_would_be_seen() -> None:
    """Nothing is spelled out before it is shown; the derivative of a neighbour is not taken for the right one."""
    assert all(isinstance(atom, Whole) and not elementary(atom).has(Whole) for atom in ATOMS)
    error = elementary(Ramp(p, q, k).diff(p)) - elementary(Ramp(q, p, k)).diff(q) * 2
    assert abs(error.subs(POINT).evalf(30)) > Rational(1, 10)
