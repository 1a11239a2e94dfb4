"""All that is known of an architecture and an optimizer: the solved chain, what lies beside it, the rule for depth.

Tied embeddings ask for the multiplier n^-1 of the output against the input, unless a gauge has it. u-muP puts all
exponents into multipliers, and as published trains the embedding with n^(-1/2) where the maximal update is n^0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sympy import Max, S

from symbolic.scaling.architectures import Architecture
from symbolic.scaling.depth import DepthRule, depth_rule
from symbolic.scaling.equations import Chain
from symbolic.scaling.optimizers import HALF, ONE, ZERO, Optimizer
from symbolic.scaling.rules import Exponents
from symbolic.scaling.scores import Vector, product
from symbolic.scaling.shared import LoRA, lora, tied
from symbolic.scaling.table import OWN_GAUGE, Slopes, parametrized, slopes

EMBEDDING = Vector(frozenset({"W x"}))
Gauge = str | Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    """`adapters` are solved instead of the chain where only they are trained."""

    chain: Chain
    gauge: Gauge
    beside: Mapping[str, Exponents]
    depth: DepthRule | None = None
    adapters: LoRA | None = None
    tied: bool = False

    @property
    def slopes(self) -> dict[str, Slopes]:
        """After the first step, of each layer of the chain, or of the adapters."""
        if self.adapters:
            return adapter_slopes(self.adapters)
        found = slopes(self.chain)
        if self.tied:  # what is read holds what was embedded by the same matrix: W^T W x is aligned
            last = len(self.chain.layers) - 1
            name = self.chain.layers[last].name
            aligned = self.chain.weight(last) + product(EMBEDDING, EMBEDDING, self.chain.layers[last].fan_in)
            found[name] = replace(found[name], h=Max(found[name].h, aligned))
        return found


def setup(
    architecture: Architecture,
    optimizer: Optimizer,
    parametrization: str,
    gauge: Gauge | None,
    damping: str,
    fixed: Mapping[str, Mapping[str, Any]] | None,
    depth: Any,
) -> Setup:
    """The exponents of an architecture; ValueError for what does not go together, Contradiction for conflicts."""
    if architecture.adapters:
        others = {"gauge": gauge, "fixed": fixed, "depth": depth}
        _only("adapters are", parametrization, {name: value for name, value in others.items() if value is not None})
    rule = None if depth is None else depth_rule(depth, optimizer, architecture.matrices)
    unit = rule is not None and rule.name == "u_mup"
    if unit:
        _only("u_mup is", parametrization, {} if gauge in (None, "unit") else {"gauge": gauge})
        if optimizer.name not in ("adam", "adamw"):
            raise ValueError(
                f"u_mup is a rule for adam and adamw; for {optimizer.name}: depth='depth_mup', gauge='unit'"
            )
        gauge = "unit"
    if architecture.tied:
        _only("tied embeddings are", parametrization, {})
        gauge = {"output": tied(optimizer).multiplier} if gauge is None else gauge
    chain = parametrized(architecture.path, optimizer, parametrization, gauge, damping, fixed)
    if architecture.tied:
        _check_tie(chain)
    beside = architecture.beside_exponents(chain)
    adapters = lora(optimizer) if architecture.adapters else None
    shown = OWN_GAUGE[parametrization] if gauge is None else gauge
    return Setup(_unit(chain) if unit else chain, shown, beside, rule, adapters, architecture.tied)


def _only(what: str, parametrization: str, others: Mapping[str, Any]) -> None:
    if parametrization != "mup":
        raise ValueError(f"{what} solved for parametrization='mup', not {parametrization!r}")
    for name, value in others.items():
        raise ValueError(f"{what} solved without {name}={value!r}: leave {name} out")


def _check_tie(chain: Chain) -> None:
    """One matrix has one initialization and one learning rate."""
    if chain.a[-1] == chain.a[0]:
        tied(chain.optimizer, multiplier=False)  # raises the contradiction, in words
    if (chain.b[0], chain.c[0]) != (chain.b[-1], chain.c[-1]):
        raise ValueError(
            f"a tied unembedding needs the multiplier n^-1 times that of the embedding, but the gauge gives "
            f"n^({chain.a[0] - chain.a[-1]}): leave gauge out, or take 'table8' or 'table9'"
        )


def _unit(chain: Chain) -> Chain:
    return replace(chain, c=(chain.c[0] + HALF, *chain.c[1:]))


def adapter_slopes(found: LoRA) -> dict[str, Slopes]:
    """Those of the outputs z of A and B z of B; B is 0 when drawn, and what A reads does not change."""
    none = S.NegativeInfinity
    return {
        "A": Slopes(own=found.z, prop=none, cross=none, dh=found.z, h=ZERO, delta=ZERO),
        "B": Slopes(own=found.by_B, prop=none, cross=found.by_A, dh=max(found.by_A, found.by_B), h=none, delta=-ONE),
    }
