"""How long each page took to execute, in wall seconds, printed behind the build and kept in times.txt."""

from pathlib import Path

from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.util import logging

SHOWN = 10


def report(app: Sphinx, failed: Exception | None) -> None:
    if failed or app.builder.format != "html":
        return
    kept = NbMetadataCollector.get_doc_data(app.env)
    pages = {page: data["exec_data"]["runtime"] for page, data in kept.items() if data.get("exec_data")}
    rows = [f"{seconds or 0:7.1f} s  {page}" for page, seconds in sorted(pages.items(), key=lambda p: -(p[1] or 0))]
    Path(app.outdir, "times.txt").write_text("\n".join(rows) + "\n")
    total = sum(seconds or 0 for seconds in pages.values())
    logging.getLogger(__name__).info("%d pages were executed in %.0f s, the slowest:", len(pages), total)
    for row in rows[:SHOWN]:
        logging.getLogger(__name__).info(row)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
