"""A model that another tool quantized: one sentence that says what it is, and no mode that sends to one that sends back."""

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from runner.convert.qdq.read import read_qdq
from runner.errors import ModelError
from runner.graph.prepare import prepare
from runner.targets.ascend.limits import ASCEND
from tests.data import noise

ARRAYS = {
    "w": noise(1, 4, 4),
    "codes": np.ones((4, 4), np.int8),
    "table": np.ones((9, 4), np.int8),
    "s": np.float32(0.1),
    "z": np.int8(0),
    "u": np.uint8(0),
}
IMPORTS = '"" : 17, "com.microsoft" : 1, "qonnx.custom_op.general" : 1, "onnx.brevitas" : 1, "f" : 1'


def source(nodes, functions="", given="float[2,4] x"):
    text = f"<ir_version: 8, opset_import: [{IMPORTS}]> g ({given}) => (float[2,4] y) {{ {nodes} }} {functions}"
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in ARRAYS.items())
    return ir.from_proto(model)


DYNAMIC = (
    "[dyn] q, qs, qz = DynamicQuantizeLinear (x) i = MatMulInteger (q, codes, qz) f = Cast <to = 1> (i) y = Mul (f, qs)"
)
DYNAMIC_SAYS = (
    r"DynamicQuantizeLinear 'dyn' makes the scale of a tensor anew .* dynamically.* float model .*mode=acc_auto\.$"
)
QOPERATOR = (
    "a = QuantizeLinear (x, s, z) [mm] b = QLinearMatMul (a, s, z, codes, s, z, s, z) y = DequantizeLinear (b, s, z)"
)
QOPERATOR_SAYS = (
    r"QLinearMatMul 'mm' computes on integers: the model is quantized in QOperator format\. .*QuantFormat\.QDQ"
)
FOREIGN_SAYS = (
    r"node 'quant' is {} of domain '{}'; expected QuantizeLinear and DequantizeLinear\. .*export_onnx_qcdq.*QuantToQCDQ.*"
    r"mode=convert_qat, or give the float model with mode=acc_auto\.$"
)


def foreign(domain, operator):
    return (
        f"[quant] q = {domain}.{operator} (x, s, z, s) y = MatMul (q, w)",
        FOREIGN_SAYS.format(operator, re.escape(domain)),
    )


CASES = {
    "dynamic": (DYNAMIC, DYNAMIC_SAYS),
    "dynamic, of onnxruntime's own": (
        "[dyn] y = com.microsoft.DynamicQuantizeMatMul (x, codes, s, z)",
        DYNAMIC_SAYS.replace("QuantizeLinear", "QuantizeMatMul"),
    ),
    "QOperator": (QOPERATOR, QOPERATOR_SAYS),
    "QOperator, of onnxruntime's own": (
        "[q] a = QuantizeLinear (x, s, z) [mm] b = com.microsoft.QLinearAdd (a, s, z, a, s, z, s, z) "
        "y = DequantizeLinear (b, s, z)",
        QOPERATOR_SAYS.replace("MatMul", "Add"),
    ),
    "Brevitas": foreign("onnx.brevitas", "Quant"),
    "QONNX": foreign("qonnx.custom_op.general", "IntQuant"),
    "bipolar": foreign("qonnx.custom_op.general", "BipolarQuant"),
    "packed weights": (
        "[packed] y = com.microsoft.MatMulNBits <K = 4, N = 4, bits = 4, block_size = 16> (x, codes, s)",
        r"MatMulNBits 'packed' holds a quantized weight, and no activation is quantized.* float model .*mode=acc_auto\.$",
    ),
}


@pytest.mark.parametrize("read", [prepare, read_qdq], ids=["acc_auto", "convert_qat"])
@pytest.mark.parametrize("case", CASES)
def test_both_modes_say_the_same_of_what_neither_takes(case, read):
    nodes, message = CASES[case]
    with pytest.raises(ModelError, match=message):
        read(source(nodes), ASCEND)


@pytest.mark.parametrize("read", [prepare, read_qdq], ids=["acc_auto", "convert_qat"])
def test_weights_alone_quantized_are_told_by_both_modes(read):
    nodes = "[wdq] v = DequantizeLinear (codes, s) [mm] y = MatMul (x, v)"
    with pytest.raises(
        ModelError, match=r"(?i)weight.* alone.*give the float model that it was made from, with mode=acc_auto"
    ):
        read(source(nodes), ASCEND)


@pytest.mark.parametrize("read", [prepare, read_qdq], ids=["acc_auto", "convert_qat"])
def test_dynamic_model_with_a_stored_table_is_told_to_be_dynamic(read):
    nodes = "e8 = Gather (table, k) e = DequantizeLinear (e8, s) " + DYNAMIC.replace("Linear (x)", "Linear (e)")
    with pytest.raises(ModelError, match=DYNAMIC_SAYS):
        read(source(nodes, given="int64[2] k"), ASCEND)


def test_quantizer_inside_a_function_is_found():
    functions = (
        '<domain: "f", opset_import: ["" : 17]> Part (X, C) => (Y) '
        "{ [dyn] q, qs, qz = DynamicQuantizeLinear (X) i = MatMulInteger (q, C, qz) t = Cast <to = 1> (i) Y = Mul (t, qs) }"
    )
    with pytest.raises(ModelError, match=DYNAMIC_SAYS):
        prepare(source("y = f.Part (x, codes)", functions), ASCEND)
    with pytest.raises(ModelError, match=DYNAMIC_SAYS):
        read_qdq(source("y = f.Part (x, codes)", functions), ASCEND)


def test_integers_behind_a_fixed_scale_are_no_qat_model_for_acc_auto():
    nodes = "a = QuantizeLinear (x, s, z) [mm] i = MatMulInteger (a, codes) f = Cast <to = 1> (i) y = Mul (f, s)"
    with pytest.raises(ModelError, match=r"MatMulInteger 'mm' computes on integers"):
        prepare(source(nodes), ASCEND)


def test_qdq_model_is_sent_to_the_mode_that_takes_it():
    nodes = "q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) v = DequantizeLinear (codes, s) [mm] y = MatMul (d, v)"
    with pytest.raises(
        ModelError, match=r"this is a quantization-aware-trained model\. Run it with mode=convert_qat\.$"
    ):
        prepare(source(nodes), ASCEND)
    assert list(read_qdq(source(nodes), ASCEND).form.layers) == ["mm"]


def test_float_model_that_only_looks_like_one_is_taken():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "QuantStub")
    graph = helper.make_graph([node], "g", [value], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    graph.initializer.append(numpy_helper.from_array(ARRAYS["w"], "w"))
    assert (
        prepare(ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])), ASCEND).named
        == ()
    )
