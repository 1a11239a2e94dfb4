"""Coefficients of solvers/vecmath.py: 60-digit Chebyshev interpolation, rounded once to float64.

For f on [a, b]: c_j = 2/(n+1) sum_k f(x_k) cos(j t_k) at x_k = (a+b)/2 + (b-a)/2 cos t_k,
t_k = (k+1/2) pi/(n+1); then sum_j c_j T_j((2x-a-b)/(b-a)), c_0 halved, expanded in powers of x.
The error is within a small factor of minimax. The data file is what this prints:
python scripts/fit_vecmath.py > solvers/_vecmath_coefficients.py
"""

from collections.abc import Callable
from typing import Any

import mpmath
from mpmath import mp

DIGITS = 60
Function = Callable[[Any], Any]


def fit(function: Function, low: Any, high: Any, degree: int) -> list[Any]:
    """Powers-of-x coefficients, lowest first, of the Chebyshev interpolant of this degree."""
    angles = [(k + mp.mpf(1) / 2) * mp.pi / (degree + 1) for k in range(degree + 1)]
    middle, half = (low + high) / mp.mpf(2), (high - low) / mp.mpf(2)
    values = [function(middle + half * mp.cos(t)) for t in angles]
    total = [mp.mpf(0)] * (degree + 1)
    previous, current = [mp.mpf(1)], [-middle / half, 1 / half]
    for j in range(degree + 1):
        weight = (1 if j == 0 else 2) * mp.fdot((v, mp.cos(j * t)) for v, t in zip(values, angles, strict=True))
        for i, c in enumerate(previous):
            total[i] += weight / (degree + 1) * c
        following = [mp.mpf(0)] * (len(current) + 1)
        for i, c in enumerate(current):
            following[i] -= 2 * middle / half * c
            following[i + 1] += 2 / half * c
        for i, c in enumerate(previous):
            following[i] -= c
        previous, current = current, following
    return total


def erfcx_tail(t: Any) -> Any:
    """((1 + 2x) exp(x^2) erfc(x) - 1)/(1 + t) at x = 4 (1+t)/(1-t)."""
    x = 4 * (1 + t) / (1 - t)
    return ((1 + 2 * x) * mp.exp(x * x) * mp.erfc(x) - 1) / (1 + t)


def odd_tail(function: Function) -> Function:
    """(f(x) - x)/x^3 as a function of z = x^2."""

    def tail(z: Any) -> Any:
        x = mp.sqrt(z)
        return (function(x) - x) / (x * z)

    return tail


def arc_tail(z: Any) -> Any:
    """(1 - x cot x)/x^2 as a function of z = x^2."""
    x = mp.sqrt(z)
    return (1 - x * mp.cot(x)) / z


def erf_tail(z: Any) -> Any:
    """erf(x)/x - 1 as a function of z = x^2."""
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1


def truncated(value: Any, bits: int) -> Any:
    """The leading bits of a positive number."""
    exponent = mpmath.frexp(value)[1]
    return mp.ldexp(mp.floor(mp.ldexp(value, bits - exponent)), exponent - bits)


def constants() -> dict[str, float]:
    """Constants, some in two parts whose first part has room for an exact product with a small integer."""
    with mp.workdps(DIGITS):
        ln2_high, quarter_high = truncated(mp.ln2, 41), truncated(mp.pi / 4, 50)
        exact = {
            "LOG2_E": 1 / mp.ln2,
            "LN2_HIGH": ln2_high,
            "LN2_LOW": mp.ln2 - ln2_high,
            "QUARTER_PI_HIGH": quarter_high,
            "QUARTER_PI_LOW": mp.pi / 4 - quarter_high,
            "TAN_PI_8": mp.sqrt(2) - 1,
            "EXP_LOW": mp.log(mp.mpf(2) ** -1022),
            "EXP_HIGH": mp.log(mp.mpf(2) ** 1024 - mp.mpf(2) ** 970),
        }
        return {name: float(value) for name, value in exact.items()}


def polynomials() -> dict[str, tuple[str, list[float]]]:
    """For every polynomial the formula it stands for and its coefficients, lowest first."""
    with mp.workdps(DIGITS):
        half_ln2 = mp.mpf("0.3468")  # ln(2)/2 and the rounding of n
        fits = {
            "exp_tail": (
                "(e^x - 1 - x)/x^2 = 1F1(1; 3; x)/2, |x| <= ln(2)/2.",
                fit(lambda x: mp.hyp1f1(1, 3, x) / 2, -half_ln2, half_ln2, 9),
            ),
            "erf_tail": ("erf(t)/t - 1 at x = t^2 <= 1.", fit(erf_tail, 0, 1, 12)),
            "erfcx_tail": (
                "((1 + 2y) e^(y^2) erfc(y) - 1)/(1 + x) at x = (y-4)/(y+4), y >= 0.",
                fit(erfcx_tail, -1, 1, 24),
            ),
            "asin_tail": (
                "(asin(t) - t)/t^3 at x = t^2 <= 1/4.",
                fit(odd_tail(mp.asin), 0, mp.mpf("0.25"), 12),
            ),
            "atan_tail": (
                "(atan(t) - t)/t^3 at x = t^2 <= tan(pi/8)^2.",
                fit(odd_tail(mp.atan), 0, mp.mpf("0.1717"), 10),
            ),
            "atanh_tail": (
                "(atanh(t) - t)/t^3 at x = t^2 <= 1/9.",
                fit(odd_tail(mp.atanh), 0, mp.mpf("0.1112"), 9),
            ),
            "arc_tail": (
                "(1 - t cot(t))/t^2 at x = t^2 <= 1.44.",
                fit(arc_tail, 0, mp.mpf("1.45"), 11),
            ),
        }
        return {name: (law, [float(c) for c in values]) for name, (law, values) in fits.items()}


def text() -> str:
    """The data file."""
    lines = [
        '"""Written by scripts/fit_vecmath.py: constants and polynomials (Horner\'s rule) of vecmath."""',
        "",
    ]
    lines += ["from solvers.jit import jit", ""]
    lines += [f"{name} = {value!r}" for name, value in constants().items()]
    for name, (law, values) in polynomials().items():
        lines += [
            "",
            "",
            "@jit",
            f"def {name}(x: float) -> float:",
            f'    """{law}"""',
            f"    p = {values[-1]!r}",
        ]
        lines += [f"    p = p * x + {c!r}".replace("+ -", "- ") for c in reversed(values[:-1])]
        lines += ["    return p"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(text(), end="")
