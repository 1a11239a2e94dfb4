"""What exponents mean for training: stable, nontrivial, feature learning or kernel, and where it goes wrong first.

stable: [h_l] = 0 before the output, [f] <= 0 at initialization, and all [dh_l] <= 0, at the first step and later.
nontrivial: [df] = 0.  r = -max_(l < D) own_l: features move by n^-r, feature learning if r = 0, a kernel if r > 0.
Yang & Hu 2021 (arXiv 2011.14522) recalled; the tests compare with their formula of r and their conditions for SGD.
"""

from dataclasses import dataclass

from sympy import Expr

from symbolic.scaling.equations import Chain, Step, first_step, later_step
from symbolic.scaling.layers import Parameter
from symbolic.scaling.tropical import most


@dataclass(frozen=True)
class Regime:
    """`name` is "unstable", "trivial", "kernel" or "feature learning"; `reasons`: which layer does what, and when."""

    name: str
    stable: bool
    nontrivial: bool
    feature: bool
    r: Expr
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.name}, features move by {power(-self.r)}", *(f"  {reason}" for reason in self.reasons)]
        )


def power(exponent: Expr) -> str:
    """n^(1/2), or Theta(1)."""
    if exponent == 0:
        return "Theta(1)"
    return f"n^{exponent}" if exponent.is_Integer and exponent > 0 else f"n^({exponent})"


def classify(chain: Chain) -> Regime:
    """The regime of a chain whose exponents are numbers; ValueError for symbols."""
    steps = (first_step(chain), later_step(chain))
    unknown = sorted({str(s) for step in steps for row in (step.h, step.change) for e in row for s in e.free_symbols})
    if unknown:
        raise ValueError(f"the regime depends on {', '.join(unknown)}: give numbers")
    drawn = _drawn(chain.layers, steps[0])
    grown = _grown(chain.layers, steps)
    r = -most(*(own for step in steps for own in step.own[:-1]))
    moved = most(*(step.change[-1] for step in steps))
    stable, nontrivial, feature = not (drawn or grown), bool(moved >= 0), bool(r <= 0)
    name = "unstable" if not stable else "trivial" if not nontrivial else "feature learning" if feature else "kernel"
    return Regime(name, stable, nontrivial, feature, r, (*drawn, *grown, *_frozen(chain.layers, steps)))


def _drawn(layers: tuple[Parameter, ...], step: Step) -> list[str]:
    """What initialization already spoils."""
    *before, (last, f) = zip(layers, step.h, strict=True)
    found = [f"{p.name}: pre-activations are {power(h)} at initialization" for p, h in before if h != 0]
    return found + ([f"{last.name}: it is {power(f)} at initialization"] if f > 0 else [])


def _grown(layers: tuple[Parameter, ...], steps: tuple[Step, Step]) -> list[str]:
    """Which layers blow up: when first, and through what most."""
    found: dict[str, str] = {}
    for when, step in zip(("at the first step", "once the readout is trained"), steps, strict=True):
        for k, p in enumerate(layers):
            through = {
                "its update": step.own[k],
                "the change of its inputs": step.prop[k],
                "its update on the change of its inputs": step.cross[k],
            }
            what = max(through, key=lambda part: through[part])
            if through[what] > 0 and p.name not in found:
                found[p.name] = f"{p.name}: blows up as {power(through[what])} {when}, through {what}"
    return list(found.values())


def _frozen(layers: tuple[Parameter, ...], steps: tuple[Step, Step]) -> list[str]:
    """Which updates vanish."""
    found = []
    for k, p in enumerate(layers):
        own = most(*(step.own[k] for step in steps))
        if own < 0:
            found.append(f"{p.name}: freezes, its update changes what it gives by {power(own)}")
    return found
