"""What is known by name: activations with their formulas, theories with what they claim and derive."""

from typing import Annotated, Any

import typer

import meanfield as mf
from meanfield.cli import completion
from meanfield.cli.app import Json, Latex, app
from meanfield.progress import waiting
from meanfield.terminal import show, tell

MOST_DENOMINATOR = 10**6


@app.command()
def activations(latex: Latex = False, as_json: Json = False) -> None:
    """The activations that have a name, with their formulas; any other is written as a formula in x.

    \b
    Example:
      meanfield activations
    """
    from sympy import latex as typeset

    known = {name: getattr(mf, name).formula for name in mf.ACTIVATIONS}
    data = {name: {"formula": str(phi), "latex": typeset(phi)} for name, phi in known.items()}
    width = max(map(len, data))
    lines = (f"{name:{width}}  {one['latex'] if latex else _short(known[name])}" for name, one in data.items())
    show({"activations": data} if as_json else None, *lines, verbatim=True)


def _short(phi: Any) -> str:
    """The formula, its endless fractions as decimals; JSON has them whole."""
    from sympy import Float, Rational

    long = {r: Float(r, 7) for r in phi.atoms(Rational) if r.q > MOST_DENOMINATOR}
    return str(phi.xreplace(long))


@app.command()
def theories(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One of them, in full.", autocompletion=completion.theories),
    ] = None,
    latex: Latex = False,
    as_json: Json = False,
) -> None:
    """The papers that `meanfield check` knows, or one of them: its claim, cases and equations.

    \b
    Example:
      meanfield theories poole2016
    """
    if latex and name is None:
        raise ValueError("--latex prints the equations of one theory: name it, as in meanfield theories poole2016")
    if name is not None:
        return _one(name, latex, as_json)
    with waiting("reading"):
        known = mf.theories().values()
    if as_json:
        return show({"theories": [_record(t) for t in known]})
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("claim")
    for t in known:
        table.add_row(t.name, escape(t.claim))
    tell(table, "", "One in full: meanfield theories NAME. Against networks: meanfield check NAME.")


def _record(t: Any) -> dict[str, Any]:
    return {"name": t.name, "title": t.title, "claim": t.claim, "cite": t.cite, "cases": [*t.cases]}


def _one(name: str, latex: bool, as_json: bool) -> None:
    from sympy import latex as typeset

    with waiting("deriving"):
        t = mf.theory(name)
        first = next(iter(t.cases.values()))
        derived = t.derive(first.block)
        equations = str(derived)
        written = derived.latex() if hasattr(derived, "latex") else typeset(derived)
    if latex and not as_json:
        return show(None, written, verbatim=True)
    cases = {case: {"block": str(c.block), "depth": c.depth} for case, c in t.cases.items()}
    data = {**_record(t), "cases": cases, "equations": equations, "latex": written}
    if as_json:
        return show(data)
    show(None, f"{t.name}: {t.title}", f"  {t.cite}", "", t.claim, "", "cases")
    show(None, *(f"  {case}: {c['block']}, {c['depth']} deep" for case, c in cases.items()), "")
    show(None, "equations of the first case", equations, verbatim=True)
