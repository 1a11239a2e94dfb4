"""Means without a formula as calls of quadrature words on helper functions.

The helper f0, f1, ... of an integrand comes with its landmarks, and with its rates where it grows or oscillates. Where
E g(m + s w) over one Gaussian w has a formula, it becomes a helper h0, h1, ... of (m, s), with the size of its terms,
and one dimension is left to integrate.
"""

from collections.abc import Callable
from functools import lru_cache
from math import isfinite

import sympy as sp
from sympy import Expr, Symbol

from symbolic.atoms import Bvn, Gain, Tail
from symbolic.functions import X
from symbolic.gaussian import Mean, PairMean
from symbolic.growth import growth, wave
from symbolic.landmarks import landmarks
from symbolic.line import line_mean
from symbolic.real import real
from symbolic.terms import Open

M, SPREAD = Symbol("m", real=True), Symbol("s", positive=True)
CALM = (0.0, 0.0, 0.0)
Write = Callable[[str, list[Symbol], list[Expr], bool], str]  # name, arguments, results, one number or a tuple -> text


class Unprintable(ValueError):
    """An expression for which the vocabulary has no word."""


@lru_cache(maxsize=1024)
def smoothed(body: Expr) -> Expr | None:
    """E body(m + s w) for a standard Gaussian w, or None.

    >>> smoothed(X**2)
    m**2 + s**2
    """
    try:
        found = line_mean(body, SPREAD**2, M)
    except Open:
        return None
    return None if found.has(Bvn) else real(found) if found.has(sp.I) else _gains(found)


def _gains(expr: Expr) -> Expr:
    """Steep tails as their gains over the flat one, which often cancels: E elu(m + s w) at small m and s."""
    return sp.expand(expr, power_exp=False).replace(
        lambda e: isinstance(e, Tail) and e.args[0] != 0,
        lambda e: Gain(*e.args) + Tail(sp.S.Zero, *e.args[1:]),
    )


@lru_cache(maxsize=1024)
def rates(body: Expr) -> tuple[float, float, float]:
    """b, w0, w1: how fast the integrand grows, as exp(b |x|), and its phase turns, w0 + w1 |x|; 0 where that is not
    understood, since the rules notice."""
    return tuple(r if isfinite(r) else 0.0 for r in (growth(body), *wave(body)))  # type: ignore[return-value]


class Helpers:
    """The helper functions of one text, written once each."""

    def __init__(self, write: Write, number: Callable[[Expr], str], *, smooth: bool = True) -> None:
        self.write, self.number, self.smooth = write, number, smooth
        self.names: dict[Expr, str] = {}
        self.texts: list[str] = []

    def call(self, mean: Expr, word: str = "checked") -> str:
        """The opening of a call, to be closed by the variances: checked_mean(f0, f0_marks."""
        if isinstance(mean, Mean):
            return f"{word}_mean({self._integrand(mean.args[0].expr)}"
        f, g = (a.expr for a in mean.args[:2])
        h = smoothed(g) if self.smooth else None
        kind = "pair" if h is None else "smoothed"
        names = f"{self._integrand(f)}, {self._integrand(g)}"
        return f"{word}_{kind}_mean({names}{'' if h is None else f', {self._smooth(g, h)}'}"

    def _integrand(self, body: Expr) -> str:
        if body not in self.names:
            if body.free_symbols - {X}:
                extra = ", ".join(sorted(s.name for s in body.free_symbols - {X}))
                raise Unprintable(f"the mean of {body} has no formula and needs numbers for {extra}: give them values")
            if body.has(sp.DiracDelta):
                raise Unprintable(
                    f"the mean of {body} does not exist as a number: "
                    "the activation jumps, and its derivative is a delta"
                )
            name = self.names[body] = f"f{len(self.names)}"
            marks = ", ".join(self.number(m) for m in landmarks(body))
            text = self.write(name, [X], [body], True)
            self.texts.append(f"{text}\n\n\n{name}_marks = array([{marks}])")
        return f"{self.names[body]}, {self.names[body]}_marks"

    def _smooth(self, body: Expr, h: Expr) -> str:
        if h not in self.names:
            if h.free_symbols - {M, SPREAD}:
                raise Unprintable(f"the mean of {body} needs numbers for its parameters: give them values")
            name = self.names[h] = f"h{len(self.names)}"
            terms = sp.Add.make_args(sp.expand(h, power_exp=False))
            self.texts.append(self.write(name, [M, SPREAD], [h, sp.Add(*map(sp.Abs, terms))], False))
        return self.names[h]


def oriented(mean: Expr) -> Expr:
    """The mean with the function that can be smoothed in second place."""
    if isinstance(mean, PairMean) and smoothed(mean.args[1].expr) is None and smoothed(mean.args[0].expr) is not None:
        f, g, p, q, k = mean.args
        return PairMean(g, f, q, p, k)
    return mean


def closing_text(mean: Expr) -> str:
    """What follows the variances in a call: the rates, where there are any."""
    inside = [f.expr for f in mean.args[: 1 if isinstance(mean, Mean) else 2]]
    found = [r for body in inside for r in rates(body)]
    return f", ({', '.join(map(repr, found))}))" if any(found) else ")"
