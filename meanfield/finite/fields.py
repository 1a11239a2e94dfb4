"""Deep Fourier neural operators g' = skip g + K phi(g) + W phi(g) + b on one input of D channels, and gradients back.

Measured are lag covariances C_r = (1/D) sum_j (1/N) sum_a g_aj g_(a+r)j of the pre-activations, of the gradients delta
at them, and squares of gradients of R_k, (c_k/N)^2 P_k(H) P_k(delta), P_k = |hat_k|^2/D, c_k = 2, or 1 for k = -k. With
real weights, or from their exact law: given H, K H is D Gaussian fields of covariance S (lag covariance of H); given
those, delta K^T is drawn as `products` says. That costs D log N per position and no weights; a path W costs D N.
Koshizuka et al. 2024 (arXiv 2310.06379) for the networks, recalled; sampler and gradients derived and checked here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from scipy.fft import irfftn, rfftn

from meanfield.finite.convolutions import finite
from meanfield.finite.formulas import evaluate, slope
from meanfield.finite.fourier import Complex, Modes, modes_drawn, spectral, to_modes
from meanfield.finite.networks import Array, number, whole
from meanfield.finite.products import Multiply, by_law, by_weights
from symbolic.fourier_block import FourierForm, fourier_form
from symbolic.networks import Layer


@dataclass(frozen=True, eq=False)
class Gradients:
    """One network: forward and backward lag covariances (depth + 1, *grid), and mean squares |dL/dRe R_k|^2 + |dL/dIm
    R_k|^2 over the entries of each matrix (depth, *half), half in the order of rfftn, 0 where nothing is drawn."""

    forward: Array
    backward: Array
    weights: Array


Back = Callable[[Array], tuple[Array, Array]]  # delta behind a layer -> delta before it, squares of its weights


def fields(covariance: Any, channels: int, rng: np.random.Generator) -> Array:
    """Independent Gaussian fields (*grid, channels) on a periodic grid, E g_a g_(a+r) = covariance[r].

    Raises TypeError or ValueError unless covariance (*grid) is finite, even in r, and has no negative mode.
    """
    c = finite(covariance, "covariance")
    if c.ndim == 0 or 0 in c.shape:
        raise ValueError(f"covariance needs an entry for each lag of a grid, (N,) or (N1, N2), not the shape {c.shape}")
    modes, axes = np.fft.fftn(c), tuple(range(c.ndim))
    small = 1e-10 * max(float(np.abs(modes).max()), np.finfo(float).tiny)
    if np.abs(modes.imag).max() > small:
        raise ValueError("covariance must be even, the same at lags r and -r: average it with its mirror image")
    if modes.real.min() < -small:
        at = tuple(int(k) for k in np.argwhere(modes.real == modes.real.min())[0])
        raise ValueError(f"covariance is of no field: its mode k = {at} has the power {modes.real.min():.6g} < 0")
    root = np.sqrt(np.maximum(modes.real, 0.0))[..., : c.shape[-1] // 2 + 1, None]
    white = rng.standard_normal((*c.shape, whole("channels", channels)))
    return np.asarray(irfftn(root * rfftn(white, axes=axes), s=c.shape, axes=axes))


def lag_covariance(g: Array) -> Array:
    """(1/D) sum_j (1/N) sum_a g_aj g_(a+r)j of g (*grid, channels): (*grid)."""
    shape = g.shape[:-1]
    power = (np.abs(rfftn(g, axes=range(len(shape)))) ** 2).mean(axis=-1)
    return np.asarray(irfftn(power, s=shape) / np.prod(shape))


def walk(
    block: Layer, start: Any, *, channels: int, depth: int, rng: np.random.Generator, conditional: bool = True
) -> Array:
    """Lag covariances (depth + 1, *grid) of the pre-activations of one network of `depth` layers, each as
    mf.FourierBlock writes it, behind fields of the covariance `start` (*grid).

    conditional=True draws from the exact law, False real weights. Raises NoRule for other blocks; ValueError or
    TypeError for numbers that are missing or make no network.
    """
    signals, _ = _passed(block, start, channels, depth, rng, conditional)
    return np.stack([lag_covariance(g) for g in signals])


def gradient_walk(
    block: Layer, start: Any, *, channels: int, depth: int, rng: np.random.Generator, conditional: bool = True
) -> Gradients:
    """The same with gradients of a white Gaussian delta at layer `depth`: backward[l] is at layer l, phi'(g) of that
    layer included, and weights[l] of the layer between l and l + 1."""
    signals, backs = _passed(block, start, channels, depth, rng, conditional)
    delta = rng.standard_normal(signals[-1].shape)
    backward, weights = [lag_covariance(delta)], []
    for back in reversed(backs):
        delta, squares = back(delta)
        backward.append(lag_covariance(delta))
        weights.append(squares)
    forward = np.stack([lag_covariance(g) for g in signals])
    return Gradients(forward, np.stack(backward[::-1]), np.stack(weights[::-1]))


def _passed(
    block: Layer, start: Any, channels: int, depth: int, rng: np.random.Generator, conditional: bool
) -> tuple[list[Array], list[Back]]:
    """The pre-activations of layers 0 .. depth, and the ways back between them."""
    form = fourier_form(block)
    missing = sorted({s.name for value in (form.pointwise_var, form.skip) for s in value.free_symbols})
    if missing:
        raise ValueError(f"{' and '.join(missing)} of '{block}' has no value: write numbers in its layers")
    number(form.spectral, "bias_var")
    signals = [fields(start, channels, rng)]
    modes = modes_drawn(form.spectral, signals[0].shape[:-1])
    backs = []
    for _ in range(whole("depth", depth)):
        g, back = _layer(form, modes, signals[-1], rng, by_law if conditional else by_weights)
        signals.append(g)
        backs.append(back)
    return signals, backs


def _layer(
    form: FourierForm, modes: Modes, g: Array, rng: np.random.Generator, multiply: Multiply
) -> tuple[Array, Back]:
    h, channels = evaluate(form.phi.formula, g), g.shape[-1]
    skip, scale = float(form.skip), np.sqrt(float(form.pointwise_var) / channels)
    read, z, to_spectral = spectral(modes, h[None], channels, rng, multiply)
    bias = np.sqrt(number(form.spectral, "bias_var")) * rng.standard_normal(channels)
    after = skip * g + modes.summed(z, mirror=True)[0] + bias
    if scale:
        rows, to_rows = multiply(scale * h.reshape(-1, channels), channels, lambda *size: rng.standard_normal(size))
        after += rows.reshape(g.shape)

    def back(delta: Array) -> tuple[Array, Array]:
        gradient = to_modes(modes, delta[None])
        at_h = to_spectral(gradient)[0]
        if scale:
            at_h = at_h + scale * to_rows(delta.reshape(-1, channels)).reshape(g.shape)
        return skip * delta + at_h * evaluate(slope(form.phi.formula), g), _squares(modes, read, gradient)

    return after, back


def _squares(modes: Modes, read: Complex, gradient: Complex) -> Array:
    """|xhat_k^H dL/dz_k|^2/D^2, a product since one input makes one row of each."""
    power = (np.abs(read) ** 2).mean(axis=(1, 2)) * (np.abs(gradient) ** 2).mean(axis=(1, 2))
    found = np.zeros(prod(modes.half))
    found[modes.mirror] = found[modes.at] = power
    return found.reshape(modes.half)
