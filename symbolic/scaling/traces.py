"""The weights of a network with the axes of each: along its signal path, first to last, and those beside it.

A sum with a branch that has no weights is a residual block, and its other branches carry the depth multiplier. A sum of
terms of Theta(1) is Theta(1), forwards, backwards and in training, so that for exponents of width the matrices of a
block may stand one behind the other. Queries, keys, biases and gains lie beside the path: their axes say their kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from symbolic.attention import Attention
from symbolic.networks import Chain, Dense, Layer, LayerNorm, Repeat, RMSNorm, Scale, Sum
from symbolic.pictures import Conv
from symbolic.scaling.layers import CLASSES, FEATURES, WIDTH, Axis, Parameter, finite_axes
from symbolic.signals import NoRule

ATTENTION = ("query", "key", "value", "attention output")


@dataclass(frozen=True)
class Leaf:
    """A layer without layers inside: is it in a residual branch, in a sum?"""

    layer: Layer
    block: bool
    summed: bool


@dataclass(frozen=True)
class Trace:
    """The matrices of the signal path, the parameters beside it; how many matrices a residual branch has in series."""

    path: tuple[Parameter, ...]
    beside: tuple[Parameter, ...]
    matrices: int
    attends: bool


def trace(network: Layer) -> Trace:
    """The weights of a network; NoRule for a layer whose axes are not known, or with no Dense or Conv at both ends.

    >>> [p.kind for p in trace(Dense() >> Dense() >> Dense()).path]
    ['input', 'hidden', 'output']
    """
    leaves = list(_leaves(network, False, False))
    path, summed = _path(leaves)
    if len(path) < 2:
        raise NoRule(
            f"'{network}' has {len(path)} weight matrices, and a width lies between two: put at least two Dense or "
            "Conv layers behind each other"
        )
    if summed[0] or summed[-1]:
        end = "begins" if summed[0] else "ends"
        raise NoRule(
            f"'{network}' {end} inside a sum or in attention, whose axes are not those of the data: put a Dense or "
            "Conv layer before and behind it"
        )
    path[0] = replace(path[0], name="input", fan_in_axes=(FEATURES, *path[0].fan_in_axes[1:]))
    path[-1] = replace(path[-1], name="output", fan_out_axes=(CLASSES,))
    attends = any(isinstance(leaf.layer, Attention) for leaf in leaves)
    return Trace(tuple(_numbered(path)), tuple(_beside(leaves)), _matrices(network), attends)


def _leaves(layer: Layer, block: bool, summed: bool) -> Iterator[Leaf]:
    if isinstance(layer, Chain):
        for part in layer.layers:
            yield from _leaves(part, block, summed)
    elif isinstance(layer, Repeat):
        for _ in range(layer.times):
            yield from _leaves(layer.block, block, summed)
    elif isinstance(layer, Scale):
        yield from _leaves(layer.layer, block, summed)
    elif isinstance(layer, Sum):
        for branch in layer.branches:
            yield from _leaves(branch, block or _residual(layer), True)
    else:
        yield Leaf(layer, block, summed)


def _residual(layer: Sum) -> bool:
    return any(_series(branch) == 0 for branch in layer.branches)


def _path(leaves: Sequence[Leaf]) -> tuple[list[Parameter], list[bool]]:
    """The matrices that the signal passes, and which of them lie in a sum or in attention."""
    found: list[Parameter] = []
    summed: list[bool] = []
    pending: tuple[Axis, ...] = ()
    for leaf in leaves:
        here = _on_path(leaf, pending)
        pending = () if here else pending + finite_axes(leaf.layer)
        found += here
        summed += [leaf.summed or not isinstance(leaf.layer, Dense | Conv)] * len(here)
    return found, summed


def _on_path(leaf: Leaf, pending: tuple[Axis, ...]) -> list[Parameter]:
    if isinstance(leaf.layer, Dense | Conv):
        return [Parameter("hidden", (WIDTH, *pending, *finite_axes(leaf.layer)), (WIDTH,), leaf.block)]
    if isinstance(leaf.layer, Attention):
        return [_hidden(name, leaf.block) for name in ATTENTION[2:]]
    return []


def _hidden(name: str, block: bool) -> Parameter:
    return Parameter(name, (WIDTH,), (WIDTH,), block)


def _numbered(path: Sequence[Parameter]) -> list[Parameter]:
    """Each name once: several of a name are numbered."""
    names = [p.name for p in path]
    return [
        p if names.count(p.name) == 1 else replace(p, name=f"{p.name} {names[: k + 1].count(p.name)}")
        for k, p in enumerate(path)
    ]


def _beside(leaves: Sequence[Leaf]) -> list[Parameter]:
    """Queries, keys, biases and gains, each kind of them once."""
    last = max(k for k, leaf in enumerate(leaves) if isinstance(leaf.layer, Dense | Conv))
    found: list[Parameter] = []
    for k, leaf in enumerate(leaves):
        layer = leaf.layer
        if isinstance(layer, Attention):
            found += [_hidden(name, leaf.block) for name in ATTENTION[:2]]
        if isinstance(layer, LayerNorm | RMSNorm):
            found.append(vector("gain", leaf.block))
        if isinstance(layer, Dense | Conv) and layer.bias_var != 0:
            found.append(Parameter("output bias", (), (CLASSES,)) if k == last else vector("bias", leaf.block))
    return list(dict.fromkeys(found))


def vector(name: str, block: bool) -> Parameter:
    """A bias or a gain of the width: it sums over nothing."""
    return Parameter(f"branch {name}" if block else name, (), (WIDTH,), block)


def _series(layer: Layer) -> int:
    """How many matrices a signal passes one after the other."""
    if isinstance(layer, Chain):
        return sum(map(_series, layer.layers))
    if isinstance(layer, Repeat):
        return layer.times * _series(layer.block)
    if isinstance(layer, Scale):
        return _series(layer.layer)
    if isinstance(layer, Sum):
        return max(map(_series, layer.branches))
    return len(_on_path(Leaf(layer, False, False), ()))


def _matrices(layer: Layer) -> int:
    """The longest residual branch, in matrices; 0 if there is none."""
    if isinstance(layer, Chain):
        return max(map(_matrices, layer.layers))
    if isinstance(layer, Repeat):
        return _matrices(layer.block)
    if isinstance(layer, Scale):
        return _matrices(layer.layer)
    if isinstance(layer, Sum):
        inner = max(map(_matrices, layer.branches))
        return max(inner, _series(layer)) if _residual(layer) else inner
    return 0


finite_axes.register(Attention)(lambda layer: ())
