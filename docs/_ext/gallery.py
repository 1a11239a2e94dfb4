"""The gallery: a page for every theory of `mf.theories()`, each computed once and kept until a source changes.

Theories are computed by processes of their own, as many as the build has jobs, before any page is read.
"""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

from docstrings import inline
from gallery_case import DRAWN, compute
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from written import write

import meanfield as mf
from meanfield.theory import Theory

LOG = logging.getLogger(__name__)
HEAD = ("observable", "theory", "networks", "+-", "off by", "allowed", "")


def kept(app: Sphinx) -> Path:
    """Where results are, by the library (conf.py) and the code that computes them."""
    code = Path(inspect.getfile(compute)).read_bytes()
    folder = Path(app.config.gallery_kept) / (sha256(code).hexdigest()[:16] + ("" if DRAWN else "-equations"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def computed(names: Sequence[str], folder: Path) -> None:
    """Compute these theories in a process of its own; its own words if that fails."""
    run = subprocess.run([sys.executable, inspect.getfile(compute), folder, *names], capture_output=True, text=True)
    if run.returncode:
        raise ExtensionError(f"the gallery of {', '.join(names)} was not computed:\n{run.stderr}")


def results(app: Sphinx) -> dict[str, dict[str, Any]]:
    """Every theory's numbers, computed where they are not known."""
    folder, jobs = kept(app), max(app.parallel, 1)
    missing = [name for name in mf.theories() if not (folder / f"{name}.json").is_file()]
    if missing:
        LOG.info("computing the gallery: %s", ", ".join(missing))
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(computed, [missing[i::jobs] for i in range(jobs)], [folder] * jobs))
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in mf.theories()}


def measured(app: Sphinx, name: str) -> list[str]:
    """The rows of docs/measured.md on a theory, with their head."""
    lines = Path(app.srcdir, "measured.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith(f"| {name} |")]
    head = next((i for i, line in enumerate(lines) if line.startswith("| theory | case | outcome |")), None)
    return [*lines[head : head + 2], *rows] if rows and head is not None else []


def plain(text: str) -> str:
    """Words that Markdown must not read as markup."""
    return re.sub(r"([\\`*_|$<>\[\]])", r"\\\1", text)


def rows(verdict: Mapping[str, Any]) -> list[str]:
    """The evidence as a table."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for row in verdict["rows"]:
        half, off = (row["high"] - row["low"]) / 2, row["estimate"] - row["theory"]
        cells = f"{row['theory']:.5g}", f"{row['estimate']:.5g}", f"{half:.2g}", f"{off:+.2g}", f"{row['margin']:.2g}"
        lines.append(f"| {plain(row['label'])} | {' | '.join(cells)} | {row['outcome']} |")
    return lines


def verdicts(theory: Theory, found: Mapping[str, Any]) -> list[str]:
    """What was found of the case, and of its twin, and its picture."""
    if found["verdict"] is None:
        return ["This build was told to draw no networks (`MEANFIELD_DOCS_WITHOUT_NETWORKS`).", ""]
    own, twin = found["verdict"], found["against_twin"]
    widths = ", ".join(map(str, own["widths"]))
    lines = [
        f"Case *{found['case']}*, `{found['block']}`: **{own['outcome']}** after {own['draws']} networks at each of "
        f"the widths {widths}, margin {own['margin']:.0%}, alpha {own['alpha']:g}.",
        "",
        *rows(own),
        "",
        f"Its twin, networks of `{found['twin']}` with one constant off by ten per cent: **{twin['outcome']}** after "
        f"{twin['draws']} networks.",
        "",
        *rows(twin),
        "",
    ]
    return [*lines, f"![{theory.name}, estimates and margins]({theory.name}.svg)", ""]


def docstring(theory: Theory) -> list[str]:
    """The docstring of the theory's file, its source first."""
    text = inspect.getdoc(sys.modules[theory_module(theory)]) or ""
    return ["```{eval-rst}", *(inline(line) for line in text.splitlines()), "```", ""]


def theory_module(theory: Theory) -> str:
    names = (
        n for n, m in sys.modules.items() if n.startswith("meanfield.theories.") and vars(m).get("THEORY") is theory
    )
    return next(names)


def page(app: Sphinx, theory: Theory, found: Mapping[str, Any]) -> str:
    shown = ["$$", found["latex"], "$$"] if found["latex"] else ["```text", found["text"], "```"]
    whole = measured(app, theory.name)
    cases = ", ".join(f"`{name}`" for name in theory.cases)
    parts = [
        f"# {theory.title}",
        "",
        f"`{theory.name}`, {theory.cite}. Claim: {plain(theory.claim)}",
        "",
        *docstring(theory),
        "## Equations",
        "",
        f"Derived for `{found['block']}`:",
        "",
        *shown,
        "",
        "## Verdict",
        "",
        *verdicts(theory, found),
        *(["Measured once, every case to the end (`python scripts/measure.py`):", "", *whole, ""] if whole else []),
        "## Reproduce",
        "",
        "```bash",
        f'meanfield check {theory.name} --case "{found["case"]}"',
        "```",
        "",
        f"Cases: {cases}. Source: `{theory_module(theory).replace('.', '/')}.py`.",
        "",
    ]
    return "\n".join(parts)


def index(theories: Mapping[str, Theory]) -> str:
    rows = (f"| [{t.name}]({t.name}.md) | {plain(t.title)} | {plain(t.claim)} | {t.cite} |" for t in theories.values())
    parts = [
        "# Theories",
        "",
        "Each is a file of `meanfield/theories/`, checked against networks with its own constants, and with one "
        "constant off by ten per cent: its twin, which must disagree.",
        "",
        "| name | what | claim | source |",
        "|---|---|---|---|",
        *rows,
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *theories,
        "```",
        "",
    ]
    return "\n".join(parts)


def generate(app: Sphinx) -> None:
    found, theories = results(app), mf.theories()
    pages: dict[str, str | bytes] = {f"{name}.md": page(app, theories[name], found[name]) for name in theories}
    pages |= {f"{name}.svg": found[name]["picture"] for name in theories if found[name]["picture"]}
    write(Path(app.srcdir, "gallery"), pages | {"index.md": index(theories)})


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("gallery_kept", "", "env", str)
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
