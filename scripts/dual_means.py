"""E f(u) f(v) in Arb at 200 bits for families of f at once; u, v centred Gaussians of variances p, q.

With correlation c and s² = 1 - c², u = √p z and v = √q (c z + s w). Rule A integrates over (z, w), rule B over the
roles of u and v exchanged, on other nodes; c = ±1 leaves one integral. Graded Gauss-Legendre panels take what has
kinks or poles, the trapezoid rule what is entire of Gaussian order. `closed` has textbook formulas.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from flint import arb, arb_mat, ctx, fmpq

ctx.prec = 200
WINDOW = 13
ZERO, ONE, PI = arb(0), arb(1), arb.pi()
SLOPE = arb(fmpq(1, 100))
LAMBDA, ALPHA = (
    arb(fmpq(int(digits), 10 ** (len(digits) - 1)))
    for digits in ("10507009873554804934193349852946", "16732632423543772848170429916717")
)
Values = tuple[arb, ...]


# -- the functions, several at once: they share their exponentials -------------------------------------------------


def kinked(x: arb) -> Values:
    """relu, leaky_relu, abs, relu_squared, elu, selu, each followed by its slope; step, sign."""
    if x > 0:
        return x, ONE, x, ONE, x, ONE, x * x, 2 * x, x, ONE, LAMBDA * x, LAMBDA, ONE, ONE
    e, below = x.exp(), LAMBDA * ALPHA
    exponentials = e - 1, e, below * (e - 1), below * e
    return ZERO, ZERO, SLOPE * x, SLOPE, -x, -ONE, ZERO, ZERO, *exponentials, ZERO, -ONE


def clipped(x: arb) -> Values:
    return (x, ONE) if abs(x) < 1 else (ONE if x > 0 else -ONE, ZERO)


def smooth(x: arb) -> Values:
    """Each function, then its slope, in the order of SMOOTH."""
    e, erf, cdf = x.exp(), x.erf(), (1 + (x * arb(2).rsqrt()).erf()) / 2
    bell = (-x * x / 2).exp()
    density, gaussian = bell * (2 * PI).rsqrt(), bell * bell
    erf_slope = 2 * PI.rsqrt() * gaussian
    low, low2 = 1 / (1 + e), 1 / (1 + e * e)
    sigmoid, tanh = e * low, (e * e - 1) * low2
    square = e * (e + 2)
    mish = square / (square + 2)
    return (
        *(erf, erf_slope, cdf, density, tanh, 4 * e * e * low2 * low2, sigmoid, sigmoid * low),
        *((1 + e).log(), sigmoid, x * sigmoid, sigmoid + x * sigmoid * low, x * cdf, cdf + x * density),
        *(x * mish, mish + x * (1 - mish * mish) * sigmoid, x.atan(), 1 / (1 + x * x)),
        *(gaussian, -2 * x * gaussian, x * erf, erf + x * erf_slope),
    )


def waves(x: arb) -> Values:
    sin, cos = x.sin_cos()
    return sin, cos, cos, -sin, x + sin * sin, 1 + 2 * sin * cos


def growing(x: arb) -> Values:
    return x.exp(), x.exp()


@dataclass(frozen=True)
class Family:
    """Functions on one grid: kinks, or poles at distance 1 from 0; or entire, with a frequency and growth exp(x)."""

    values: Callable[[arb], Values]
    names: tuple[str, ...]
    kinks: tuple[int, ...] = (0,)
    poles: bool = False
    frequency: int | None = None
    growth: int = 0


def _with_slopes(*names: str) -> tuple[str, ...]:
    return tuple(itertools.chain.from_iterable((name, f"{name}'") for name in names))


SMOOTH = ("erf", "phi", "tanh", "sigmoid", "softplus", "silu", "gelu", "mish", "arctan", "gaussian", "x_erf")
KINKED = ("relu", "leaky_relu", "abs", "relu_squared", "elu", "selu")
GROWING = Family(growing, _with_slopes("exp"), frequency=0, growth=1)
FAMILIES = (
    Family(kinked, (*_with_slopes(*KINKED), "step", "sign")),
    Family(clipped, _with_slopes("hard_tanh"), kinks=(-1, 1)),
    Family(smooth, _with_slopes(*SMOOTH), poles=True),
    Family(waves, _with_slopes("sin", "cos", "snake"), frequency=2),
    GROWING,
)


# -- grids: nodes with their weights in E over a standard Gaussian -------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """Gauss-Legendre nodes a panel, finest panel as a share of the scale, widest panel; trapezoid reach, offset."""

    nodes: int
    share: arb
    widest: arb
    reach: arb
    offset: arb
    exchange: bool = False


A = Rule(24, ONE, arb(3), arb(13), ZERO)
B = Rule(32, arb(4) / 5, arb(13) / 5, arb(15), arb(3) / 8, exchange=True)
Grid = list[tuple[arb, arb]]


@cache
def legendre(n: int) -> Grid:
    """On (0, 1)."""
    roots = (arb.legendre_p_root(n, i, weight=True) for i in range(n))
    return [((1 + x) / 2, w / 2) for x, w in roots]


def panels(centres: list[arb], finest: arb, widest: arb) -> Iterator[tuple[arb, arb]]:
    """Panels on the window, doubling away from every centre from the finest to the widest."""
    cuts = {-arb(WINDOW), arb(WINDOW)}
    steps = [ZERO]
    step = finest
    while step < 2 * WINDOW:
        steps.append(step)
        step = 2 * step
    for centre in centres:
        cuts |= {cut.mid() for step in steps for cut in (centre - step, centre + step) if abs(cut) < WINDOW}
    for low, high in itertools.pairwise(sorted(cuts)):
        parts = math.ceil(float(((high - low) / widest).mid()))
        for i in range(parts):
            yield low + (high - low) * i / parts, (high - low) / parts


def graded(rule: Rule, centres: list[arb], finest: arb) -> Grid:
    root = (2 * PI).rsqrt()
    cuts = panels(centres, finest * rule.share, rule.widest)
    points = ((low + size * t, size * w) for low, size in cuts for t, w in legendre(rule.nodes))
    return [(z, w * root * (-z * z / 2).exp()) for z, w in points]


def trapezoid(rule: Rule, frequency: arb, centre: arb) -> Grid:
    """Step 2π/(frequency + reach): the error is exp(-reach²/2)."""
    step = 2 * PI / (frequency + rule.reach)
    last = math.ceil(float((WINDOW / step).mid())) + 1
    points = (centre + (i + rule.offset) * step for i in range(-last, last + 1))
    return [(z, step * (2 * PI).rsqrt() * (-z * z / 2).exp()) for z in points]


def outer(family: Family, rule: Rule, a: arb, b: arb, c: arb, s: arb) -> Grid:
    """For f(a z) g(z), where g(z) = E f(b (c z + s w)) sees a kink at scale s and a pole at the larger of two."""
    if family.frequency is not None:
        return trapezoid(rule, family.frequency * (a + b * abs(c)), family.growth * (a + b * c))
    centres, finest = [kink / a for kink in family.kinks], 1 / a
    if not c.is_zero():
        pole = 1 / b if family.poles or s.is_zero() else ZERO
        centres += [kink / (b * c) for kink in family.kinks if kink]
        finest = finest.min(pole.max(2 * s) / abs(c))
    return graded(rule, centres, finest.mid())


def inner(family: Family, rule: Rule, b: arb, mean: arb, s: arb) -> Grid:
    """For f(mean + b s w) in w."""
    if family.frequency is not None:
        return trapezoid(rule, family.frequency * b * s, family.growth * b * s)
    return graded(rule, [(kink - mean) / (b * s) for kink in family.kinks], (1 / (b * s)).mid())


def expected(family: Family, rule: Rule, p: arb, q: arb, c: arb, s: arb) -> list[arb]:
    """E f(u) f(v) for every f of the family."""
    a, b = (q.sqrt(), p.sqrt()) if rule.exchange else (p.sqrt(), q.sqrt())
    totals = [ZERO] * len(family.names)
    for z, weight in outer(family, rule, a, b, c, s):
        mean = b * c * z
        if s.is_zero():
            given = list(family.values(mean))
        else:
            grid = inner(family, rule, b, mean, s)
            flat = [value for w, _ in grid for value in family.values(mean + b * s * w)]
            weights = arb_mat(1, len(grid), [w for _, w in grid])
            given = (weights * arb_mat(len(grid), len(totals), flat)).entries()
        totals = [t + weight * f * g for t, f, g in zip(totals, family.values(a * z), given, strict=True)]
    return totals


# -- textbook formulas ---------------------------------------------------------------------------------------------


def _gelu(p: arb, q: arb, k: arb) -> tuple[arb, arb]:
    pi, h, square = arb.pi(), 1 / (1 + p) + 1 / (1 + q) - 1, (1 + p) * (1 + q)
    d = square - k * k
    top, angle, root = p * q + k * k * h, (k / square.sqrt()).asin(), d.sqrt()
    slope = angle + k * (1 + 2 * h) / root + top * k / (d * root)
    return k / 4 + (k * angle + top / root) / (2 * pi), arb(1) / 4 + slope / (2 * pi)


def closed(p: arb, q: arb, k: arb, c: arb, s: arb) -> dict[str, arb]:
    """Arc-cosine kernels (Cho and Saul), arcsine kernels (Williams), and means of exponentials."""
    pi, theta, root = arb.pi(), arb.atan2(s, c), (p * q).sqrt()
    away, arc = pi - theta, pi / 2 - theta
    step = away / (2 * pi)
    relu = root * (s + away * c) / (2 * pi)
    bell, probit = (1 + 2 * p) * (1 + 2 * q) - 4 * k * k, (1 + p) * (1 + q)
    decay, fast, rest = (-(p + q) / 2).exp(), (-2 * (p + q)).exp(), 1 - SLOPE
    gelu, gelu_slope = _gelu(p, q, k)
    gelu2, gelu2_slope = _gelu(2 * p, 2 * q, 2 * k)
    grown = ((p + q) / 2 + k).exp()
    return {
        **{"relu": relu, "relu'": step, "step": step, "sign": 2 * arc / pi, "abs'": 2 * arc / pi},
        **{"leaky_relu": rest**2 * relu + SLOPE * k, "leaky_relu'": rest**2 * step + SLOPE},
        "abs": 2 * root * (s + c * arc) / pi,
        "relu_squared": p * q * (3 * s * c + away * (1 + 2 * c * c)) / (2 * pi),
        **{"relu_squared'": 4 * relu, "exp": grown, "exp'": grown},
        **{"erf": 2 / pi * (2 * k / (bell + 4 * k * k).sqrt()).asin(), "erf'": 4 / pi * bell.rsqrt()},
        "phi": arb(1) / 4 + (k / probit.sqrt()).asin() / (2 * pi),
        "phi'": (probit - k * k).rsqrt() / (2 * pi),
        **{"gelu": gelu, "gelu'": gelu_slope, "x_erf": 2 * gelu2 - k, "x_erf'": 4 * gelu2_slope - 1},
        **{"gaussian": bell.rsqrt(), "gaussian'": 4 * k * bell.rsqrt() / bell},
        **{"sin": decay * k.sinh(), "sin'": decay * k.cosh(), "cos": decay * k.cosh(), "cos'": decay * k.sinh()},
        "snake": k + (1 - (-2 * p).exp() - (-2 * q).exp() + fast * (4 * k).cosh()) / 4,
        "snake'": 1 + fast * (4 * k).sinh(),
    }
