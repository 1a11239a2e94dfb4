"""Pages that the build writes: only what changed, and none that is left from an earlier build."""

from collections.abc import Mapping
from pathlib import Path


def write(folder: Path, pages: Mapping[str, str | bytes]) -> None:
    """Make `folder` hold these files by name, and no others; files that are right keep their time."""
    folder.mkdir(exist_ok=True)
    for old in set(folder.iterdir()) - {folder / name for name in pages}:
        old.unlink()
    for name, content in pages.items():
        data = content.encode() if isinstance(content, str) else content
        if not (folder / name).is_file() or (folder / name).read_bytes() != data:
            (folder / name).write_bytes(data)
