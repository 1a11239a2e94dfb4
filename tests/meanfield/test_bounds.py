"""Bounds on the errors of kernels against recursions in 30 digits, for tanh in 19, that share nothing with the
library."""

import mpmath as mp
import numpy as np
import pytest

import meanfield as mf
from meanfield import bounds, interpolants, series
from meanfield.gauges import gauge
from solvers import chebyshev, drift
from symbolic.signals import NoRule

LONG = np.longdouble
DIGITS = pytest.mark.skipif(np.finfo(LONG).eps > 1.2e-19, reason="the oracle for tanh needs an 80-bit type")
BOTH = ("nngp", "ntk")
RNG = np.random.default_rng(5)
X = RNG.standard_normal((24, 6)) * np.exp(0.2 * RNG.standard_normal((24, 1)))
X[3], X[5], X[7] = X[2], 1.0001 * X[4], X[6] + 1e-6 * X[8]
PLACES = [(2, 1), (3, 2), (5, 4), (7, 6), (20, 11), (9, 9)]


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(30):
        yield


# -- what is true ---------------------------------------------------------------------------------------------------


def relu(p, q, k):
    c = k / mp.sqrt(p * q)
    away = mp.pi - (mp.acos(c) if c < 1 else 0)
    return (mp.sqrt(max(p * q - k * k, 0)) + away * k) / (2 * mp.pi), away / (2 * mp.pi)


def hard_tanh(p, q, k):
    """One variable by quadrature, the other in closed form: E f'(u) f'(v) = P(|u| < 1, |v| < 1)."""
    if p == q == k:
        tail = 1 - mp.ncdf(1 / mp.sqrt(p))
        inside = mp.quad(lambda u: u * u * mp.npdf(u / mp.sqrt(p)) / mp.sqrt(p), [-1, 0, 1])
        return inside + 2 * tail, 1 - 2 * tail
    rest = mp.sqrt(q - k * k / p)
    cdf = mp.ncdf

    def clipped(m):
        """E hard_tanh(m + rest w)."""
        low, high = (-1 - m) / rest, (1 - m) / rest
        return 1 - cdf(high) - cdf(low) + m * (cdf(high) - cdf(low)) + rest * (mp.npdf(low) - mp.npdf(high))

    def inside(m):
        return cdf((1 - m) / rest) - cdf((-1 - m) / rest)

    root = mp.sqrt(p)
    value = 2 * mp.quad(lambda u: min(u, 1) * clipped(k / p * u) * mp.npdf(u / root) / root, [0, 0.5, 1, 2, 4, 9, 20])
    return value, 2 * mp.quad(lambda u: inside(k / p * u) * mp.npdf(u / root) / root, [0, 0.25, 0.5, 0.75, 1])


def erf(p, q, k):
    both = (1 + 2 * p) * (1 + 2 * q)
    return 2 / mp.pi * mp.asin(2 * k / mp.sqrt(both)), 4 / mp.pi / mp.sqrt(both - 4 * k * k)


def gelu(p, q, k):
    h, square = 1 / (1 + p) + 1 / (1 + q) - 1, (1 + p) * (1 + q)
    d = square - k * k
    top, angle, root = p * q + k * k * h, mp.asin(k / mp.sqrt(square)), mp.sqrt(d)
    slope = angle + k * (1 + 2 * h) / root + top * k / (d * root)
    return k / 4 + (k * angle + top / root) / (2 * mp.pi), mp.mpf(1) / 4 + slope / (2 * mp.pi)


def tanh(p, q, k):
    """The trapezoid rule in the plane with 80-bit numbers: poles at distance pi/(2 sqrt p) make it exact to 1e-18."""
    p, q, k = (LONG(mp.nstr(x, 25)) for x in (p, q, k))
    step = LONG(1) / 24
    z = step * np.arange(-24 * 11, 24 * 11 + 1)
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    u, rest = np.sqrt(p) * z, np.sqrt(max(q - k * k / p, LONG(0)))
    f, v = np.tanh(u), np.tanh((k / np.sqrt(p) * z)[:, None] + rest * z)
    return tuple(
        mp.mpf(str((weight * a * (b * weight).sum(axis=1)).sum())) for a, b in ((f, v), (1 - f * f, 1 - v * v))
    )


