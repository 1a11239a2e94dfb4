"""Sums over the Fourier modes that a Spectral layer keeps, with N points, a lag r and a mode k as symbols.

(S x)_r = (1/N) sum_k s_k e^(2 pi i k r/N) xhat_k over |k| <= K - 1, xhat_k = sum_m e^(-2 pi i k m/N) x_m, s_k the
variance of mode k as a map of real functions: that of the weights, half of it at k = 0 and Nyquist where those are
complex. The modes N/2 and -N/2 are one, so the sum ends at the smaller of K - 1 and (N - 1)//2. With one variance S
is the convolution with weight_var D_K, D_K(r) = sin((2K - 1) pi r/N)/(N sin(pi r/N)). Derived here, checked by
simulation; on several axes N, K, k, r are multi-indices: k r/N = sum_i k_i r_i/N_i, 1/N = 1/(N_1 ... N_d).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sympy import (
    Abs,
    Eq,
    Expr,
    I,
    IndexedBase,
    Integer,
    KroneckerDelta,
    Max,
    Min,
    Mod,
    Or,
    Piecewise,
    Rational,
    S,
    Sum,
    Symbol,
    cos,
    exp,
    floor,
    pi,
    piecewise_fold,
    sin,
)

from symbolic.fourier import Spectral
from symbolic.networks import quantity
from symbolic.signals import NoRule

N, MODES = Symbol("N", positive=True, integer=True), Symbol("K", positive=True, integer=True)
LAG, POINT, MODE = Symbol("r", integer=True), Symbol("m", integer=True), Symbol("k", integer=True)
SHARE = IndexedBase("s", nonnegative=True)


@dataclass(frozen=True)
class Modes:
    """What is kept of a spectrum: K, the variance s_k of the mode k, s_0 of the mean, `top` the largest of them.

    Where all kept modes have one variance s_k is that, else a symbol s[k]: its `law` in k, None on several axes, where
    sums run over all modes, those not kept with s[k] = 0.
    """

    K: Expr
    s_k: Expr
    s_0: Expr
    top: Expr
    law: Expr | None = None

    @property
    def uniform(self) -> bool:
        """Have all kept modes one variance?"""
        return self.s_k != SHARE[MODE]

    @property
    def limits(self) -> tuple[Symbol, Expr, Expr]:
        """The modes of the two-sided sum."""
        if not self.uniform and self.law is None:
            return MODE, S.Zero, N - 1
        return MODE, 1 - self.K, Min(self.K - 1, floor((N - 1) / 2)) if self.K != 1 else S.Zero

    def filtered(self, hat: Expr) -> Expr:
        """(S x)_r of a spectrum xhat_k given as an expression in k."""
        return self._summed(exp(2 * pi * I * MODE * LAG / N) * hat, self.limits)

    def one_sided(self, hat: Expr) -> Expr:
        """The same of an even xhat on one axis: cosines of k = 0 .. K - 1, those that stand for +-k counted twice."""
        if self.K == MODES:
            raise NoRule("a one-sided sum stands for modes of one axis: read the two-sided `covariance` on several")
        # Piecewise inside a sum would be drawn out of it by SymPy
        count = 2 - KroneckerDelta(MODE, 0) - KroneckerDelta(2 * MODE, N)
        return self._summed(count * cos(2 * pi * MODE * LAG / N) * hat, (MODE, 0, self.K - 1))

    def kernel(self) -> Expr:
        """S_r, with which S convolves; on several axes D_K is the product over them."""
        return self.s_k * dirichlet(self.K, LAG) if self.uniform else self.filtered(S.One)

    def _summed(self, term: Expr, limits: tuple[Symbol, Expr, Expr]) -> Expr:
        return self.s_k * Sum(term, limits) / N if self.uniform else Sum(self.s_k * term, limits) / N


def transformed(values: Expr) -> Sum:
    """xhat_k of values x_r given as an expression in r."""
    return Sum(exp(-2 * pi * I * MODE * POINT / N) * values.subs(LAG, POINT), (POINT, 0, N - 1))


def dirichlet(K: Expr, lag: Expr) -> Expr:
    """D_K(r) = (1/N) sum over |k| <= K - 1 of e^(2 pi i k r/N); Kronecker's delta where an even N keeps all modes.

    >>> dirichlet(Integer(3), Integer(0)).subs(N, 16)
    5/16
    """
    here, all_kept = Eq(Mod(lag, N), 0), Eq(2 * K - 2, N)
    rest = sin((2 * K - 1) * pi * lag / N) / (N * sin(pi * lag / N))
    whole = Piecewise((1, here), (0, True))
    return Piecewise((whole, all_kept), ((2 * K - 1) / N, here), (rest, True))


def kept_modes(layer: Spectral) -> Modes:
    """The modes of a Spectral layer; ValueError for a spectrum that has not a number for each kept mode of one axis.

    `top` is the largest s_k of a grid whose Nyquist modes are dropped: kept complex ones have half.

    >>> kept_modes(Spectral(4, dc="complex")).s_0
    weight_var/2
    """
    sizes = layer.modes if isinstance(layer.modes, tuple) else (layer.modes,)
    K: Expr = Integer(sizes[0]) if len(sizes) == 1 else MODES
    w, real = layer.weight_var, layer.dc == "real"
    if layer.spectrum is None and real and not (layer.half_open and len(sizes) > 1):
        return Modes(K, w, w, w)
    given = layer.spectrum
    if given is not None and len(sizes) == 1 and (len(given) != sizes[0] or isinstance(given[0], tuple)):
        raise ValueError(
            f"spectrum of '{layer}' must have a number for each |k| that is kept, {sizes[0]} of them, not {given}"
        )
    shares = [(0, S.One), (min(sizes[-1] - 1, 1), S.One)] if given is None else list(_leaves(given))
    half = S.One if real else Rational(1, 2)
    top = Max(*(share if last else share * half for last, share in shares))
    return Modes(K, SHARE[MODE], w * shares[0][1] * half, w * top, _variance(layer) if len(sizes) == 1 else None)


def _variance(layer: Spectral) -> Expr:
    """s_k of a kept mode on one axis."""
    shares = S.One
    if layer.spectrum is not None:
        *others, last = [(share, Eq(Abs(MODE), n)) for n, share in _leaves(layer.spectrum)]
        shares = Piecewise(*others, (last[0], True))
    if layer.dc == "complex":
        shares = piecewise_fold(shares * Piecewise((Rational(1, 2), Or(Eq(MODE, 0), Eq(2 * Abs(MODE), N))), (1, True)))
    return layer.weight_var * shares


def _leaves(nested: Any) -> Iterator[tuple[int, Expr]]:
    """The shares in a nested spectrum, each with its |k| on the last axis, that of k = 0 first."""
    for last, part in enumerate(nested):
        if isinstance(part, tuple):
            yield from _leaves(part)
        else:
            yield last, quantity("an entry of spectrum", part, low=0)
