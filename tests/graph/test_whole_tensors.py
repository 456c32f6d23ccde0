"""Constants that claim more than their file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from runner.errors import ModelError
from runner.graph.model_file import load_model
from tests.models import proto, save


@pytest.mark.parametrize("place", ["initializer", "attribute", "body"])
def test_constant_with_fewer_values_than_its_shape_is_refused_by_name(tmp_path: Path, place: str) -> None:
    graphs = {
        "initializer": "g (float[N,3] x) => (float[N,3] y) { y = Add (x, cut) }",
        "attribute": "g (float[N,3] x) => (float[N,3] y) { c = Constant <value = float[3] cut {1, 2, 3}> () y = Add (x, c) }",
        "body": """g (float[N,3] x) => (float[N,3] y) { y = If (yes) <
            then_branch = t () => (float[N,3] b) { c = Constant <value = float[3] cut {1, 2, 3}> () b = Add (x, c) },
            else_branch = e () => (float[N,3] d) { d = Identity (x) }> }""",
    }
    constants = {"cut": np.ones(3, np.float32)} if place == "initializer" else {"yes": np.array(True)}
    model = proto(graphs[place], **constants)
    tensor = next(tensor for tensor in _all(model.graph) if tensor.name == "cut")
    tensor.dims[0] = 1 << 20
    path = save(model, tmp_path / "net.onnx")
    with pytest.raises(ModelError) as error:
        load_model(path)
    assert str(error.value) == (
        f"model.path: {path}: the constant 'cut' has the shape [1048576], and fewer values are stored. The file is damaged; "
        "export or copy it again."
    )


def _all(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    bodies = [tensor for attribute in attributes if attribute.HasField("g") for tensor in _all(attribute.g)]
    return [*graph.initializer, *(attribute.t for attribute in attributes if attribute.HasField("t")), *bodies]


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint8, np.bool_])
def test_constant_of_small_values_stored_as_varints_is_read(tmp_path: Path, kind: type[np.generic]) -> None:
    model = proto("g (float[N,3] x) => (float[N,3] y) { y = Relu (x) }")
    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    model.graph.initializer.append(onnx.helper.make_tensor("zeros", number, [4096], np.zeros(4096, kind)))
    assert load_model(save(model, tmp_path / "net.onnx")).graph.graph.name == "g"
