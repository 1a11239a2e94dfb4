"""Tables in Markdown, and pages that hold them between two markers."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Numbers with a fraction are errors: two digits and a power of ten."""
    head = list(head)
    cells = ([f"{c:.1e}" if isinstance(c, float) else str(c) for c in row] for row in rows)
    lines = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


def replace(page: Path, name: str, text: str) -> None:
    """Put the text between <!-- name:begin --> and <!-- name:end -->; leave where they are not there once each."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = page.read_text()
    if old.count(begin) != 1 or old.count(end) != 1:
        sys.exit(f"{page} must have {begin} and {end} once each")
    before, _, rest = old.partition(begin)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
