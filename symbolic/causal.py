"""Causal attention whose layers have prescribed kernels, derived: A = L' L^(-1), L L^T and L' L'^T the kernels before
and after a layer of attention over uncorrelated values, so that A_L ... A_1 = L_L L_0^(-1) telescopes.

"u-spa": Sigma = (1 - rho) 1 + rho 1 1^T; "e-spa": Sigma_ij = exp(-gamma |i - j|). He et al. 2023 (arXiv 2302.10322):
construction from memory, not re-read.
"""

from dataclasses import dataclass

from sympy import Expr, Matrix, MutableDenseMatrix, Rational, Symbol, eye, ones, simplify

from symbolic.networks import Layer

KINDS = ("u-spa", "e-spa", "uniform")


@dataclass(frozen=True, repr=False)
class CausalAttention(Layer):
    """Attention alone, one layer for each step of the schedule, without scores, shortcuts or normalization.

    kind: "u-spa" (schedule of rho), "e-spa" (schedule of gamma), or "uniform", a plain causal mask, for which only the
    length of the schedule counts. The first entry is the kernel of the input.
    """

    kind: str
    schedule: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r} of causal attention; known are {', '.join(KINDS)}")
        object.__setattr__(self, "schedule", tuple(self.schedule))


@dataclass(frozen=True)
class CausalStep:
    """One layer's attention (tokens, tokens) in the parameters of the kernels before and after it."""

    layer: CausalAttention
    attention: MutableDenseMatrix

    @property
    def update(self) -> tuple[Expr, ...]:
        """The entries on and below the diagonal, row by row."""
        return tuple(simplify(self.attention[i, j]) for i in range(self.attention.rows) for j in range(i + 1))


def kernel(kind: str, parameter: Expr, tokens: int) -> MutableDenseMatrix:
    """Sigma (tokens, tokens) of "u-spa" for rho, of "e-spa" for exp(-gamma)."""
    if kind == "u-spa":
        return (1 - parameter) * eye(tokens) + parameter * ones(tokens, tokens)
    return Matrix(tokens, tokens, lambda i, j: parameter ** abs(i - j))


def causal_step(layer: CausalAttention, tokens: int = 2) -> CausalStep:
    """A = L' L^(-1) in rho, rho' or a = exp(-gamma), a' by the Cholesky factors of both kernels; 1/i if uniform."""
    if layer.kind == "uniform":
        return CausalStep(layer, Matrix(tokens, tokens, lambda i, j: Rational(int(j <= i), int(i) + 1)))
    name = "rho" if layer.kind == "u-spa" else "a"
    before, after = Symbol(name, positive=True), Symbol(f"{name}'", positive=True)
    old, new = (kernel(layer.kind, v, tokens).cholesky(hermitian=False) for v in (before, after))
    return CausalStep(layer, old.T.upper_triangular_solve(new.T).T)
