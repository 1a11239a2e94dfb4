"""What a parametrization asks, as conditions in words on the exponents of a chain, form = 0 or form <= 0.

mup: [h_l] = 0 before the output, own_l = 0, and W_D carries the features' change of Theta(1) on: [W_D] + omega i = 0.
ntk: [h_l] = 0 with the output, own_D = 0, all other own_l equal, and what they give carried to f is Theta(1).
standard: [h_l] = 0 with the output, c_l = 0.  mean_field: the output a mean over its inputs, [W_D] = -i, and own_l = 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sympy import Expr

from symbolic.scaling.equations import Chain, Step, carried, first_step, later_step


@dataclass(frozen=True)
class Condition:
    """form = 0, or form <= 0 where `upper`; and what that says."""

    words: str
    form: Expr
    upper: bool = False


def _initial(step: Step, last: bool) -> list[Condition]:
    layers = step.chain.layers
    ends = len(layers) if last else len(layers) - 1
    return [Condition(f"{p.name}: pre-activations are Theta(1) at initialization", step.h[k])
            for k, p in enumerate(layers[:ends])]  # fmt: skip


def _updates(step: Step) -> list[Condition]:
    return [Condition(f"{p.name}: its update changes what it gives by Theta(1)", own)
            for p, own in zip(step.chain.layers, step.own, strict=True)]  # fmt: skip


def _carried(chain: Chain) -> Expr:
    """[W_D] + omega i: what the output gains from a change of Theta(1) in its inputs."""
    return chain.weight(len(chain.layers) - 1) + carried(chain.layers[-1], chain.optimizer)


def mup(chain: Chain) -> list[Condition]:
    """The maximal update."""
    step = first_step(chain)
    words = f"{chain.layers[-1].name}: it carries a change of Theta(1) in its inputs on as Theta(1)"
    return [*_initial(step, last=False), *_updates(step), Condition(words, _carried(chain))]


def ntk(chain: Chain) -> list[Condition]:
    """The largest initialization of the output, and steps that move it by Theta(1)."""
    step = first_step(chain)
    *below, last = chain.layers
    same = [
        Condition(
            f"{p.name}: its update changes what it gives as much as that of {below[-1].name}",
            step.own[k] - step.own[-2],
        )
        for k, p in enumerate(below[:-1])
    ]
    moved = Condition(f"{last.name}: the change of its inputs moves it by Theta(1)", _carried(chain) + step.own[-2])
    return [*_initial(step, last=True), *same, moved, _updates(step)[-1]]


def standard(chain: Chain) -> list[Condition]:
    """Weights of variance 1/fan_in and one learning rate for all widths."""
    rates = [Condition(f"{p.name}: its learning rate does not depend on the width", chain.c[k])
             for k, p in enumerate(chain.layers)]  # fmt: skip
    return [*_initial(first_step(chain), last=True), *rates]


def mean_field(chain: Chain) -> list[Condition]:
    """The output as a mean over its inputs, and every update maximal."""
    step, at = first_step(chain), len(chain.layers) - 1
    mean = Condition(f"{chain.layers[at].name}: it is a mean", chain.weight(at) + chain.layers[at].fan_in)
    return [*_initial(step, last=False), *_updates(step), mean]


PARAMETRIZATIONS: dict[str, Callable[[Chain], list[Condition]]] = {
    "mup": mup, "ntk": ntk, "standard": standard, "mean_field": mean_field,
}  # fmt: skip


def stability(chain: Chain) -> list[Condition]:
    """[h_l] = 0 before the output, [f] <= 0, and no change of any h_l grows with width, at the first step or later."""
    steps = {"at the first step": first_step(chain), "once the readout is trained": later_step(chain)}
    *initial, f = _initial(steps["at the first step"], last=True)
    found = [
        *initial,
        Condition(f"{chain.layers[-1].name}: it does not grow with width at initialization", f.form, True),
    ]
    for when, step in steps.items():
        for k, p in enumerate(chain.layers):
            found.append(Condition(f"{p.name}: what it gives changes by O(1) {when}", step.change[k], True))
    return found


HELD = {"init_std": "b", "learning_rate": "c"}


def held(chain: Chain, layer: str, what: str, exponent: Expr) -> Condition:
    """An exponent that is held at a value: what is proportional to width**exponent."""
    at = [p.name for p in chain.layers].index(layer)
    return Condition(f"{layer}: {what} is held at width**({exponent})", getattr(chain, HELD[what])[at] + exponent)
