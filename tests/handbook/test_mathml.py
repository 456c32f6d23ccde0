"""Formulas as MathML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("sphinx", reason="needs the extra 'docs'")
from docutils import nodes

from docs.handbook.mathml import _formula


@pytest.mark.parametrize(
    "source", [r"\frac{a}{b}", r"\hat{w}_i \le \lVert x \rVert_2", r"a \\ b", r"\sum_{i=1}^n x_i^2"]
)
@pytest.mark.parametrize("block", [True, False])
def test_formula_is_one_tree_of_mathml(source: str, block: bool) -> None:
    if "\\\\" in source and not block:
        pytest.skip("lines are a block's")
    tree = ET.fromstring(_formula(nodes.math(source, source), block=block).replace("&ApplyFunction;", ""))
    assert tree.tag == "{http://www.w3.org/1998/Math/MathML}math"
    assert (tree.get("display") == "block") is block
