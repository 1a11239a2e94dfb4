"""The covariance of positional encodings as numbers: var exp(-(|i - j|/length)^power), var delta_ij without length."""

import numpy as np

from meanfield.build import Array
from meanfield.finite.networks import number
from symbolic.sequences import PositionalEncoding


def covariance(layer: PositionalEncoding, tokens: int) -> Array:
    """Between all positions of a sequence, (tokens, tokens)."""
    if layer.length is None:
        return number(layer, "var") * np.eye(tokens)
    apart = np.abs(np.subtract.outer(np.arange(tokens), np.arange(tokens))) / number(layer, "length")
    return np.asarray(number(layer, "var") * np.exp(-(apart ** number(layer, "power"))))
