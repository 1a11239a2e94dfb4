"""Exponents of width for a network and an optimizer, as a table to set a training up from.

h_l = m_l w_l x_(l-1), w_l ~ N(0, s_l^2), w' = w - eta_l Q(g): m, s, eta and the damping are proportional to powers of
the width, solved so that training looks the same at any width. Derived in `symbolic/scaling`; where an optimizer's row
comes from is said in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from sympy import Expr, latex

from symbolic.scaling.classify import Regime, classify
from symbolic.scaling.equations import Chain
from symbolic.scaling.layers import architecture as weights_of
from symbolic.scaling.optimizers import PROVENANCE
from symbolic.scaling.optimizers import optimizer as rule_of
from symbolic.scaling.rules import Exponents, exponents
from symbolic.scaling.table import OWN_GAUGE, Slopes, parametrized, slopes

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("init_std", "multiplier", "learning_rate", "damping", "weight_decay")


@dataclass(frozen=True)
class LayerScales:
    """What each number of a layer is multiplied by from the base width to the target width.

    damping: a number, a pair (rho_A, rho_B) for K-FAC, None where the optimizer has none.
    """

    init_std: float
    multiplier: float
    learning_rate: float
    damping: float | tuple[float, ...] | None
    weight_decay: float


@dataclass(frozen=True, repr=False)
class ScalingTable:
    """Exponents of width by role: t["input"], t["hidden"], t["output"], or a layer's name such as t["hidden 2"].

    Each has .init_std, .multiplier, .learning_rate, .damping and .weight_decay, exact: the quantity is proportional to
    width**exponent. damping is Adam's epsilon, Shampoo's epsilon (on g g^T), ..., a pair (rho_A, rho_B) for K-FAC, None
    where there is none; weight_decay multiplies the learning rate, w' = (1 - learning_rate weight_decay) w. Biases,
    gains and embeddings are of the input's kind. `provenance` says where the rule of the optimizer comes from.
    """

    architecture: str
    optimizer: str
    parametrization: str
    gauge: str
    chain: Chain
    provenance: str

    def __getitem__(self, role: str) -> Exponents:
        """The exponents of a role; ValueError with the roles there are."""
        if role not in self._rows:
            raise ValueError(f"no layer {role!r}; there are {', '.join(self.roles)}")
        return self._rows[role]

    @property
    def roles(self) -> tuple[str, ...]:
        """input, hidden, output: those the network has."""
        return tuple(dict.fromkeys(p.kind for p in self.chain.layers))

    @cached_property
    def _rows(self) -> dict[str, Exponents]:
        found = tuple(zip(self.chain.layers, exponents(self.chain), strict=True))
        return {p.kind: e for p, e in found} | {p.name: e for p, e in found}

    @cached_property
    def slopes(self) -> dict[str, Slopes]:
        """Predicted log-log slopes in width after the first step, by layer: own, prop, cross, dh; h and delta."""
        return slopes(self.chain)

    @property
    def df(self) -> Expr:
        """The slope of the change of the network's output."""
        return self.slopes[self.chain.layers[-1].name].dh

    @cached_property
    def regime(self) -> Regime:
        """Stable or not, feature learning or kernel, r, and what blows up or freezes; ValueError if it has symbols."""
        return classify(self.chain)

    def numbers(self, *, base: int, target: int) -> dict[str, LayerScales]:
        """(target/base)**exponent for each role: what to multiply the numbers by that suit the base width.

        ValueError for widths that are no whole numbers >= 1, for equal widths, and for exponents with symbols.
        """
        for name, width in (("base", base), ("target", target)):
            if isinstance(width, bool) or not isinstance(width, int) or width < 1:
                raise ValueError(f"{name} must be a width, a whole number of at least 1, not {width!r}")
        if base == target:
            raise ValueError(f"base and target are both {base}: no axis grows, so that nothing is to be scaled")
        ratio = target / base
        return {role: LayerScales(*(_scaled(getattr(self[role], c), ratio) for c in SCALED)) for role in self.roles}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the exponents as text such as "-1/2"."""
        rows = {r: {c: _text(getattr(self[r], c)) for c in COLUMNS} for r in self.roles}
        moves = {name: {f.name: _text(getattr(s, f.name)) for f in fields(Slopes)} for name, s in self.slopes.items()}
        named = {name: getattr(self, name) for name in ("architecture", "optimizer", "parametrization", "gauge")}
        return {**named, "exponents": rows, "slopes": moves, "provenance": self.provenance}

    def latex(self) -> str:
        """A tabular: each quantity as a power of the width n."""
        heads = [c.replace("_", r"\_") for c in COLUMNS]
        body = [" & ".join([r, *(_power(getattr(self[r], c)) for c in COLUMNS)]) for r in self.roles]
        lines = [" & ".join(["layer", *heads]), *body]
        columns = "l" * (len(COLUMNS) + 1)
        return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *(rf"{line} \\" for line in lines), r"\end{tabular}"])

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{escape(h)}</th>" for h in ("layer", *COLUMNS))
        rows = "".join(
            f"<tr><th>{r}</th>{''.join(f'<td>{escape(_shown(getattr(self[r], c)))}</td>' for c in COLUMNS)}</tr>"
            for r in self.roles
        )
        title, source = escape(self._title), escape(self.provenance)
        return f"<table><caption>{title}</caption><tr>{heads}</tr>{rows}</table><p>{source}</p>"

    @property
    def _title(self) -> str:
        return f"{self.optimizer}, {self.parametrization} in the gauge {self.gauge}: exponents of the width n"

    def __str__(self) -> str:
        from meanfield.show import text

        return text(self._title, _table("layer", COLUMNS, {r: self[r] for r in self.roles}), *self._below())

    def _below(self) -> list[Any]:
        kept = [f.name for f in fields(Slopes)]
        return ["slopes after the first step", _table("layer", kept, self.slopes), self.provenance]

    __repr__ = __str__


SCALED = tuple(f.name for f in fields(LayerScales))


def scaling(
    architecture: Any,
    *,
    optimizer: str,
    parametrization: str = "mup",
    depth: str | None = None,
    gauge: str | Mapping[str, Any] | None = None,
    damping: str = "matched",
    fixed: Mapping[str, Mapping[str, Any]] | None = None,
    **powers: Any,
) -> ScalingTable:
    """The exponents of width with which a network and an optimizer train alike at any width.

    architecture: a network, whose first Dense or Conv is its input, the last its output, the others hidden; or "mlp".
    optimizer: sgd, momentum, adam, adamw, rmsprop, sign, lion, adafactor, lamb, lars, normalized_sgd, muon,
    shampoo (e_L, e_R), soap (sides = "both", "left", "right"), kfac (e_A, e_B), foof, predictive_coding (gamma:
    gamma_L = n^gamma), target_propagation, with their exponents as keywords: numbers or SymPy symbols.
    parametrization: "mup" (every update moves what its layer gives, and the output, by Theta(1)), "ntk" (output
    Theta(1) at initialization; kernel regime), "standard" (no width in the learning rates), "mean_field"
    (output a mean).
    gauge: "a=0" or "table3", "table8", "table9" (Yang et al. 2022, arXiv 2203.03466), "unit" (all in the multipliers),
    or {role: exponent of its multiplier}; left out, "unit" for ntk and mean_field, else "a=0".
    damping: "matched", or what "constant" or "pi" (the heuristic for K-FAC) do to the slopes of the matched exponents.
    depth: no rule for depth is known yet; leave it out. fixed: exponents to hold, such as {"output": {"init_std": -1}},
    in the gauge a=0. Derived as in `symbolic/scaling` (contraction rules; Yang & Hu 2021, arXiv 2011.14522, recalled);
    those of predictive coding and target propagation are ours.

    Raises ValueError for unknown names (with the nearest), exponents out of range, and conditions that contradict, in
    words (`symbolic.scaling.solve.Contradiction`); TypeError or NoRule for an architecture that cannot be classified.
    """
    layers = weights_of(architecture)
    rule = rule_of(optimizer, **powers)
    if depth is not None:
        raise ValueError(f"unknown rule for depth {depth!r}: none is known for chains of layers; leave depth out")
    chain = parametrized(layers, rule, parametrization, gauge, damping, fixed)
    name = str(OWN_GAUGE[parametrization] if gauge is None else gauge)
    given = ", ".join(f"{key}={value}" for key, value in powers.items())
    titled = f"{rule.name}({given})" if given else rule.name
    return ScalingTable(str(architecture), titled, parametrization, name, chain, PROVENANCE[rule.name])


def _scaled(exponent: Any, ratio: float) -> Any:
    if exponent is None:
        return None
    if isinstance(exponent, tuple):
        return tuple(_scaled(e, ratio) for e in exponent)
    if not exponent.is_number:
        symbols = ", ".join(sorted(map(str, exponent.free_symbols)))
        raise ValueError(f"the exponent {exponent} depends on {symbols}: give the optimizer's exponents as numbers")
    return ratio ** float(exponent)


def _text(exponent: Any) -> Any:
    return None if exponent is None else [str(e) for e in exponent] if isinstance(exponent, tuple) else str(exponent)


def _shown(exponent: Any) -> str:
    if exponent is None:
        return "-"
    return ", ".join(map(str, exponent)) if isinstance(exponent, tuple) else str(exponent)


def _power(exponent: Any) -> str:
    if exponent is None:
        return "--"
    parts = exponent if isinstance(exponent, tuple) else (exponent,)
    return ", ".join("$1$" if e == 0 else f"$n^{{{latex(e)}}}$" for e in parts)


def _table(head: str, columns: Any, rows: Mapping[str, Any]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in (head, *columns):
        table.add_column(name, justify="left" if name == head else "right")
    for name, row in rows.items():
        table.add_row(name, *(_shown(getattr(row, c)) for c in columns))
    return table
