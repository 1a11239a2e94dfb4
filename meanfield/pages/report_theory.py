"""The page of a theory: claim, equations, each case with its verdict, and the twin that must disagree."""

from importlib import import_module
from inspect import cleandoc
from typing import Any

from meanfield.check import Verdict, check
from meanfield.pages.equations import derived_equations
from meanfield.pages.parts import Equation, Report, Section, Table, attempt
from meanfield.pages.report_block import evidence, imported, quoted, told
from meanfield.pages.subject import freed
from meanfield.theory import Case, Theory, theories

Limits = dict[str, Any] | None


def theory_report(theory: Theory, seed: int, limits: Limits) -> Report:
    """Sections claim, equations, cases, then one for each case."""
    sections = [_claim(theory), attempt("equations", "Equations", lambda: _equations(theory))]
    checked = [] if limits is None else [_checked(theory, name, seed, limits) for name in theory.cases]
    if limits is None:
        why = "no networks were drawn: leave --no-check (check=False) out"
        sections += [_cases(theory, []), Section("verdicts", "Verdicts", missing=why)]
    else:
        sections += [_cases(theory, checked), *(_case(theory, i, limits, *pair) for i, pair in enumerate(checked))]
    skip = "--no-check" if limits is None else f"--max-draws {limits['max_draws']}"
    options = "check=False" if limits is None else f"max_draws={limits['max_draws']}"
    shell = f"meanfield report {theory.name} --seed {seed} {skip} -o report.html"
    python = imported(f'mf.report("{theory.name}", "report.html", seed={seed}, {options})')
    return Report(f"{theory.name}: {theory.title}", theory.cite, tuple(sections), (shell, python))


def _claim(theory: Theory) -> Section:
    """The claim, and what the file of the theory says of it."""
    known = theories().get(theory.name) is theory
    said = import_module(f"meanfield.theories.{theory.name}").__doc__ if known else None
    paragraphs = (" ".join(part.split()) for part in cleandoc(said or "").split("\n\n"))
    return Section("claim", "Claim", (theory.claim, *(p for p in paragraphs if p)))


def _equations(theory: Theory) -> Section:
    """What is derived of each case, once where cases share it."""
    found: dict[tuple[Equation, ...], list[str]] = {}
    silent = []
    for name, case in theory.cases.items():
        try:
            found.setdefault(_derived(theory, case), []).append(name)
        except (ValueError, TypeError) as error:
            silent.append(f"{name}: {error}")
    if not found:
        raise ValueError("; ".join(silent))
    return Section("equations", "Equations", tuple(silent), tuple(e for equations in found for e in equations))


def _derived(theory: Theory, case: Case) -> tuple[Equation, ...]:
    """With free variances where the block has them."""
    free = freed(case.block)
    return derived_equations(theory.derive(case.block if free is None else free))


def _checked(theory: Theory, name: str, seed: int, limits: dict[str, Any]) -> tuple[str, Verdict, Verdict]:
    own = check(theory, case=name, seed=seed, **limits)
    return name, own, check(theory, theory.cases[name].twin, case=name, seed=seed, **limits)


def _cases(theory: Theory, checked: list[tuple[str, Verdict, Verdict]]) -> Section:
    text = (
        "Each case is checked twice: against its own networks, which must agree, and against those of its twin, the "
        "block with one constant off by ten per cent, which must disagree.",
    )
    heads = ("case", "verdict", "verdict of the twin", "block", "twin", "blocks deep")
    outcomes = {name: (own.outcome, twin.outcome) for name, own, twin in checked}
    rows, marks = [], {}
    for i, (name, case) in enumerate(theory.cases.items()):
        own, twin = outcomes.get(name, ("not checked", "not checked"))
        rows.append((name, own, twin, str(case.block), str(case.twin), str(case.depth)))
        if own == "disagrees" or twin == "agrees":
            marks[i] = "bad"
        elif "inconclusive" in (own, twin):
            marks[i] = "warn"
    return Section("cases", "Cases", text, tables=(Table("Cases and twins", heads, tuple(rows), marks),))


def _case(theory: Theory, index: int, limits: dict[str, Any], name: str, own: Verdict, twin: Verdict) -> Section:
    flags = " ".join(f"--{option.replace('_', '-')} {value}" for option, value in limits.items())
    shell = f"meanfield check {theory.name} --case {quoted(name)} --seed {own.seed} {flags}"
    options = ", ".join(f"{option}={value}" for option, value in limits.items())
    python = imported(f'mf.check("{theory.name}", case="{name}", seed={own.seed}, {options}).plot()')
    figure, table = evidence(own, f"case-{index}", shell, python)
    _, against = evidence(twin, f"twin-{index}", "", "")
    folded = Table(
        f"Against the twin, {theory.cases[name].twin}: {twin.outcome}", against.heads, against.rows, folded=True
    )
    return Section(
        f"case-{index}-verdict", f"Case {name}", told(own), figures=(figure,), tables=(table, folded), mark=own.outcome
    )
