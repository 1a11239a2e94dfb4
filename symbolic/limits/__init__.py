"""Limits: what an infinitely wide layer does to a state. One file each; `derive` applies one to a network.

length (q) -> (q');  nngp (p, q, k) -> (p', q', k');  ntk (p, q, k, t) -> ..., t the tangent kernel of two inputs;
ntk_diagonal (q, t) the same of one input with itself;  gradient (q, g) the factor of the mean squared gradient, from
output to input. A limit is a function on layers: a layer and a limit meet by registration, and neither edits the other.
"""

from collections.abc import Callable
from difflib import get_close_matches

from sympy import Dummy, Expr, S, Symbol

from symbolic.attention import Attention
from symbolic.fourier import Spectral
from symbolic.gaussian import g, k, p, q, t
from symbolic.limits.gradient import factor
from symbolic.limits.nngp import Moments, Pair, cross, moments, pair
from symbolic.limits.ntk import diagonal, tangent
from symbolic.maps import Map
from symbolic.networks import Layer, Repeat
from symbolic.pictures import is_spatial, layers_in
from symbolic.signals import FEATURES, GAUSSIAN, NoRule, kinds_through
from symbolic.structure import blocks
from symbolic.transformers import TransformerBlock

State = tuple[Symbol, ...]
_START = Pair(Moments(p), Moments(q), k)


def _nngp(layer: Layer) -> tuple[Expr, ...]:
    after = pair(layer, _START)
    return after.a.q, after.b.q, after.k


LIMITS: dict[str, tuple[State, Callable[[Layer], tuple[Expr, ...]]]] = {
    "length": ((q,), lambda layer: (moments(layer, Moments(q)).q,)),
    "nngp": ((p, q, k), _nngp),
    "ntk": ((p, q, k, t), lambda layer: (*_nngp(layer), tangent(layer, _START, t))),
    "ntk_diagonal": ((q, t), lambda layer: (moments(layer, Moments(q)).q, diagonal(layer, Moments(q), t))),
    "gradient": ((q, g), lambda layer: (moments(layer, Moments(q)).q, g * factor(layer, Moments(q)))),
}


def readable(layer: Layer, kind: str) -> Layer:
    """The layer, if its rules apply to a signal of this kind; NoRule for a LayerNorm that reads the mean of
    features."""
    if kind == FEATURES:
        mean = Dummy("mean", real=True)
        if moments(layer, Moments(q, mean)).q.has(mean) or cross(
            layer, Pair(Moments(p, mean), Moments(q, mean), k)
        ).has(mean):
            raise NoRule(
                f"'{layer}' normalises by the mean of a signal that is not Gaussian and whose mean is not known here: "
                "put a Dense layer before it, or use RMSNorm"
            )
    return layer


def _instead(layer: Layer) -> str:
    """What describes a layer that mixes positions."""
    parts = tuple(layers_in(layer))
    if any(isinstance(part, Spectral) for part in parts):
        return "mf.fourier_map derives the equations of all lags of a grid, mf.lag_covariance computes them"
    if any(isinstance(part, Attention | TransformerBlock) for part in parts):
        return "mf.token_map derives that of a TransformerBlock, mf.attention_law the law of an Attention layer"
    return "mf.kernel walks all pairs of positions of pictures, mf.spatial_covariance those of a circular block"


def derive(layer: Layer, limit: str = "nngp") -> Map:
    """The map of one block in a limit; NoRule where the theory is silent, ValueError for an unknown limit or for depth.

    >>> from symbolic.activations import erf
    >>> from symbolic.networks import Dense
    >>> derive(erf >> Dense(), "length").update
    (bias_var + 2*weight_var*asin(2*q/(2*q + 1))/pi,)
    """
    if limit not in LIMITS:
        near = get_close_matches(str(limit), LIMITS, 1)
        raise ValueError(
            f"unknown limit {limit!r}{f', did you mean {near[0]!r}?' if near else ''}; known are {', '.join(LIMITS)}"
        )
    if not isinstance(layer, Layer):
        raise TypeError(f"a limit is derived of a layer such as mf.tanh >> mf.Dense(), not of {layer!r}")
    if is_spatial(layer):
        raise NoRule(
            f"'{layer}' mixes positions, so that no map of one pair of signals describes it: {_instead(layer)}"
        )
    if GAUSSIAN not in kinds_through(layer):
        readable(layer, FEATURES)
    parts = list(blocks(layer))
    if len(parts) != 1 or (isinstance(layer, Repeat) and parts[0][1] > 1):
        listed = "; ".join(str(part) for part, _ in parts)
        raise ValueError(f"depth is iterated, never composed: derive one block of this network at a time ({listed})")
    state, rule = LIMITS[limit]
    return Map(layer, limit, state, tuple(S(e) for e in rule(parts[0][0])))


__all__ = ["LIMITS", "Moments", "NoRule", "Pair", "derive", "readable"]
