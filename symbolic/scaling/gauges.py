"""Gauges: the same training written with other multipliers, n^-theta_l taken out of each weight.

table3: none. table8: n^-1 at the output. table9: n^(1/2) at the input, n^(-1/2) at the output. unit: weights of
variance 1. Tables 3, 8 and 9 are those of Yang et al. 2022 (arXiv 2203.03466): 3 and 9 second-hand, 8 from the code of
the `mup` package that was read.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from sympy import Expr

from symbolic.networks import quantity
from symbolic.scaling.equations import Chain
from symbolic.scaling.optimizers import HALF, ONE, ZERO

GAUGES: dict[str, Callable[[Chain], Mapping[str, Expr]]] = {
    "a=0": lambda chain: {},
    "table3": lambda chain: {},
    "table8": lambda chain: {"output": ONE},
    "table9": lambda chain: {"input": -HALF, "output": HALF},
    "unit": lambda chain: {p.kind: b for p, b in zip(chain.layers, chain.b, strict=True)},
}


def theta(gauge: str | Mapping[str, Any], chain: Chain) -> tuple[Expr, ...]:
    """What each layer is shifted by from the gauge without multipliers; a mapping says the multipliers' exponents."""
    kinds = [p.kind for p in chain.layers]
    if isinstance(gauge, Mapping):
        strange = [role for role in gauge if role not in kinds]
        if strange:
            raise ValueError(f"a gauge has multipliers for {', '.join(dict.fromkeys(kinds))}, not for {strange[0]!r}")
        given: Mapping[str, Expr] = {
            role: -quantity(f"the multiplier of {role}", value, low=-float("inf")) for role, value in gauge.items()
        }
    elif gauge in GAUGES:
        given = GAUGES[gauge](chain)
    else:
        near = get_close_matches(str(gauge), GAUGES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(GAUGES)}, or exponents of multipliers"
        raise ValueError(f"unknown gauge {gauge!r}; {hint}")
    return tuple(given.get(kind, ZERO) for kind in kinds)
