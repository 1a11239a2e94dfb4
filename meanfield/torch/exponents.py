"""Exponents of width for each type of parameter, and the numbers they give for the ratios of its fans.

The exponents are those of symbolic/scaling, without multipliers. Where the fans of a hidden parameter grow by different
ratios, fan-out has the exponent of an input parameter and fan-in the rest: for equal ratios the hidden exponent itself,
for others the convention of Yang et al. 2022 (arXiv:2203.03466; SGD fan_out/fan_in, Adam 1/fan_in). A weight that is
embedding and readout at once is the gauge theta = 1 of the readout (multiplier 1/n), if that has the embedding's rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from symbolic.scaling.optimizers import optimizer as optimizer_of
from symbolic.scaling.rules import maximal

INPUT, HIDDEN, OUTPUT = (0, 1), (1, 1), (1, 0)
Kind = tuple[int, int]  # whether fan-in and fan-out grow
DEFAULT_EPSILON = {"adam": 1e-8, "adamw": 1e-8, "rmsprop": 1e-8}


@dataclass(frozen=True)
class Rule:
    """Exponents of an optimizer by type; epsilon is None where there is none, or more than one."""

    name: str
    init_std: Mapping[Kind, float]
    learning_rate: Mapping[Kind, float]
    epsilon: Mapping[Kind, float] | None
    ties: bool


def rule(optimizer: Any, exponents: Mapping[str, Any]) -> Rule:
    """ValueError for unknown optimizers and for those that do not follow the gradient of a loss."""
    found = optimizer_of(optimizer, **exponents)
    if found.signal != "gradient":
        raise ValueError(
            f"{found.name} does not follow loss.backward(), which param groups are for: its exponents are those of "
            f"mf.scaling(network, optimizer={found.name!r})"
        )
    by_kind = {kind: maximal(found, bool(kind[0]), bool(kind[1])) for kind in (INPUT, HIDDEN, OUTPUT)}
    rates = {kind: each.learning_rate for kind, each in by_kind.items()}
    symbols = set().union(*(rate.free_symbols for rate in rates.values()))
    if symbols:
        raise ValueError(f"{found.name} has the symbols {', '.join(sorted(map(str, symbols)))}: give numbers for them")
    single = all([*each.dampings] == ["epsilon"] for each in by_kind.values())
    return Rule(
        name=found.name,
        init_std={kind: float(each.init_std) for kind, each in by_kind.items()},
        learning_rate={kind: float(rate) for kind, rate in rates.items()},
        epsilon={kind: float(each.dampings["epsilon"]) for kind, each in by_kind.items()} if single else None,
        ties=rates[OUTPUT] + found.gauge == rates[INPUT],
    )


def power(exponents: Mapping[Kind, float], kind: Kind, ratio_in: float, ratio_out: float) -> float:
    """The factor for one parameter, 1 at the size of base."""
    if kind == HIDDEN:
        return ratio_in ** (exponents[HIDDEN] - exponents[INPUT]) * ratio_out ** exponents[INPUT]
    if kind == INPUT:
        return ratio_out ** exponents[INPUT]
    return ratio_in ** exponents[OUTPUT] if kind == OUTPUT else 1.0
