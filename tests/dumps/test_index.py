"""The table of a folder of intermediate values, as people open it."""

from __future__ import annotations

import csv

from runner.dumps.index import DumpIndex, IndexedItem, IndexedTensor, table_text


def test_layer_named_like_a_formula_is_a_text_and_numbers_stay() -> None:
    tensor = IndexedTensor(
        0, "=HYPERLINK(1)", "Conv", True, "output", (), (1, 2), "int8", (0.5,), -3, "-f.npy", None, -0.5, None, False
    )
    index = DumpIndex("net", "net.onnx", "0" * 64, True, (IndexedItem(0, "a"),), (), (tensor,))
    row = next(csv.DictReader(table_text(index).splitlines()))
    assert row["layer"] == "'=HYPERLINK(1)" and row["file"] == "'-f.npy"
    assert row["zero_point"] == "-3" and row["cosine"] == "-0.5"
