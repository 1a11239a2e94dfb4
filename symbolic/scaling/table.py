"""A parametrization of a network for an optimizer: solved on one layer of each kind, in the gauge without multipliers,
then written in another gauge and laid out on all layers, where its slopes and its regime are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sympy import Expr

from symbolic.networks import quantity
from symbolic.scaling.conditions import HELD, PARAMETRIZATIONS, Condition, held
from symbolic.scaling.equations import DAMPINGS, Chain, dampings, first_step, shifted
from symbolic.scaling.gauges import theta
from symbolic.scaling.layers import Parameter, merged
from symbolic.scaling.optimizers import ZERO, Optimizer
from symbolic.scaling.solve import solve, unknown_chain

OWN_GAUGE = {"mup": "a=0", "standard": "a=0", "ntk": "unit", "mean_field": "unit"}


@dataclass(frozen=True)
class Slopes:
    """Exponents at one layer after the first step: own (W - W_0) x_0, prop W_0 dx, cross (W - W_0) dx, dh their sum;
    h at initialization, delta = dl/dh (predictive coding: gamma e; target propagation: target - h). -oo: nothing moves.
    """

    own: Expr
    prop: Expr
    cross: Expr
    dh: Expr
    h: Expr
    delta: Expr


def slopes(chain: Chain) -> dict[str, Slopes]:
    """Those of each layer by its name."""
    step = first_step(chain)
    rows = zip(step.own, step.prop, step.cross, step.change, step.h, step.delta, strict=True)
    return {p.name: Slopes(*row) for p, row in zip(chain.layers, rows, strict=True)}


def parametrized(
    layers: Sequence[Parameter],
    optimizer: Optimizer,
    parametrization: str,
    gauge: str | Mapping[str, Any] | None,
    damping: str,
    fixed: Mapping[str, Mapping[str, Any]] | None,
) -> Chain:
    """The chain of these layers; ValueError for unknown names, Contradiction if what is fixed cannot be."""
    if parametrization not in PARAMETRIZATIONS:
        raise ValueError(_unknown("parametrization", parametrization, PARAMETRIZATIONS))
    if damping not in DAMPINGS:
        raise ValueError(_unknown("damping", damping, DAMPINGS))
    kinds = merged(layers)
    start = unknown_chain(kinds, optimizer, a=(ZERO,) * len(kinds))
    conditions = [*PARAMETRIZATIONS[parametrization](start), *_held(start, fixed or {})]
    solved = solve(start, conditions).chain
    moved = shifted(solved, theta(OWN_GAUGE[parametrization] if gauge is None else gauge, solved))
    at = {p.kind: k for k, p in enumerate(kinds)}
    a, b, c = (tuple(row[at[p.kind]] for p in layers) for row in (moved.a, moved.b, moved.c))
    chain = Chain(tuple(layers), a, b, c, optimizer, damping)
    dampings(chain)  # refuses a damping that the optimizer does not have
    return chain


def _held(chain: Chain, fixed: Mapping[str, Mapping[str, Any]]) -> list[Condition]:
    names = [p.name for p in chain.layers]
    found = []
    for layer, values in fixed.items():
        if layer not in names:
            raise ValueError(f"fixed names the layers {', '.join(names)}, not {layer!r}")
        for what, value in values.items():
            if what not in HELD:
                raise ValueError(f"{', '.join(HELD)} of a layer can be fixed, not {what!r}")
            found.append(held(chain, layer, what, quantity(f"{what} of {layer}", value, low=-float("inf"))))
    return found


def _unknown(what: str, given: Any, known: Any) -> str:
    near = get_close_matches(str(given).lower(), list(known), 2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    return f"unknown {what} {given!r}; {hint}"
