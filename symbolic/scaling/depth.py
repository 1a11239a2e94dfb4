"""Residual stacks h^(l+1) = h^l + L^-alpha F_l(h^l) of L blocks, k matrices in series in each: the exponents of L.

The stream and dl/dh are Theta(1), so that a weight in a branch meets x = Theta(1) and delta = Theta(L^-alpha). A sum
over the blocks gains L where its terms are coherent (trained), L^(1/2) where they are independent (drawn).
drawn: 1/2 - alpha.  own = -c + [Q]: what a weight gives.  order j: 1 - alpha + j own, from products of j updates.
Input, output and what else lies outside the branches: 0.  Orders above the first are bounds: drawn signs thin them.
Derived here, simulated for SGD, Adam, Muon, Shampoo and K-FAC. Depth-muP: Yang et al. 2023 (arXiv
2310.02244), second-hand; CompleteP: Dey et al. 2025 (arXiv 2505.01618), code read; u-muP: arXiv 2407.17465, code read.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sympy import Expr, Integer, Max, Min, Symbol, diff, expand, sqrt

from symbolic.networks import quantity
from symbolic.scaling.classify import power
from symbolic.scaling.conditions import Condition
from symbolic.scaling.optimizers import HALF, ONE, ZERO, Optimizer, Signals
from symbolic.scaling.rules import Exponents
from symbolic.scaling.solve import solution

NAMED: dict[str, Expr] = {"depth_mup": HALF, "completep": ONE, "u_mup": HALF}
RATE = Symbol("c_block", real=True)
ALPHA = Symbol("alpha", real=True)


def summed(term: Expr, coherent: bool) -> Expr:
    """The exponent of a sum over all blocks."""
    return expand(term + (ONE if coherent else HALF))


@dataclass(frozen=True)
class Stack:
    """A residual stack: branches times L^-alpha, `matrices` in series in each, learning rates there times L^-c."""

    optimizer: Optimizer
    alpha: Expr
    c: Expr
    matrices: int = 1

    @property
    def signals(self) -> Signals:
        """What a weight in a branch meets, on the axis of depth; it itself and its fans know nothing of L."""
        return Signals(ZERO, -self.alpha, ZERO, ZERO, ZERO, ZERO)

    @property
    def drawn(self) -> Expr:
        """What the branches add to the stream at initialization."""
        return summed(-self.alpha, coherent=False)

    @property
    def own(self) -> Expr:
        """The change of what a weight in a branch gives, by its own update."""
        return expand(-self.c + self.optimizer.update(self.signals))

    def order(self, j: int) -> Expr:
        """The change of the stream by products of the updates of j matrices in the same branch."""
        return summed(j * self.own - self.alpha, coherent=True)

    @property
    def change(self) -> Expr:
        """The change of the stream."""
        return Max(*(self.order(j) for j in range(1, self.matrices + 1)))


def stable(stack: Stack) -> list[Condition]:
    """Depth-stable training that moves the stream by Theta(1)."""
    return [
        Condition("the drawn branches add up to O(1)", stack.drawn, True),
        Condition("what a weight in a branch gives changes by O(1)", stack.own, True),
        Condition("the updates of the branches move the stream by Theta(1)", stack.order(1)),
    ]


def complete(stack: Stack) -> list[Condition]:
    """And no branch is trained as if it were linear in its weights: every order counts."""
    higher = [
        Condition(f"products of {j} updates in a branch move the stream by Theta(1)", stack.order(j))
        for j in range(2, stack.matrices + 1)
    ]
    return [*stable(stack), *higher]


def window(optimizer: Optimizer, matrices: int, *, all_orders: bool = True) -> tuple[Expr, Expr]:
    """The least and the largest alpha with a depth-stable learning rate, and all orders kept where asked for.

    >>> from symbolic.scaling.optimizers import optimizer
    >>> window(optimizer("adam"), 1), window(optimizer("adam"), 2)
    ((1/2, 1), (1, 1))
    """
    wanted = (complete if all_orders else stable)(Stack(optimizer, ALPHA, RATE, matrices))
    found = solution(wanted, (RATE, ALPHA))
    if ALPHA in found:
        return found[ALPHA], found[ALPHA]
    forms = [expand(w.form.xreplace(found)) for w in wanted if w.upper]
    ends = [(diff(f, ALPHA), -f.xreplace({ALPHA: ZERO}) / diff(f, ALPHA)) for f in forms if f.has(ALPHA)]
    return Max(*(e for slope, e in ends if slope < 0)), Min(*(e for slope, e in ends if slope > 0))


@dataclass(frozen=True)
class DepthRule:
    """Exponents of the depth L, each number proportional to L**exponent; those outside the branches are 0.

    multiplier: of the branches; block: of the weights, biases and gains in them. drawn, own, change, second: predicted
    slopes in L of what the branches add at initialization, of the change of what a weight in a branch gives, of the
    change of the stream, and the bound on its part of second order. incomplete: the orders that fade, in words.
    """

    name: str
    stack: Stack
    block: Exponents
    incomplete: tuple[str, ...]

    @property
    def alpha(self) -> Expr:
        return self.stack.alpha

    @property
    def multiplier(self) -> Expr:
        return -self.stack.alpha

    @property
    def drawn(self) -> Expr:
        return self.stack.drawn

    @property
    def own(self) -> Expr:
        return self.stack.own

    @property
    def change(self) -> Expr:
        return self.stack.change

    @property
    def second(self) -> Expr:
        return self.stack.order(2)

    @property
    def window(self) -> tuple[Expr, Expr]:
        """The least and the largest alpha at which all orders count."""
        return window(self.stack.optimizer, self.stack.matrices)


def depth_rule(choice: Any, optimizer: Optimizer, matrices: int) -> DepthRule:
    """The rule "depth_mup", "completep", "u_mup", or that of an alpha of 1/2 to 1, which may be a symbol.

    ValueError for other names, for alpha out of range, for networks without residual branches and for predictive
    coding and target propagation.
    """
    alpha = _alpha(choice)
    if matrices < 1:
        raise ValueError(
            f"depth={choice!r} scales residual branches, and there are none: take the architecture 'resnet' or "
            "'transformer', a network with Identity() + ..., or leave depth out"
        )
    if optimizer.signal != "gradient":
        raise ValueError(f"no rule for depth is known for {optimizer.name}: leave depth out")
    unknown = Stack(optimizer, alpha, RATE, matrices)
    c = solution([w for w in stable(unknown) if not w.upper], (RATE,))[RATE]
    stack = Stack(optimizer, alpha, c, matrices)
    for wanted in stable(stack):
        if wanted.form.is_positive:
            raise ValueError(
                f"alpha must lie from 1/2 to 1, not at {alpha}: {wanted.words}, not {_of_depth(wanted.form)}"
            )
    fading = [w for w in complete(stack) if not w.upper and w.form.is_negative]
    words = tuple(f"{w.words}, but at alpha = {alpha} only by {_of_depth(w.form)}" for w in fading)
    block = Exponents(ZERO, ZERO, -c, c, optimizer.dampings(stack.signals))
    return DepthRule(choice if isinstance(choice, str) else "alpha", stack, block, words)


def _alpha(choice: Any) -> Expr:
    if not isinstance(choice, str):
        return quantity("alpha", choice, low=-float("inf"))
    if choice not in NAMED:
        near = get_close_matches(choice.lower(), NAMED, 2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(NAMED)}, or a number alpha"
        raise ValueError(f"unknown rule for depth {choice!r}; {hint}")
    return NAMED[choice]


def _of_depth(exponent: Expr) -> str:
    return power(exponent).replace("n^", "L^")


def unit_residuals(branches: int, multiplier: Any = 1, ratio: Any = 1) -> tuple[Expr, ...]:
    """u-muP's tau_i for x <- (x + tau_i F_i(x))/sqrt(1 + tau_i^2), attention and MLP by turns, from the bottom up.

    tau_i^2 = alpha_i^2/(branches/2 + sum_(j < i) alpha_j^2), alpha_mlp = multiplier sqrt(2/(1 + ratio^2)),
    alpha_attention = ratio alpha_mlp (arXiv 2407.17465, code read).
    """
    r = quantity("ratio", ratio, low=0)
    mlp = quantity("multiplier", multiplier, low=0) * sqrt(2 / (1 + r**2))
    squares = [(mlp * (ONE if k % 2 else r)) ** 2 for k in range(branches)]
    return tuple(sqrt(s / (Integer(branches) / 2 + sum(squares[:k], ZERO))) for k, s in enumerate(squares))
