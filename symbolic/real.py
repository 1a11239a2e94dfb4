"""Complex exponentials and determinants of a mean back to real ones, pairs of real exponentials to hyperbolic shape.

(A + i B)^r = (A^2 + B^2)^(r/2) exp(i r atan2(B, A)), the branch that is continuous from variance 0: each eigenvalue of
1 - 2 D S has a positive real part, so the phase of a determinant of two stays within (-pi, pi).
"""

from sympy import Add, Expr, I, Mul, atan2, cos, cosh, exp, expand, factor_terms, sin, sinh, sqrt


def real(expr: Expr) -> Expr:
    """The expression, known to be real, without I, pairs of exponentials joined, common factors out."""
    expr = expr.replace(lambda e: e.is_Pow and e.base.has(I), _polar)
    expr = expr.replace(lambda e: isinstance(e, exp), _real_and_phase)
    if expr.has(I):
        expr = expand(expr, power_exp=False)
    if expr.has(I):
        expr = expand(expr.as_real_imag()[0], power_exp=False)
    return factor_terms(_hyperbolic(expr))


def _polar(power: Expr) -> Expr:
    a, b = (expand(part) for part in power.base.as_real_imag())
    if power.exp.is_Integer:
        return power if power.exp > 0 else ((a - I * b) / (a**2 + b**2)) ** -power.exp
    phase = -atan2(-b, a) if b.could_extract_minus_sign() else atan2(b, a)
    return sqrt(expand(a**2 + b**2)) ** power.exp * exp(I * power.exp * phase)


def _real_and_phase(power: Expr) -> Expr:
    """exp(a + i b) as exp(a) (cos b + i sin b)."""
    exponent = expand(power.args[0])
    phase = exponent.coeff(I)
    return exp(exponent.subs(I, 0)) * (cos(phase) + I * sin(phase)) if phase != 0 else exp(exponent)


def _hyperbolic(expr: Expr) -> Expr:
    """c e^(a + b) -+ c e^(a - b) as 2 c e^a sinh b or 2 c e^a cosh b."""
    addends = list(Add.make_args(expand(expr, power_exp=False)))
    for i, first in enumerate(addends):
        for j in range(i + 1, len(addends)):
            joined = _join(first, addends[j])
            if joined is not None:
                rest = [a for n, a in enumerate(addends) if n not in (i, j)]
                return joined + _hyperbolic(Add(*rest)) if rest else joined
    return expr


def _join(first: Expr, second: Expr) -> Expr | None:
    one, two = ([e for e in Mul.make_args(term) if isinstance(e, exp)] for term in (first, second))
    if len(one) != 1 or len(two) != 1:
        return None
    weight, other = (Mul(*(e for e in Mul.make_args(term) if not isinstance(e, exp))) for term in (first, second))
    if weight not in (other, -other):
        return None
    middle, half = (
        expand((one[0].args[0] + two[0].args[0]) / 2),
        expand((one[0].args[0] - two[0].args[0]) / 2),
    )
    if half.could_extract_minus_sign():
        return _join(second, first)
    return 2 * weight * exp(middle) * (cosh if weight == other else sinh)(half)
