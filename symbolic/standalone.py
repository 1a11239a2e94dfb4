"""A mean as the source of a standalone Python function of NumPy arrays, to be copied anywhere.

A formula is printed as it is compiled, with the words it uses spelled out, so it keeps its digits near correlation +-1.
Without a formula the text holds the integrands, printed by SymPy, and composite Gauss-Legendre panels, cut at the
landmarks and graded towards them.
"""

import re
from functools import reduce
from typing import Any

from sympy import Expr
from sympy.printing.numpy import SciPyPrinter

from symbolic.closing import close
from symbolic.emit import function
from symbolic.functions import X, elementary
from symbolic.gaussian import Mean, PairMean
from symbolic.landmarks import landmarks

_SAME = ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt", "expm1", "maximum", "minimum", "sign")
_OTHER = {"atan": "arctan", "asin": "arcsin", "acos": "arccos", "atan2": "arctan2", "absolute": "absolute"}
_NUMPY = {name: name for name in _SAME} | _OTHER
_SPELLED = {
    "erf": "from scipy.special import erf",
    "erfc": "from scipy.special import erfc",
    "erfcx": "from scipy.special import erfcx",
    "clip1": "def clip1(x):\n    return minimum(maximum(x, -1.0), 1.0)",
    "exp_sinh": "def exp_sinh(a, b):\n    return 0.5 * sign(b) * exp(a + abs(b)) * -expm1(-2.0 * abs(b))",
    "exp_cosh": "def exp_cosh(a, b):\n    return 0.5 * (exp(a + b) + exp(a - b))",
    "product": """\
def product(a, b):
    \"\"\"a b, and what its rounding lost (Dekker).\"\"\"
    (a1, a2), (b1, b2) = (((y := 134217729.0 * x) - (y - x), x - (y - (y - x))) for x in (a, b))
    return a * b, ((a1 * b1 - a * b) + a1 * b2 + a2 * b1) + a2 * b2""",
    "area": """\
def area(p, q, k):
    \"\"\"p q - k^2, without cancellation.\"\"\"
    (one, lost), (other, missed) = product(p, q), product(k, k)
    return maximum((one - other) + (lost - missed), 0.0)""",
    "arcsine": "def arcsine(n, m):\n    return atan2(n, sqrt(m))",
    "orthant": "def orthant(p, q, k):\n    return atan2(sqrt(area(p, q, k)), -k) / (2.0 * numpy.pi)",
    "ramp": "def ramp(p, q, k):\n    return sqrt(area(p, q, k)) / (2.0 * numpy.pi) + k * orthant(p, q, k)",
    "tail": """\
def tail(b, t, m, v):
    \"\"\"E[exp(b x); x > t] for x ~ N(m, v).\"\"\"
    w, a = (t - m) / sqrt(2.0 * v), (t - m - b * v) / sqrt(2.0 * v)
    part = 0.5 * exp(b * t - w * w) * erfcx(abs(a))
    return numpy.where(a < 0.0, exp(b * m + 0.5 * b * b * v) - part, part)""",
}
_HEAD = '"""{title}"""\n\nimport numpy\n'
_RULE = '''
NODES, WEIGHTS = numpy.polynomial.legendre.leggauss(24)


def panels(cuts):
    """Nodes and Gaussian weights of the panels between sorted cuts, stacked along the first axis."""
    half, middle = numpy.diff(cuts, axis=0) / 2, (cuts[1:] + cuts[:-1]) / 2
    column = (slice(None), *[None] * (cuts.ndim - 1))
    z = (middle[:, None] + half[:, None] * NODES[column]).reshape(-1, *cuts.shape[1:])
    w = (half[:, None] * WEIGHTS[column]).reshape(z.shape)
    return z, w * numpy.exp(-z * z / 2) / numpy.sqrt(2 * numpy.pi)


def cuts_around(marks, width):
    """Cuts of [-13, 13] at each mark and halving towards it down to a width."""
    steps = width * 2.0 ** numpy.arange(60)
    steps = numpy.concatenate([[0.0], steps[steps < 26]])
    around = [m + s * steps[(slice(None), *[None] * numpy.ndim(m))] for m in marks for s in (-1, 1)]
    grid = numpy.linspace(-13, 13, 19)
    grid = grid[(slice(None), *[None] * numpy.ndim(marks[0]))] + 0 * numpy.asarray(marks[0])
    return numpy.sort(numpy.clip(numpy.concatenate([grid, *around]), -13, 13), axis=0)

'''
_FUNCTION = """
def {name}(x):
    return {value}

"""
_MEAN = """
@numpy.vectorize
def mean(q):
    if q == 0:
        return f(0.0)
    root = numpy.sqrt(q)
    z, w = panels(cuts_around([m / root for m in {marks}], 0.5 / max(root, 1)))
    return numpy.sum(w * f(root * z))
"""
_PAIR = """
@numpy.vectorize
def dual(p, q, k):
    if p == 0 or q == 0:
        p, q, k = max(p, 1e-300), max(q, 1e-300), 0.0
    a, b = numpy.sqrt(p), numpy.sqrt(q)
    c, s = k / (a * b), numpy.sqrt(max(p * q - k * k, 0.0) / (p * q))
    marks = [m / a for m in {f_marks}]
    if s < 1e-15:
        z, w = panels(cuts_around(marks + [m / b for m in {g_marks}], 0.5 / max(a, b, 1)))
        return numpy.sum(w * f(a * z) * g(numpy.copysign(b, k) * z))
    seen = [m / (b * c) for m in {g_marks}] if c else []
    z, w = panels(cuts_around(marks + seen, min(0.5 / max(a, b, 1), s / 2)))
    inner, weights = panels(cuts_around([(m / b - c * z) / s for m in {g_marks}], 0.5 / max(b * s, 1)))
    return numpy.sum(w * f(a * z) * numpy.sum(weights * g(b * (c * z + s * inner)), axis=0))
"""


