"""One network read in three algebras, and its extreme subnetworks, for shaping activations.

At length 1 a network maps correlations: a Dense keeps c, an activation takes the local map C, chains compose, and a sum
of independent branches averages by squared weights w_i^2 that add to 1. With C(1) = 1 slopes at 1 multiply from 1, with
C'(1) = 1 curvatures add from 0: one walk with another start and step gives C_f(0), C_f'(1) or C_f''(1). The largest is
taken over the network and each branch of its sums, as in the authors' code; the parts of a chain are below the whole.
Martens et al. 2021 (arXiv 2110.01765), Zhang et al. 2022 (arXiv 2203.08120).
"""

from collections.abc import Callable, Iterator
from functools import singledispatch

from symbolic.networks import Chain, Dense, Identity, Layer, Pointwise, Repeat, Scale, Sum
from symbolic.signals import NoRule

Step = Callable[[float], float]


@singledispatch
def through(layer: Layer, value: float, local: Step) -> float:
    """What leaves the layer when `value` enters and each activation takes the step `local`.

    Raises NoRule for a layer that is no part of a shaped network, ValueError where lengths would not stay 1.
    """
    known = sorted(c.__name__ for c in through.registry if c is not object)
    raise NoRule(f"'{layer}' has no place in a shaped network, which is made of {', '.join(known)}: leave it out")


@through.register
def _(layer: Identity, value: float, local: Step) -> float:
    return value


@through.register
def _(layer: Dense, value: float, local: Step) -> float:
    wrong = [n for n, v in (("weight_var", 1), ("bias_var", 0)) if (e := getattr(layer, n)).is_number and e != v]
    if wrong:
        raise ValueError(f"a shaped network keeps length 1 with weight_var = 1 and bias_var = 0, not '{layer}'")
    return value


@through.register
def _(layer: Pointwise, value: float, local: Step) -> float:
    return local(value)


@through.register
def _(layer: Scale, value: float, local: Step) -> float:
    return through(Sum((layer,)), value, local)


@through.register
def _(layer: Sum, value: float, local: Step) -> float:
    parts = [_weighed(branch) for branch in layer.branches]
    total = sum(square for square, _ in parts)
    if abs(total - 1) > 1e-12:
        raise ValueError(
            f"the squared weights of '{layer}' add to {total:.12g}, not to 1, so its length would not stay 1: "
            "write w * branch + sqrt(1 - w**2) * branch"
        )
    return sum(square * through(branch, value, local) for square, branch in parts)


@through.register
def _(layer: Chain, value: float, local: Step) -> float:
    for part in layer.layers:
        value = through(part, value, local)
    return value


@through.register
def _(layer: Repeat, value: float, local: Step) -> float:
    for _ in range(layer.times):
        value = through(layer.block, value, local)
    return value


def extreme(network: Layer, start: float, local: Step) -> float:
    """The largest value that leaves the network or a branch of one of its sums, into which `start` enters."""
    return max(through(part, start, local) for part in dict.fromkeys((network, *_branches(network))))


def _weighed(layer: Layer) -> tuple[float, Layer]:
    """The squared weight of a branch, and the branch without it."""
    if not isinstance(layer, Scale):
        return 1.0, layer
    if layer.factor.free_symbols:
        raise ValueError(f"the weight {layer.factor} of '{layer}' has no value: write a number")
    square, inner = _weighed(layer.layer)
    return float(layer.factor) ** 2 * square, inner


def _branches(layer: Layer) -> Iterator[Layer]:
    if isinstance(layer, Repeat | Scale):
        yield from _branches(layer.block if isinstance(layer, Repeat) else layer.layer)
    elif isinstance(layer, Chain | Sum):
        for part in layer.layers if isinstance(layer, Chain) else layer.branches:
            if isinstance(layer, Sum):
                yield _weighed(part)[1]
            yield from _branches(part)
