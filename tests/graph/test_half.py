"""A float16 model computes in float32: whatever names float16 is widened, and the outputs stay what they were."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.errors import ModelError
from runner.graph.half import _TYPE_ATTRIBUTES, widen_half
from runner.graph.prepare import tidy
from tests.data import noise
from tests.models import plain_session

X, W = noise(0, 4, 4).astype(np.float16), noise(1, 4, 4).astype(np.float16)
FOUR, ZERO, ONE = np.int64(4), np.float16(0), np.int64(1)


def net(nodes: str, outputs: str = "float16[4,4] y", opset: int = 17) -> onnx.ModelProto:
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g (float16[4,4] x) => ({outputs}) {{ {nodes} }}'
    model = onnx.parser.parse_model(text)
    arrays = {"w": W, "four": FOUR, "zero": ZERO, "one": ONE}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    return model


def widened(model: onnx.ModelProto) -> ir.Model:
    made = ir.from_proto(model)
    tidy(made)
    assert widen_half(made)
    return made


NODES = {
    "EyeLike": "k = EyeLike <dtype = 10> (x)",
    "HannWindow": "k = HannWindow <output_datatype = 10> (four)",
    "HammingWindow": "k = HammingWindow <output_datatype = 10> (four)",
    "BlackmanWindow": "k = BlackmanWindow <output_datatype = 10> (four)",
    "RandomNormalLike": "r = RandomNormalLike <dtype = 10> (x) k = Mul (r, zero)",
    "RandomUniformLike": "r = RandomUniformLike <dtype = 10> (x) k = Mul (r, zero)",
    "Bernoulli": "p = Sigmoid (x) r = Bernoulli <dtype = 10> (p) k = Mul (r, zero)",
    "SequenceEmpty": "s = SequenceEmpty <dtype = 10> () t = SequenceInsert (s, x) k = ConcatFromSequence <axis = 0> (t)",
    "Cast": "i = Cast <to = 7> (x) k = Cast <to = 10> (i)",
    "Constant": "k = Constant <value = float16[1] {2}> ()",
    "ConstantOfShape": "n = Shape (x) k = ConstantOfShape <value = float16[1] {2}> (n)",
}


@pytest.mark.parametrize("kind", NODES)
def test_type_in_an_attribute_is_widened_with_the_rest(kind: str) -> None:
    source = net(f"{NODES[kind]} a = Add (x, k) y = MatMul (a, w)")
    made = widened(source)
    assert all(
        node.op_type == "Cast" or output.dtype != ir.DataType.FLOAT16 for node in made.graph for output in node.outputs
    )
    got, expected = (plain_session(model).run(None, {"x": X})[0] for model in (made, source))
    assert got.dtype == np.float16
    np.testing.assert_allclose(got.astype(float), expected.astype(float), atol=0.02)


@pytest.mark.parametrize("kind", ["RandomNormal", "RandomUniform"])
def test_random_numbers_that_onnxruntime_has_in_float32_only_are_widened(kind: str) -> None:
    made = widened(net(f"r = {kind} <dtype = 10, shape = [4,4]> () k = Mul (r, zero) a = Add (x, k) y = MatMul (a, w)"))
    (got,) = plain_session(made).run(None, {"x": X})
    np.testing.assert_allclose(got.astype(float), X.astype(float) @ W.astype(float), atol=0.01)


def test_type_of_an_optional_value_is_widened() -> None:
    source = net("o = Optional () h = OptionalHasElement (o) c = Cast <to = 10> (h) y = Add (x, c)")
    element = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT16, None)
    source.graph.node[0].attribute.append(onnx.helper.make_attribute("type", element))
    made = widened(source)
    assert next(n for n in made.graph if n.op_type == "Optional").attributes["type"].value.type == ir.TensorType(
        ir.DataType.FLOAT
    )
    assert np.array_equal(plain_session(made).run(None, {"x": X})[0], X)


@pytest.mark.parametrize("said", [True, False], ids=["types said", "types inferred"])
def test_bits_of_a_float16_are_taken_of_a_float16(said: bool) -> None:
    source = net("a = Abs (x) i = BitCast <to = 4> (a) h = BitCast <to = 10> (i) y = Neg (h)", opset=26)
    source.ir_version = 11
    if said:
        source = onnx.shape_inference.infer_shapes(source)
    made = widened(source)
    (got,) = plain_session(made).run(None, {"x": X})
    assert np.array_equal(got.view(np.uint16), (-np.abs(X)).view(np.uint16))


def test_bits_made_a_float16_output_keep_its_name() -> None:
    source = net("i = BitCast <to = 4> (x) h = BitCast <to = 10> (i) y = Neg (x)", "float16[4,4] h, float16[4,4] y", 26)
    source.ir_version = 11
    session = plain_session(widened(source))
    assert [(output.name, output.type) for output in session.get_outputs()] == [
        ("h", "tensor(float16)"),
        ("y", "tensor(float16)"),
    ]
    assert np.array_equal(session.run(["h"], {"x": X})[0], X)


def test_sequence_of_float16_as_an_output_is_refused() -> None:
    with pytest.raises(ModelError) as error:
        widened(net("s = SequenceConstruct (x, x) y = MatMul (x, w)", "float16[4,4] y, seq(float16[4,4]) s"))
    assert str(error.value) == (
        "model.path: the output 's' is a sequence of float16; expected tensors, as a float16 model computes in float32 here "
        "and is cast where it begins and ends. Export the model in float32, or with the tensors themselves."
    )


def test_every_type_attribute_that_onnx_knows_is_looked_at() -> None:
    integer = onnx.defs.OpSchema.AttrType.INT
    known = {
        name
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.domain == ""
        for name, attribute in schema.attributes.items()
        if attribute.type == integer and (name == "to" or "type" in name or "precision" in name)
    }
    assert known == set(_TYPE_ATTRIBUTES)
