"""Layers of Fourier neural operators on functions that are constant over the grid, where they are dense layers.

There q = (s_0 + sigma_W^2) E phi^2 + sigma_b^2 + skip^2 q, and a mode k of a small deviation, k = 0 that of a
difference between two inputs, changes by lambda_k = (s_k + sigma_W^2) E phi'^2 + skip^2 per layer. Where the mode 0 has
the largest variance, q and the largest lambda_k are those of one dense block. Derived here, checked by simulation.
"""

from dataclasses import replace
from typing import Any

from meanfield.modes import mode_shares
from symbolic.fourier import Spectral
from symbolic.fourier_block import POINTWISE_VAR, dense_twin, fourier_form, has_spectral
from symbolic.networks import Layer
from symbolic.signals import NoRule


def uniform_twin(block: Any) -> Any:
    """The dense block with the lengths and the largest slope of a layer of a Fourier neural operator on functions that
    are constant over the grid; whatever has no Spectral layer as it is.

    Raises NoRule where the mode 0 has a smaller variance than another, or the block is no such layer; ValueError where
    pointwise_var is free.
    """
    if not (isinstance(block, Layer) and has_spectral(block)):
        return block
    form = fourier_form(block)
    if form.pointwise_var.has(POINTWISE_VAR):
        raise ValueError(
            f"pointwise_var of '{block}' must be a number here: write it, or let mf.init_scale(block, split=...) share "
            "a variance between both paths"
        )
    mean, largest = extreme_shares(form.spectral)
    if mean != largest:
        raise NoRule(
            f"'{block}' draws the mean over the grid with {mean / largest:.6g} of the variance of another mode, so no "
            "dense block has both its lengths and its slopes: mf.init_scale finds its edge of chaos, "
            "mf.fourier_operator(block, grid) its lengths and modes, and dc='real' without spectrum makes them one"
        )
    return dense_twin(form, mean)


def extreme_shares(layer: Spectral) -> tuple[float, float]:
    """s_k/weight_var of the mode 0, and the largest of all kept modes, on grids that are finer than the modes kept (a
    Nyquist mode has a smaller share than others, or an equal one where weights are real)."""
    axes, rows = 1, layer.spectrum
    while rows and isinstance(rows[0], tuple):
        axes, rows = axes + 1, rows[0]
    modes = layer.modes if isinstance(layer.modes, tuple) else (layer.modes,) * axes
    if layer.spectrum is None:  # further modes have the shares of these
        modes = tuple(min(count, 2) for count in modes)
    shares = mode_shares(replace(layer, modes=modes), tuple(2 * count + 1 for count in modes))
    if not shares.any():
        raise ValueError(f"spectrum of '{layer}' is 0 for every mode: let one be above 0")
    return float(shares.flat[0]), float(shares.max())