MEANS = {"relu": relu, "erf": erf, "gelu": gelu, "tanh": tanh, "hard_tanh": hard_tanh}


def truth(means, x, y, blocks):
    """NNGP and NTK of two points, behind Dense(1, 0) and blocks (shortcut, branch, w, b, keep, normed): x' = shortcut x
    + branch Dense(dropout(phi(x))), then LayerNorm if normed. Of a point with itself where x is y and nothing drops."""
    x, y = ([mp.mpf(float(v)) for v in row] for row in (x, y))
    p, q, k = (mp.fdot(a, b) / len(a) for a, b in ((x, x), (y, y), (x, y)))
    t = k
    for shortcut, branch, w, b, keep, normed in blocks:
        value, slope = means(p, q, k)
        t = shortcut**2 * t + branch**2 * (w * (value + slope * t) + b)
        own = [means(s, s, s)[0] / keep for s in (p, q)]
        p, q, k = (shortcut**2 * s + branch**2 * (w * f + b) for s, f in zip((p, q, k), (*own, value), strict=True))
        if normed:
            t, k, p, q = t / mp.sqrt(p * q), k / mp.sqrt(p * q), mp.mpf(1), mp.mpf(1)
    return k, t


def plain(name, w, b, depth):
    """A network and what `truth` needs of it; numbers are meant as the decimals that were written."""
    net = mf.Dense(1, 0) >> (mf.activation(name) >> mf.Dense(w, b)) ** depth
    return net, MEANS[name], [(0, 1, mp.mpf(str(w)), mp.mpf(str(b)), 1, False)] * depth


def residual(name, depth):
    net = mf.Dense(1, 0) >> (mf.Identity() + 0.5 * (mf.activation(name) >> mf.Dense(2, 0.25))) ** depth
    return net, MEANS[name], [(1, mp.mpf("0.5"), 2, mp.mpf("0.25"), 1, False)] * depth


def normed(name, depth):
    net = mf.Dense(1, 0) >> (mf.activation(name) >> mf.Dropout(0.5) >> mf.Dense(2, 0.25) >> mf.LayerNorm()) ** depth
    return net, MEANS[name], [(0, 1, 2, mp.mpf("0.25"), mp.mpf("0.5"), True)] * depth


def off_and_bound(case, places, x=X):
    """True errors and their bounds over the scale sqrt(K_ii K_jj), each (kernels, places)."""
    net, means, blocks = case
    found = mf.kernel(net, x, get=BOTH, error=True)
    off = np.empty((2, 2, len(places)))
    for n, (i, j) in enumerate(places):
        for m, ((kernel, bound), exact) in enumerate(zip(found, truth(means, x[i], x[j], blocks), strict=True)):
            scale = np.sqrt(kernel[i, i] * kernel[j, j])
            off[:, m, n] = abs(float(mp.mpf(float(kernel[i, j])) - exact)) / scale, bound[i, j] / scale
    return off


FEW = [4, 5, 11, 20]  # points whose integrals are evaluated one by one
APART = slice(8, None)
# case, rows, places, the largest bound of the NNGP and of the NTK over sqrt(K_ii K_jj): the latter is Hoelder 1/2 for
# kinks between nearly equal points
CASES = {
    "relu": (plain("relu", 2, 0.1, 20), None, PLACES, 2e-12, 1e-5),
    "relu, apart": (plain("relu", 2, 0, 20), APART, [(12, 3), (5, 1), (4, 4)], 1e-12, 5e-12),
    "erf": (plain("erf", 1.2, 0.1, 20), None, PLACES, 2e-13, 1e-12),
    "gelu": (plain("gelu", 1.9, 0.1, 10), None, PLACES, 1e-12, 2e-12),
    "erf, chaotic": (plain("erf", 9, 0.1, 20), None, PLACES, 2e-7, 1e-6),
    "tanh": (plain("tanh", 1.2, 0.05, 20), APART, [(12, 3), (4, 4)], 2e-12, 2e-12),
    "tanh, chaotic": (plain("tanh", 9, 0.05, 6), FEW, [(1, 0), (3, 2)], 1e-9, 1e-9),
    "hard tanh": (plain("hard_tanh", 1.5, 0.05, 1), FEW, [(2, 0), (3, 2)], 1e-13, 1e-12),
    "residual": (residual("relu", 3), None, PLACES, 1e-13, 1e-6),
    "residual tanh": (residual("tanh", 2), APART, [(12, 3), (5, 1)], 1e-12, 1e-12),
    "layer norm, dropout": (normed("relu", 3), None, PLACES[:-1], 1e-12, 1e-6),
}


