"""The mean field of a layer of a Fourier neural operator, g' = skip g + K phi(g) + W phi(g) + b, as formulas.

Sigma_r is the covariance of pre-activations r points apart, C_r = E phi(g_0) phi(g_r), S the filter with eigenvalues
s_k: Sigma'_r = (S C)_r + pointwise_var C_r + bias_var + skip^2 Sigma_r; gradients go the other way, Sigmatilde_r =
Cdot_r ((S + pointwise_var) Sigmatilde')_r + skip^2 Sigmatilde'_r, Cdot_r = E phi'(g_0) phi'(g_r), filter first. At
Sigma_r = q the mode k changes by (s_k + pointwise_var) E phi'^2 + skip^2, whatever K and N.
Layers of Koshizuka et al. 2024 (arXiv 2310.06379) and Kim 2025 (arXiv 2507.21833), recalled: their formulas were not
read, these are derived here and checked by simulation.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sympy import Eq, Expr, IndexedBase, S, Sum, Symbol, latex, log

from symbolic import fourier_coupling
from symbolic.closing import formula
from symbolic.critical import Curve, NoEdge, shown, solved
from symbolic.fourier_block import POINTWISE_VAR, FourierForm, fourier_form
from symbolic.fourier_coupling import HAT_C, V_NEXT
from symbolic.fourier_modes import LAG, MODE, POINT, SHARE, Modes, N, kept_modes, transformed
from symbolic.gaussian import Mean, PairMean, k, p, q
from symbolic.maps import LETTERS
from symbolic.networks import BIAS_VAR, WEIGHT_VAR, Layer
from symbolic.signals import NoRule

SIGMA, SIGMA_NEXT, BACK, BACK_NEXT, C, CDOT, KERNEL = (
    IndexedBase(name, real=True) for name in ("Sigma", "Sigma'", "Sigmatilde", "Sigmatilde'", "C", "Cdot", "S")
)
P_H, P_DELTA = IndexedBase("P_H", nonnegative=True), IndexedBase("P_delta", nonnegative=True)
NAMES = {
    **LETTERS,
    POINTWISE_VAR: r"\sigma_p^2",
    SIGMA_NEXT.label: r"\Sigma'",
    V_NEXT.label: "V'",
    BACK_NEXT.label: r"\tilde{\Sigma}'",
}


@dataclass(frozen=True)
class FourierMap:
    """One layer skip g + phi >> (Spectral + W) on N points: every property is SymPy, closed where a mean has a formula.

    A layer with one number of modes is read as one of functions on one axis. On d axes (modes a tuple) N, K, r, k are
    multi-indices: k r/N = sum_i k_i r_i/N_i, sums run over the box, 1/N = 1/(N_1 ... N_d), K is a symbol. Covariances
    are stationary; for an input that is not, C_r is its mean over positions, and what is not stationary changes as
    dropped modes do. Two inputs x, y obey the same filter, with C_r = E phi(g_r(x)) phi(g_0(y)).
    """

    layer: Layer
    form: FourierForm

    @property
    def name(self) -> str:
        return str(self.layer)

    @cached_property
    def modes(self) -> Modes:
        """K, s_k, s_0, the largest s_k and its law in k: effective variances, half at k = 0 of complex weights."""
        return kept_modes(self.form.spectral)

    @property
    def symbols(self) -> dict[str, Any]:
        """What stands in the formulas, by name: indices, K and s_k of the block, and the indexed covariances."""
        indices = {"N": N, "r": LAG, "k": MODE, "m": POINT, "q": q, "K": self.modes.K, "s": self.modes.s_k}
        return indices | {base.name: base for base in (SIGMA, SIGMA_NEXT, BACK, BACK_NEXT, C, CDOT, HAT_C, KERNEL)}

    # -- forward -------------------------------------------------------------------------------------------------

    @cached_property
    def dual(self) -> Eq:
        """C_r = E phi(g_0) phi(g_r) in Sigma_0 and Sigma_r."""
        return Eq(C[LAG], formula(_lagged(self._pair)), evaluate=False)

    @property
    def spectrum(self) -> Eq:
        """Chat_k, the Fourier transform of C_r."""
        return Eq(HAT_C[MODE], transformed(C[LAG]), evaluate=False)

    @property
    def covariance(self) -> Eq:
        """Sigma'_r by the modes of C."""
        return self._next(self.modes.filtered(HAT_C[MODE]))

    @property
    def one_sided(self) -> Eq:
        """Sigma'_r by cosines of the modes k = 0 .. K - 1; NoRule (a TypeError) on several axes."""
        return self._next(self.modes.one_sided(HAT_C[MODE]))

    @property
    def kernel(self) -> Eq:
        """S_r, the filter over lags: weight_var times the Dirichlet kernel D_K(r) where all modes have one variance."""
        return Eq(KERNEL[LAG], self.modes.kernel(), evaluate=False)

    @property
    def convolution(self) -> Eq:
        """Sigma'_r by the convolution of C with `kernel`."""
        return self._next(Sum(KERNEL[LAG - POINT] * C[POINT], (POINT, 0, N - 1)))

    @cached_property
    def composed(self) -> Expr:
        """Sigma'_r in Sigma alone."""
        filtered = self.modes.filtered(transformed(self.dual.rhs))
        return self._next(filtered).rhs.xreplace({C[LAG]: self.dual.rhs})

    @property
    def update(self) -> tuple[Eq, ...]:
        """From Sigma to Sigma': the dual, its spectrum, the covariance."""
        return self.dual, self.spectrum, self.covariance

    # -- the uniform state Sigma_r = q ---------------------------------------------------------------------------

    @cached_property
    def fixed_point(self) -> Eq:
        """q = (s_0 + pointwise_var) E phi^2 + bias_var + skip^2 q: free of K and N."""
        return Eq(q, formula(self._length), evaluate=False)

    @cached_property
    def eigenvalues(self) -> dict[str, Expr]:
        """Factors per layer of a small change of Sigma_r = q: of a mode k != 0 that is "kept" or "dropped" (as are
        changes that are not stationary), of the mean, "dc" = chi_q, and of the difference of "two inputs" in the mean.
        """
        kept, both = (formula(self._factor(s)) for s in (self.modes.s_k, self.modes.s_0))
        return {
            "kept": kept,
            "dropped": formula(self._factor(S.Zero)),
            "dc": formula(self._length.diff(q)),
            "two inputs": both,
        }

    @cached_property
    def chi_1(self) -> Expr:
        """The largest factor of a difference: (max_k s_k + pointwise_var) E phi'^2 + skip^2."""
        return formula(self._factor(self.modes.top))

    @property
    def edge_condition(self) -> Eq:
        """chi_1 = 1, at the q of `fixed_point`."""
        return Eq(self.chi_1, 1, evaluate=False)

    def edge_of_chaos(self) -> Curve:
        """weight_var(q), bias_var(q) with chi_1 = 1 at the fixed point q, and chi_q there, free of K and N.

        Raises NoEdge (a ValueError) unless weight_var and bias_var of the block are left as symbols.
        """
        raw = self._factor(self.modes.top) - 1, self._length - q
        fixed = [s.name for s, e in zip((WEIGHT_VAR, BIAS_VAR), raw, strict=True) if not e.has(s)]
        if fixed:
            raise NoEdge(
                f"the edge of chaos is sought in weight_var and bias_var, but {' and '.join(fixed)} of '{self.name}' "
                "is not free: leave it out, as in mf.FourierBlock(12, 'tanh')"
            )
        weight_var = solved(raw[0], WEIGHT_VAR, self.layer)
        bias_var = solved(raw[1].subs(WEIGHT_VAR, weight_var), BIAS_VAR, self.layer)
        return Curve((weight_var, bias_var, self._length.diff(q).subs(WEIGHT_VAR, weight_var)))

    def depth_scales(self) -> tuple[Expr, Expr]:
        """xi_q = -1/log chi_q of the mean and xi_k = -1/log of a kept mode k, negative where it grows."""
        return -1 / log(self.eigenvalues["dc"]), -1 / log(self.eigenvalues["kept"])

    # -- backward, and couplings of modes ------------------------------------------------------------------------

    @cached_property
    def slopes(self) -> Eq:
        """Cdot_r = E phi'(g_0) phi'(g_r) in Sigma_0 and Sigma_r, by Price's theorem."""
        return Eq(CDOT[LAG], formula(_lagged(self._pair.diff(k))), evaluate=False)

    @cached_property
    def backward(self) -> Eq:
        """Sigmatilde_r of gradients behind the layer's input, from Sigmatilde' of those at its output."""
        return self._before(self.slopes.rhs)

    @property
    def weight_gradient(self) -> dict[str, Expr]:
        """E (dL/dRe R_k)^2 + E (dL/dIm R_k)^2 of an entry of R_k that acts on a "pair" of modes +-k, or on one that is
        "self-conjugate" (mean, Nyquist), where P_H[k] = E|Hhat_k|^2 of phi(g), P_delta[k] = E|deltahat_k|^2 at the
        output.
        """
        return {
            kind: (count / N) ** 2 * P_H[MODE] * P_DELTA[MODE] for kind, count in (("pair", 2), ("self-conjugate", 1))
        }

    def hermite_coupling(self, order: int = 3) -> Eq:
        """Chat_k by circular convolutions of the spectrum Sigmahat with itself, q = Sigma_0, up to that power."""
        return fourier_coupling.hermite_coupling(self.form.phi, order)

    @cached_property
    def jacobian(self) -> Eq:
        """J_rs = dC_r/dSigma_s."""
        through_length = _lagged(self._pair.subs(p, q).diff(q))
        return fourier_coupling.jacobian(self.slopes.rhs, shown(through_length))

    @property
    def vertex(self) -> Eq:
        """V'_rs, the covariance of Sigma'_r and Sigma'_s times the channels, to first order in 1/channels.

        NoRule (a TypeError) for a pointwise path or a skip, which keep what is not stationary.
        """
        if self.form.pointwise_var != 0 or self.form.skip != 0:
            raise NoRule(
                f"the vertex is that of phi >> Spectral alone, whose output is stationary, not of '{self.name}': leave "
                "the pointwise path and the skip out"
            )
        return fourier_coupling.vertex(KERNEL)

    # -- shown ---------------------------------------------------------------------------------------------------

    @property
    def equations(self) -> tuple[Eq, ...]:
        """What is shown."""
        law = [] if self.modes.law is None else [Eq(SHARE[MODE], self.modes.law, evaluate=False)]
        factors = {"lambda_k": self.eigenvalues["kept"], "chi_1": self.chi_1, "chi_q": self.eigenvalues["dc"]}
        state = [self.fixed_point, *(Eq(Symbol(name), e, evaluate=False) for name, e in factors.items())]
        return (*law, *self.update, *state, self.slopes, self._before(CDOT[LAG]))

    def __str__(self) -> str:
        return "\n".join((f"{self.name}   [lags r, modes k]", *(f"  {e.lhs} = {e.rhs}" for e in self.equations)))

    __repr__ = __str__

    def latex(self) -> str:
        """The equations as an aligned block."""
        rows = (latex(e, symbol_names=NAMES).replace("=", "&=", 1) for e in self.equations)
        return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    # -- means left open, to be differentiated -------------------------------------------------------------------

    @property
    def _pair(self) -> Expr:
        return PairMean(self.form.phi.formula, self.form.phi.formula, p, q, k)

    @property
    def _length(self) -> Expr:
        """q' at Sigma_r = q."""
        square = Mean(self.form.phi.formula**2, q)
        form = self.form
        return (self.modes.s_0 + form.pointwise_var) * square + form.spectral.bias_var + form.skip**2 * q

    def _factor(self, variance: Expr) -> Expr:
        slope = self._pair.diff(k).subs({p: q, k: q}, simultaneous=True)
        return (variance + self.form.pointwise_var) * slope + self.form.skip**2

    def _next(self, filtered: Expr) -> Eq:
        form = self.form
        total = filtered + form.pointwise_var * C[LAG] + form.spectral.bias_var + form.skip**2 * SIGMA[LAG]
        return Eq(SIGMA_NEXT[LAG], total, evaluate=False)

    def _before(self, slope: Expr) -> Eq:
        behind = self.modes.filtered(transformed(BACK_NEXT[LAG])) + self.form.pointwise_var * BACK_NEXT[LAG]
        return Eq(BACK[LAG], slope * behind + self.form.skip**2 * BACK_NEXT[LAG], evaluate=False)


