"""The law of lambda in spec(J J^T), J = prod_l D_l W_l over L free layers, from the law of d = D^2.

w = M(z) = int lambda/(z - lambda) solves  z = (s zeta w)^L (1 + w)^a/w,  w = E d/(zeta - d),  s = weight_var, a = 1 for
Gaussian W and 1 - L for orthogonal W; density(x) = -Im w(x + i0)/(pi x). The unknown is u = log zeta, which stays
in Im log z <= Im u <= pi (subordination; the end point is checked): Newton's method continues it from z = -infinity
along the negative axis to -x, where all is real and monotone, and around the half circle |z| = x to x + i0. On the way
z meets no singularity, as the edges of the support are on the positive axis. The use of zeta is derived here.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from solvers.factors import Factor
from solvers.jit import cached, jit

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Whole = npt.NDArray[np.int64]
Law: TypeAlias = tuple[Complex, Complex, float, float, float, float]  # d_j, w_j, P(d = 0), L, a, L log s

FAR = 60.0  # log |z|/m_1 where continuation starts: M(z) = m_1/z there to all digits
NEWTON, CLOSE, SHORTEST = 8, 1e-14, 1e-11  # corrections per step, residual per layer, shortest step on a path of 1
GAP = 1e-7  # largest relative disagreement of the two rules on w and on 1 + w


class Unresolved(IntEnum):
    """Why a point has no density."""

    NO = 0
    STEPS = 1
    RULE = 2
    BRANCH = 3

    @property
    def why(self) -> str:
        return (
            "resolved",
            "the continuation stopped: the point is too close to an edge of the support",
            "the mean of d/(zeta - d) could not be integrated to 1e-7",
            "the solution left the half plane in which it must lie",
        )[self]


@dataclass(frozen=True)
class Product:
    """`depth` layers with the same law of d and weights of variance weight_var/n, Gaussian or orthogonal."""

    factor: Factor
    depth: int
    weight_var: float
    gaussian: bool

    def __post_init__(self) -> None:
        if self.depth < 1 or not 0 < self.weight_var < math.inf:
            raise ValueError(f"depth >= 1 and a finite weight_var > 0 are needed, not {self.depth}, {self.weight_var}")

    @property
    def mean(self) -> float:
        """m_1 = (s mu_1)^L."""
        return (self.weight_var * self.factor.moment(1)) ** self.depth

    @property
    def discrete(self) -> bool:
        """Is there no density at all?"""
        law = self.factor
        single = law.nodes.size == 1 and law.zero == 0
        return not self.gaussian and law.discrete and (self.depth == 1 or single)

    @property
    def atoms(self) -> dict[float, float]:
        """Places and masses: at 0 that of d; elsewhere only orthogonal weights leave one, (s d)^L of a heavy d."""
        law = self.factor
        masses = law.weights.real
        found = {0.0: law.zero} if law.zero else {}
        if self.gaussian or not law.discrete:
            return found
        places = (self.weight_var * law.nodes.real) ** self.depth
        left = self.depth * masses - (self.depth - 1)
        return found | {float(x): float(m) for x, m in zip(places, left, strict=True) if m > 1e-14}

    def log_density(self, log_x: Array) -> tuple[Array, Whole]:
        """-Im w/pi, the density of log lambda, at ascending log x; NaN with a reason where it is not known."""
        law = self.factor
        scale = math.log(law.moment(1))
        found, reason = np.full(len(log_x), np.nan + 0j), np.ones(len(log_x), dtype=np.int64)
        first = _law(self, law.nodes, law.weights)
        _solve(np.ascontiguousarray(log_x), scale, scale * self.depth + first[5], first, found, reason)
        met = reason == Unresolved.NO
        w, h = _means(found[met], first)
        w2, h2 = _means(found[met], _law(self, law.watch_nodes, law.watch_weights))
        wrong = (w.imag > 1e-8 * abs(w)) | (found[met].imag < -1e-8) | (found[met].imag > math.pi + 1e-8)
        loose = ~((abs(w - w2) <= GAP * abs(w)) & (abs(h - h2) <= GAP * abs(h)))
        reason[met] = np.where(loose, Unresolved.RULE, np.where(wrong, Unresolved.BRANCH, Unresolved.NO))
        out = np.full(len(log_x), np.nan)
        good = reason[met] == Unresolved.NO
        out[reason == Unresolved.NO] = np.maximum(0.0, -w[good].imag / math.pi)
        return out, reason

    def density(self, x: Array) -> tuple[Array, Whole]:
        """The density at any x, and a reason where it is NaN. Atoms are no part of it; at 0 itself it is NaN."""
        flat = np.asarray(x, dtype=np.float64).ravel()
        out, reason = np.zeros(flat.size), np.zeros(flat.size, dtype=np.int64)
        out[flat == 0], reason[flat == 0] = np.nan, Unresolved.STEPS
        inside = np.flatnonzero(flat > 0)
        inside = inside[np.argsort(flat[inside])]
        if inside.size and not self.discrete:
            value, reason[inside] = self.log_density(np.log(flat[inside]))
            out[inside] = value / flat[inside]
        return out.reshape(np.shape(x)), reason.reshape(np.shape(x))

    def outside(self, u: Array) -> tuple[Array, Complex]:
        """At real u = log zeta where no log d is: w (1 + w) d log z/du, which has no poles, over the size of its
        addends, and log z up to 2 pi i."""
        critical, log_z = np.empty(u.size), np.empty(u.size, dtype=np.complex128)
        _outside(u, _law(self, self.factor.nodes, self.factor.weights), critical, log_z)
        return critical, log_z


def _law(product: Product, nodes: Complex, weights: Complex) -> Law:
    power = 1.0 if product.gaussian else 1.0 - product.depth
    scale = product.depth * math.log(product.weight_var)
    return nodes, weights, product.factor.zero, float(product.depth), power, scale


@cached
def _means(u: Complex, law: Law) -> tuple[Complex, Complex]:
    """w = M(z) and h = 1 + w at many u; h is summed by itself, as it may be tiny."""
    nodes, weights, zero = law[0], law[1], law[2]
    w, h = np.zeros(u.size, dtype=np.complex128), np.full(u.size, complex(zero))
    for i in range(u.size):
        zeta = np.exp(u[i])
        for j in range(nodes.size):
            gap = zeta - nodes[j]
            if gap == 0:
                w[i] = h[i] = complex(math.nan)
                break
            part = weights[j] / gap
            w[i] += part * nodes[j]
            h[i] += part * zeta
    return w, h


@jit
def _three(u: complex, law: Law) -> tuple[complex, complex, complex]:
    """w, 1 + w and their derivative in u."""
    nodes, weights, zero = law[0], law[1], law[2]
    zeta = np.exp(u)
    w, h, dw = 0j, complex(zero), 0j
    for j in range(nodes.size):
        gap = zeta - nodes[j]
        if gap == 0:
            return complex(math.nan), complex(math.nan), complex(math.nan)
        inverse = 1 / gap
        part = weights[j] * inverse
        w += part * nodes[j]
        h += part * zeta
        dw -= part * nodes[j] * zeta * inverse
    return w, h, dw


@jit
def _log_z(u: complex, law: Law) -> tuple[complex, complex]:
    """log z, up to 2 pi i, and its derivative in u."""
    _, _, _, depth, power, scale = law
    w, h, dw = _three(u, law)
    if w == 0 or h == 0:
        return complex(math.nan), complex(math.nan)
    log_z = scale + power * np.log(h) + (depth - 1) * np.log(w) + depth * u
    return log_z, power * dw / h + (depth - 1) * dw / w + depth


@cached
def _outside(u: Array, law: Law, critical: Array, log_z: Complex) -> None:
    for i in range(u.size):
        _, _, _, depth, power, scale = law
        w, h, dw = _three(complex(u[i], 0.0), law)
        a, b, c = power * dw * w, (depth - 1) * dw * h, depth * w * h
        critical[i] = (a + b + c).real / (abs(a) + abs(b) + abs(c))
        log_z[i] = scale + power * np.log(h) + (depth - 1) * np.log(w) + depth * u[i]


@jit
def _correct(target: complex, u: complex, law: Law) -> tuple[complex, bool]:
    """Newton's method on log z(u) = target: the root, and whether it was met."""
    for _ in range(NEWTON):
        log_z, slope = _log_z(u, law)
        miss = target - log_z
        miss = complex(miss.real, miss.imag - 2 * math.pi * np.round(miss.imag / (2 * math.pi)))
        if not abs(miss) < 1 or slope == 0:
            return u, False
        u += miss / slope
        if abs(miss) <= CLOSE * (10 + law[3]) * (1 + abs(target)):
            return u, True
    return u, False