@DIGITS
@pytest.mark.parametrize("name", CASES)
def test_errors_stay_below_bounds_that_are_worth_having(name):
    case, rows, places, *most = CASES[name]
    off, bound = off_and_bound(case, places, X if rows is None else X[rows])
    assert (off <= bound).all()
    assert (bound.max(axis=1) <= most).all()


def test_a_bound_without_what_layers_make_of_errors_is_broken_in_chaos(monkeypatch):
    monkeypatch.setattr(bounds.drift, "pairs", lambda *a: a[-1].fill(1.0))
    off, bound = off_and_bound(CASES["erf, chaotic"][0], [(5, 4), (7, 6)])
    assert (off[0] > 10 * bound[0]).all()


def test_the_eleventh_digit_of_a_weight_variance_would_be_noticed():
    (net, means, blocks), places = CASES["erf"][0], [(20, 11)]
    off, bound = off_and_bound(
        (net, means, [(0, 1, w + mp.mpf("1e-11"), b, *rest) for _, _, w, b, *rest in blocks]), places
    )
    assert (off > bound).all()


@DIGITS
def test_spoilt_coefficients_that_nobody_declares_break_the_bound(monkeypatch):
    points = series.series.points

    def spoilt(*args):
        found = points(*args)
        return series.series.Points(found.coefficients * (1 + 1e-9), found.tails, found.error)

    case, places = plain("tanh", 1.2, 0.05, 2), [(12, 3)]
    off, bound = off_and_bound(case, places, X[APART])
    assert (off <= bound).all()
    monkeypatch.setattr(series.series, "points", spoilt)
    off, bound = off_and_bound(case, places, X[APART])
    assert (off > bound).all()


@DIGITS
def test_a_coarse_interpolant_is_worse_and_says_so(monkeypatch):
    monkeypatch.setattr(series, "advanced", lambda *a, **o: None)
    case, places = plain("tanh", 1.2, 0.05, 2), [(12, 3), (5, 1)]
    x = X[APART] / np.sqrt((X[APART] ** 2).mean(axis=1, keepdims=True))
    fine, tight = off_and_bound(case, places, x)
    monkeypatch.setattr(chebyshev, "RESOLVED", 1e-4)
    monkeypatch.setattr(interpolants, "TRUSTED", 1.0)
    coarse, wide = off_and_bound(case, places, x)
    assert (fine <= tight).all() and (coarse <= wide).all()
    assert coarse.max() > 1e3 * fine.max() and (wide > 1e3 * tight).all()


# -- how far a mean can move ----------------------------------------------------------------------------------------

