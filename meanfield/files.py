"""Files written whole or not at all: beside their place first, then moved there in one step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def neighbour(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place if the block succeeds and vanishes if it does not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
