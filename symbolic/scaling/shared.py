"""Weights in two roles, and weights of low rank: conditions of both at once.

Tied: one matrix w of n x vocabulary gives n^0 w x and reads n^-a w^T x. As the input it asks for [w] = 0, [dw] = 0, as
the output for [w] = [dw] = a - 1: only a multiplier meets both. Its gradient is the sum over the two roles.
LoRA: W + B A, A of r x n, B of n x r, B = 0 when drawn, r fixed. z = A x moves by Theta(1) for c_A = [Q_A] + 1, and B z
for c_B = [Q_B], with delta = n^-1 at B and B^T delta = Theta(1) at A once B is trained. Adam: eta_B/eta_A = n, as in
LoRA+ (Hayou et al. 2024, arXiv 2402.12354, title read). Derived here, for one adapter.
"""

from dataclasses import dataclass, replace

from sympy import Expr, Max, S, Symbol, expand

from symbolic.scaling.classify import power
from symbolic.scaling.conditions import Condition
from symbolic.scaling.optimizers import HALF, ONE, ZERO, Optimizer, Signals, nothing
from symbolic.scaling.rules import Exponents
from symbolic.scaling.solve import solution

A_OUT, B, C = (Symbol(name, real=True) for name in ("a_unembedding", "b_tied", "c_tied"))
C_A, C_B = (Symbol(name, real=True) for name in ("c_A", "c_B"))
KRONECKER = ("rho_A", "rho_B")


@dataclass(frozen=True)
class Tied:
    """Exponents of the one matrix, and the multiplier where it is read as the unembedding."""

    matrix: Exponents
    multiplier: Expr


def tied(optimizer: Optimizer, *, multiplier: bool = True) -> Tied:
    """The maximal update of a matrix that embeds and unembeds; without a multiplier a Contradiction, in words.

    ValueError for optimizers whose step is not a function of the gradient alone.

    >>> from symbolic.scaling.optimizers import optimizer
    >>> tied(optimizer("adam")).multiplier
    -1
    """
    if optimizer.signal != "gradient" or any(m.damping in KRONECKER for m in optimizer.metrics):
        raise ValueError(
            f"the step of {optimizer.name} for a matrix in two roles is not determined by its gradient: untie the "
            "embeddings, or take an optimizer of the gradient such as 'adam', 'muon' or 'shampoo'"
        )
    out = A_OUT if multiplier else ZERO
    gradient = Max(-out - B, -out)  # through the network to the embedding, and at the unembedding
    signals = Signals(ZERO, gradient, -B, ZERO, ZERO, ONE)
    step = optimizer.update(signals) - C
    found = solution(
        [
            Condition("embedding: what it gives is Theta(1) at initialization", -B),
            Condition("unembedding: it carries a change of Theta(1) in its inputs on as Theta(1)", -out - B + 1),
            Condition("embedding: its update changes what it gives by Theta(1)", step),
            Condition("unembedding: its update changes what it gives by Theta(1)", -out + step + 1),
        ],
        (B, A_OUT, C),
    )
    dampings = {name: _at(value, found) for name, value in optimizer.dampings(signals).items()}
    return Tied(Exponents(-found[B], ZERO, -found[C], found[C], dampings), -found[A_OUT])


def _at(form: Expr, found: dict[Symbol, Expr]) -> Expr:
    return expand(form.xreplace(found))


@dataclass(frozen=True)
class LoRA:
    """Exponents of A (r x n) and B (n x r); what z = A x and each part of B A x changes by.

    by_A: B dA x, by_B: dB A_0 x.
    """

    A: Exponents
    B: Exponents
    z: Expr
    by_A: Expr
    by_B: Expr

    @property
    def ratio(self) -> Expr:
        """eta_B/eta_A is proportional to n**ratio."""
        return expand(self.B.learning_rate - self.A.learning_rate)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is lost, in words; empty where both learn at full speed."""
        found = [f"A x grows as {power(self.z)}"] if self.z.is_positive else []
        parts = (("A hardly learns: B dA x", self.by_A), ("B hardly learns: dB A x", self.by_B))
        return (*found, *(f"{words} fades as {power(e)}" for words, e in parts if e.is_negative))


EQUAL = Condition("A and B have the same learning rate", C_A - C_B)


def _signals() -> tuple[Signals, Signals]:
    """At A: an input of Theta(1), B^T delta = Theta(1); drawn n^(-1/2). At B: z of Theta(1), delta = n^-1."""
    return Signals(ZERO, ZERO, -HALF, ZERO, ONE, ZERO), Signals(ZERO, -ONE, ZERO, ZERO, ZERO, ONE)


def efficient(optimizer: Optimizer, *, equal_rates: bool = False) -> list[Condition]:
    """Both factors learn at full speed."""
    down, up = (optimizer.update(s) for s in _signals())
    found = [
        Condition("A: its update changes z = A x by Theta(1)", down - C_A + 1),
        Condition("B: its update changes B z by Theta(1)", up - C_B),
    ]
    return [*found, EQUAL] if equal_rates else found


def lora(optimizer: Optimizer, *, equal_rates: bool = False) -> LoRA:
    """Learning rates at which both factors learn; with equal rates the largest stable ones, and what they lose.

    ValueError for optimizers that scale by the weight (B is 0 when drawn) or take other signals than the gradient, and
    with equal rates for those whose step depends on the size of the gradient.
    """
    if optimizer.signal != "gradient" or optimizer.scale is not nothing:
        raise ValueError(f"no rule for adapters is known for {optimizer.name}: take 'adam', 'sgd' or 'muon'")
    downs, ups = _signals()
    step_A, step_B = optimizer.update(downs), optimizer.update(ups)
    if equal_rates and optimizer.update(replace(ups, delta=ZERO)) != step_B:
        raise ValueError(
            f"equal rates are worked out where a step does not depend on the size of the gradient, which that of "
            f"{optimizer.name} does: take 'adam', 'sign' or 'muon'"
        )
    if equal_rates:  # B grows to n^(step_B - c), z to what A gives or has learned: their product is to be O(1)
        c_A = c_B = Max(step_B, (step_A + step_B + 1) / 2)
    else:
        rates = solution(efficient(optimizer), (C_A, C_B))
        c_A, c_B = rates[C_A], rates[C_B]
    by_B, z = expand(step_B - c_B), expand(step_A - c_A + 1)
    of_A = Exponents(-HALF, ZERO, -c_A, c_A, optimizer.dampings(downs))
    of_B = Exponents(S.NegativeInfinity, ZERO, -c_B, c_B, optimizer.dampings(ups))
    return LoRA(of_A, of_B, z, by_A=expand(by_B + z), by_B=by_B)
