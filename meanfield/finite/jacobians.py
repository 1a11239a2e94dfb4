"""Input-output Jacobians J = prod_l W_l D_l of real networks phi >> Dense, with Gaussian or orthogonal weights.

The signal starts as a pre-activation of squared norm q * width; biases are Gaussian.
"""

from functools import reduce

import numpy as np

from meanfield.finite.formulas import evaluate, slope
from meanfield.finite.networks import Array, number
from symbolic.networks import Dense, Pointwise

Factors = list[tuple[Array, Array]]  # from input to output: W and the diagonal of D


def factors(
    phi: Pointwise, dense: Dense, *, depth: int, width: int, ensemble: str, q: float, rng: np.random.Generator
) -> Factors:
    """The factors of the Jacobian of one network."""
    h = rng.standard_normal(width)
    h *= np.sqrt(q * width) / np.linalg.norm(h)
    found, bend = [], slope(phi.formula)
    for _ in range(depth):
        w = rng.standard_normal((width, width)) / np.sqrt(width)
        if ensemble == "orthogonal":
            w = haar(w)
        w *= np.sqrt(number(dense, "weight_var"))
        found.append((w, evaluate(bend, h)))
        h = w @ evaluate(phi.formula, h) + np.sqrt(number(dense, "bias_var")) * rng.standard_normal(width)
    return found


def haar(gaussian: Array) -> Array:
    """Orthonormal columns, uniformly random if the entries are independent Gaussians: QR with signs, Mezzadri 2007."""
    q, r = np.linalg.qr(gaussian)
    return np.asarray(q * np.copysign(1.0, np.diag(r)))


def squared_singular_values(parts: Factors) -> Array:
    """The eigenvalues of J J^T, in descending order."""
    start = np.eye(len(parts[0][1]))
    return np.asarray(np.linalg.svd(reduce(_forth, parts, start), compute_uv=False) ** 2)


def two_moments(parts: Factors, probes: int, rng: np.random.Generator) -> Array:
    """tr J J^T/n and tr (J J^T)^2/n without bias, from |J v|^2 and |J^T J v|^2 of random vectors v."""
    start = rng.standard_normal((len(parts[0][1]), probes))
    out = reduce(_forth, parts, start)
    back = reduce(lambda y, part: part[1][:, None] * (part[0].T @ y), reversed(parts), out)
    return np.array([np.mean(out**2), np.mean(back**2)])


def _forth(x: Array, part: tuple[Array, Array]) -> Array:
    w, d = part
    return w @ (d[:, None] * x)
