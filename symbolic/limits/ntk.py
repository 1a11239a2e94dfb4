"""The neural tangent kernel: t' = own-parameter Gram + pullback * t.

For two inputs: Dense t' = (w k + b) + w t (NTK parametrisation, all weights and biases trained, biases multiplied by
sqrt(b)); phi t' = E phi'(u) phi'(v) t;  normalisation divides by its normaliser, whose own derivative is O(1/width);
dropout t' = t for two inputs (independent masks) and t/keep for one;  a sum adds its branches' tangents. Jacot et al.
2018 (arXiv 1806.07572), Lee et al. 2019 (1902.06720); normalisation and dropout derived here, not read there.
"""

from functools import reduce, singledispatch

from sympy import Add, Expr

from symbolic.gaussian import Mean, PairMean
from symbolic.landmarks import slope
from symbolic.limits.nngp import Moments, Pair, moments, no_rule, pair, spread, unrolled
from symbolic.networks import Chain, Dense, Dropout, Identity, Layer, LayerNorm, Pointwise, Repeat, RMSNorm, Scale, Sum


@singledispatch
def tangent(layer: Layer, s: Pair, t: Expr) -> Expr:
    """The tangent kernel of two inputs behind a layer."""
    raise no_rule("ntk", layer, tangent)


@singledispatch
def diagonal(layer: Layer, s: Moments, t: Expr) -> Expr:
    """The tangent kernel of one input with itself behind a layer."""
    raise no_rule("ntk", layer, diagonal)


@tangent.register
def _(layer: Identity, s: Pair, t: Expr) -> Expr:
    return t


@tangent.register
def _(layer: Dense, s: Pair, t: Expr) -> Expr:
    return layer.weight_var * s.k + layer.bias_var + layer.weight_var * t


@tangent.register
def _(layer: Pointwise, s: Pair, t: Expr) -> Expr:
    derivative = slope(layer.formula)
    return PairMean(derivative, derivative, s.a.q, s.b.q, s.k) * t


@tangent.register
def _(layer: Dropout, s: Pair, t: Expr) -> Expr:
    return t


@tangent.register(LayerNorm)
@tangent.register(RMSNorm)
def _(layer: LayerNorm | RMSNorm, s: Pair, t: Expr) -> Expr:
    return t / spread(s, centred=isinstance(layer, LayerNorm))


@tangent.register
def _(layer: Scale, s: Pair, t: Expr) -> Expr:
    return layer.factor**2 * tangent(layer.layer, s, t)


@tangent.register(Chain)
@tangent.register(Repeat)
def _(layer: Chain | Repeat, s: Pair, t: Expr) -> Expr:
    return reduce(lambda now, part: (pair(part, now[0]), tangent(part, *now)), unrolled(layer), (s, t))[1]


@tangent.register
def _(layer: Sum, s: Pair, t: Expr) -> Expr:
    return Add(*(tangent(b, s, t) for b in layer.branches))


@diagonal.register
def _(layer: Identity, s: Moments, t: Expr) -> Expr:
    return t


@diagonal.register
def _(layer: Dense, s: Moments, t: Expr) -> Expr:
    return layer.weight_var * s.q + layer.bias_var + layer.weight_var * t


@diagonal.register
def _(layer: Pointwise, s: Moments, t: Expr) -> Expr:
    return Mean(slope(layer.formula) ** 2, s.q) * t


@diagonal.register
def _(layer: Dropout, s: Moments, t: Expr) -> Expr:
    return t / layer.keep


@diagonal.register
def _(layer: LayerNorm, s: Moments, t: Expr) -> Expr:
    return t / (s.q - s.m**2)


@diagonal.register
def _(layer: RMSNorm, s: Moments, t: Expr) -> Expr:
    return t / s.q


@diagonal.register
def _(layer: Scale, s: Moments, t: Expr) -> Expr:
    return layer.factor**2 * diagonal(layer.layer, s, t)


@diagonal.register(Chain)
@diagonal.register(Repeat)
def _(layer: Chain | Repeat, s: Moments, t: Expr) -> Expr:
    return reduce(lambda now, part: (moments(part, now[0]), diagonal(part, *now)), unrolled(layer), (s, t))[1]


@diagonal.register
def _(layer: Sum, s: Moments, t: Expr) -> Expr:
    return Add(*(diagonal(b, s, t) for b in layer.branches))