FUNCTIONS = ("relu", "tanh", "step", "hard_tanh", "1 - tanh(x)**2", "gelu", "sign(x - 1/2)", "exp(x/2)")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", [1e-3, 1e-7])
def test_means_move_no_further_than_their_drift(name, size):
    """And not much less: the largest of many moves is a tenth of it or more at small correlations of smooth f."""
    rng, n, dual = np.random.default_rng(3), 300, mf.dual(name)
    f = gauge(mf.activation(name).formula)
    p, q = np.exp(rng.uniform(-1.5, 1.5, (2, n)))
    c = np.concatenate((rng.uniform(-1, 1, n // 2), 1 - 10.0 ** rng.uniform(-9, 0, n - n // 2)))
    there = [x * (1 + size * rng.choice([-1, 1], n)) for x in (p, q)]
    moved_c = np.clip(c + size * rng.choice([-1, 1], n), -1, 1)
    k = c * np.sqrt(p * q)
    k_there = moved_c * np.sqrt(there[0] * there[1])
    value = dual(p, q, k) - dual(*there, np.clip(k_there, -np.sqrt(there[0] * there[1]), np.sqrt(there[0] * there[1])))
    sides = [f.side(x, abs(x - y)) for x, y in zip((p, q), there, strict=True)]
    moved, most = np.zeros((2, n, n))
    off = np.broadcast_to(abs(k - k_there), (n, n)).copy()
    drift.pairs((0, n), False, np.broadcast_to(k, (n, n)).copy(), off, *sides, f.jump, f.ceiling, moved, most)
    assert (abs(value) <= moved.diagonal() + 1e-14).all()
    assert (abs(dual(p, q, k)) <= most.diagonal() * (1 + 1e-12)).all()
    assert (abs(value) > 0.05 * moved.diagonal()).any()


def test_norms_are_those_of_formulas():
    p = np.exp(np.linspace(-4, 4, 60))
    found = gauge(mf.relu.formula).side(p, 0 * p)
    np.testing.assert_allclose(found[2][:, -1], np.sqrt(p / 2), rtol=0.02)
    orthant = np.sqrt(p[:, None] * (0.25 + np.arcsin(drift.GRID) / (2 * np.pi)))
    assert (found[3] >= orthant).all() and (found[3] <= 1.1 * orthant).all()


# -- the face -------------------------------------------------------------------------------------------------------


def test_kernels_with_bounds_are_those_without():
    for name in ("relu", "tanh"):
        net = plain(name, 1.2, 0.05, 2)[0]
        for x2 in (None, X[:7]):
            for (one, bound), other in zip(
                mf.kernel(net, X[8:], x2, get=BOTH, error=True), mf.kernel(net, X[8:], x2, get=BOTH), strict=True
            ):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-14 * abs(other).max())  # BLAS may sum otherwise
                assert bound.shape == one.shape and (bound > 0).all()
                assert x2 is not None or np.array_equal(bound, bound.T)
    single, bound = mf.kernel(net, X[:1], error=True)
    assert single.shape == bound.shape == (1, 1)


def test_rounding_to_single_precision_is_counted():
    net = plain("relu", 2, 0.1, 3)[0]
    exact = mf.kernel(net, X)
    kernel, bound = mf.kernel(net, X, dtype=np.float32, error=True)
    assert kernel.dtype == bound.dtype == np.float32
    off = abs(kernel.astype(np.float64) - exact)
    assert (off <= bound).all() and bound.max() < 1e-6 and off.max() > 1e-8


def test_rows_of_zeros_have_bounds():
    kernel, bound = mf.kernel(plain("relu", 2, 0, 2)[0], np.vstack([X[:3], 0 * X[:1]]), get="ntk", error=True)
    assert (kernel[3] == 0).all() and (bound[3] < 1e-12).all()


REFUSED = {
    "a store": (plain("relu", 2, 0, 1)[0], {"out": "kernel.zarr"}, ValueError, "in memory alone"),
    "workers": (plain("relu", 2, 0, 1)[0], {"client": object()}, ValueError, "in memory alone"),
    "infinite slopes": (mf.Dense(1, 0) >> mf.activation("sqrt(abs(x))") >> mf.Dense(1, 0), {}, NoRule, "infinite"),
    "an unbounded jump": (
        mf.Dense(1, 0) >> mf.activation("x**2*Heaviside(x - 1)") >> mf.Dense(1, 0), {}, NoRule, "jumps away from 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_bounded_is_refused(name):
    net, options, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        mf.kernel(net, X[:3], error=True, **options)


def test_pictures_are_refused():
    with pytest.raises(NoRule, match="pairs of positions"):
        mf.kernel(
            mf.Conv(3, weight_var=1, bias_var=0) >> mf.relu >> mf.GlobalAvgPool(), np.ones((2, 4, 4, 1)), error=True
        )


def test_a_layer_without_a_rule_is_refused():
    with pytest.raises(NoRule, match="Dense, Dropout"):
        bounds.behind(mf.GlobalAvgPool(), None, bounds.nothing)
