"""Formulas as MathML, which browsers set without scripts or fonts (extras `report` and `explore`)."""

from typing import Any


def mathml(formula: Any, *, block: bool = True) -> str:
    """One formula, given as LaTeX or as a SymPy expression, as a <math> element.

    ImportError with the command to run if latex2mathml is missing.
    """
    try:
        from latex2mathml.converter import convert
    except ImportError as error:
        raise ImportError("pages need latex2mathml: pip install 'meanfield-calculator[report]'") from error
    if not isinstance(formula, str):
        from sympy import latex

        formula = latex(formula)
    return convert(formula, display="block" if block else "inline")
