"""Formulas as MathML, which browsers draw themselves: a page asks no other machine for a script.

The converter is docutils' own; a formula that it cannot read is a warning, which ends the build.
"""

from __future__ import annotations

from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

_LOG = logging.getLogger(__name__)


def _formula(node: Any, *, block: bool) -> str:  # noqa: ANN401 - docutils has no types
    source = node.astext()
    if block and "\\\\" in source and "\\begin" not in source:
        source = f"\\begin{{aligned}}{source}\\end{{aligned}}"
    try:
        return str(tex2mathml(source, as_block=block))
    except MathError as error:
        _LOG.warning("formula cannot be read: %s", error, location=node)
        return ""


def _in_line(writer: Any, node: Any) -> None:  # noqa: ANN401
    writer.body.append(_formula(node, block=False))
    raise SkipNode


def _on_its_own(writer: Any, node: Any) -> None:  # noqa: ANN401
    writer.body.append(f'<div class="formula" style="overflow: auto hidden">{_formula(node, block=True)}</div>\n')
    raise SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx know the renderer as ``mathml``."""
    app.add_html_math_renderer("mathml", (_in_line, None), (_on_its_own, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
