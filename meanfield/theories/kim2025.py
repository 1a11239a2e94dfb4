"""Kim 2025, effective field theory of Fourier neural operators, arXiv 2507.21833: kernels over lags and their scatter.

Sigma'_r = (1/N) sum_k C_R(k) e^(2 pi i k r/N) Chat_k + C_b + a^2 Sigma_r with a variance C_R(k) of the weights of each
frequency and a skip a, whatever the width; at D channels it scatters by V/D, V' = S (Phi + J V J^T) S^T if a = 0. The
formulas could not be read in the paper: they are derived here (`symbolic.fourier_map`, `meanfield.fourier_vertex`).
Many narrow networks are drawn at once from their exact law, which tests compare with real weights.
"""

from dataclasses import dataclass

import numpy as np

from meanfield.build import Array
from meanfield.finite.lag_kernels import lag_kernels
from meanfield.fourier_operator import fourier_operator
from meanfield.theory import Case, Prediction, Theory
from symbolic.activations import activation
from symbolic.fourier import Spectral
from symbolic.fourier_block import FourierBlock
from symbolic.fourier_map import fourier_map
from symbolic.networks import Layer

EIGHT = (1.0, 0.7, 0.3, 0.1, 0.0, 0.1, 0.3, 0.7)
SPECTRUM = (1.0, 0.8, 0.5)


@dataclass(frozen=True)
class LagCase(Case):
    """A case that starts from covariances over lags; one draw is a batch of networks, whose scatter may be asked."""

    initial: tuple[float, ...] = EIGHT
    networks: int = 40
    scatter: bool = False


def _case(case: Case) -> LagCase:
    if not isinstance(case, LagCase):
        raise ValueError(f"kernels over lags need a LagCase, which starts from covariances over lags, not {case!r}")
    return case


def solve(block: Layer, case: Case) -> Prediction:
    """Covariances at the first, second and middle lag of the last layer, on the scale of the variance; or V_00."""
    case, operator = _case(case), fourier_operator(block, len(_case(case).initial))
    if case.scatter:
        V = operator.vertex(case.depth, case.initial, draws=2**18).length[-1:]
        return Prediction(("V[0, 0]",), V, V)
    lags = _lags(case)
    found = operator.trajectory(case.depth, case.initial)[-1]
    return Prediction(tuple(f"Sigma[{r}]" for r in lags), found[lags], np.full(len(lags), found[0]))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """Means of the same over the networks of one draw, or width times their variance."""
    case = _case(case)
    drawn = lag_kernels(block, case.initial, channels=width, depth=case.depth, networks=case.networks, rng=rng)[:, -1]
    return width * drawn[:, :1].var(axis=0, ddof=1) if case.scatter else drawn[:, _lags(case)].mean(axis=0)


def _lags(case: LagCase) -> list[int]:
    return [0, 1, len(case.initial) // 2]


def _spectral(weight_var: float) -> Layer:
    return activation("erf") >> Spectral(3, weight_var, 0.1, spectrum=SPECTRUM)


def _residual(skip: float) -> Layer:
    return FourierBlock(3, "gelu", weight_var=1.5, pointwise_var=0, bias_var=0.05, skip=skip)


THEORY = Theory(
    name="kim2025",
    title="Kernels and four-point vertices of Fourier neural operators",
    cite="arXiv 2507.21833; formulas derived here",
    claim="Sigma' = S C + C_b + a^2 Sigma over lags, S filtering by C_R(k); networks scatter by V/D around it.",
    derive=fourier_map,
    solve=solve,
    sample=sample,
    cases={
        "a variance for each frequency": LagCase(_spectral(2.0), _spectral(2.2)),
        "residual": LagCase(_residual(0.6), _residual(0.66)),
        "scatter": LagCase(
            activation("tanh") >> Spectral(2, 2, 0.1),
            activation("tanh") >> Spectral(2, 2.2, 0.1),
            depth=2,
            initial=(1.0, 0.4, 0.2, 0.4),
            networks=600,
            scatter=True,
        ),
    },
    widths=(16, 64),
)
