"""The output of an attention layer at infinite width, for finitely many heads: Gaussian given its random scores.

    y_i = H^(-1/2) sum_a A^a_i. Z^a, A^a = zeta(p^a), Cov(p_ij, p_kl) = qk_var Gamma_ik Gamma_jl, Cov(Z) = ov_var Gamma,
so that y_i ~ N(0, V), V = (ov_var/H) sum_a Q_a with Q = A_i. Gamma A_i.^T, independent over heads: E y^2 = ov_var E Q,
excess kurtosis 3 Var Q/(H (E Q)^2). Sakai, Karakida, Imaizumi 2025 (arXiv 2506.00846): layer and limit as read in the
authors' code; moments, densities and how they are computed derived here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from meanfield.build import Array
from meanfield.finite.convolutions import finite
from meanfield.finite.networks import number, whole
from meanfield.finite.sample import Seed, stream
from meanfield.token_gram import SYMMETRIC, gram
from solvers import covariances, forms, mixtures
from solvers.rules import Form, Rule, gram_factor
from symbolic.attention import Attention, allowed

AT_ONCE = 1 << 20
GRID = 500


@dataclass(frozen=True)
class Moments:
    """Of one token's output: `variance`, excess `kurtosis`, bounds or three standard errors of both, and `how` they
    were found."""

    variance: float
    kurtosis: float
    variance_error: float
    kurtosis_error: float
    how: str


@dataclass(frozen=True, eq=False)
class AttentionLaw:
    """The law of (y_1 .. y_s), one channel of the output, over random networks; made by `attention_law`."""

    layer: Attention
    gamma: Array

    @property
    def tokens(self) -> int:
        return len(self.gamma)

    @property
    def heads(self) -> Any:
        return self.layer.heads

    @cached_property
    def _ov(self) -> float:
        return number(self.layer, "ov_var")

    @cached_property
    def _qk(self) -> float:
        return number(self.layer, "qk_var")

    @cached_property
    def _keys(self) -> Any:
        return np.array(allowed(self.layer.mask, self.tokens), dtype=np.bool_)

    @cached_property
    def _fixed(self) -> Array | None:
        """The weights A if the scores are a number: those of the Gram if tied, else of zeros."""
        if self.layer.random:
            return None
        found = np.zeros((1, self.tokens, self.tokens))
        given = math.sqrt(self._qk) * self.gamma if self.layer.tied else np.zeros_like(self.gamma)
        values = np.eye(self.tokens)[None, None]
        forms.attend(given[None, None].copy(), values, self._keys, forms.KINDS[self.layer.score], found)
        return found[0]

    @cached_property
    def _forms(self) -> tuple[Form, ...]:
        """Q of each token."""
        if self._fixed is not None:
            values = np.diag(self._fixed @ self.gamma @ self._fixed.T)
            # A single key of that Gram is read with weight 1 whatever its score.
            return tuple(Form(np.array([[q]]), 0.0, "softmax") for q in values)
        rows = (np.flatnonzero(keys) for keys in self._keys)
        return tuple(
            Form(np.ascontiguousarray(self.gamma[np.ix_(row, row)]), self._qk * self.gamma[i, i], self.layer.score)
            for i, row in enumerate(rows)
        )

    def gaussian(self, token: int = 0) -> str:
        """Why this token's output is Gaussian, in words; empty if it is not."""
        form = self._form(token)
        if not self.layer.random:
            return "at the scale 1/d scores are a number, not random"
        if form.constant and len(form.gram) == 1 and form.kind == "softmax":
            return "it reads one token only, with weight 1 whatever the score"
        if form.constant and np.ptp(form.gram) <= SYMMETRIC * np.abs(form.gram).max():
            return "the tokens that it reads are identical, so that A Gamma A^T does not depend on A"
        if form.constant:
            return "its scores do not vary"
        return "there are infinitely many heads" if self.heads == math.inf else ""

    # -- moments -------------------------------------------------------------------------------------------------

    def moments(self, token: int = 0) -> Moments:
        """Variance and excess kurtosis of a token's output; ValueError where it is always 0."""
        form = self._form(token)
        (first, second), (first_error, second_error) = form.moments(2)
        if not first > 0:
            raise ValueError(f"the output of token {token} is always 0 and has no kurtosis")
        spread = 0.0 if form.constant or self.heads == math.inf else 3 / self.heads
        error = spread * (second_error / first**2 + 2 * second * first_error / first**3)
        kurtosis = spread * (second / first**2 - 1)
        return Moments(float(self._ov * first), float(kurtosis), float(self._ov * first_error), float(error), form.how)

    def kurtosis(self, token: int = 0) -> float:
        """Excess kurtosis, 3 Var Q/(H (E Q)^2); 0 for a Gaussian."""
        return self.moments(token).kurtosis

    def moment(self, m: int, token: int = 0, *, error: bool = False) -> Any:
        """E y^m = (m - 1)!! E V^(m/2), 0 for odd m; with error=True also a bound or three standard errors."""
        m = whole("m", m)
        if m % 2:
            return (0.0, 0.0) if error else 0.0
        single, wide = self._form(token).moments(m // 2)
        pairings = math.prod(range(1, m, 2)) * self._ov ** (m // 2)
        value, above = (pairings * self._summed(s) for s in (single, single + wide))
        return (value, above - value + 4e-16 * value) if error else value

    def _summed(self, single: Array) -> float:
        """E (mean_a Q_a)^k, k the number of moments given."""
        if self.heads == math.inf:
            return float(single[0] ** len(single))
        return float(mixtures.sum_moments(single, self.heads)[-1])

    @cached_property
    def _covariance(self) -> tuple[Array, Array]:
        if self._fixed is not None:
            found = self._ov * (self._fixed @ self.gamma @ self._fixed.T)
            return found, 1e-15 * np.abs(found)
        found, wide = covariances.covariance(self.gamma, self._keys, self._qk, self.layer.score)
        first = [form.moments(1) for form in self._forms]
        np.fill_diagonal(found, [value[0] for value, _ in first])
        np.fill_diagonal(wide, [bound[0] for _, bound in first])
        return self._ov * found, self._ov * wide

    def covariance(self, *, error: bool = False) -> Any:
        """E y y^T = ov_var E A Gamma A^T (tokens, tokens), the same for all numbers of heads, and that of the Gaussian
        of infinitely many; with error=True also bounds or three standard errors. Off the diagonal by scrambled Sobol
        points unless rows are independent and even, or scores identity."""
        found, wide = self._covariance
        return (found.copy(), wide.copy()) if error else found.copy()

    # -- distribution --------------------------------------------------------------------------------------------

    def pdf(self, y: Any, token: int = 0, *, error: bool = False) -> Any:
        """The density of a token's output at y, of any shape; with error=True also its error."""
        value, wide = self._mean(mixtures.log_densities, y, token)
        value = np.exp(value)
        return (value[()], (value * np.expm1(wide))[()]) if error else value[()]

    def log_pdf(self, y: Any, token: int = 0, *, error: bool = False) -> Any:
        """Its logarithm, with the digits of the tails."""
        value, wide = self._mean(mixtures.log_densities, y, token)
        return (value[()], wide[()]) if error else value[()]

    def cdf(self, y: Any, token: int = 0) -> Any:
        """P(y_token <= y)."""
        tail = np.exp(self._mean(mixtures.log_tails, y, token)[0])
        return np.where(np.asarray(y) > 0, 1 - tail, tail)[()]

    def quantile(self, u: Any, token: int = 0, *, error: bool = False) -> Any:
        """y with P(y_token <= y) = u, 0 < u < 1, of any shape; with error=True also its error."""
        wanted = finite(u, "u")
        if ((wanted <= 0) | (wanted >= 1)).any():
            raise ValueError(f"u is a probability between 0 and 1, both left out, not {wanted.ravel().tolist()}")

        def of(rule: Rule, scale: float, heads: float) -> Array:
            flat = [mixtures.quantile(float(one), rule.places, rule.masses, scale, heads) for one in wanted.ravel()]
            return np.array(flat).reshape(wanted.shape)

        value, wide = self._over_rules(of, token)
        return (value[()], wide[()]) if error else value[()]

    def _mean(self, loop: Callable[..., None], y: Any, token: int) -> tuple[Array, Array]:
        points = finite(y, "y")

        def of(rule: Rule, scale: float, heads: float) -> Array:
            return mixtures.evaluated(loop, points, rule.places, rule.masses, scale, heads)

        value, wide = self._over_rules(of, token)
        return np.asarray(value), np.asarray(wide)

    def _over_rules(self, of: Callable[[Rule, float, float], Any], token: int) -> tuple[Any, Any]:
        form, heads = self._form(token), self.heads
        if not form.moments(1)[0][0] > 0:
            raise ValueError(f"the output of token {token} is always 0: it has no density")
        if heads == math.inf and form.exact:
            form, heads = Form(np.array([[form.moments(1)[0][0]]]), 0.0, "softmax"), 1
        if heads == math.inf:
            return form.mean(lambda rule: of(Rule(np.array([rule.places @ rule.masses]), np.ones(1)), self._ov, 1))
        # The mean of H equal numbers is that number.
        return form.mean(lambda rule: of(rule, self._ov, 1 if form.constant else heads))

    # -- samples -------------------------------------------------------------------------------------------------

    def sample(self, draws: int, *, seed: Seed = 0, channels: int | None = None) -> Array:
        """Independent draws of all tokens (draws, tokens), exact; no matrix of the layer's width is formed.

        channels=c: c channels of each network, which share its scores, (draws, tokens, c).
        """
        draws, rng = whole("draws", draws), stream(seed, self.tokens)
        each = 1 if channels is None else whole("channels", channels)
        out = np.zeros((draws, self.tokens, each))
        at_once = max(1, AT_ONCE // (self.tokens * (self.tokens + each)))
        for first in range(0, draws, at_once):
            self._fill(out[first : first + at_once], rng)
        return out[:, :, 0] if channels is None else out

    def _fill(self, out: Array, rng: np.random.Generator) -> None:
        draws, _, channels = out.shape
        if self.layer.gaussian:
            factor = gram_factor(self.covariance())
            out[:] = factor @ rng.standard_normal((draws, factor.shape[1], channels))
            return
        factor, kind = gram_factor(self.gamma), forms.KINDS[self.layer.score]
        rank = factor.shape[1]
        for _ in range(self.heads):
            p = math.sqrt(self._qk) * (factor @ rng.standard_normal((draws, 1, rank, rank)) @ factor.T)
            z = math.sqrt(self._ov / self.heads) * (factor @ rng.standard_normal((draws, 1, rank, channels)))
            forms.attend(p, z, self._keys, kind, out)

    def kl(self, samples: Any, token: int = 0, *, seed: Seed = 0) -> float:
        """KL(samples || law) as Sakai et al. measure it: Scott's kernel estimates of the samples and of as many draws
        of the law, on 500 points from the smallest to the largest of both, plus 1e-12, normalised; ValueError for
        fewer than two distinct samples."""
        from scipy.integrate import trapezoid
        from scipy.stats import entropy, gaussian_kde

        given = finite(samples, "samples").ravel()
        if given.size < 2 or np.ptp(given) == 0:
            raise ValueError(f"a kernel estimate needs two distinct samples or more, not {given.size} equal ones")
        drawn = self.sample(given.size, seed=stream(seed, self.tokens, 1))[:, self._token(token)]
        if np.ptp(drawn) == 0:
            raise ValueError(f"the output of token {token} is always 0: it has no density")
        grid = np.linspace(min(given.min(), drawn.min()), max(given.max(), drawn.max()), GRID)
        p, q = (gaussian_kde(x)(grid) + 1e-12 for x in (given, drawn))
        return float(entropy(p / trapezoid(p, grid), q / trapezoid(q, grid)))

    def _token(self, token: int) -> int:
        if isinstance(token, bool) or not isinstance(token, int | np.integer) or not 0 <= token < self.tokens:
            raise ValueError(f"token is a whole number from 0 to {self.tokens - 1}, not {token!r}")
        return int(token)

    def _form(self, token: int) -> Form:
        return self._forms[self._token(token)]

    def __str__(self) -> str:
        lines = [f"the outputs of {self.tokens} tokens behind {self.layer}"]
        for token, form in enumerate(self._forms):
            if not form.moments(1)[0][0] > 0:
                lines.append(f"  token {token}: 0")
                continue
            found, why = self.moments(token), self.gaussian(token)
            reason = (
                f"Gaussian: {why}" if why else f"excess kurtosis {found.kurtosis:.10g} +- {found.kurtosis_error:.1g}"
            )
            lines.append(f"  token {token}: variance {found.variance:.10g} +- {found.variance_error:.1g}, {reason}")
        return "\n".join(lines)

    __repr__ = __str__


def attention_law(
    gamma: Any,
    *,
    heads: Any = 1,
    qk_var: Any = 1,
    ov_var: Any = 1,
    score: str = "softmax",
    mask: Any = None,
    scale: str = "1/sqrt(d)",
    tied: bool = False,
) -> AttentionLaw:
    """The law of one channel of an attention layer's output over random networks, width to infinity, `heads` fixed.

    gamma: x x^T/features of the tokens (tokens, tokens). The other arguments are those of `mf.Attention`; heads=inf is
    the Gaussian of infinitely many. Raises ValueError or TypeError for what Attention refuses, and for a gamma that is
    not finite, square, symmetric, or has a negative eigenvalue.
    """
    layer = Attention(heads, scale, qk_var, ov_var, score, mask, tied)
    number(layer, "qk_var"), number(layer, "ov_var")
    found = gram(gamma)
    allowed(layer.mask, len(found))
    return AttentionLaw(layer, found)
