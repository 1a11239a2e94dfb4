"""The sections of a page on a block: equations, phase, depth, initialization, verdict; each or why there is none."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from meanfield.check import Verdict, check
from meanfield.diagram import PhaseDiagram, phase_diagram
from meanfield.init import CRITERIA, init_scale
from meanfield.pages.equations import block_equations
from meanfield.pages.figures import phase_map, phase_words, svg
from meanfield.pages.parts import Figure, Section, Table, number
from meanfield.pages.subject import Subject, command, shown, spelled
from meanfield.phase import Phase, phase
from meanfield.plot import c_map, trajectories, verdict, walked
from symbolic.fourier_block import has_spectral
from symbolic.limits import derive
from symbolic.networks import Layer

WIDEST, TALLEST = 4.0, 0.5  # of the diagram, if the point lies inside
FINE, COARSE = (121, 61), (25, 13)


@dataclass(frozen=True)
class Wanted:
    """How deep and with which networks."""

    depth: int
    width: int
    draws: int
    seed: int
    networks: Layer | None
    check: dict[str, Any] | None


def _needs_numbers(about: Subject) -> None:
    """ValueError for free variances; NoRule, in the block's own numbers, where no pair of signals describes it."""
    if about.free is not None and about.point is None:
        raise ValueError(f"variances of '{shown(about.block)}' are free: write numbers, Dense(weight_var, bias_var)")
    derive(about.block, "length")


def no_networks() -> ValueError:
    """Why there is no verdict."""
    return ValueError("no networks were drawn: leave --no-check (check=False) out")


def _needs_networks(about: Subject, wanted: Wanted) -> dict[str, Any]:
    """The same, and ValueError where none are to be drawn; else how many."""
    if wanted.check is None:
        raise no_networks()
    _needs_numbers(about)
    return wanted.check


def equations_section(about: Subject) -> Section:
    return Section("equations", "Equations", *block_equations(about))


def phase_section(about: Subject) -> Section:
    """Numbers of the fixed point and the correlation map."""
    if not has_spectral(about.block):
        _needs_numbers(about)
    found = phase(about.block)
    rows = (
        ("q", number(found.q, 10), "length that signals settle at"),
        ("c", number(found.c, 10), "correlation that two inputs are drawn to"),
        ("chi_1", number(found.chi_1, 10), "slope of the correlation map at 1"),
        ("chi_q", number(found.chi_q, 10), "slope of the length map at q"),
        ("chi_c", number(found.chi_c, 10), "slope of the correlation map at c"),
        ("xi_q", number(found.xi_q), "layers over which a deviation of the length falls by e"),
        ("xi_c", number(found.xi_c), "layers over which a deviation of the correlation falls by e"),
        ("gradient", number(found.chi_gradient, 10), "factor of mean squared gradients per layer"),
    )
    text = [f"The block is {found.phase}."]
    if np.isinf(found.q):
        text.append("Lengths grow without bound; slopes are those of a very long signal.")
    table = Table("Fixed points, slopes and depth scales", ("quantity", "value", "what it is"), rows)
    return Section("phase", "Phase", tuple(text), figures=(_c_map(about, found),), tables=(table,))


def _c_map(about: Subject, found: Phase) -> Figure:
    caption = f"Correlation map: behind one block as a function of before. Fixed point c = {number(found.c, 4)}."
    picture = svg("c-map", "Correlation map", f"{about.block}: {caption}", lambda ax: c_map(about.block, ax))
    python = f"block = {spelled(about.block)}\nmf.plot(block)"
    shell = command(about.block, f"meanfield phase {quoted(about.block)} --plot map.svg")
    return Figure("c-map", caption, picture, shell, imported(python))


def diagram_section(about: Subject) -> Section:
    """The phase diagram with the block's point on it."""
    if about.free is None:
        raise ValueError(f"the weights of '{about.block}' do not share one weight_var and bias_var that could be free")
    fine = FINE if about.phi is not None else COARSE
    grids = _grids(about.point, fine)
    found = phase_diagram(about.diagrammed, weight_var=grids[0], bias_var=grids[1])
    at = None if about.point is None else phase(about.block)
    return Section("diagram", "Phase diagram", figures=(_diagram_figure(about, found, at),))


