"""A gradient of a batch, G = L R^T/m with a column for each of m samples, and exact functions of it in O(n m^2).

G G^T, G^T G and A = R R^T/m, B = L L^T/m have rank m at most: with thin singular values (two QR and one m x m SVD)
    (G G^T + eps)^{-e} G = U (s^2 + eps)^{-e} s V^T,    (B + rho)^{-e} L = U (s^2/m + rho)^{-e} s V^T,
no matrix of width x width is decomposed. Singular values below 1e-12 of the largest are rounding and count as zero.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meanfield.finite.training.mlp import Array

ROUNDING = 1e-12


@dataclass(frozen=True)
class Gradient:
    """`left` (outputs, samples), a_l delta_l of backpropagation, and `right` (inputs, samples), x_{l-1}."""

    left: Array
    right: Array

    @property
    def samples(self) -> int:
        return self.left.shape[1]

    @cached_property
    def dense(self) -> Array:
        return np.asarray(self.left @ self.right.T) / self.samples

    @cached_property
    def svd(self) -> tuple[Array, Array, Array]:
        """U (outputs, r), s (r), V (inputs, r) of the r singular values that are not zero."""
        (u, r), (v, t) = np.linalg.qr(self.left), np.linalg.qr(self.right)
        core, s, core_v = np.linalg.svd(r @ t.T / self.samples, full_matrices=False)
        kept = s > ROUNDING * s[0]
        return u @ core[:, kept], s[kept], v @ core_v[kept].T


def precondition(columns: Array, damping: float, exponent: float) -> Array:
    """(C C^T/m + damping)^{-exponent} C for columns C, those of one sample each."""
    if exponent == 0:
        return columns
    u, s, v = np.linalg.svd(columns, full_matrices=False)
    kept = s > ROUNDING * s[0]
    s = s[kept]
    scaled = s * (s**2 / columns.shape[1] + damping) ** -exponent
    return np.asarray((u[:, kept] * scaled) @ v[kept])
