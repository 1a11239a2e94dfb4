"""mf.report: everything that is known of a block or of a theory on one page that needs no network and no script."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from meanfield.check import DRAWS as FIRST
from meanfield.check import MAX_DRAWS
from meanfield.finite.networks import whole
from meanfield.finite.sample import entropy
from meanfield.pages.parts import Report, Section, attempt, template
from meanfield.pages.report_block import (
    Wanted,
    again,
    again_in_python,
    depth_section,
    diagram_section,
    equations_section,
    init_section,
    phase_section,
    verdict_section,
)
from meanfield.pages.report_theory import theory_report
from meanfield.pages.report_tokens import tokens_section, tokens_verdict, transformer_block
from meanfield.pages.subject import Subject, shown, subject
from meanfield.progress import progress
from meanfield.theory import Theory, theories
from meanfield.theory import theory as named
from symbolic.activations import ACTIVATIONS
from symbolic.networks import Layer
from symbolic.transformers import TransformerBlock

Step = tuple[str, str, Callable[[], Section]]
DEPTH, WIDTH, DRAWS = 12, 256, 32
TOKENS_INIT = "scales of a Transformer block depend on a target: mf.init_scale(block, depth=, cosine=, below=)"
SUBTITLE = "Mean-field theory at infinite width, and real networks where there are some"


def report(
    block_or_theory: Any,
    path: str | Path | None = None,
    *,
    depth: int = DEPTH,
    width: int = WIDTH,
    draws: int = DRAWS,
    seed: Any = 0,
    networks: Layer | None = None,
    check: bool = True,
    max_draws: int = MAX_DRAWS,
) -> Report:
    """One self-contained HTML page on a block, an activation (whose variances are then free) or a theory (or its name).

    A block: equations, phase, phase diagram, trajectories through `depth` blocks beside `draws` networks of that
    `width`, initialization scales, and the verdict of mf.check, which draws at most `max_draws` networks per width.
    A theory: claim, equations, each case with its verdict and that of its twin. check=False draws no networks.
    `seed` names the random networks; `networks`: another block, whose networks are drawn. With `path` the page is
    written there, whole or not at all.
    Sections that the theory does not have for this block are named on the page with the reason.

    Raises ValueError or TypeError for what is no block, activation or theory, for networks= of a theory, for no folder;
    ImportError with the command to run where jinja2, latex2mathml or matplotlib are missing.
    """
    for name, value in {"depth": depth, "width": width, "max_draws": max_draws}.items():
        whole(name, value)
    if whole("draws", draws) < 2:
        raise ValueError(f"draws must be at least 2, for the spread of one network is unknown, not {draws}")
    if path is not None and not Path(path).parent.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {Path(path).parent}")
    template()  # a package that is missing is missed before the work
    limits = {"draws": min(FIRST, max_draws), "max_draws": max_draws} if check else None
    found = _theory(block_or_theory)
    if found is not None and networks is not None:
        raise ValueError("a theory brings its own networks and twins: networks= is for blocks")
    if found is not None:
        page = theory_report(found, entropy(seed), limits)
    else:
        wanted = Wanted(depth, width, draws, entropy(seed), networks, limits)
        page = _block_report(subject(block_or_theory), wanted)
    if path is not None:
        page.save(path)
    return page


def _theory(given: Any) -> Theory | None:
    """A theory, or one that is named; an activation keeps its name."""
    if isinstance(given, Theory):
        return given
    if isinstance(given, str) and given.isidentifier() and given not in ACTIVATIONS and given != "x":
        return theories().get(given) or named(given)
    return None


def side_by_side(sections: list[Section]) -> list[Section]:
    """The phase diagram beside the correlation map, where there are both."""
    by_name = {section.name: section for section in sections}
    phase, diagram = by_name["phase"], by_name["diagram"]
    if phase.missing or diagram.missing:
        return sections
    joined = replace(phase, figures=(*diagram.figures, *phase.figures))
    return [joined if section is phase else section for section in sections if section is not diagram]


def _block_report(about: Subject, wanted: Wanted) -> Report:
    tokens = isinstance(about.block, TransformerBlock)
    steps = _token_steps(about, wanted) if tokens else _steps(about, wanted)
    sections = []
    with progress("page") as tell:
        for done, step in enumerate(steps):
            sections.append(attempt(*step))
            tell(done + 1, len(steps))
    if tokens:
        sections.append(attempt("verdict", "Verdict", lambda: tokens_verdict(transformer_block(about.block), wanted)))
    else:
        sections = side_by_side(sections)
        sections.append(attempt("verdict", "Verdict", lambda: verdict_section(about, wanted)))
    alone = about.phi is not None and about.point is None
    title = str(about.phi) if alone else shown(about.block)
    commands = again(title if alone else about.block, wanted), again_in_python(title, about, wanted)
    return Report(title, SUBTITLE, tuple(sections), commands)


def _steps(about: Subject, wanted: Wanted) -> tuple[Step, ...]:
    return (
        ("equations", "Equations", lambda: equations_section(about)),
        ("phase", "Phase", lambda: phase_section(about)),
        ("diagram", "Phase diagram", lambda: diagram_section(about)),
        ("init", "Initialization", lambda: init_section(about, wanted.depth)),
        ("depth", "Depth", lambda: depth_section(about, wanted)),
    )


def _token_steps(about: Subject, wanted: Wanted) -> tuple[Step, ...]:
    """Of a Transformer block: the phase of a pair of signals is none of its."""
    block = transformer_block(about.block)
    return (
        ("equations", "Equations", lambda: equations_section(about)),
        ("tokens", "Tokens", lambda: tokens_section(block, wanted)),
        ("diagram", "Phase diagram", lambda: diagram_section(about)),
        ("init", "Initialization", lambda: Section("init", "Initialization", missing=TOKENS_INIT)),
    )
