"""Means over centred Gaussians as SymPy nodes that can be differentiated before anything is integrated.

Mean(f, q) = E f(u), u ~ N(0, q); PairMean(f, g, p, q, k) = E f(u) g(v), Var u = p, Var v = q, Cov(u, v) = k.
Price:  d/dk E f(u) g(v) = E f'(u) g'(v).
Scale:  d/dp E f(u) g(v) = (E u f'(u) g(v) - k E f'(u) g'(v))/(2p),   d/dq E f(u) = E u f'(u)/(2q),
which follow from Price by the homogeneity of the Gaussian and need no second derivative, so kinks do no harm.
"""

from typing import Any

import mpmath
from sympy import Expr, Float, Lambda, Max, Min, Symbol, Tuple, lambdify, sympify

from symbolic.functions import X, elementary
from symbolic.landmarks import landmarks, slope

p, q = Symbol("p", positive=True), Symbol("q", positive=True)
k, t = Symbol("k", real=True), Symbol("t", real=True)
g = Symbol("g", positive=True)


def as_function(f: Any) -> Lambda:
    """An expression in x, or a Lambda, as a Lambda of x, also where SymPy would put its IdentityFunction of a dummy."""
    body = f(X) if isinstance(f, Lambda) else sympify(f, strict=True)
    return Expr.__new__(Lambda, Tuple(X), body) if body == X else Lambda(X, body)


class _Integral(Expr):
    """What both means share: they are finite real numbers, printed as an expectation."""

    is_commutative = True
    is_extended_real = True

    def _sympystr(self, printer: Any) -> str:
        return self._show(printer._print)

    def _latex(self, printer: Any, exp: Any = None) -> str:
        text = rf"\operatorname{{E}}\left[{self._show(printer._print)[2:-1]}\right]"
        return text if exp is None else rf"{{{text}}}^{{{exp}}}"

    def _pretty(self, printer: Any) -> Any:
        from sympy.printing.pretty.stringpict import prettyForm

        return prettyForm(str(self))

    def _show(self, show: Any) -> str:
        raise NotImplementedError


class Mean(_Integral):
    """E f(u) for u ~ N(0, q).

    >>> Mean(X**2, q).diff(q)
    E[2*u**2; q]/(2*q)
    """

    def __new__(cls, f: Any, q: Any) -> Expr:
        return Expr.__new__(cls, as_function(f), sympify(q, strict=True))

    def _eval_derivative(self, s: Symbol) -> Expr:
        (f, q), body = self.args, self.args[0].expr
        out = q.diff(s) * Mean(slope(body, X), q) / (2 * q)
        return out + Mean(body.diff(s), q) if s in f.free_symbols else out

    def _eval_evalf(self, prec: int) -> Any:
        f, q = self.args
        if not q.is_number or f.free_symbols:
            return None
        with mpmath.workprec(prec + 20):
            return Float(_integrate(f.expr, mpmath.mpf(q._evalf(prec + 20))), precision=prec)

    def _show(self, show: Any) -> str:
        f, q = self.args
        return f"E[{show(f.expr.subs(X, Symbol('u')))}; {show(q)}]"


class PairMean(_Integral):
    """E f(u) g(v) for centred (u, v) with variances p, q and covariance k; u = v collapses it to a Mean.

    >>> from sympy import tanh
    >>> PairMean(X, tanh(X), p, q, k).diff(k)
    E[1 - tanh(v)**2; p, q, k]
    """

    def __new__(cls, f: Any, g: Any, p: Any, q: Any, k: Any) -> Expr:
        f, g, p, q, k = (
            as_function(f),
            as_function(g),
            sympify(p, strict=True),
            sympify(q, strict=True),
            sympify(k, strict=True),
        )
        if p == q == k:
            return Mean(f.expr * g.expr, q)
        return Expr.__new__(cls, f, g, p, q, k)

    def _eval_derivative(self, s: Symbol) -> Expr:
        f, g, p, q, k = self.args
        a, b = f.expr, g.expr
        price = PairMean(slope(a), slope(b), p, q, k)
        out = k.diff(s) * price
        if p.diff(s) != 0:
            out += p.diff(s) * (PairMean(slope(a, X), b, p, q, k) - k * price) / (2 * p)
        if q.diff(s) != 0:
            out += q.diff(s) * (PairMean(a, slope(b, X), p, q, k) - k * price) / (2 * q)
        if s in f.free_symbols:
            out += PairMean(a.diff(s), b, p, q, k)
        if s in g.free_symbols:
            out += PairMean(a, b.diff(s), p, q, k)
        return out

    def _eval_evalf(self, prec: int) -> Any:
        f, g, p, q, k = self.args
        if not (p.is_number and q.is_number and k.is_number) or f.free_symbols or g.free_symbols:
            return None
        with mpmath.workprec(prec + 20):
            numbers = (mpmath.mpf(a._evalf(prec + 20)) for a in (p, q, k))
            return Float(_integrate_pair(f.expr, g.expr, *numbers), precision=prec)

    def _show(self, show: Any) -> str:
        f, g, p, q, k = self.args
        body = f.expr.subs(X, Symbol("u")) * g.expr.subs(X, Symbol("v"))
        return f"E[{show(body)}; {show(p)}, {show(q)}, {show(k)}]"


def _integrate(body: Expr, q: Any) -> Any:
    """mpmath quadrature split at the landmarks: slow, general, and sharing nothing with the compiled rule."""
    f, root = lambdify(X, branches(body), "mpmath"), mpmath.sqrt(q)
    cuts = _cuts([float(c) / root for c in landmarks(body)]) if root else [0]
    return mpmath.quad(lambda z: f(root * z) * mpmath.npdf(z), cuts) if root else f(root)


def _integrate_pair(a: Expr, b: Expr, p: Any, q: Any, k: Any) -> Any:
    f, g = lambdify(X, branches(a), "mpmath"), lambdify(X, branches(b), "mpmath")
    root, slope = mpmath.sqrt(p), k / mpmath.sqrt(p)
    rest = mpmath.sqrt(max(q - slope**2, 0))
    marks = [float(c) for c in landmarks(b)]

    def inner(z: Any) -> Any:
        centre = slope * z
        if not rest:
            return g(centre)
        cuts = _cuts([(m - centre) / rest for m in marks])
        return mpmath.quad(lambda w: g(centre + rest * w) * mpmath.npdf(w), cuts, method="gauss-legendre")

    kinks = [float(c) / root for c in landmarks(a)] + [m / slope for m in marks if slope]
    return mpmath.quad(lambda z: f(root * z) * inner(z) * mpmath.npdf(z), _cuts(kinks))


def _cuts(points: list[Any]) -> list[Any]:
    """The Gaussian's window, cut every four deviations and at each landmark inside it."""
    return sorted({mpmath.mpf(z) for z in (-16, -8, -4, 0, 4, 8, 16, *points) if -16 <= z <= 16})


def branches(body: Expr) -> Expr:
    """Spell out what lambdify has no mpmath word for."""
    from sympy import Heaviside, Piecewise

    body = elementary(body).replace(Heaviside, lambda x, *_: Piecewise((1, x > 0), (0, True)))
    return body.replace(lambda e: isinstance(e, Max | Min), lambda e: e.rewrite(Piecewise))
