"""Formulas as MathML, which browsers set without a script or the network."""

from typing import Any

from sphinx.application import Sphinx

from meanfield.pages.typeset import mathml


def inline(writer: Any, node: Any) -> None:
    writer.body.append(mathml(node.astext(), block=False))
    skip()


def display(writer: Any, node: Any) -> None:
    writer.body.append(f'<div class="math" tabindex="0">{mathml(node.astext())}</div>')
    skip()


def skip() -> None:
    from docutils import nodes

    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.add_css_file("formulas.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