def _grids(point: tuple[float, float] | None, counts: tuple[int, int]) -> tuple[Any, Any]:
    weight, bias = point or (0.0, 0.0)
    highest = max(WIDEST, 1.5 * weight), max(TALLEST, 1.5 * bias)
    return np.linspace(highest[0] / (2 * counts[0]), highest[0], counts[0]), np.linspace(0, highest[1], counts[1])


def _diagram_figure(about: Subject, found: PhaseDiagram, at: Phase | None) -> Figure:
    name = about.diagrammed
    caption = f"Phases of {shown(name)}: {phase_words(found, at)}"
    picture = svg("diagram", "Phase diagram", caption, lambda ax: phase_map(found, about.point, ax))
    w, b = (f"{x[0]:.6g},{x[-1]:.6g},{len(x)}" for x in (found.weight_var, found.bias_var))
    shell = f"meanfield diagram {quoted(name)} --weight-var {w} --bias-var {b} --plot diagram.svg"
    grids = f"weight_var=np.linspace({w}), bias_var=np.linspace({b})".replace(",", ", ").replace(",  ", ", ")
    python = f"import numpy as np\nmf.phase_diagram({spelled(name)}, {grids}).plot()"
    return Figure("diagram", caption, picture, command(name, shell), imported(python))


def depth_section(about: Subject, wanted: Wanted) -> Section:
    """Theory and real networks by layer."""
    _needs_networks(about, wanted)
    options: dict[str, Any] = {
        "layers": wanted.depth,
        "width": wanted.width,
        "draws": wanted.draws,
        "seed": wanted.seed,
    }
    found = trajectories(about.block, networks=wanted.networks, **options)
    whose = "" if wanted.networks is None else f" of {wanted.networks}"
    caption = (
        f"Length and correlation of two inputs. Lines: theory. Points: {found.draws} networks{whose} of width "
        f"{found.width}, with two standard errors. Seed {wanted.seed}."
    )
    picture = svg("depth", "Depth trajectories", caption, lambda ax: walked(found, ax))
    numbers = ", ".join(f"{name}={value}" for name, value in options.items())
    python = imported(f'block = {spelled(about.block)}\nmf.plot(block, "depth", {numbers})')
    figure = Figure("depth", caption, picture, again(about.block, wanted), python)
    columns = (
        *(found.length, found.sampled_length, found.length_error),
        *(found.correlation, found.sampled_correlation, found.correlation_error),
    )
    rows = tuple((str(i), *(number(x) for x in row)) for i, row in enumerate(zip(*columns, strict=True)))
    heads = ("blocks", "q, theory", "q, networks", "standard error", "c, theory", "c, networks", "standard error")
    return Section(
        "depth", "Depth", figures=(figure,), tables=(Table("The same in numbers", heads, rows, folded=True),)
    )


def init_section(about: Subject, depth: int) -> Section:
    """Every criterion, or why it has no answer."""
    if about.free is None:
        raise ValueError(
            f"the weights of '{about.block}' do not share one weight_var and bias_var that could be chosen"
        )
    rows = [_init_row(about, criterion, depth) for criterion in CRITERIA if criterion != "he"]
    if about.point is not None:
        at = phase(about.block)
        own = (*about.point, sqrt(about.point[0]), at.chi_1, at.chi_q)
        rows.insert(0, ("this block", *(number(x, 8) for x in own)))
    heads = ("criterion", "weight_var", "bias_var", "gain", "chi_1", "chi_q")
    law = "E|R_k,ij|^2 = weight_var/channels" if has_spectral(about.block) else "Weights N(0, weight_var/fan_in)"
    caption = f"{law}, biases N(0, bias_var); isometry is for {depth} layers and orthogonal weights"
    return Section("init", "Initialization", tables=(Table(caption, heads, tuple(rows)),))


def _init_row(about: Subject, criterion: str, depth: int) -> tuple[str, ...]:
    options: dict[str, Any] = {"depth": depth} if criterion == "isometry" else {}
    if criterion == "edge_of_chaos" and about.point is not None:
        options["bias_var"] = about.point[1]
    try:
        found = init_scale(about.diagrammed, criterion=criterion, **options)
    except (ValueError, TypeError, ArithmeticError) as error:
        return criterion, " ".join(str(error).split())
    values = (found.weight_var, found.bias_var, found.gain, found.chi_1, found.chi_q)
    return criterion, *(number(x, 8) for x in values)


