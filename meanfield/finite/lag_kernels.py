"""Covariances over lags of many Fourier neural operators at once, without their weights, from their exact law.

Given Ghat, what phi >> Spectral puts out in each channel is a Gaussian field sum_k (P_k/N)^(1/2) z_k cas(2 pi k.a/N),
cas = cos + sin (Hartley 1942), P the DFT of Ghat, z normal; and P'_k = s_k |hhat_k|^2/(N D) + N bias_var delta_k0,
summed over the D channels of h = phi(g), |hhat_k|^2 = (x_k^2 + x_-k^2)/2, x_k = sum_a h_a cas(2 pi k.a/N). A skip adds
fields, g' = skip g + fresh field, and powers, skip^2 P + P'. Derived here.
"""

from typing import Any

import numpy as np

from meanfield.finite.formulas import evaluate
from meanfield.finite.networks import Array, number, whole
from meanfield.modes import mode_shares
from solvers.lattice import angles, mirror
from symbolic.fourier_block import FourierForm, fourier_form
from symbolic.networks import Layer
from symbolic.signals import NoRule

AT_ONCE = 1 << 19


def lag_kernels(
    block: Layer, start: Any, *, channels: int, depth: int, networks: int, rng: np.random.Generator
) -> Array:
    """Ghat, (networks, depth + 1, *grid): `start` at layer 0, then skip^2 Ghat + S (lag covariance of phi(g)) +
    bias_var, the covariance that channels have given the layers before, if there is no skip.

    Raises NoRule for a block with a pointwise path, whose fields are not stationary given Ghat.
    """
    form, start = fourier_form(block), np.asarray(start, dtype=np.float64)
    if form.pointwise_var != 0:
        raise NoRule(f"many networks at once are drawn without a pointwise path, not of '{block}': use walk")
    every = np.arange(start.size)
    turned = angles(start.shape, every, every)
    P = np.empty((whole("networks", networks), whole("depth", depth) + 1, start.size))
    P[:, 0] = np.fft.fftn(start).real.ravel()
    step = max(1, AT_ONCE // (whole("channels", channels) * start.size))
    for first in range(0, networks, step):
        _walked(form, start.shape, P[first : first + step], np.cos(turned) + np.sin(turned), channels, rng)
    return np.asarray(P @ np.cos(turned) / start.size).reshape(*P.shape[:2], *start.shape)


def _walked(
    form: FourierForm, shape: tuple[int, ...], P: Array, cas: Array, channels: int, rng: np.random.Generator
) -> None:
    """Powers of all layers behind P[:, 0], in place."""
    s = (number(form.spectral, "weight_var") * mode_shares(form.spectral, shape)).ravel()
    kept, size, skip = s > 0, len(s), float(form.skip)
    waves, opposite = np.ascontiguousarray(cas[:, kept]), mirror(shape)
    fresh, g = P[:, 0], np.zeros(())
    for layer in range(P.shape[1] - 1):
        drawn = (fresh > 0).any(axis=0)
        z = rng.standard_normal((len(P), channels, int(drawn.sum())))
        z *= np.sqrt(np.maximum(fresh[:, None, drawn], 0) / size)
        g = skip * g + z @ cas[drawn] if skip else z @ cas[drawn]
        x, squares = evaluate(form.phi.formula, g) @ waves, np.zeros((len(P), size))
        squares[:, kept] = np.einsum("ijk,ijk->ik", x, x) / channels
        fresh = s * (squares + squares[:, opposite]) / (2 * size)
        fresh[:, 0] += size * number(form.spectral, "bias_var")
        P[:, layer + 1] = skip**2 * P[:, layer] + fresh
