"""Consecutive equal blocks of layers as one block to a power.

Of all blocks that start at a layer and do not end in an activation, the one whose repetitions reach farthest is taken,
the shortest of those. Measured variances are symbols at first, those of blocks of one form are then compared in number.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from math import hypot
from typing import Any

from symbolic.networks import Layer, Pointwise, Repeat, chain
from symbolic.signals import NoRule

NAMES = re.compile(r"(?:weight|bias)<[^>]*>")
ERRORS = 4.0
Block = Sequence[Layer]


def joined(parts: Block) -> list[Layer]:
    """Equal blocks joined."""
    return _joined(parts, lambda one, other: list(one) == list(other), lambda blocks: None)


def pooled(parts: Block, draws: Mapping[str, Any], groups: list[Sequence[str]]) -> list[Layer]:
    """The layers as they are; those variances that may be equal by their draws are noted in `groups`."""

    def same(one: Block, other: Block) -> bool:
        if _form(one) != _form(other):
            return False
        pairs = zip(_names(one), _names(other), strict=True)
        return all(_near(draws[a], draws[b]) for a, b in pairs)

    def note(blocks: Sequence[Block]) -> None:
        groups.extend(zip(*(_names(block) for block in blocks), strict=True))

    _joined(parts, same, note)
    return list(parts)


def _near(one: Any, other: Any) -> bool:
    return bool(abs(one.variance - other.variance) <= ERRORS * hypot(one.error, other.error))


def _form(block: Block) -> str:
    return NAMES.sub("<>", repr(list(block)))


def _names(block: Block) -> list[str]:
    return NAMES.findall(repr(list(block)))


def _joined(parts: Block, same: Callable[[Block, Block], bool], note: Callable[[Sequence[Block]], None]) -> list[Layer]:
    found: list[Layer] = []
    at = 0
    while at < len(parts):
        size, times = _best(parts, at, same)
        block = list(parts[at : at + size])
        if times > 1:
            note([parts[at + size * i : at + size * (i + 1)] for i in range(times)])
        found.append(Repeat(chain(block), times) if times > 1 else block[0])
        at += size * times
    return found


def _best(parts: Block, at: int, same: Callable[[Block, Block], bool]) -> tuple[int, int]:
    """Size and number of the blocks from here that reach farthest; (1, 1) where none is repeated."""
    best = (1, 1)
    for size in range(1, (len(parts) - at) // 2 + 1):
        block = parts[at : at + size]
        times = 1
        while same(block, parts[at + size * times : at + size * (times + 1)]):
            times += 1
        if times > 1 and size * times > best[0] * best[1] and _may_repeat(block, times):
            best = (size, times)
    return best


def _may_repeat(block: Block, times: int) -> bool:
    if isinstance(block[-1], Pointwise):
        return False
    try:
        Repeat(chain(block), times)
    except NoRule:
        return False
    return True