def verdict_section(about: Subject, wanted: Wanted) -> Section:
    """The check of the block's maps against networks, with its evidence."""
    limits = _needs_networks(about, wanted)
    found = check(about.block, wanted.networks, seed=wanted.seed, **limits)
    shell = f"meanfield check {quoted(about.block)}" + _flags(wanted)
    figure, table = evidence(found, "verdict", shell, _check_python(about, wanted))
    return Section("verdict", "Verdict", told(found), figures=(figure,), tables=(table,), mark=found.outcome)


def _flags(wanted: Wanted) -> str:
    flags = "" if wanted.networks is None else f" --networks {quoted(wanted.networks)}"
    named = {"seed": wanted.seed, **(wanted.check or {})}
    return flags + "".join(f" --{name.replace('_', '-')} {value}" for name, value in named.items())


def _check_python(about: Subject, wanted: Wanted) -> str:
    other = "" if wanted.networks is None else f"networks={spelled(wanted.networks)}, "
    named = ", ".join(f"{name}={value!r}" for name, value in {"seed": wanted.seed, **(wanted.check or {})}.items())
    return imported(f"mf.check({spelled(about.block)}, {other}{named}).plot()")


def told(found: Verdict) -> tuple[str, ...]:
    """How a verdict was found."""
    widths = " and ".join(str(w) for w in found.widths)
    how = (
        f"Theory of {found.theory} against {found.networks}: {found.draws} networks at each of the widths {widths}, "
        f"means extrapolated in 1/width, margin {found.margin:.1%}, alpha {found.alpha:g}, seed {found.seed}."
    )
    more = (f"About {found.draws_needed} networks at each width would settle it.",) if found.draws_needed else ()
    return how, *more


def evidence(found: Verdict, name: str, shell: str, python: str) -> tuple[Figure, Table]:
    """The rows of a verdict, drawn and in numbers."""
    caption = "Networks minus theory in units of the margin, with confidence intervals; the band is what agrees."
    size = (4.6, 1.1 + 0.24 * len(found.rows))
    title = f"{found.theory}: {found.outcome}"
    figure = Figure(name, caption, svg(name, title, caption, lambda ax: verdict(found, ax), size), shell, python)
    heads = ("observable", "theory", "networks", "interval of the difference", "margin", "outcome")
    rows = tuple(
        (
            r.label,
            number(r.theory),
            number(r.estimate),
            f"[{r.low:+.3g}, {r.high:+.3g}]",
            number(r.margin, 3),
            r.outcome,
        )
        for r in found.rows
    )
    marks = {i: row.outcome for i, row in enumerate(found.rows) if row.outcome != "agrees"}
    return figure, Table("Evidence", heads, rows, marks)


def quoted(block: Any) -> str:
    """A block or a name as one word of a shell; neither has double quotes, dollars or backslashes."""
    text = block if isinstance(block, str) else shown(block)
    return text if text.isidentifier() else f'"{text}"'


def imported(python: str) -> str:
    return f"import meanfield as mf\n{python}"


def again(block: Any, wanted: Wanted) -> str:
    """The command that makes the page."""
    other = "" if wanted.networks is None else f" --networks {quoted(wanted.networks)}"
    skip = " --no-check" if wanted.check is None else f" --max-draws {wanted.check['max_draws']}"
    numbers = f"--depth {wanted.depth} --width {wanted.width} --draws {wanted.draws} --seed {wanted.seed}"
    return command(block, f"meanfield report {quoted(block)}{other} {numbers}{skip} -o report.html")


def again_in_python(title: str, about: Subject, wanted: Wanted) -> str:
    """The call that makes the page."""
    given = spelled(about.block) if title == shown(about.block) else repr(title)
    options = {"depth": wanted.depth, "width": wanted.width, "draws": wanted.draws, "seed": wanted.seed}
    named = [f"{name}={value}" for name, value in options.items()]
    named += [] if wanted.networks is None else [f"networks={spelled(wanted.networks)}"]
    named += ["check=False"] if wanted.check is None else [f"max_draws={wanted.check['max_draws']}"]
    return imported(f'mf.report({given}, "report.html", {", ".join(named)})')
