"""Outputs of maps: what is written in their place computes the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from runner.errors import ModelError
from runner.graph.map_outputs import without_maps
from runner.graph.model_file import load_model, model_bytes
from tests.models import proto

X = np.float32([[0.1, 0.9], [0.7, 0.3]])


def classifier(outputs: str = "probs") -> onnx.ModelProto:
    """Return a Softmax, and its rows as maps from class to probability."""
    made = proto("g (float[N,2] x) => (float[N,2] p) { p = Softmax(x) }")
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    zipped = helper.make_node("ZipMap", ["p"], ["probs"], "zip", domain="ai.onnx.ml", classlabels_int64s=[7, 9])
    made.graph.node.append(zipped)
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    type_ = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, tensor))
    made.graph.output.append(helper.make_value_info("probs", type_))
    made.graph.value_info.append(helper.make_value_info("probs", type_))
    if outputs == "probs":
        del made.graph.output[0]
    return made


def run(model: bytes) -> list[object]:
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": X})


def test_zipmap_gives_the_tensor_that_its_maps_are_made_of(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(classifier().SerializeToString())
    (maps,) = run(path.read_bytes())
    loaded = load_model(path)
    assert loaded.changes == (
        "the output 'probs' is a seq(map(int64,tensor(float))): the written models give the tensor 'p' that it is made of "
        "under its name.",
    )
    (tensor,) = run(model_bytes(loaded.graph))
    assert [dict(zip((7, 9), row, strict=True)) for row in np.asarray(tensor).tolist()] == maps
    assert [output.name for output in loaded.graph.graph.outputs] == ["probs"]


def test_output_of_maps_made_by_anything_else_is_left_out() -> None:
    made = classifier("both")
    made.graph.node[1].op_type = "Strange"
    (told,) = without_maps(made)
    assert told == (
        "the output 'probs' is a seq(map(int64,tensor(float))), which neither the files written nor the NPU can hold: it is "
        "left out of them."
    )
    assert [output.name for output in made.graph.output] == ["p"] and not made.graph.value_info


def test_model_without_maps_stays_as_it_was() -> None:
    made = proto("g (float[N,2] x) => (float[N,2] p) { p = Softmax(x) }")
    before = made.SerializeToString()
    assert without_maps(made) == [] and made.SerializeToString() == before


def test_file_that_is_unreadable_for_another_reason_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(classifier().SerializeToString()[:-40])
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        load_model(path)
