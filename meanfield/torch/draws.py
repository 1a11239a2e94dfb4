"""Spectral weights whose every mode keeps its whole variance behind an inverse real Fourier transform.

y = irfftn(R rfftn(x)) keeps (R_k + conj R_-k)/2 in the plane where the last k is 0 or Nyquist. So R_k is complex with
E|R_k|^2 = s outside the plane; in it R_-k = conj R_k, real where -k = k on the grid, and 2 R_k where no -k is kept, of
which half goes to k and half to -k. Free complex draws have s/2, s/2 and s/4 there (meanfield/modes.py). Derived here,
checked by simulation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod, sqrt
from typing import Any

import torch


@dataclass(frozen=True)
class Box:
    """The modes that have weights, k of each axis in the order of the weights, on a grid; None is any larger grid."""

    frequencies: tuple[tuple[int, ...], ...]
    grid: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        return prod(len(axis) for axis in self.frequencies)

    @property
    def periods(self) -> tuple[int, ...]:
        """The points N of each axis, k and k + N being one mode."""
        return self.grid or tuple(2 * max(abs(k) for k in axis) + 1 for axis in self.frequencies)

    def plane(self) -> list[int]:
        """Places on the last axis whose k is 0 or Nyquist."""
        return [at for at, k in enumerate(self.frequencies[-1]) if 2 * k % self.periods[-1] == 0]

    def partners(self) -> list[int]:
        """The place of -k among the modes of the axes before the last, raveled; -1 where there is none."""
        axes = self.frequencies[:-1]
        mirrors = [_mirror(axis, period) for axis, period in zip(axes, self.periods, strict=False)]
        strides = [prod(len(axis) for axis in axes[at + 1 :]) for at in range(len(axes))]
        return [
            -1 if -1 in places else sum(place * stride for place, stride in zip(places, strides, strict=True))
            for places in product(*mirrors)
        ]


def _mirror(axis: Sequence[int], period: int) -> list[int]:
    """The place of -k, -1 where there is none."""
    place = {k % period: at for at, k in enumerate(axis)}
    return [place.get(-k % period, -1) for k in axis]


@dataclass(frozen=True)
class Ties:
    """How many modes are not drawn freely: real ones, ones that are the conjugate of another, ones times 2."""

    real: int
    tied: int
    doubled: int


def ties(box: Box) -> Ties:
    partners, columns = box.partners(), len(box.plane())
    own, alone = sum(place == at for at, place in enumerate(partners)), partners.count(-1)
    return Ties(own * columns, (len(partners) - own - alone) // 2 * columns, alone * columns)


def spectral_weights(channels: tuple[int, int], box: Box, variance: float, dtype: Any, generator: Any) -> Any:
    """R (channels_in, channels_out, *modes) on the device of the generator, of effective E|R_k,ij|^2 = variance."""
    device = "cpu" if generator is None else generator.device
    shape = (*channels, *(len(axis) for axis in box.frequencies))
    drawn = sqrt(variance) * torch.randn(shape, dtype=dtype, generator=generator, device=device)
    partners = torch.tensor(box.partners(), device=device)
    places = torch.arange(len(partners), device=device)
    own, first, alone = partners == places, partners > places, partners < 0
    for column in box.plane():
        plane = drawn[..., column].reshape(*channels, -1).clone()
        plane[..., own] = (sqrt(2) * plane[..., own].real).to(dtype)  # E (Re R)^2 is half of E|R|^2
        plane[..., partners[first]] = plane[..., first].conj()
        plane[..., alone] *= 2
        drawn[..., column] = plane.reshape(shape[:-1])
    return drawn