@jit
def _advance(u: complex, start: complex, end: complex, law: Law) -> tuple[complex, bool]:
    """Continue u from log z = start to log z = end along a line, halving every step whose prediction errs by 0.2."""
    done, step = 0.0, 0.25
    while done < 1.0:
        last = step >= 1.0 - done
        step = 1.0 - done if last else step
        _, slope = _log_z(u, law)
        if slope == 0:
            return u, False
        ahead = step * (end - start) / slope
        there = end if last else start + (done + step) * (end - start)
        found, met = _correct(there, u + ahead, law)
        if met and abs(found - u - ahead) <= 0.2 * abs(ahead) + 1e-13:
            u, done, step = found, 1.0 if last else done + step, 1.6 * step
        elif step < SHORTEST:
            return u, False
        else:
            step *= 0.5
    return u, True


@cached
def _solve(log_x: Array, log_mu: float, log_mean: float, law: Law, found: Complex, reason: Whole) -> None:
    """u at x + i0 for ascending log x, from the largest down; where it is met the reason becomes 0."""
    at = complex(max(FAR + log_mean, log_x[-1] + 1.0), math.pi)
    u, met = _correct(at, at - log_mean + log_mu, law)
    for i in range(log_x.size - 1, -1, -1):
        there = complex(log_x[i], math.pi)
        if met:
            u, met = _advance(u, at, there, law)
            at = there
        if met:
            end, reached = _advance(u, at, complex(log_x[i], 0.0), law)
            if reached:
                found[i], reason[i] = end, 0
