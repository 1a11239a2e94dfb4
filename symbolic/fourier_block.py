"""A layer of a Fourier neural operator, g' = skip g + K phi(g) + W phi(g) + b: written down, and recognised.

K is a Spectral layer and W a matrix that acts on each position by itself, a filter of size 1. Given the pre-activations
g, those of the next layer are Gaussian, and covariances of the paths add. Koshizuka et al. 2024 (arXiv 2310.06379) call
it simplified without W and original with it; `skip` is the residual layer of Kim 2025 (arXiv 2507.21833). Recalled, not
re-read.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeGuard

from sympy import Expr, Integer, Symbol

from symbolic.activations import activation
from symbolic.fourier import Spectral
from symbolic.networks import (
    BIAS_VAR,
    WEIGHT_VAR,
    Chain,
    Dense,
    Identity,
    Layer,
    Pointwise,
    Scale,
    Sum,
    flat,
    quantity,
)
from symbolic.pictures import Conv, layers_in
from symbolic.signals import NoRule

POINTWISE_VAR = Symbol("pointwise_var", nonnegative=True)


def FourierBlock(
    modes: Any,
    phi: Any = "relu",
    *,
    weight_var: Any = WEIGHT_VAR,
    pointwise_var: Any = POINTWISE_VAR,
    bias_var: Any = BIAS_VAR,
    skip: Any = 0,
    dc: str = "real",
    spectrum: Any = None,
    half_open: bool = False,
) -> Layer:
    """skip g + (phi >> Spectral(modes, weight_var, bias_var, ...) + phi >> W), W_ij ~ N(0, pointwise_var/channels).

    phi: an activation (name, formula or layer); W acts on each position by itself, and is left out where pointwise_var
    is 0, as the skip where skip is 0; variances left out stay symbols; modes, weight_var, dc, spectrum and half_open
    are those of mf.Spectral. Raises what mf.Spectral and mf.activation raise.
    """
    pointwise_var = quantity("pointwise_var", pointwise_var, low=0)
    skip = quantity("skip", skip, low=-float("inf"))
    paths: Layer = Spectral(modes, weight_var, bias_var, dc, spectrum, half_open)
    if pointwise_var != 0:
        paths = paths + Conv(1, weight_var=pointwise_var, bias_var=0)
    branch = activation(phi) >> paths
    return branch if skip == 0 else skip * Identity() + branch


@dataclass(frozen=True)
class FourierForm:
    """skip g + phi >> (spectral + W): what a block was recognised as; spectral.bias_var is the bias of all paths."""

    phi: Pointwise
    spectral: Spectral
    pointwise_var: Expr
    skip: Expr


def fourier_form(block: Any) -> FourierForm:
    """The block as skip g + phi >> (spectral + W); TypeError or NoRule with what is wanted for another."""
    if not isinstance(block, Layer):
        raise TypeError(f"a block is a layer such as mf.relu >> mf.Spectral(modes=12), not {block!r}")
    return _form(block)


@lru_cache(maxsize=256)
def _form(block: Layer) -> FourierForm:
    skip: Expr = Integer(0)
    branches = []
    for branch in flat(Sum, block):
        factor, layer = _factored(branch)
        if isinstance(layer, Identity) and skip == 0:
            skip = factor
        else:
            branches.append((factor, layer))
    if len(branches) != 1:
        raise _unknown(block)
    factor, layer = branches[0]
    phi, *paths = flat(Chain, layer)
    if not isinstance(phi, Pointwise) or len(paths) != 1:
        raise _unknown(block)
    return _paths(block, phi, skip, factor, paths[0])


def _paths(block: Layer, phi: Pointwise, skip: Expr, factor: Expr, layer: Layer) -> FourierForm:
    spectral, pointwise, bias = None, Integer(0), Integer(0)
    for part in flat(Sum, layer):
        inner, path = _factored(part)
        square = (factor * inner) ** 2
        if isinstance(path, Spectral) and spectral is None:
            spectral = replace(path, weight_var=square * path.weight_var)
        elif is_pointwise(path):
            pointwise += square * path.weight_var
        else:
            raise _unknown(block)
        bias += square * path.bias_var
    if spectral is None:
        raise _unknown(block)
    return FourierForm(phi, replace(spectral, bias_var=bias), pointwise, skip)


def dense_twin(form: FourierForm, share: Any = 1) -> Layer:
    """skip g + phi >> Dense(share s + pointwise_var, bias_var), s the variance of the Spectral layer: what the block is
    on functions that are constant over the grid, where the mode 0 has `share` of s.

    phi(g) is then constant as well, of its modes the mode 0 alone is not 0, and R_0 + W acts as the matrix of a dense
    layer, whatever the grid and the other modes kept. About such a state a mode k decays or grows by the factor (s_k +
    pointwise_var) E phi'^2 + skip^2 per layer, which for s_k = share s is chi_1 of this block. Derived here.

    >>> from symbolic.activations import ACTIVATIONS as act
    >>> dense_twin(fourier_form(FourierBlock(12, act["relu"], weight_var=1, pointwise_var=1, bias_var=0)))
    relu >> Dense(weight_var=2, bias_var=0)
    """
    spectral, part = form.spectral, quantity("share", share, low=0)
    branch = form.phi >> Dense(part * spectral.weight_var + form.pointwise_var, spectral.bias_var)
    return branch if form.skip == 0 else form.skip * Identity() + branch


def is_pointwise(layer: Layer) -> TypeGuard[Conv | Dense]:
    """Is it a matrix that acts on each position by itself?"""
    if isinstance(layer, Conv):
        sizes = (layer.filter_shape, layer.strides)
        return all(size == 1 for each in sizes for size in (each if isinstance(each, tuple) else (each,)))
    return isinstance(layer, Dense)


def has_spectral(layer: Layer) -> bool:
    """Is there a Spectral layer in it?"""
    return any(isinstance(part, Spectral) for part in layers_in(layer))


def _factored(layer: Layer) -> tuple[Expr, Layer]:
    if not isinstance(layer, Scale):
        return Integer(1), layer
    factor, inner = _factored(layer.layer)
    return layer.factor * factor, inner


def _unknown(block: Layer) -> NoRule:
    return NoRule(
        f"'{block}' is no layer of a Fourier neural operator, phi >> Spectral(modes), with a filter of size 1 beside "
        "the Spectral layer and a skip beside both if wanted: write mf.FourierBlock(modes, phi, ...)"
    )
