"""What the commands share: arguments and files in, text, JSON and files out, and errors as one line.

Files are written whole or not at all: into a temporary neighbour first, which then takes the name. JSON has no
infinities, so those and NaN are the strings "inf", "-inf" and "nan", which float() reads back.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

import meanfield as mf
from meanfield.files import neighbour
from meanfield.show import folded

if TYPE_CHECKING:
    from meanfield.dual import Dual

WRONG, INTERRUPTED = 2, 130
MOST_POINTS = 2000


class Commands(TyperGroup):
    """Turns what users can cause into one line and an exit status; commands are listed by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _complaints():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _complaints():
            return super().invoke(ctx)


USAGE: type[Exception] = typer.BadParameter.__bases__[0]  # UsageError, of click or of the copy that typer brings


@contextmanager
def _complaints() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader has seen enough; typer knows what to do
        raise
    except USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        fail(_usage(error))
    except (ValueError, TypeError, ArithmeticError, OSError, ImportError, MemoryError, RecursionError) as error:
        fail(said(error))


def _usage(error: Any) -> str:
    """What was wrong with the options, and where they are explained."""
    message = " ".join(error.format_message().split()).rstrip(".").replace(": Value error, ", ": ")
    return message + (f"; see {error.ctx.command_path} --help" if error.ctx else "")


def fail(message: str, status: int = WRONG) -> NoReturn:
    typer.echo(f"meanfield: {message}", err=True)
    raise typer.Exit(status)


def said(error: BaseException) -> str:
    """One line: of a formula the column without the picture, of a file its name without the error's number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if hasattr(error, "column"):
        return f"column {error.column}: {error.message}"  # type: ignore[attr-defined]
    return " ".join(str(error).split()) or type(error).__name__


# -- in --------------------------------------------------------------------------------------------------------------


def block(text: str) -> Any:
    from symbolic.blocks import parse_block

    return parse_block(text)


def subject(text: str) -> Any:
    """A block if its text joins or calls layers, else the activation it names."""
    from symbolic.written import LAYERS

    layers = ">>" in text or any(f"{name}(" in text for name in LAYERS)
    return block(text) if layers else mf.activation(text)


def numbers(name: str, text: str, kind: type = float, count: int | None = None) -> list[Any]:
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or (count is not None and len(found) != count):
        wanted = f"{count} numbers" if count else "numbers"
        raise ValueError(f"{name} wants {wanted} separated by commas, not {text!r}")
    return found


def spaced(name: str, text: str) -> Any:
    """LOW,HIGH,COUNT as an even grid."""
    import numpy as np

    low, high, count = numbers(name, text, float, 3)
    if count != int(count) or not 1 <= count <= MOST_POINTS:
        raise ValueError(f"{name} wants a whole number of points from 1 to {MOST_POINTS}, not {count:g}")
    return np.linspace(low, high, int(count))


def rows(path: Path) -> Any:
    """The points in a .npy file, or in a .csv file of plain numbers; ValueError with the place of a bad entry."""
    from meanfield.kernels import data

    return data(array(path), path.stem)


def array(path: Path) -> Any:
    """The array in a .npy file, or in a .csv file of plain numbers, of any shape and as it is."""
    import numpy as np

    if path.suffix not in (".npy", ".csv"):
        raise ValueError(f"{path} must be a .npy or a .csv file")
    try:
        with path.open("rb") as handle:
            if path.suffix == ".npy":
                return np.lib.format.read_array(handle, allow_pickle=False)
            return np.loadtxt(handle, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} holds no array of numbers: {error}") from None


# -- out -------------------------------------------------------------------------------------------------------------


def show(data: dict[str, Any] | None, *lines: Any, verbatim: bool = False) -> None:
    """The data as JSON, or else the lines, folded to the terminal; verbatim leaves formulas whole, to be copied."""
    if data is not None:
        typer.echo(json.dumps(plain(data), allow_nan=False))
        return
    width = columns()
    for line in "\n".join(map(str, lines)).split("\n"):
        typer.echo(line if verbatim else folded(line, width))


def columns() -> int:
    """How wide the terminal is; 80 where there is none and COLUMNS says nothing."""
    return max(shutil.get_terminal_size((80, 24)).columns, 20)


def tell(*parts: Any) -> None:
    """Tables and sentences, wrapped to the terminal; colours as rich, NO_COLOR and FORCE_COLOR have them."""
    from rich.console import Console

    console = Console(width=columns())
    for part in parts:
        console.print(part)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def writable(path: Path | None, suffix: str = "") -> None:
    """Complain before the work, not behind it."""
    if path is None:
        return
    if suffix and path.suffix != suffix:
        raise ValueError(f"{path} must end in {suffix}")
    if not path.parent.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(
            f"{path} cannot be written: {'it is a folder' if path.is_dir() else 'its folder is read-only'}"
        )


def whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file whole or not at all."""
    with neighbour(path) as temporary, temporary.open("xb") as handle:
        write(handle)


def tabulate(columns: dict[str, Any], csv: Path | None, npz: Path | None) -> None:
    """Columns of equal length as text with a head, or as arrays."""
    import numpy as np

    if csv is not None:
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        whole(csv, lambda handle: handle.write("\n".join([*lines, ""]).encode()))
    if npz is not None:
        whole(npz, lambda handle: np.savez(handle, **columns))


def draw(axes: Any, path: Path) -> None:
    from meanfield.plot import save

    save(axes, path)


def dual_parts(found: "Dual", point: list[float], *, latex: bool) -> tuple[dict[str, Any], list[str]]:
    """What is known of a dual and of its derivative, for machines and for people, with values at a point if one is
    given."""
    slope = found.derivative
    data: dict[str, Any] = {"phi": str(found.phi), "psi": str(found.psi), "closed": found.closed, "tier": found.tier}
    data |= {"formula": str(found), "derivative": str(slope), "latex": found.latex(), "derivative_tier": slope.tier}
    lines = []
    for name, what in (("E[phi(u) psi(v)]", found), ("E[phi'(u) psi'(v)] = d/dk", slope)):
        lines += [f"{name} = {what.latex() if latex else what}"]
        lines += ["  closed form" if what.closed else f"  no closed form is known: {what.tier}, with an error bound"]
    if point:
        shown = []
        for key, what in (("value", found), ("derivative_value", slope)):
            value, bound = (float(x) for x in what(*point, error=True))
            data |= {key: value, f"{key}_error": bound}
            shown.append(f"{value!r} +- {bound:.1e}")
        data["at"] = point
        lines += [f"at (p, q, k) = {tuple(point)}: {', d/dk '.join(shown)}"]
    return data, lines
