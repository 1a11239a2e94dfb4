"""Optimizers by the size of their step: [Q] = s + [g] - sum_k e_k max([lambda_k], [rho_k]), and w' = w - eta Q.

g = n^-a delta x^T is the gradient; an optimizer divides it by powers e of quantities lambda + rho, rho its damping.
Adam: lambda = |g|, e = 1. Muon, normalized SGD: |g|_F. Shampoo: the eigenvalues |g|_F^2 of g g^T, g^T g. K-FAC: those
of E x x^T and E delta delta^T. SOAP: |g| in the eigenbasis. Adafactor, LAMB, LARS multiply by the size of w.
Derived here; the rows of SGD, Adam, K-FAC(1, 1), FOOF and Shampoo agree with the public code of Ishikawa & Karakida
2024 (arXiv 2312.12226) that was read, those of Shampoo, SOAP and Muon with Qiu et al. 2025 (arXiv 2512.05620), read.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sympy import Expr, Integer, Rational, Symbol, diff, expand

from symbolic.networks import quantity
from symbolic.scaling.tropical import most

ZERO, QUARTER, HALF, ONE = Integer(0), Rational(1, 4), Rational(1, 2), Integer(1)


@dataclass(frozen=True)
class Signals:
    """Exponents at one weight matrix: of its input x, delta = dl/dh, weight w, multiplier, fan-in and fan-out."""

    x: Expr
    delta: Expr
    weight: Expr
    multiplier: Expr
    fan_in: Expr
    fan_out: Expr

    @property
    def gradient(self) -> Expr:
        return self.multiplier + self.delta + self.x


Size = Callable[[Signals], Expr]


def entry(s: Signals) -> Expr:
    """|g|, one entry."""
    return s.gradient


def frobenius(s: Signals) -> Expr:
    """|g|_F, which is also the largest singular value: g has a rank of Theta(1)."""
    return s.gradient + (s.fan_in + s.fan_out) / 2


def gram(s: Signals) -> Expr:
    """The eigenvalues |g|_F^2 of g g^T and of g^T g."""
    return 2 * s.gradient + s.fan_in + s.fan_out


def inputs(s: Signals) -> Expr:
    """The eigenvalues |x|^2 of E x x^T."""
    return 2 * s.x + s.fan_in


def deltas(s: Signals) -> Expr:
    """The eigenvalues of E delta delta^T, delta taken before the multiplier as the weight sees it."""
    return 2 * (s.multiplier + s.delta) + s.fan_out


def rotated_left(s: Signals) -> Expr:
    """An entry of g in the eigenbasis of g g^T, where one row holds all of it."""
    return s.gradient + s.fan_out / 2


def rotated_right(s: Signals) -> Expr:
    """An entry of g in the eigenbasis of g^T g."""
    return s.gradient + s.fan_in / 2


def nothing(s: Signals) -> Expr:
    return ZERO


def weight_rms(s: Signals) -> Expr:
    return s.weight


def weight_norm(s: Signals) -> Expr:
    return s.weight + (s.fan_in + s.fan_out) / 2


@dataclass(frozen=True)
class Metric:
    """A division by (size + damping)^power; the damping is known by its name."""

    damping: str
    power: Expr
    size: Size


@dataclass(frozen=True)
class Optimizer:
    """An update rule by its exponents.

    `signal` says what stands for delta: "gradient" (backpropagation), "inference" (predictive coding with gamma_L =
    n^energy) or "targets" (difference target propagation).
    """

    name: str
    metrics: tuple[Metric, ...] = ()
    scale: Size = nothing
    signal: str = "gradient"
    energy: Expr = ZERO

    def update(self, s: Signals, damping: Mapping[str, Expr] | None = None) -> Expr:
        """[Q]; a damping left out is of the size that it is added to."""
        given = damping or {}
        sizes = {m: (m.size(s), given.get(m.damping, m.size(s))) for m in self.metrics}
        divided = (m.power * most(*sizes[m]) for m in self.metrics)
        return expand(self.scale(s) + s.gradient - sum(divided, ZERO))

    def dampings(self, s: Signals) -> dict[str, Expr]:
        """The exponent of each damping that stays neither negligible nor dominant."""
        return {m.damping: expand(m.size(s)) for m in self.metrics}

    @property
    def gauge(self) -> Expr:
        """kappa: (a + theta, b - theta, c - kappa theta) trains the same network."""
        theta = Symbol("theta", real=True)
        shifted = Signals(ZERO, ZERO, theta, -theta, ZERO, ZERO)
        return expand(diff(-shifted.multiplier - self.update(shifted), theta))

    @property
    def damping_gauge(self) -> dict[str, Expr]:
        """What each damping exponent changes by for each unit of theta."""
        theta = Symbol("theta", real=True)
        shifted = Signals(ZERO, ZERO, theta, -theta, ZERO, ZERO)
        return {name: diff(value, theta) for name, value in self.dampings(shifted).items()}


def _power(name: str, value: Any) -> Expr:
    return quantity(name, value, low=0, high=1)


def _metrics(*metrics: Metric) -> tuple[Metric, ...]:
    return tuple(m for m in metrics if m.power != 0)


def _kfac(e_A: Any = 1, e_B: Any = 1) -> dict[str, Any]:
    over = Metric("rho_A", _power("e_A", e_A), inputs), Metric("rho_B", _power("e_B", e_B), deltas)
    return {"metrics": _metrics(*over)}


def _shampoo(e_L: Any = QUARTER, e_R: Any = QUARTER) -> dict[str, Any]:
    total = _power("e_L", e_L) + _power("e_R", e_R)  # both Grams have the same eigenvalues, and one epsilon
    return {"metrics": _metrics(Metric("epsilon", total, gram))}


SIDES = {"both": frobenius, "left": rotated_left, "right": rotated_right}


def _soap(sides: str = "both") -> dict[str, Any]:
    if sides not in SIDES:
        raise ValueError(f"soap tracks the sides 'both', 'left' or 'right', not {sides!r}")
    return {"metrics": (Metric("epsilon", ONE, SIDES[sides]),)}


def _predictive_coding(gamma: Any = 0) -> dict[str, Any]:
    return {"signal": "inference", "energy": quantity("gamma", gamma, low=-float("inf"))}


def _normalized(size: Size, scale: Size = nothing) -> Callable[[], dict[str, Any]]:
    return lambda: {"metrics": (Metric("epsilon", ONE, size),), "scale": scale}


RULES: dict[str, Callable[..., dict[str, Any]]] = {
    "sgd": dict,
    "momentum": dict,
    **dict.fromkeys(("adam", "adamw", "rmsprop", "sign", "lion"), _normalized(entry)),
    **dict.fromkeys(("adafactor", "lamb"), _normalized(entry, weight_rms)),
    "lars": _normalized(frobenius, weight_norm),
    **dict.fromkeys(("normalized_sgd", "muon"), _normalized(frobenius)),
    "shampoo": _shampoo,
    "soap": _soap,
    "kfac": _kfac,
    "foof": lambda: _kfac(1, 0),
    "predictive_coding": _predictive_coding,
    "target_propagation": lambda: {"signal": "targets"},
}


_CODE = "derived here; equal to the public code of Ishikawa & Karakida 2024 (arXiv 2312.12226), read, at its points"
_TEXT = "derived here; equal to Qiu et al. 2025 (arXiv 2512.05620), read"
_OURS = "derived here, checked by simulation"
_SETTING = (
    "derived here for the setting of Ishikawa, Yokota & Karakida 2024 (arXiv 2411.02001), whose tables were not read; "
    "checked by simulation"
)
PROVENANCE: dict[str, str] = {
    **dict.fromkeys(RULES, _OURS),
    **dict.fromkeys(("sgd", "adam", "kfac", "foof"), _CODE),
    **dict.fromkeys(("soap", "muon"), _TEXT),
    "shampoo": f"{_CODE}, and to Qiu et al. 2025 (arXiv 2512.05620), read",
    "adamw": "derived here, not simulated under its own name",
    "target_propagation": _SETTING,
    "predictive_coding": f"{_SETTING}; for gamma > 1 the equilibrium is that of a linear network, and with tanh and "
    "targets out of its reach errors stay larger",
}


def optimizer(name: str | Optimizer, **exponents: Any) -> Optimizer:
    """An optimizer by its name and its exponents: kfac(e_A, e_B), shampoo(e_L, e_R), soap(sides), predictive_coding
    (gamma). ValueError for unknown names, unknown exponents and those out of range.

    >>> optimizer("shampoo", e_L=Rational(1, 2), e_R=Rational(1, 2)).gauge
    0
    """
    if isinstance(name, Optimizer):
        if exponents:
            raise ValueError(f"the optimizer {name.name} has its exponents already; leave {', '.join(exponents)} out")
        return name
    if name not in RULES:
        near = get_close_matches(str(name).lower(), RULES, 3, 0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(RULES)}"
        raise ValueError(f"unknown optimizer {name!r}; {hint}")
    rule = RULES[name]
    known = [] if rule is dict else list(inspect.signature(rule).parameters)
    for given in exponents:
        if given not in known:
            raise ValueError(f"{name} has no exponent {given!r}; it has {', '.join(known) or 'none'}")
    return Optimizer(name, **rule(**exponents))
