"""What mf.transformer answers: trajectories of alike tokens, exponents, fixed points, the threshold of attention."""

from dataclasses import dataclass
from math import exp

import numpy as np

from meanfield.build import Array
from solvers.spectra import phase


@dataclass(frozen=True, eq=False)
class TokenTrajectory:
    """Layers 0 .. depth: mean square q, difference d = q - p and cosine of two tokens; before each block the variance
    of scores within a row and the participation Y2, the inverse number of tokens that a row reads."""

    q: Array
    d: Array
    participation: Array
    score_var: Array

    @property
    def p(self) -> Array:
        return np.asarray(self.q - self.d)

    @property
    def one_minus_cosine(self) -> Array:
        return np.asarray(self.d / self.q)

    @property
    def cosine(self) -> Array:
        return 1 - self.one_minus_cosine

    def __str__(self) -> str:
        return (
            f"{len(self.q) - 1} blocks: cosine {self.cosine[0]:.6g} -> {self.cosine[-1]:.6g}, mean square "
            f"{self.q[0]:.6g} -> {self.q[-1]:.6g}, rows read {1 / self.participation[-1]:.4g} tokens"
        )

    __repr__ = __str__


@dataclass(frozen=True)
class TokenExponents:
    """Rates per block at equal tokens, natural logarithms: of 1 - cosine (angle, lambda_a), of squared gradients that
    are the same at all tokens (gradient, lambda_g) or sum to 0 over them (difference), and of lengths.

    q and q_middle are the lengths before attention and before the MLP. A squared gradient at one token grows as
    (1/n) e^(gradient l) + (1 - 1/n) e^(difference l).
    """

    angle: float
    gradient: float
    difference: float
    length: float
    q: float
    q_middle: float

    @property
    def phase(self) -> str:
        """ordered (tokens collapse), critical or chaotic."""
        return phase(exp(self.angle))

    def __str__(self) -> str:
        return (
            f"{self.phase}: lambda_a = {self.angle:.6g}, lambda_g = {self.gradient:.6g} at q = {self.q:.6g}"
            f" (lengths x e^{self.length:.6g} per block)"
        )

    __repr__ = __str__


@dataclass(frozen=True)
class TokenFixedPoint:
    """Where the orbit of tokens ends: mean square, cosine, Y2, and whether tokens have become equal."""

    q: float
    cosine: float
    one_minus_cosine: float
    participation: float
    collapsed: bool


@dataclass(frozen=True)
class EntropyCollapse:
    """Attention concentrates on few tokens as n -> infinity where qk_var exceeds qk_var_c = 2 log n/(q (q - p)), i.e.
    beta = sqrt(qk_var/log n) exceeds beta_c; the annealed e^(s^2)/n holds up to qk_var_c/4. Y2 is that at n tokens."""

    beta: float
    beta_c: float
    qk_var_c: float
    participation: float
    collapsed: bool
