"""What the gallery shows of one theory, computed: equations, a verdict with its twin, a picture.

The first case is checked with the settings of `mf.check`. With MEANFIELD_DOCS_WITHOUT_NETWORKS=1 equations alone are
computed.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

DRAWN = not os.environ.get("MEANFIELD_DOCS_WITHOUT_NETWORKS")


@dataclass(frozen=True)
class Shown:
    """Text, markup and numbers alone, so that it can be kept as JSON."""

    case: str
    twin: str
    block: str
    latex: str
    text: str
    verdict: dict[str, Any] | None
    against_twin: dict[str, Any] | None
    picture: str
    seconds: float


def equations(found: Any) -> tuple[str, str]:
    """(LaTeX, "") of what has it, else ("", text) of its update: exponents, or the entries of a matrix."""
    if hasattr(found, "latex"):
        return str(found.latex()), ""
    if isinstance(found.update, Mapping):
        return "", "\n".join(f"{label}: {value}" for label, value in found.update.items())
    return "", f"update = ({', '.join(map(str, found.update))})"


def picture(verdict: Any) -> str:
    """The verdict's own picture as SVG, the same bytes for the same numbers."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "meanfield", "svg.fonttype": "path"}):
        out, axes = StringIO(), verdict.plot()
        axes.figure.set_size_inches(6.4, 1.4 + 0.3 * len(verdict.rows))
        axes.figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def compute(name: str) -> dict[str, Any]:
    import meanfield as mf

    began, theory = time.process_time(), mf.theory(name)
    label, case = next(iter(theory.cases.items()))
    latex, text = equations(theory.derive(case.block))
    found = mf.check(theory, case=label) if DRAWN else None
    twin = mf.check(theory, networks=case.twin, case=label) if DRAWN else None
    return asdict(
        Shown(
            case=label,
            twin=str(case.twin),
            block=str(case.block),
            latex=latex,
            text=text,
            verdict=None if found is None else found.to_dict(),
            against_twin=None if twin is None else twin.to_dict(),
            picture="" if found is None else picture(found),
            seconds=time.process_time() - began,
        )
    )


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        Path(sys.argv[1], f"{wanted}.json").write_text(json.dumps(compute(wanted)))
