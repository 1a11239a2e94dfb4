"""What flows between layers: a signal is Gaussian, or it is features.

A pre-activation is Gaussian at infinite width; what leaves an activation or a dropout mask is not. Which kinds
a layer accepts and gives is a rule registered for its class, and it is asked when a network is written down.
"""

from functools import singledispatch
from typing import Any

GAUSSIAN, FEATURES = "gaussian", "features"


class NoRule(TypeError):
    """The theory has no statement for this layer here; the message says which it has."""


def kinds_through(layer: Any) -> dict[str, str]:
    """The kinds of signal a layer accepts, each with the kind it gives; NoRule if it accepts none."""
    found, problem = {}, None
    for kind in (GAUSSIAN, FEATURES):
        try:
            found[kind] = kind_after(layer, kind)
        except NoRule as error:
            problem = problem or error
    if not found and problem is not None:
        raise problem
    return found


@singledispatch
def kind_after(layer: Any, kind: str) -> str:
    """The kind of signal that leaves the layer when `kind` enters; NoRule where the theory does not apply."""
    known = sorted(c.__name__ for c in kind_after.registry if c is not object)
    raise NoRule(f"nothing is known about the layer '{layer}' ({type(layer).__name__}); known are {', '.join(known)}")


@singledispatch
def fresh(layer: Any) -> bool:
    """Is the output, given the input, independent of it and of mean zero?"""
    return False


@singledispatch
def odd(layer: Any) -> bool:
    """Does the layer send -x to what has the law of -y? Then it leaves a signal fresh."""
    return False
