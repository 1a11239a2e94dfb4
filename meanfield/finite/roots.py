"""Factors of covariances, from which Gaussian signals are drawn."""

import numpy as np

from meanfield.build import Array


def gram_root(gram: Array) -> Array:
    """F with F F^T = gram, of symmetric positive semidefinite matrices (..., n, n), also singular ones: equal or
    dependent signals make them so, and rounding then gives eigenvalues just below zero."""
    values, vectors = np.linalg.eigh(gram)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])