def _lagged(mean: Expr) -> Expr:
    """A mean over two points, r apart."""
    return mean.subs({p: SIGMA[0], q: SIGMA[0], k: SIGMA[LAG]}, simultaneous=True)


def fourier_map(block: Any) -> FourierMap:
    """The mean-field formulas of a layer of a Fourier neural operator, skip g + phi >> (Spectral + W), as SymPy.

    block: mf.tanh >> mf.Spectral(modes, ...), with a filter of size 1 beside the Spectral layer and a skip beside both
    if wanted, or mf.FourierBlock(...); numbers or symbols, those left out stay symbols. The result has covariances of
    lags (`update`, `covariance`, `one_sided`, `convolution`), the uniform state (`fixed_point`, `eigenvalues`, `chi_1`,
    `edge_of_chaos()`, `depth_scales()`), gradients (`slopes`, `backward`, `weight_gradient`), couplings of modes
    (`hermite_coupling(order)`, `jacobian`, `vertex`), and `latex()`.
    Raises TypeError or NoRule (a TypeError) for another block, ValueError for a spectrum of another length than modes.
    Koshizuka et al. 2024 (arXiv 2310.06379), Kim 2025 (arXiv 2507.21833): formulas derived here and checked by
    simulation, not read in the papers.

    >>> from symbolic.fourier_block import FourierBlock
    >>> layer = fourier_map(FourierBlock(3, "erf"))
    >>> layer.dual
    Eq(C[r], 2*asin(2*Sigma[r]/(2*Sigma[0] + 1))/pi)
    >>> layer.eigenvalues["kept"]
    4*(pointwise_var + weight_var)/(pi*sqrt(4*q + 1))
    """
    return FourierMap(block, fourier_form(block))
