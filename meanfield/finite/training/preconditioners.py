"""Directions of optimizers that multiply a gradient by matrices, exact by its low rank.

muon U s/(s + eps) V^T of G = U s V^T | shampoo (G G^T + eps)^{-e_L} G (G^T G + eps)^{-e_R}
soap: Adam's first step g/(|g| + eps) in the eigenbases of G G^T (left), of G^T G (right), or of both
kfac (B + rho_B)^{-e_B} G (A + rho_A)^{-e_A},  A = E x x^T, B = E (a delta)(a delta)^T | foof = kfac(1, 0).
Preconditioners are those of the present batch, not means over steps (as in Ishikawa and Karakida, arXiv:2312.12226).
"""

import numpy as np

from meanfield.finite.training.gradients import Gradient, precondition
from meanfield.finite.training.mlp import Array
from meanfield.finite.training.updates import Memory, Update, only, quotient, rms

SIDES = ("both", "left", "right")


def muon(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
    u, s, v = g.svd
    return (u * (s / (s + only(damping)))) @ v.T, None


def shampoo(e_L: float = 0.25, e_R: float = 0.25) -> Update:
    def update(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
        u, s, v = g.svd
        return (u * (s * (s**2 + only(damping)) ** -(e_L + e_R))) @ v.T, None

    return update


def soap(sides: str = "both") -> Update:
    """ValueError for other sides than "both", "left" and "right"."""
    if sides not in SIDES:
        raise ValueError(f"sides are {', '.join(map(repr, SIDES))}, not {sides!r}")

    def update(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
        if sides == "both":
            return muon(g, w, damping, memory)
        u, s, v = g.svd
        turned = u * s if sides == "right" else (v * s).T
        found = quotient(turned, abs(turned) + only(damping))
        return (found @ v.T if sides == "right" else u @ found), None

    return update


def kfac(e_A: float = 1.0, e_B: float = 1.0, pi: bool = False) -> Update:
    """Damping (rho_A, rho_B), without that of an exponent 0; or, with `pi`, one rho split as Martens and Grosse do,
    rho_A = sqrt(rho) pi and rho_B = sqrt(rho)/pi with pi^2 = (tr A/dim A)/(tr B/dim B)."""

    def update(g: Gradient, w: Array, damping: tuple[float, ...], memory: Memory) -> tuple[Array, Memory]:
        if pi:
            root, split = np.sqrt(only(damping)), rms(g.right) / (rms(g.left) or 1.0)  # nothing moves without signals
            rho_a, rho_b = root * split, root / split
        else:
            given = iter(damping)
            rho_a, rho_b = (next(given, 0.0) if e else 0.0 for e in (e_A, e_B))
        return Gradient(precondition(g.left, rho_b, e_B), precondition(g.right, rho_a, e_A)).dense, None

    return update
