"""Finite random networks: what the theory is checked against."""

from meanfield.finite import attention as attention  # teaches forward the layers of sequences
from meanfield.finite import fourier as fourier  # teaches forward the layer of functions on a periodic grid
from meanfield.finite import pictures as pictures  # teaches forward the layers of pictures
from meanfield.finite.networks import Draw, Tape, forward
from meanfield.finite.observables import empirical_kernels, empirical_ntk, gradient_profile, grams, inputs
from meanfield.finite.sample import Sample, draw_many, drawn, entropy, sample, stream

__all__ = [
    "Draw",
    "Sample",
    "Tape",
    "draw_many",
    "drawn",
    "empirical_kernels",
    "empirical_ntk",
    "entropy",
    "forward",
    "gradient_profile",
    "grams",
    "inputs",
    "sample",
    "stream",
]
