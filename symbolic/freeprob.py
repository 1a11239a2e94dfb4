"""Free products at initialization: the squared singular values of J = prod_l D_l W_l over L layers, D = diag(phi'(h)).

M(x) = sum_k m_k/x^k and S(z) = (1 + z)/(z M^{-1}(z)); S is multiplicative, S_{JJ^T} = (S_{D^2} S_{WW^T})^L, and
m_k = (1/k) [z^{k-1}] ((1 + z)/S)^k (Lagrange). W Gaussian: 1/(weight_var (1 + z)), orthogonal: 1/weight_var; D^2
equal to a^2 with probability p, else 0: (1 + z)/(a^2 (p + z)).  Pennington, Schoenholz, Ganguli 2017 (arXiv 1711.04735)
and 2018 (1802.09979), from memory, checked against networks; the expansion in a symbolic L is ours.
"""

from collections.abc import Sequence
from typing import Any

from sympy import Add, Expr, Float, S, Symbol, binomial, erf, factor, oo, sqrt, sympify

from symbolic.functions import X, taylor
from symbolic.gaussian import Mean
from symbolic.landmarks import kinks, pieces, slope
from symbolic.networks import Pointwise

Z = Symbol("z")


def gaussian(weight_var: Any) -> Expr:
    """S of W W^T, W square with independent entries N(0, weight_var/n).

    >>> gaussian(2)
    1/(2*z + 2)
    """
    return 1 / (sympify(weight_var, strict=True) * (1 + Z))


def orthogonal(weight_var: Any) -> Expr:
    """S of W W^T = weight_var.

    >>> orthogonal(2)
    1/2
    """
    return 1 / sympify(weight_var, strict=True)


def two_valued(a: Any, p: Any) -> Expr:
    """S of a law with mass p at a and 1 - p at 0.

    >>> two_valued(1, S.Half)
    (z + 1)/(z + 1/2)
    """
    return (1 + Z) / (sympify(a, strict=True) * (sympify(p, strict=True) + Z))


def from_moments(mu: Sequence[Any]) -> Expr:
    """S of a law with moments mu_1 .. mu_n, to order z^{n-1}: the moment series, reverted.

    >>> from_moments([1, 2, 5])  # Marchenko-Pastur: 1/(1 + z)
    z**2 - z + 1
    """
    n = len(mu)
    ratio = [sympify(m, strict=True) for m in mu]
    reverted = [S.Zero, *(_power(ratio, -j, j)[j - 1] / j for j in range(1, n + 1))]
    return Add(*((reverted[i] + reverted[i + 1]) * Z**i for i in range(n)))


def moments(layer: Expr, depth: Any, n: int) -> tuple[Expr, ...]:
    """m_1 .. m_n of the product of `depth` free factors whose S-transform is `layer`; the depth may be a symbol.

    >>> moments(gaussian(1), 10, 3)  # Fuss-Catalan: C(kL + k, k)/(kL + 1)
    (1, 11, 176)
    >>> moments(gaussian(1), Symbol("L"), 2)
    (1, L + 1)
    """
    depth = sympify(depth, strict=True)
    series = taylor(layer, Z, n)
    return tuple(_tidy(_moment(series, depth, k)) for k in range(1, n + 1))


def relative_variance(depth: Any, mu_1: Any, mu_2: Any, weights: Expr) -> Expr:
    """m_2/m_1^2 - 1 = L (mu_2/mu_1^2 - 1 - s_1), s_1 = S'(0)/S(0) of the weights: -1 Gaussian, 0 orthogonal.

    >>> L, m, n = Symbol("L"), Symbol("mu_1"), Symbol("mu_2")
    >>> relative_variance(L, m, n, gaussian(2)), relative_variance(L, m, n, orthogonal(2))
    (L*mu_2/mu_1**2, L*(-1 + mu_2/mu_1**2))
    """
    first = weights.diff(Z).subs(Z, 0) / weights.subs(Z, 0)
    return sympify(depth, strict=True) * (sympify(mu_2, strict=True) / sympify(mu_1, strict=True) ** 2 - 1 - first)


def atoms(phi: Pointwise, q: Any) -> dict[Expr, Expr] | None:
    """The values of phi'(u)^2, u ~ N(0, q), with their probabilities; None unless phi is piecewise linear.

    >>> from symbolic.activations import ACTIVATIONS as act
    >>> atoms(act["relu"], 1), atoms(act["hard_tanh"], Symbol("q", positive=True)), atoms(act["tanh"], 1)
    ({0: 1/2, 1: 1/2}, {0: 1 - erf(sqrt(2)/(2*sqrt(q))), 1: erf(sqrt(2)/(2*sqrt(q)))}, None)
    """
    found: dict[Expr, Expr] = {}
    for low, high, body in pieces(phi.formula):
        value = body.diff(X) ** 2
        if value.has(X):
            return None
        found[value] = found.get(value, S.Zero) + (_below(high, q) - _below(low, q))
    return found


def slope_moments(phi: Pointwise, q: Any, n: int) -> tuple[Expr, ...]:
    """mu_k = E phi'(u)^{2k} for k = 1 .. n as means: closed by `closing.formula` where a formula is known.

    >>> from symbolic.activations import ACTIVATIONS as act
    >>> slope_moments(act["tanh"], 1, 1)
    (E[(1 - tanh(u)**2)**2; 1],)
    """
    derivative = slope(phi.formula)
    return tuple(Mean(derivative ** (2 * k), sympify(q, strict=True)) for k in range(1, n + 1))


def square_slope(phi: Pointwise, q: Any, n: int) -> Expr:
    """S of D^2: exact where phi' is 0 or one constant, else to order z^{n-1} from the moments mu_1 .. mu_n.

    >>> from symbolic.activations import ACTIVATIONS as act
    >>> square_slope(act["relu"], 1, 3)
    (z + 1)/(z + 1/2)
    """
    law = atoms(phi, q) if kinks(phi.formula) or phi.formula.diff(X).is_number else None
    if law is None:
        return from_moments(slope_moments(phi, q, n))
    values = [v for v in law if v != 0]
    if len(values) == 1:
        return two_valued(values[0], law[values[0]])
    return from_moments([Add(*(w * v**k for v, w in law.items())) for k in range(1, n + 1)])


def _below(x: Expr, q: Any) -> Expr:
    """P(u < x)."""
    return S.Zero if x == -oo else S.One if x == oo else (1 + erf(x / sqrt(2 * sympify(q, strict=True)))) / 2


def _power(a: Sequence[Expr], e: Expr | int, n: int) -> list[Expr]:
    """The first n coefficients of (a_0 + a_1 z + ...)^e for any e, by the recurrence of Euler (Miller)."""
    c = [a[0] ** e]
    for i in range(1, n):
        c.append(Add(*((j * e - (i - j)) * a[j] * c[i - j] for j in range(1, i + 1))) / (i * a[0]))
    return c


def _moment(series: Sequence[Expr], depth: Expr, k: int) -> Expr:
    inverse = _power(series, -k * depth, k)
    return Add(*(binomial(k, j) * inverse[k - 1 - j] for j in range(k))) / k


def _tidy(expr: Expr) -> Expr:
    return expr if expr.has(Float) else factor(expr)
