"""Finite random networks: what the theory is checked against."""

from meanfield.finite.networks import Draw, Tape, forward
from meanfield.finite.observables import empirical_ntk, gradient_profile, grams, inputs
from meanfield.finite.sample import Sample, draw_many, entropy, sample, stream

__all__ = [
    "Draw",
    "Sample",
    "Tape",
    "draw_many",
    "empirical_ntk",
    "entropy",
    "forward",
    "gradient_profile",
    "grams",
    "inputs",
    "sample",
    "stream",
]
