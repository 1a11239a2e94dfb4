"""An activation at 0: its slopes a_-, a_+ on either side, and whether it is nothing but these two rays.

Near 0 a formula with phi(0) = 0 is a_- x for x < 0 and a_+ x for x > 0; a scale-invariant one, phi(r x) = r phi(x) for
r > 0, is so everywhere. A_n = (a_-^n + a_+^n)/2, so that E phi(u)^2 = A_2 q and E phi(u)^4 = 3 A_4 q^2.
"""

from dataclasses import dataclass

from sympy import Expr, simplify

from symbolic.functions import X
from symbolic.landmarks import pieces


@dataclass(frozen=True)
class Rays:
    """The slopes on both sides of 0; `everywhere` if the formula is scale invariant."""

    minus: Expr
    plus: Expr
    everywhere: bool

    def moment(self, n: int) -> Expr:
        """A_n."""
        return (self.minus**n + self.plus**n) / 2


def rays(body: Expr) -> Rays | None:
    """The slopes at 0 of a formula in x; None unless it vanishes there, from both sides, and has a slope.

    >>> from sympy import Max, tanh
    >>> rays(Max(X, X/10))
    Rays(minus=1/10, plus=1, everywhere=True)
    >>> rays(tanh(X)), rays(X + 1)
    (Rays(minus=1, plus=1, everywhere=False), None)
    """
    parts = pieces(body)
    minus, plus = (
        next(part for low, high, part in parts if low < 0 <= high),
        next(part for low, high, part in parts if low <= 0 < high),
    )
    if minus.subs(X, 0) != 0 or plus.subs(X, 0) != 0:
        return None
    below, above = (simplify(part.diff(X).subs(X, 0)) for part in (minus, plus))
    if not all(s.is_finite and s.is_real for s in (below, above)) or below == above == 0:
        return None
    bent = len(parts) > 2 or any(part.diff(X).has(X) for part in (minus, plus))
    alone = len(parts) == 1 or parts[0][1] == 0
    return Rays(below, above, everywhere=alone and not bent)
