"""Bounds on the errors of kernels: a rule for each layer, from bounds on what enters it to bounds on what leaves it.

Dense |dk'| <= w |dk|, |dt'| <= |dk'| + w |dt|;  phi |dk'| <= drift(phi), |dt'| <= D |dt| + |t| drift(phi'), D >= |E
phi'(u) phi'(v)|, drift by Cauchy-Schwarz in the Mehler series (solvers/drift.py), with what the computed means are off;
normalisation by s = sqrt(S_a S_b): |dk'| <= |dk|/s + |dS_a|/2 S_a + |dS_b|/2 S_b (|k'| <= 1); sums add, a scale a gives
a^2. Every layer adds its own rounding. Variances (points,) carry bounds of their own. Derived here, not read anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce, singledispatch

import numpy as np
import numpy.typing as npt

from meanfield.build import Array
from meanfield.gauges import Gauge, gauge, mean, pair_mean_errors
from solvers import drift, gram
from solvers.panels import REFUSED
from symbolic.landmarks import slope
from symbolic.limits import NoRule
from symbolic.limits.nngp import unrolled
from symbolic.networks import Chain, Dense, Dropout, Identity, Layer, LayerNorm, Pointwise, Repeat, RMSNorm, Scale, Sum

ROUNDING = 1e-15  # of the scale: what the few operations of a layer lose
FORMULA = 8e-15  # of sqrt(E f^2 E g^2): what the formula of a mean or its series loses


@dataclass(frozen=True)
class Points:
    """Second moment q, mean m and tangent t of each point with itself (t = 0 where nobody asks), each with how far it
    may be off."""

    q: Array
    q_off: Array
    m: Array
    m_off: Array
    t: Array
    t_off: Array


@dataclass(frozen=True)
class Pairs:
    """Points a and b; covariances k (n1, n2), None where they are not known, and how far they may be off; the largest
    |tangent| and how far it may be off, None for the NNGP alone."""

    a: Points
    b: Points
    k: Array | None
    off: Array
    t: Array | None
    t_off: Array | None

    @property
    def symmetric(self) -> bool:
        return self.a is self.b

    @property
    def scale(self) -> Array:
        """sqrt(p q) >= |k|."""
        return np.sqrt(self.a.q)[:, None] * np.sqrt(self.b.q)

    def behind(self, change: Callable[[Points], Points]) -> tuple[Points, Points]:
        a = change(self.a)
        return a, a if self.symmetric else change(self.b)

    def tangent(self, gain: Array | float, extra: Array | float = 0.0) -> tuple[Array | None, Array | None]:
        """Behind a layer that multiplies tangents by at most `gain`, and is off by `extra` of them."""
        if self.t is None or self.t_off is None:
            return None, None
        return gain * self.t, gain * (self.t_off + ROUNDING * self.t) + extra * self.t


Positions = npt.NDArray[np.intp]  # (entries, 2)
# How far E f(u) f(v), as it was computed, is off: of f, the state before, and sqrt(E f(u)^2 E f(v)^2).
Local = Callable[[Gauge, Pairs, Array], Array]


def formulas(f: Gauge, s: Pairs, scale: Array) -> Array:
    return FORMULA * scale


def integrals(f: Gauge, s: Pairs, scale: Array) -> Array:
    """All were integrated one by one."""
    if s.k is None:
        return REFUSED * scale
    out = FORMULA * scale
    wanted = np.tri(len(scale), k=-1, dtype=bool) if s.symmetric else np.ones(scale.shape, dtype=bool)
    out[wanted] += _integrated(f, s, np.argwhere(wanted))
    return out


def sums(at: Positions, refused: float) -> Local:
    """Those at the positions (entries, 2) were integrated, all others summed to `refused`."""

    def local(f: Gauge, s: Pairs, scale: Array) -> Array:
        out = (refused + FORMULA) * scale
        if len(at):
            some = at[:, 0], at[:, 1]
            out[some] += REFUSED * scale[some] if s.k is None else _integrated(f, s, at)
        return out

    return local


def nothing(f: Gauge, s: Pairs, scale: Array) -> Array:
    """Accounted for elsewhere."""
    return 0.0 * scale


def _integrated(f: Gauge, s: Pairs, at: Positions) -> Array:
    assert s.k is not None
    rows, columns = at.T
    p, q = s.a.q[rows], s.b.q[columns]
    most = np.sqrt(p) * np.sqrt(q)
    return pair_mean_errors(f.body, [p, q, np.clip(s.k[rows, columns], -most, most)])


@singledispatch
def behind(layer: Layer, s: Pairs, local: Local) -> Pairs:
    """Bounds on what leaves the layer."""
    known = ", ".join(sorted(c.__name__ for c in behind.registry if c is not object))
    raise NoRule(f"no bound is known on the error of a kernel behind {type(layer).__name__}; there are for {known}")


@behind.register
def _(layer: Identity, s: Pairs, local: Local) -> Pairs:
    return s


@behind.register
def _(layer: Dense, s: Pairs, local: Local) -> Pairs:
    w, b = float(layer.weight_var), float(layer.bias_var)

    def points(x: Points) -> Points:
        q, none = w * x.q + b, np.zeros_like(x.q)
        q_off, t = w * x.q_off + ROUNDING * q, q + w * x.t
        return Points(q, q_off, none, none, t, q_off + w * x.t_off + ROUNDING * t)

    x, y = s.behind(points)
    off = w * s.off + ROUNDING * (w * s.scale + b)
    t, t_off = s.tangent(w, 0.0)
    if t is not None and t_off is not None:
        t, t_off = w * s.scale + b + t, off + t_off + ROUNDING * (w * s.scale + b)
    return Pairs(x, y, None if s.k is None else w * s.k + b, off, t, t_off)


@behind.register
def _(layer: Pointwise, s: Pairs, local: Local) -> Pairs:
    f = gauge(layer.formula)
    moved, _, here = _means(f, s, local)
    a, b = s.behind(lambda x: _activated(f, x, tangents=s.t is not None and s.symmetric))
    if s.t is None:
        return Pairs(a, b, None, moved + here, None, None)
    moved_slope, gain, here_slope = _means(gauge(slope(layer.formula)), s, local)
    return Pairs(a, b, None, moved + here, *s.tangent(gain, moved_slope + here_slope))


def _means(f: Gauge, s: Pairs, local: Local) -> tuple[Array, Array, Array]:
    """How far E f(u) f(v) can move by what enters, the most that it can be, and how far it was computed."""
    a, b = ((side := f.side(s.a.q, s.a.q_off)), side if s.symmetric else f.side(s.b.q, s.b.q_off))
    k, (moved, size) = s.scale if s.k is None else s.k, np.zeros((2, *s.off.shape))

    def task(rows: tuple[int, int]) -> None:
        drift.pairs(rows, s.symmetric, k, s.off, a, b, f.jump, f.ceiling, moved, size)

    gram.in_threads(task, len(k), triangle=s.symmetric)
    return moved, size, local(f, s, a[2][:, -1:] * b[2][:, -1])


def _activated(f: Gauge, x: Points, *, tangents: bool) -> Points:
    """Points behind an activation, where their means are one-dimensional."""
    (q, q_lost), (m, m_lost) = mean(f.body**2, x.q), mean(f.body, x.q)
    q_moved, m_moved = drift.alone(f.side(x.q, x.q_off), f.ceiling)
    out = Points(q, q_moved + q_lost + ROUNDING * q, m, m_moved + m_lost, 0 * q, 0 * q)
    if not tangents:
        return out
    g = gauge(slope(f.body))
    gain, lost = mean(g.body**2, x.q)
    moved, _ = drift.alone(g.side(x.q, x.q_off), g.ceiling)
    t_off = (gain + moved) * x.t_off + x.t * (moved + lost + ROUNDING * gain)
    return replace(out, t=gain * x.t, t_off=t_off)


@behind.register
def _(layer: Dropout, s: Pairs, local: Local) -> Pairs:
    keep = float(layer.keep)

    def points(x: Points) -> Points:
        q_off, t_off = ((off + ROUNDING * y) / keep for y, off in ((x.q, x.q_off), (x.t, x.t_off)))
        return replace(x, q=x.q / keep, q_off=q_off, t=x.t / keep, t_off=t_off)

    a, b = s.behind(points)
    return replace(s, a=a, b=b)


@behind.register(LayerNorm)
@behind.register(RMSNorm)
def _(layer: LayerNorm | RMSNorm, s: Pairs, local: Local) -> Pairs:
    centred = isinstance(layer, LayerNorm)

    def variance(x: Points) -> tuple[Array, Array]:
        """What is divided by, from below, and how far it is off of that."""
        square, off = (x.m**2, 2 * np.abs(x.m) * x.m_off + x.m_off**2) if centred else (0 * x.q, 0 * x.q)
        off = x.q_off + off + ROUNDING * (x.q + square)
        least = x.q - square - off
        if (least <= 0).any():
            raise NoRule(f"no bound is known behind '{layer}': a variance that it divides by may be 0")
        return least, off / least

    def points(x: Points) -> Points:
        (least, off), one = variance(x), np.ones_like(x.q)
        m, m_off = (0 * one, 0 * one) if centred else (x.m / np.sqrt(x.q), (x.m_off / np.sqrt(least)) + off)
        return Points(one, 0 * one, m, m_off, x.t / least, (x.t_off + x.t * (off + ROUNDING)) / least)

    (p, p_off), (q, q_off) = variance(s.a), variance(s.b)
    root = np.sqrt(p)[:, None] * np.sqrt(q)
    both = 0.5 * (p_off[:, None] + q_off) + ROUNDING
    m, n, m_off, n_off = np.abs(s.a.m)[:, None], np.abs(s.b.m), s.a.m_off[:, None], s.b.m_off
    centre = (m * n_off + n * m_off + m_off * n_off + ROUNDING * (s.scale + m * n)) if centred else 0.0
    k = None if s.k is None else (s.k - centred * s.a.m[:, None] * s.b.m) / root
    return Pairs(*s.behind(points), k, (s.off + centre) / root + both, *s.tangent(1 / root, both / root))


@behind.register
def _(layer: Scale, s: Pairs, local: Local) -> Pairs:
    inner, factor = behind(layer.layer, s, local), float(layer.factor)
    square = factor * factor

    def points(x: Points) -> Points:
        q_off, t_off = (square * (off + ROUNDING * y) for y, off in ((x.q, x.q_off), (x.t, x.t_off)))
        m, m_off = factor * x.m, abs(factor) * (x.m_off + ROUNDING * np.abs(x.m))
        return Points(square * x.q, q_off, m, m_off, square * x.t, t_off)

    k, off = None if inner.k is None else square * inner.k, square * (inner.off + ROUNDING * inner.scale)
    return Pairs(*inner.behind(points), k, off, *inner.tangent(square))


@behind.register(Chain)
@behind.register(Repeat)
def _(layer: Chain | Repeat, s: Pairs, local: Local) -> Pairs:
    return reduce(lambda now, part: behind(part, now, local), unrolled(layer), s)


@behind.register
def _(layer: Sum, s: Pairs, local: Local) -> Pairs:
    return reduce(_added, (behind(branch, s, local) for branch in layer.branches))


def _added(one: Pairs, other: Pairs) -> Pairs:
    def points(x: Points, y: Points) -> Points:
        q, t = x.q + y.q, x.t + y.t
        q_off, t_off = x.q_off + y.q_off + ROUNDING * q, x.t_off + y.t_off + ROUNDING * t
        return Points(q, q_off, x.m + y.m, x.m_off + y.m_off + ROUNDING * np.abs(x.m), t, t_off)

    a = points(one.a, other.a)
    b = a if one.symmetric else points(one.b, other.b)
    off = one.off + other.off + ROUNDING * (one.scale + other.scale)
    k = None if one.k is None or other.k is None else one.k + other.k
    if one.t is None or other.t is None or one.t_off is None or other.t_off is None:
        return Pairs(a, b, k, off, None, None)
    t = one.t + other.t
    return Pairs(a, b, k, off, t, one.t_off + other.t_off + ROUNDING * t)
