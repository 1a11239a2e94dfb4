"""What init_ has drawn: a row for each layer, and why."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from meanfield.show import text
from meanfield.torch.analysis_show import short

WORD = 14  # characters of an activation, whose formula the reasons give


@dataclass(frozen=True)
class LayerRow:
    """One layer: weights N(0, std^2), std^2 = weight_var/fan_in, or all of them `value`; biases N(0, bias_std^2), None
    without; `activation` is the one in front."""

    name: str
    role: str
    activation: str
    weight_var: float | None
    std: float | None
    value: float | None
    bias_std: float | None
    reason: str


@dataclass(frozen=True)
class ModelInit:
    """What init_ did: `rows` in the order in which layers run, the parameters `left` as they were, and `notes` on what
    no initialization of this model can do."""

    rows: tuple[LayerRow, ...]
    criterion: str
    left: tuple[str, ...]
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> LayerRow:
        """The row of a layer by its name; KeyError with the names there are."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r}: rows are {', '.join(row.name for row in self.rows)}")

    def __str__(self) -> str:
        """A table within 80 columns; equal reasons are said once, below."""
        reasons = [*dict.fromkeys(row.reason for row in self.rows)]
        table = Table(box=None, pad_edge=False)
        for name in ("layer", "role", "behind", "weight_var", "std", "bias std", "why"):
            left = name in ("layer", "role", "behind")
            table.add_column(name, justify="left" if left else "right", overflow="fold", no_wrap=not left)
        for row in self.rows:
            number = _number(row.std) if row.value is None else f"= {_number(row.value)}"
            cells = (_number(row.weight_var), number, _number(row.bias_std), str(reasons.index(row.reason) + 1))
            activation = row.activation if len(row.activation) <= WORD else f"{row.activation[: WORD - 1]}…"
            table.add_row(escape(short(row.name)), row.role, escape(activation), *cells)
        why = "\n".join(f"({at}) {reason}" for at, reason in enumerate(reasons, 1))
        head = f"{self.criterion}: weights N(0, weight_var/fan_in)"
        left_as = f"left as they are: {', '.join(self.left) or 'none'}"
        return text(head, table, escape(why), escape(left_as), *map(escape, self.notes), width=80)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
