"""What scale_ has done to a model: a row for each of its parameters, and param groups for torch.optim."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from rich.markup import escape
from rich.table import Table

from meanfield.show import text


@dataclass(frozen=True)
class ParameterScale:
    """One parameter: its type, the ratios of its fan-in and fan-out to those of base (1 where they do not grow), the
    RMS of its values now, the multiplier that the forward pass has to apply (1 unless it is tied), and the factors of
    learning rate, weight decay and epsilon relative to base."""

    name: str
    type: str
    ratio_in: float
    ratio_out: float
    init_std: float
    multiplier: float
    lr_factor: float
    weight_decay_factor: float
    eps_factor: float


@dataclass(frozen=True)
class ModelScale:
    """What scale_ did: a row for each parameter, and `groups` for torch.optim."""

    rows: tuple[ParameterScale, ...]
    optimizer: str
    lr: float
    weight_decay: float
    eps: float | None
    init: str
    multipliers: Mapping[str, float]
    parameters: tuple[Any, ...] = field(repr=False, compare=False)

    def only(self, *types: str) -> "ModelScale":
        """The rows of some types, whose groups are for one of several optimizers: scaled.only("hidden").groups."""
        kept = [pair for pair in zip(self.rows, self.parameters, strict=True) if pair[0].type in types]
        if not kept:
            have = ", ".join(dict.fromkeys(row.type for row in self.rows))
            raise ValueError(f"no parameter is of type {' or '.join(map(repr, types))}: the model has {have}")
        return replace(self, rows=tuple(row for row, _ in kept), parameters=tuple(held for _, held in kept))

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Param groups for a torch optimizer, made anew each time, as optimizers write into theirs."""
        found: dict[tuple[float, ...], dict[str, Any]] = {}
        for row, parameter in zip(self.rows, self.parameters, strict=True):
            key = (row.lr_factor, row.weight_decay_factor, row.eps_factor)
            group = found.setdefault(key, {"params": []} | self._options(row))
            group["params"].append(parameter)
        return [*found.values()]

    def _options(self, row: ParameterScale) -> dict[str, float]:
        options = {"lr": self.lr * row.lr_factor, "weight_decay": self.weight_decay * row.weight_decay_factor}
        return options if self.eps is None else options | {"eps": self.eps * row.eps_factor}

    def __str__(self) -> str:
        table = Table(box=None, pad_edge=False)
        for name in ("parameter", "type", "width ratio", "init std", "multiplier", "lr factor"):
            left = name in ("parameter", "type")
            table.add_column(name, justify="left" if left else "right", overflow="fold", no_wrap=not left)
        for row in self.rows:
            ratios = f"{row.ratio_in:.4g}, {row.ratio_out:.4g}"
            numbers = (f"{row.init_std:.4g}", f"{row.multiplier:.4g}", f"{row.lr_factor:.4g}")
            table.add_row(escape(row.name), row.type, ratios, *numbers)
        eps = "" if self.eps is None else f", eps = {self.eps:g}"
        head = (
            f"muP for {self.optimizer}, init = {self.init}; at the width of base: lr = {self.lr:g}, "
            f"weight_decay = {self.weight_decay:g}{eps}\nwidth ratio: fan-in, fan-out relative to base"
        )
        return text(escape(head), table, width=120)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Everything but the parameters, for json."""
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "parameters"}
        return plain | {"rows": [asdict(row) for row in self.rows], "multipliers": dict(self.multipliers)}
