"""The Gaussian-process limit: second moments of one signal and of two.

For pre-activations of variance q, p and covariance k: Dense q' = w q + b, k' = w k + b;  phi q' = E phi(u)^2, k' = E
phi(u) phi(v); dropout q' = q/keep, k' = k;  RMSNorm k' = k/sqrt(pq);  LayerNorm k' = (k - m n)/sqrt((p - m^2)(q -
n^2)), m, n the means over neurons (zero before an activation, E phi behind it);  a sum adds, a scale a multiplies by
a^2. Poole et al. 2016 (arXiv 1606.05340), Lee et al. 2018 (1711.00165); normalisation and dropout derived here, not
read there.
"""

from dataclasses import dataclass
from functools import reduce, singledispatch

from sympy import Add, Expr, S, sqrt

from symbolic.gaussian import Mean, PairMean
from symbolic.networks import Chain, Dense, Dropout, Identity, Layer, LayerNorm, Pointwise, Repeat, RMSNorm, Scale, Sum
from symbolic.signals import NoRule


@dataclass(frozen=True)
class Moments:
    """Second moment q and mean m over the neurons of one signal."""

    q: Expr
    m: Expr = S.Zero


@dataclass(frozen=True)
class Pair:
    """Two signals and the mean k of their product."""

    a: Moments
    b: Moments
    k: Expr


def no_rule(limit: str, layer: Layer, known: object) -> NoRule:
    names = ", ".join(sorted(c.__name__ for c in known.registry if c is not object))  # type: ignore[attr-defined]
    return NoRule(f"the {limit} limit has no rule for {type(layer).__name__}; it has rules for {names}")


@singledispatch
def moments(layer: Layer, s: Moments) -> Moments:
    """What a layer does to one signal."""
    raise no_rule("nngp", layer, moments)


@singledispatch
def cross(layer: Layer, s: Pair) -> Expr:
    """What a layer does to the mean product of two signals."""
    raise no_rule("nngp", layer, cross)


def pair(layer: Layer, s: Pair) -> Pair:
    return Pair(moments(layer, s.a), moments(layer, s.b), cross(layer, s))


def unrolled(layer: Chain | Repeat) -> tuple[Layer, ...]:
    return layer.layers if isinstance(layer, Chain) else (layer.block,) * layer.times


@moments.register
def _(layer: Identity, s: Moments) -> Moments:
    return s


@moments.register
def _(layer: Dense, s: Moments) -> Moments:
    return Moments(layer.weight_var * s.q + layer.bias_var)


@moments.register
def _(layer: Pointwise, s: Moments) -> Moments:
    return Moments(Mean(layer.formula**2, s.q), Mean(layer.formula, s.q))


@moments.register
def _(layer: Dropout, s: Moments) -> Moments:
    return Moments(s.q / layer.keep, s.m)


@moments.register
def _(layer: LayerNorm, s: Moments) -> Moments:
    return Moments(S.One)


@moments.register
def _(layer: RMSNorm, s: Moments) -> Moments:
    return Moments(S.One, s.m / sqrt(s.q))


@moments.register
def _(layer: Scale, s: Moments) -> Moments:
    after = moments(layer.layer, s)
    return Moments(layer.factor**2 * after.q, layer.factor * after.m)


@moments.register(Chain)
@moments.register(Repeat)
def _(layer: Chain | Repeat, s: Moments) -> Moments:
    return reduce(lambda state, part: moments(part, state), unrolled(layer), s)


@moments.register
def _(layer: Sum, s: Moments) -> Moments:
    after = [moments(b, s) for b in layer.branches]
    return Moments(Add(*(a.q for a in after)), Add(*(a.m for a in after)))


@cross.register
def _(layer: Identity, s: Pair) -> Expr:
    return s.k


@cross.register
def _(layer: Dense, s: Pair) -> Expr:
    return layer.weight_var * s.k + layer.bias_var


@cross.register
def _(layer: Pointwise, s: Pair) -> Expr:
    return PairMean(layer.formula, layer.formula, s.a.q, s.b.q, s.k)


@cross.register
def _(layer: Dropout, s: Pair) -> Expr:
    return s.k


@cross.register
def _(layer: LayerNorm, s: Pair) -> Expr:
    return (s.k - s.a.m * s.b.m) / spread(s, centred=True)


@cross.register
def _(layer: RMSNorm, s: Pair) -> Expr:
    return s.k / spread(s, centred=False)


@cross.register
def _(layer: Scale, s: Pair) -> Expr:
    return layer.factor**2 * cross(layer.layer, s)


@cross.register(Chain)
@cross.register(Repeat)
def _(layer: Chain | Repeat, s: Pair) -> Expr:
    return reduce(lambda state, part: pair(part, state), unrolled(layer), s).k


@cross.register
def _(layer: Sum, s: Pair) -> Expr:
    return Add(*(cross(b, s) for b in layer.branches))


def spread(s: Pair, *, centred: bool) -> Expr:
    """The product of the two normalisers, sqrt(Var u Var v)."""
    shift = int(centred)
    return sqrt(s.a.q - shift * s.a.m**2) * sqrt(s.b.q - shift * s.b.m**2)