class _Printer(SciPyPrinter):
    """Arrays all the way."""

    def _print_Max(self, expr: Expr) -> str:
        return reduce(lambda a, b: f"numpy.maximum({a}, {b})", map(self._print, expr.args))

    def _print_Min(self, expr: Expr) -> str:
        return reduce(lambda a, b: f"numpy.minimum({a}, {b})", map(self._print, expr.args))


def source(mean: Expr) -> str:
    """The text of `dual(p, q, k)` for a PairMean, of `mean(q)` for a Mean; ValueError for what cannot be integrated."""
    single = isinstance(mean, Mean)
    name, law = ("mean", mean.args[1:]) if single else ("dual", mean.args[2:])
    head, closed = _HEAD.format(title=str(mean)), close(mean)
    if not closed.has(Mean, PairMean):
        parameters = sorted(closed.free_symbols - {*law}, key=lambda s: s.name)
        head_line, _, rest = function(name, [*law, *parameters], closed).partition("\n")
        arrays = "".join(f"    {a} = numpy.asarray({a}, dtype=float)\n" for a in law)
        body = f"{head_line}\n{arrays}{rest}"
        return f"{head}{_words(body)}\n\n{body}\n"
    inside = [f.expr for f in mean.args[: 1 if single else 2]]
    if any(f.free_symbols - {X} for f in inside):
        raise ValueError(f"{mean} has no formula, and no numbers before its parameters have values")
    marks: dict[str, Any] = {n: [float(m) for m in landmarks(f)] or [0.0] for n, f in zip("fg", inside, strict=False)}
    printer = _Printer({"fully_qualified_modules": True})
    functions = "".join(
        _FUNCTION.format(name=n, value=printer.doprint(elementary(f))) for n, f in zip("fg", inside, strict=False)
    )
    body = _MEAN.format(marks=marks["f"]) if single else _PAIR.format(f_marks=marks["f"], g_marks=marks["g"])
    return f"{head}import scipy.special\n\n{functions.rstrip()}\n\n{_RULE}{body}"


def _words(body: str) -> str:
    """Imports and definitions of the words a text uses, and of those these use."""
    wanted: set[str] = set(re.findall(r"[a-z_]\w*(?=\()", body))
    found: set[str] = set()
    while wanted - found:
        found |= wanted
        wanted = {w for name in found if name in _SPELLED for w in re.findall(r"[a-z_]\w*(?=\()", _SPELLED[name])}
    numpy = sorted(f"{_NUMPY[w]} as {w}" if _NUMPY[w] != w else w for w in found & set(_NUMPY))
    lines = [f"from numpy import {', '.join(numpy)}"] if numpy else []
    imports = [text for name, text in _SPELLED.items() if name in found and text.startswith("from")]
    lines += imports
    definitions = [text for name, text in _SPELLED.items() if name in found and text.startswith("def")]
    return "\n".join(lines) + "".join(f"\n\n\n{text}" for text in definitions) + "\n"
