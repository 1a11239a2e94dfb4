"""Orbits and fixed points of scalar maps with known slope.

A fixed point x = f(x) is looked for downstream: from the start, in the direction in which the map moves, until f(x) -
x changes sign, then by Newton's step x - (f - x)/(f' - 1) inside the bracket, halved whenever the step would leave
it. So the point found is one that the orbit is drawn to, and a marginal or repelling one at the start is reported
with its slope, not passed over. Failure is a value: a Solution says why it has none, and raises only when it is
unwrapped.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from math import inf, isnan, nan
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Function = Callable[[float], tuple[float, float]]
TINY, HUGE = 1e-280, 1e6
SMALL = 1e-8  # above it the search goes by factors of 2, and steps over no pair of roots further apart than that
NEWTON = 32  # Newton's steps in a bracket, which rounding may keep from ending; then halving, which always ends
NOISE = 1e-8  # a mean whose error is larger is NaN: a residual above is a jump


class Result(Enum):
    """Why the iteration stopped."""

    FOUND = "converged"
    VANISHES = "the orbit shrinks to zero"
    DIVERGES = "the orbit grows without bound"
    UNDEFINED = "the map gave NaN: its mean diverges there or could not be integrated to 1e-8"
    JUMPS = "the map jumps across the diagonal without meeting it"
    STEPS = "the step limit was reached"


class NotConverged(ArithmeticError):
    """An unwrapped Solution that has no value."""


@dataclass(frozen=True)
class Solution:
    """A fixed point `value`, the map's `slope` there, the residual |f(x) - x|, and how it ended."""

    value: float
    slope: float
    residual: float
    steps: int
    result: Result

    def unwrap(self) -> float:
        """The value; NotConverged with the reason if there is none."""
        if self.result not in (Result.FOUND, Result.VANISHES):
            raise NotConverged(f"no fixed point: {self.result.value} (after {self.steps} steps, at {self.value:.6g})")
        return self.value


def orbit(step: Callable[[Any], Any], start: Any, steps: int) -> Array:
    """The states start, step(start), step(step(start)), ...: shape (steps + 1, components)."""
    states = [np.asarray(start, dtype=np.float64)]
    for _ in range(steps):
        states.append(np.asarray(step(states[-1])))
    return np.stack(states)


def fixed_point(f: Function, start: float, *, max_steps: int = 400) -> Solution:
    """The fixed point of f on (0, inf) that the orbit of `start` > 0 is drawn to; f returns value and slope.

    A root closer to 0 than 1e-280 counts as 0, one beyond 1e6 as none.
    """
    value, slope = f(start)
    gap = value - start
    if isnan(gap):
        return Solution(start, nan, nan, 1, Result.UNDEFINED)
    if abs(gap) <= 4e-16 * abs(start):
        return Solution(start, slope, abs(gap), 1, Result.FOUND)
    rises = gap > 0
    factor = ratio = 2.0 if rises else 0.5
    x, steps = start, 1
    while steps < max_steps:
        previous, x = x, x * ratio
        ratio = factor if x > SMALL else ratio**2
        if rises and x >= HUGE:
            return Solution(inf, f(HUGE)[1], nan, steps + 1, Result.DIVERGES)
        if not rises and x <= TINY:
            return Solution(0.0, f(TINY)[1], 0.0, steps + 1, Result.VANISHES)
        value, slope = f(x)
        steps += 1
        if isnan(value):
            return Solution(x, nan, nan, steps, Result.UNDEFINED)
        if (value - x > 0) != rises:
            return root(f, *sorted((previous, x)), steps=steps, max_steps=max_steps)
    return Solution(x, slope, abs(value - x), steps, Result.STEPS)


def root(f: Function, low: float, high: float, *, steps: int = 0, max_steps: int = 400) -> Solution:
    """The fixed point between low and high, where f(x) - x has opposite signs, by safeguarded Newton steps."""
    value, slope = f(high)
    steps, last_newton = steps + 1, steps + NEWTON
    if value == high or isnan(value):
        return Solution(high, slope, value - high, steps, Result.UNDEFINED if isnan(value) else Result.FOUND)
    rising, scale = value > high, max(abs(low), abs(high))
    x = 0.5 * (low + high)
    best = Solution(x, nan, inf, steps, Result.STEPS)
    while steps < max_steps:
        value, slope = f(x)
        steps += 1
        gap = value - x
        if isnan(gap):
            return Solution(x, nan, nan, steps, Result.UNDEFINED)
        if abs(gap) < best.residual:
            best = Solution(x, slope, abs(gap), steps, Result.FOUND)
        if (gap > 0) == rising:
            high = x
        else:
            low = x
        newton = x - gap / (slope - 1) if slope != 1 else nan
        middle = 0.5 * (low + high)
        after = newton if low < newton < high and steps < last_newton else middle
        # x is an end of the bracket now, so a step too short to leave it must be seen before the halving.
        if gap == 0 or abs(newton - x) <= 4e-16 * abs(x) or not low < middle < high:
            result = Result.FOUND if best.residual <= NOISE * scale else Result.JUMPS
            return replace(best, steps=steps, result=result)
        x = after
    return replace(best, steps=steps, result=Result.STEPS)
