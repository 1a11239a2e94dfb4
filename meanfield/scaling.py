"""Exponents of width for a network and an optimizer, as a table to set a training up from.

h_l = m_l w_l x_(l-1), w_l ~ N(0, s_l^2), w' = w - eta_l Q(g): m, s, eta and the damping are proportional to powers of
the width, solved so that training looks the same at any width. Derived in `symbolic/scaling`; where an optimizer's row
comes from is said in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from html import escape
from typing import Any

from sympy import Expr, S

from meanfield.scaling_show import DEPTH, as_power, as_text, below, shown, table
from symbolic.scaling.architectures import Architecture
from symbolic.scaling.architectures import architecture as described
from symbolic.scaling.classify import Regime, classify
from symbolic.scaling.depth import DepthRule
from symbolic.scaling.equations import Chain
from symbolic.scaling.optimizers import PROVENANCE, Optimizer
from symbolic.scaling.optimizers import optimizer as rule_of
from symbolic.scaling.rules import Exponents, exponents
from symbolic.scaling.scores import Scores
from symbolic.scaling.setups import Setup, setup
from symbolic.scaling.table import Slopes

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
    where there is none; weight_decay multiplies the learning rate, w' = (1 - learning_rate weight_decay) w. Parameters
    beside the signal path have rows too, by their axes: t["bias"], t["gain"], t["query"], t["router"]; adapters have
    t["A"] and t["B"]. `depth` has the exponents of the depth (.block, .multiplier, slopes), `scores` those of d_head
    in attention scores. `provenance` says where the rule of the optimizer comes from.
    """

    network: Architecture
    optimizer: str
    parametrization: str
    solved: Setup
    provenance: str

    @property
    def architecture(self) -> str:
        return self.network.name

    @property
    def gauge(self) -> str:
        return str(self.solved.gauge)

    @property
    def chain(self) -> Chain:
        """The matrices along the signal path with their exponents."""
        return self.solved.chain

    @property
    def depth(self) -> DepthRule | None:
        """Exponents of the depth, of what lies in residual branches; None if no rule for depth was asked for."""
        return self.solved.depth

    @property
    def scores(self) -> Scores | None:
        """Exponents of d_head in attention scores; None without attention."""
        return self.network.scores

    def __getitem__(self, role: str) -> Exponents:
        """The exponents of a role; ValueError with the roles there are."""
        if role not in self._rows:
            raise ValueError(f"no layer {role!r}; there are {', '.join(self._rows)}")
        return self._rows[role]

    @property
    def roles(self) -> tuple[str, ...]:
        """input, hidden, output: those the network has; A, B of adapters."""
        return ("A", "B") if self.solved.adapters else tuple(dict.fromkeys(p.kind for p in self.chain.layers))

    @cached_property
    def _rows(self) -> dict[str, Exponents]:
        if self.solved.adapters:
            return {"A": self.solved.adapters.A, "B": self.solved.adapters.B}
        found = tuple(zip(self.chain.layers, exponents(self.chain), strict=True))
        return {**{p.kind: e for p, e in found}, **self.solved.beside, **{p.name: e for p, e in found}}

    @cached_property
    def slopes(self) -> dict[str, Slopes]:
        """Predicted log-log slopes in width after the first step, by layer: own, prop, cross, dh; h and delta."""
        return self.solved.slopes

    @property
    def df(self) -> Expr:
        """The slope of the change of the network's output."""
        return list(self.slopes.values())[-1].dh

    @cached_property
    def regime(self) -> Regime:
        """Stable or not, feature learning or kernel, r, and what blows up or freezes; ValueError if it has symbols, and
        for adapters.
        """
        if self.solved.adapters:
            raise ValueError("the regime is that of a network trained as a whole: take its architecture, not 'lora'")
        return classify(self.chain)

    def numbers(
        self, *, base: int, target: int, base_depth: int | None = None, target_depth: int | None = None
    ) -> dict[str, LayerScales]:
        """(target/base)**exponent for each role: what to multiply the numbers by that suit the base width.

        With a rule for depth and both depths, "branches" has the multiplier of residual branches and what their weights
        are scaled by beyond their row. ValueError for sizes that are no whole numbers >= 1, for equal widths without
        depths, for depths without a rule, and for exponents with symbols.
        """
        ratio = _ratio(base, target, "base", "target")
        if (base_depth is None) != (target_depth is None) or (base_depth is not None and self.depth is None):
            raise ValueError(
                "base_depth and target_depth go together, and with a rule for depth: mf.scaling(depth=...)"
            )
        if base == target and base_depth == target_depth:
            raise ValueError(f"base and target are both {base}: no axis grows, so that nothing is to be scaled")
        found = {role: LayerScales(*(_scaled(getattr(self[role], c), ratio) for c in SCALED)) for role in self.roles}
        if self.depth is None or base_depth is None or target_depth is None:
            return found
        deeper = _ratio(base_depth, target_depth, "base_depth", "target_depth")
        inside = replace(self.depth.block, multiplier=self.depth.multiplier)
        return {**found, "branches": LayerScales(*(_scaled(getattr(inside, c), deeper) for c in SCALED))}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the exponents as text such as "-1/2"."""
        rows = {r: {c: as_text(getattr(self[r], c)) for c in COLUMNS} for r in self.roles}
        moves = {name: {f.name: as_text(getattr(s, f.name)) for f in fields(Slopes)} for name, s in self.slopes.items()}
        named = {name: getattr(self, name) for name in ("architecture", "optimizer", "parametrization", "gauge")}
        beside = {name: {c: as_text(getattr(e, c)) for c in COLUMNS} for name, e in self.solved.beside.items()}
        return {
            **named,
            "exponents": rows,
            "beside": beside,
            **self._others(),
            "slopes": moves,
            "provenance": self.provenance,
        }

    def _others(self) -> dict[str, Any]:
        """The exponents of other axes than the width."""
        found: dict[str, Any] = {}
        if self.depth:
            found["depth"] = {c: as_text(getattr(self.depth.block, c)) for c in COLUMNS}
            found["depth"] |= {c: str(getattr(self.depth, c)) for c in DEPTH}
        if self.scores:
            found["scores"] = {f.name: str(getattr(self.scores, f.name)) for f in fields(Scores)}
        return found

    def latex(self) -> str:
        """A tabular: each quantity as a power of the width n."""
        heads = [c.replace("_", r"\_") for c in COLUMNS]
        body = [" & ".join([r, *(as_power(getattr(self[r], c)) for c in COLUMNS)]) for r in self.roles]
        lines = [" & ".join(["layer", *heads]), *body]
        columns = "l" * (len(COLUMNS) + 1)
        return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *(rf"{line} \\" for line in lines), r"\end{tabular}"])

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{escape(h)}</th>" for h in ("layer", *COLUMNS))
        rows = "".join(
            f"<tr><th>{r}</th>{''.join(f'<td>{escape(shown(getattr(self[r], c)))}</td>' for c in COLUMNS)}</tr>"
            for r in self.roles
        )
        said = "".join(f"<p>{escape(line)}</p>" for line in (*below(self.network, self.solved), self.provenance))
        return f"<table><caption>{escape(self._title)}</caption><tr>{heads}</tr>{rows}</table>{said}"

    @property
    def _title(self) -> str:
        return f"{self.optimizer}, {self.parametrization} in the gauge {self.gauge}: exponents of the width n"

    def parts(self) -> list[Any]:
        """What a terminal is shown: the tables, and the lines between them."""
        rows = table("layer", COLUMNS, {r: self[r] for r in self.roles})
        moves = table("layer", [f.name for f in fields(Slopes)], self.slopes)
        said = below(self.network, self.solved)
        return [self._title, rows, *said, "slopes after the first step", moves, self.provenance]

    def __str__(self) -> str:
        from meanfield.show import text

        return text(*self.parts())

    __repr__ = __str__


SCALED = tuple(f.name for f in fields(LayerScales))


def scaling(
    architecture: Any,
    *,
    optimizer: str | Optimizer,
    parametrization: str = "mup",
    depth: Any = None,
    gauge: str | Mapping[str, Any] | None = None,
    damping: str = "matched",
    fixed: Mapping[str, Mapping[str, Any]] | None = None,
    **powers: Any,
) -> ScalingTable:
    """The exponents of width with which a network and an optimizer train alike at any width.

    architecture: a network, whose first Dense or Conv is its input, the last its output, the others hidden; or "mlp",
    "resnet", "transformer" (d_head grows), "transformer_fixed_head" (the number of heads grows), "transformer_tied",
    "moe", "lora" (adapters A, B of fixed rank). Sums with Identity() are residual blocks.
    optimizer: sgd, momentum, adam, adamw, rmsprop, sign, lion, adafactor, lamb, lars, normalized_sgd, muon,
    shampoo (e_L, e_R), soap (sides = "both", "left", "right"), kfac (e_A, e_B), foof, predictive_coding (gamma:
    gamma_L = n^gamma), target_propagation, with their exponents as keywords: numbers or SymPy symbols; or
    an Optimizer of your own (`symbolic.scaling.optimizers`).
    parametrization: "mup" (every update moves what its layer gives, and the output, by Theta(1)), "ntk" (output
    Theta(1) at initialization; kernel regime), "standard" (no width in the learning rates), "mean_field"
    (output a mean).
    gauge: "a=0" or "table3", "table8", "table9" (Yang et al. 2022, arXiv 2203.03466), "unit" (all in the multipliers),
    or {role: exponent of its multiplier}; left out, "unit" for ntk and mean_field, else "a=0".
    damping: "matched", or what "constant" or "pi" (the heuristic for K-FAC) do to the slopes of the matched exponents.
    depth: for residual branches times L^-alpha: "depth_mup" (alpha = 1/2), "completep" (alpha = 1), "u_mup" (alpha =
    1/2 in the gauge "unit", for Adam), or alpha. fixed: exponents to hold, such as {"output": {"init_std": -1}},
    in the gauge a=0. Derived as in `symbolic/scaling` (contraction rules; Yang & Hu 2021, arXiv 2011.14522, recalled);
    those of predictive coding and target propagation are ours.

    Raises ValueError for unknown names (with the nearest), exponents out of range, and conditions that contradict, in
    words (`symbolic.scaling.solve.Contradiction`); TypeError or NoRule for an architecture that cannot be classified.
    """
    network = described(architecture)
    rule = rule_of(optimizer, **powers)
    solved = setup(network, rule, parametrization, gauge, damping, fixed, depth)
    given = ", ".join(f"{key}={value}" for key, value in powers.items())
    titled = f"{rule.name}({given})" if given else rule.name
    source = PROVENANCE.get(rule.name, "a rule of your own")
    return ScalingTable(network, titled, parametrization, solved, source)


def _ratio(base: Any, target: Any, *names: str) -> float:
    for name, size in zip(names, (base, target), strict=True):
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            what = "depth" if "depth" in name else "width"
            raise ValueError(f"{name} must be a {what}, a whole number of at least 1, not {size!r}")
    return target / base


def _scaled(exponent: Any, ratio: float) -> Any:
    if exponent is None:
        return None
    if exponent is S.NegativeInfinity:  # what is 0 stays so
        return 1.0
    if isinstance(exponent, tuple):
        return tuple(_scaled(e, ratio) for e in exponent)
    if not exponent.is_number:
        symbols = ", ".join(sorted(map(str, exponent.free_symbols)))
        raise ValueError(f"the exponent {exponent} depends on {symbols}: give the optimizer's exponents as numbers")
    return ratio ** float(exponent)
