"""Martens, Ballard, Desjardins, Swirszcz, Dalibard, Sohl-Dickstein, Schoenholz 2021, Rapid training of deep neural
networks without skip connections or normalization layers using deep kernel shaping, arXiv 2110.01765; and Zhang,
Botev, Martens 2022, arXiv 2203.08120 (tat).

A case names activation, depth and method; every network is built of the shaped activation. The prediction is the
target itself, not a map iterated by us. Recalled and checked numerically; constants compared with the authors' code.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sympy import Max, symbols

from meanfield.build import Array
from meanfield.finite import gradient_profile, grams
from meanfield.observe import inputs, network, over_pairs
from meanfield.shaping import Shaped, shape_activation
from meanfield.theory import Case, Prediction, Start, Theory
from symbolic.activations import ACTIVATIONS, activation
from symbolic.functions import X
from symbolic.limits import derive
from symbolic.maps import Map
from symbolic.networks import Chain, Dense, Layer, Pointwise

_TANH, _LEAKY = ACTIVATIONS["tanh"], ACTIVATIONS["leaky_relu"]


@dataclass(frozen=True)
class ShapedCase(Case):
    """A case with the method that shapes its activation, and its target; inputs start uncorrelated, with length 1."""

    start: Start = (1.0, 1.0, 0.0)
    method: str = "dks"
    target: tuple[str, float] = ("zeta", 1.5)


def _parts(block: Layer) -> tuple[Pointwise, Dense]:
    match block:
        case Chain(layers=(Pointwise() as phi, Dense() as dense)):
            return phi, dense
    raise ValueError(f"an activation is shaped in a block such as mf.tanh >> mf.Dense(1, 0), not in '{block}'")


@cache
def _shaped(phi: Pointwise, case: Case) -> Shaped:
    wanted = case if isinstance(case, ShapedCase) else ShapedCase(case.block, case.twin)
    aim = dict([wanted.target])
    return shape_activation(phi, depth=case.depth, method=wanted.method, zeta=aim.get("zeta"), eta=aim.get("eta"))


def solve(block: Layer, case: Case) -> Prediction:
    """Length 1, correlation 0 and slope zeta for dks; length 1, correlation eta and slope 1 for tat of leaky ReLU."""
    name, target = _shaped(_parts(block)[0], case).target
    aims = {"zeta": (1.0, 0.0, target), "eta": (1.0, target, 1.0)}
    if name not in aims:
        raise ValueError(f"the target {name} is not a number that networks show: take dks, or tat with leaky_relu")
    return Prediction(("length", "correlation", "slope of the correlation map"), np.array(aims[name]), np.ones(3))


def sample(block: Layer, case: Case, width: int, rng: np.random.Generator) -> Array:
    """Empirical length and covariance at the output, and the mean squared gradient at the input, of one network."""
    phi, dense = _parts(block)
    real = network(activation(_shaped(phi, case).activation) >> dense, case.depth)
    q, k = over_pairs(grams(real, inputs(case), width=width, rng=rng)[-1])
    profile = gradient_profile(real, inputs(case), width=width, rng=rng)
    return np.array([q, k, profile[1, 1::2].mean()])


def derived(block: Layer) -> Map:
    """The map of the block with phi_hat = gamma (phi(alpha x + beta) + delta) in place of phi; for leaky ReLU with
    gamma (a x + (1 - a) max(x, 0))."""
    phi, dense = _parts(block)
    a, alpha, gamma = symbols("a alpha gamma", positive=True)
    beta, delta = symbols("beta delta", real=True)
    shaped = a * X + (1 - a) * Max(X, 0) if phi == _LEAKY else phi.formula.subs(X, alpha * X + beta) + delta
    return derive(activation(gamma * shaped) >> dense)


THEORY = Theory(
    name="martens2021",
    title="Activations shaped for depth",
    cite="arXiv 2110.01765, 2203.08120",
    claim="Shaped networks keep length 1; dks: c = 0 stays, slope zeta; tat of leaky ReLU: c = 0 becomes eta, slope 1.",
    derive=derived,
    solve=solve,
    sample=sample,
    cases={
        "dks tanh": ShapedCase(_TANH >> Dense(1, 0), _TANH >> Dense(1.1, 0), depth=3),
        "tat leaky relu": ShapedCase(
            _LEAKY >> Dense(1, 0), _LEAKY >> Dense(1.1, 0), depth=2, method="tat", target=("eta", 0.35)
        ),
    },
)
