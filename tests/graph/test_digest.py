"""One digest for what a graph computes, however its weights are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from runner.graph.digest import graph_digest
from runner.graph.model_file import load_model
from tests.models import conv_gemm


def digest(model: onnx.ModelProto) -> str:
    return graph_digest(ir.from_proto(model))


def test_same_model_has_one_digest_and_is_not_changed_by_it() -> None:
    model = ir.from_proto(conv_gemm())
    before = ir.to_proto(model).SerializeToString()
    assert graph_digest(model) == digest(conv_gemm())
    assert ir.to_proto(model).SerializeToString() == before


def test_weights_beside_the_file_count_by_their_contents(tmp_path: Path) -> None:
    onnx.save(conv_gemm(), tmp_path / "one.onnx")
    onnx.save(conv_gemm(), tmp_path / "two.onnx", save_as_external_data=True, location="two.data", size_threshold=0)
    one, two = (graph_digest(load_model(tmp_path / name).graph) for name in ("one.onnx", "two.onnx"))
    assert one == two
    data = bytearray((tmp_path / "two.data").read_bytes())
    data[3] ^= 1  # the model file itself stays as it is
    (tmp_path / "two.data").write_bytes(data)
    assert graph_digest(load_model(tmp_path / "two.onnx").graph) != one


def weight(model: onnx.ModelProto) -> None:
    array = numpy_helper.to_array(model.graph.initializer[0]).copy()
    array.flat[0] = np.nextafter(array.flat[0], 9)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, model.graph.initializer[0].name))


def attribute(model: onnx.ModelProto) -> None:
    next(n for n in model.graph.node if n.op_type == "Gemm").attribute.append(onnx.helper.make_attribute("alpha", 2.0))


def output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "b"


@pytest.mark.parametrize("change", [weight, attribute, output])
def test_any_change_gives_another_digest(change) -> None:
    model = conv_gemm()
    change(model)
    assert digest(model) != digest(conv_gemm())
