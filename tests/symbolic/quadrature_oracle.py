"""A Gaussian quadrature that shares nothing with `symbolic.closing`: composite Gauss-Legendre in NumPy, cut at kinks.

E f(u) g(v) = int phi(z) f(sqrt(p) z) [int phi(w) g(k z/sqrt(p) + s w) dw] dz,  s^2 = q - k^2/p.
Panels have unit width and 24 nodes, so a smooth integrand is met to 1e-14 of its size; every kink of f cuts the outer
integral, every kink of g cuts the inner one, and the outer one too, where the inner integral turns.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from sympy import Expr, Float, Lambda, Symbol, lambdify

from symbolic.functions import X, elementary
from symbolic.gaussian import Mean, PairMean
from symbolic.landmarks import kinks

Array = np.ndarray
Function = Callable[[Array], Array]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)
REACH = 14.0


def numpy_function(body: Expr) -> Function:
    """A formula in x as a function of arrays."""
    f = lambdify(X, elementary(body), ["scipy", "numpy"])
    return lambda x: np.broadcast_to(np.asarray(f(x), dtype=float), x.shape)


def mean(body: Expr, q: float) -> float:
    """E f(u) for u ~ N(0, q)."""
    return mean_of(numpy_function(body), _floats(kinks(body)), q)


def pair_mean(a: Expr, b: Expr, p: float, q: float, k: float) -> float:
    """E f(u) g(v) for Var u = p, Var v = q, Cov(u, v) = k."""
    return pair_mean_of(numpy_function(a), _floats(kinks(a)), numpy_function(b), _floats(kinks(b)), p, q, k)


def mean_of(f: Function, marks: Array, q: float) -> float:
    """E f(u), f being cut at its marks."""
    z, w = _rule(_cuts(marks / np.sqrt(q)))
    return float(np.sum(w * _density(z) * f(np.sqrt(q) * z)))


def pair_mean_of(f: Function, f_marks: Array, g: Function, g_marks: Array, p: float, q: float, k: float) -> float:
    """E f(u) g(v), both being cut at their marks."""
    slope, spread = k / np.sqrt(p), np.sqrt(q - k**2 / p)
    turns = [m / slope + j * spread / abs(slope) for m in g_marks for j in (-4, -2, -1, 0, 1, 2, 4)] if k else []
    z, weights = _rule(_cuts([*(f_marks / np.sqrt(p)), *turns]))
    centre = slope * z
    grid = np.broadcast_to(_cuts([])[:, None], (int(2 * REACH) + 1, z.size))
    extra = [np.clip((m - centre) / spread, -REACH, REACH)[None] for m in g_marks]
    w, inner = _rule(np.sort(np.concatenate([grid, *extra]), axis=0))
    behind = np.sum(inner * _density(w) * g(centre + spread * w), axis=0)
    return float(np.sum(weights * _density(z) * f(np.sqrt(p) * z) * behind))


def _floats(points: Iterable[Expr]) -> Array:
    return np.array([float(c) for c in points])


def numeric(expr: Expr, values: Mapping[Symbol, float]) -> float:
    """An expression with open means as a number, its means by this quadrature, innermost first."""

    def integrate(node: Expr) -> Float:
        *bodies, last = (a.expr if isinstance(a, Lambda) else float(a.subs(values)) for a in node.args)
        return Float(mean(bodies[0], last) if isinstance(node, Mean) else pair_mean(*bodies, last))

    return float(elementary(expr.replace(lambda e: isinstance(e, Mean | PairMean), integrate)).subs(values))


def _density(z: Array) -> Array:
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _cuts(points: Iterable[float]) -> Array:
    inside = [z for z in points if -REACH < z < REACH]
    return np.unique(np.concatenate([np.arange(-REACH, REACH + 1), inside]))


def _rule(cuts: Array) -> tuple[Array, Array]:
    """Nodes and weights of all panels between ascending cuts, stacked along the first axis."""
    half, middle = np.diff(cuts, axis=0) / 2, (cuts[1:] + cuts[:-1]) / 2
    shape = (-1, *cuts.shape[1:])
    column = (..., *[None] * (cuts.ndim - 1))
    nodes = middle[:, None] + half[:, None] * NODES[column]
    return nodes.reshape(shape), (half[:, None] * WEIGHTS[column]).reshape(shape)
