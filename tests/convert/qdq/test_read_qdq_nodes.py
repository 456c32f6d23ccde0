"""What becomes of each QuantizeLinear and DequantizeLinear, and of the operators between layers."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import QatModel, read_qdq
from runner.convert.qdq.report import NodeAccount
from runner.errors import ModelError
from runner.graph.opset import raise_opset
from runner.session import Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND

F, U8, I8 = np.float32, np.uint8, np.int8
HEAD = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) w = DequantizeLinear(wq, sw)"
CONV = f"{HEAD} c = Conv(d, w)"
rng = np.random.default_rng


def source(
    nodes: str, outputs: str = "float y", opset: int = 13, inputs: str = "float[1,3,4,4] x", **arrays
) -> ir.Model:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {nodes} }}'
    )
    wq = rng(0).integers(-127, 128, (3, 3, 1, 1)).astype(I8)
    given = {"s": F(0.02), "z": U8(120), "s2": F(0.05), "z2": U8(0), "wq": wq, "sw": F(0.01), **arrays}
    read = {name for node in model.graph.node for name in node.input} - {o for n in model.graph.node for o in n.output}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(given[n]), n) for n in read & given.keys())
    onnx.checker.check_model(model)
    return ir.from_proto(model)


def accounts(qat: QatModel) -> dict[str, NodeAccount]:
    return {account.name: account for account in qat.report.nodes}


def simulate(qat: QatModel, x: np.ndarray) -> list[np.ndarray]:
    deploy_model(qat.found.on(qat.graph), qat.form)
    return Session(fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form)).run({"x": x})


def reference(model: ir.Model, x: np.ndarray) -> list[np.ndarray]:
    return Session(model).run({"x": x})


def image(seed: int = 1) -> np.ndarray:
    return rng(seed).normal(0, 1, (1, 3, 4, 4)).astype(F)


def test_every_node_is_accounted_for_once() -> None:
    nodes = (
        f"{CONV} r = Tanh(c) q2 = QuantizeLinear(r, s2, z2) d2 = DequantizeLinear(q2, s2, z2) y = GlobalAveragePool(d2)"
    )
    model = source(nodes, z2=U8(128))
    qat = read_qdq(model, ASCEND)
    expected = [node for node in model.graph if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert [a.op_type for a in qat.report.nodes] == [node.op_type for node in expected]
    assert len({a.name for a in qat.report.nodes}) == len(expected) == 5
    assert [a.use for a in qat.report.nodes] == ["layer", "layer", "layer", "dropped", "dropped"]
    assert [a.role for a in qat.report.nodes[:3]] == ["activation", "activation", "weight"]
    assert "feeds GlobalAveragePool" in qat.report.nodes[4].reason
    assert "cannot hold in int8" in qat.report.nodes[4].reason
    assert [node.op_type for node in qat.graph.graph] == ["Conv", "Tanh", "GlobalAveragePool"]


def test_the_source_is_left_as_it_is() -> None:
    model = source(f"{CONV} y = Relu(c)")
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    read_qdq(model, ASCEND)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_pair_read_by_a_layer_and_an_add_serves_both() -> None:
    model = source(f"{CONV} q2 = QuantizeLinear(c, s2, z) d2 = DequantizeLinear(q2, s2, z) y = Add(d2, d)")
    qat, x = read_qdq(model, ASCEND), image()
    nodes = accounts(qat)
    conv, add = (next(n.name for n in qat.graph.graph if n.op_type == op) for op in ("Conv", "Add"))
    assert list(qat.form.tensors) == [f"{add}:0", f"{add}:1"]
    assert qat.form.tensors[f"{add}:1"].activation == qat.form.layers[conv].record.activation
    assert [a.use for a in qat.report.nodes] == ["layer", "layer", "layer", "tensor", "tensor"]
    assert nodes[next(iter(nodes))].users == (conv, f"{add}:1")
    np.testing.assert_allclose(simulate(qat, x)[0], reference(model, x)[0], atol=1e-6)


def test_one_rounded_input_of_an_add_is_enough() -> None:
    qat = read_qdq(source(f"{CONV} y = Add(c, d)"), ASCEND)
    assert [key.rpartition(":")[2] for key in qat.form.tensors] == ["1"]


def test_equal_pairs_around_a_reshape_are_one() -> None:
    nodes = (
        "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) f = Flatten(d) q2 = QuantizeLinear(f, s, z) "
        "d2 = DequantizeLinear(q2, s, z) w = DequantizeLinear(wg, sw) y = Gemm(d2, w)"
    )
    wg = rng(2).integers(-127, 128, (48, 3)).astype(I8)
    qat = read_qdq(source(nodes, wg=wg), ASCEND)
    first, gemm = qat.report.nodes[0], next(iter(qat.form.layers))
    assert first.use == "dropped"
    assert first.reason.startswith("feeds Flatten")
    assert first.reason.endswith(f"the same scale is applied at {gemm}")


@pytest.mark.parametrize("between", ["Flatten(d)", "Flatten(Relu(d))", "Flatten(MaxPool<kernel_shape=[1,1]>(d))"])
def test_pair_in_front_of_operators_that_commute_with_rounding_reaches_the_layer(between: str) -> None:
    steps = {
        "Flatten(d)": "f = Flatten(d)",
        "Flatten(Relu(d))": "r = Relu(d) f = Flatten(r)",
        "Flatten(MaxPool<kernel_shape=[1,1]>(d))": "r = MaxPool<kernel_shape=[1,1]>(d) f = Flatten(r)",
    }[between]
    nodes = (
        "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
        + steps
        + " w = DequantizeLinear(wg, sw) y = Gemm(f, w)"
    )
    model = source(nodes, wg=rng(2).integers(-127, 128, (48, 3)).astype(I8))
    qat, x = read_qdq(model, ASCEND), image()
    assert qat.report.nodes[0].use == "layer"
    assert qat.report.nodes[0].reason.startswith("applied behind ")
    np.testing.assert_allclose(simulate(qat, x)[0], reference(model, x)[0], rtol=1e-5, atol=1e-5)


def test_relu_that_only_saturation_stands_for_is_kept() -> None:
    # onnxruntime's quantizer leaves out a Relu in front of a range that starts at 0.
    model = source(f"{CONV} q2 = QuantizeLinear(c, s2, z2) d2 = DequantizeLinear(q2, s2, z2) y = GlobalAveragePool(d2)")
    qat, x = read_qdq(model, ASCEND), image()
    assert "kept as a Clip" in qat.report.nodes[-1].reason
    np.testing.assert_allclose(simulate(qat, x)[0], reference(model, x)[0], atol=0.05)
    assert np.all(simulate(qat, x)[0] >= 0)


def test_relu_that_every_reader_applies_itself_is_kept_for_the_float_model() -> None:
    nodes = f"{CONV} q2 = QuantizeLinear(c, s2, z2) d2 = DequantizeLinear(q2, s2, z2) "
    model = source(nodes + "v = DequantizeLinear(wq, s) y = Conv(d2, v)")
    qat, x = read_qdq(model, ASCEND), image() * F(0.5)
    assert [node.op_type for node in qat.graph.graph] == ["Conv", "Relu", "Conv"]
    assert "kept as a Relu" in next(a.reason for a in qat.report.nodes if a.reason)
    for outputs in (simulate(qat, x), reference(qat.graph, x)):
        np.testing.assert_allclose(outputs[0], reference(model, x)[0], atol=0.5)


PAIR = "q2 = QuantizeLinear({0}, s2, z2) d2 = DequantizeLinear(q2, s2, z2)"
WIDER = "q3 = QuantizeLinear(d2, s3, z2) d3 = DequantizeLinear(q3, s3, z2) v = DequantizeLinear(wq, s) y = Conv(d3, v)"


@pytest.mark.parametrize(
    ("nodes", "arrays", "operators"),
    [
        # Its range, -2.5 .. 2.6 with a step of 0.02, is left by the values of the convolution.
        (PAIR.format("c") + " y = Concat<axis=1>(d2, c)", {}, ["Conv", "Clip", "Concat"]),
        (PAIR.format("c") + " m = MaxPool<kernel_shape=[2,2]>(d2) y = Exp(m)", {}, ["Conv", "Clip", "MaxPool", "Exp"]),
        (PAIR.format("c") + " y = Conv(d2, wf)", {}, ["Conv", "Clip", "Conv"]),
        (PAIR.format("c") + WIDER, {"s3": F(0.03)}, ["Conv", "Clip", "Conv"]),
        (PAIR.format("c") + WIDER, {"s3": F(0.015)}, ["Conv", "Conv"]),
        # Two Q/DQ in a row, the wider read in float: one Clip is enough, and needed.
        (
            PAIR.format("c") + WIDER[: WIDER.index("v =")] + "y = Exp(d3)",
            {"s3": F(0.03)},
            ["Conv", "Clip", "Clip", "Exp"],
        ),
        # What stands before the pair limits one side, or both.
        ("r = Relu(c) " + PAIR.format("r") + " y = Exp(d2)", {"z2": U8(0)}, ["Conv", "Relu", "Clip", "Exp"]),
        ("r = Clip(c, lo, hi) " + PAIR.format("r") + " y = Exp(d2)", {"z2": U8(0)}, ["Conv", "Clip", "Exp"]),
        # Relu6 and a range that ends just below 6, as training leaves it: what is cut off is less than rounding.
        (
            "r = Clip(c, lo, hi) " + PAIR.format("r") + " y = Exp(d2)",
            {"z2": U8(0), "s2": F(3.9998 / 255)},
            ["Conv", "Clip", "Exp"],
        ),
        # A DequantizeLinear of another scale moves the values out of what stood before the pair.
        (
            "r = Clip(c, lo, hi) q2 = QuantizeLinear(r, s2, z2) d2 = DequantizeLinear(q2, s3, z2) y = Exp(d2)",
            {"z2": U8(0), "s3": F(0.01)},
            ["Conv", "Clip", "Mul", "Add", "Clip", "Exp"],
        ),
        ("r = Clip(c, lo, hi) " + PAIR.format("r") + " y = Exp(d2)", {"z2": U8(99)}, ["Conv", "Clip", "Clip", "Exp"]),
        (
            "r = Tanh(c) g = GlobalAveragePool(r) " + PAIR.format("g") + " y = Exp(d2)",
            {},
            ["Conv", "Tanh", "GlobalAveragePool", "Exp"],
        ),
        # Whoever reads the value as it is rounded needs nothing.
        (PAIR.format("c") + " v = DequantizeLinear(wq, s) y = Conv(d2, v)", {}, ["Conv", "Conv"]),
    ],
)
def test_saturation_is_kept_where_somebody_would_miss_it(
    nodes: str, arrays: dict[str, np.ndarray], operators: list[str]
) -> None:
    arrays = {"z2": U8(125), "s2": F(0.02), "lo": F(0), "hi": F(4), "wf": np.full((2, 3, 1, 1), 0.2, F), **arrays}
    model, x = source(f"{CONV} {nodes}", **arrays), image() * F(2)
    qat = read_qdq(model, ASCEND)
    assert [node.op_type for node in qat.graph.graph] == operators
    (converted,), (expected,) = simulate(qat, x), reference(model, x)
    # Half a step of each rounding that is not made, and a step where a code behind it falls the other way.
    steps = 0.1 if "Exp" in operators else 0.2
    np.testing.assert_allclose(converted, expected, rtol=steps, atol=steps)


def test_codes_of_four_bits_keep_their_limits() -> None:
    nodes = f"{CONV} q2 = QuantizeLinear(c, s2, z2) d2 = DequantizeLinear(q2, s2, z2) y = Exp(d2)"
    model = source(nodes, opset=21, s2=F(0.1), z2=np.zeros((), ir.DataType.INT4.numpy()))
    qat, x = read_qdq(model, ASCEND), image() * F(2)
    assert "its limits -0.8 .. 0.7 are kept as a Clip" in qat.report.nodes[-1].reason
    assert simulate(qat, x)[0].max() <= np.exp(0.7) + 1e-6


def test_limits_that_cannot_be_kept_are_said() -> None:
    nodes = (
        f"{CONV} q2 = QuantizeLinear<axis=1>(c, many, zeros) d2 = DequantizeLinear<axis=1>(q2, many, zeros) y = Exp(d2)"
    )
    qat = read_qdq(source(nodes, many=np.full(3, 0.03, F), zeros=np.full(3, 128, U8)), ASCEND)
    assert "its saturation is not kept" in qat.report.nodes[-1].reason


def test_pair_at_a_model_output_keeps_the_outputs_name() -> None:
    qat = read_qdq(source(f"{CONV} q2 = QuantizeLinear(c, s2, z) y = DequantizeLinear(q2, s2, z)"), ASCEND)
    assert [value.name for value in qat.graph.graph.outputs] == ["y"]
    assert [a.use for a in qat.report.nodes[-2:]] == ["output", "output"]
    assert qat.report.nodes[-1].users == ("y.output:0",)
    assert simulate(qat, image())[0].shape == (1, 3, 4, 4)


def test_two_outputs_of_one_value_both_keep_their_names() -> None:
    nodes = f"{HEAD} c = Conv(d, w) q2 = QuantizeLinear(c, s2, z) y = DequantizeLinear(q2, s2, z)"
    qat = read_qdq(source(nodes, outputs="float y, float c"), ASCEND)
    assert [value.name for value in qat.graph.graph.outputs] == ["y", "c"]
    rounded, real = simulate(qat, image())
    scale = qat.form.tensors["y.output:0"].activation.scale
    codes = rounded / np.float32(scale)
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
    assert np.max(np.abs(rounded - real)) <= scale * 0.5001


def test_lone_quantize_at_an_output_becomes_the_float_output() -> None:
    qat = read_qdq(source(f"{CONV} y = QuantizeLinear(c, s2, z)", outputs="uint8 y"), ASCEND)
    last = qat.report.nodes[-1]
    assert (last.use, last.users) == ("output", ("y",))
    assert "given in float" in last.reason
    assert simulate(qat, image())[0].dtype == F


def test_integer_model_input_is_dequantized_in_float() -> None:
    model = source(
        "d = DequantizeLinear(x, s, z) w = DequantizeLinear(wq, sw) y = Conv(d, w)", inputs="uint8[1,3,4,4] x"
    )
    qat = read_qdq(model, ASCEND)
    x = rng(4).integers(0, 256, (1, 3, 4, 4)).astype(U8)
    assert [layer.status for layer in qat.report.layers] == ["exact"]
    np.testing.assert_allclose(simulate(qat, x)[0], reference(model, x)[0], rtol=1e-5, atol=1e-5)


def test_constant_of_an_add_keeps_its_real_value() -> None:
    nodes = f"{CONV} k = DequantizeLinear(kq, s2) y = Add(c, k)"
    kq = np.asarray([[[5]], [[-3]], [[100]]], I8)
    model = source(nodes, kq=kq)
    qat, x = read_qdq(model, ASCEND), image()
    account = next(a for a in qat.report.nodes if a.reason)
    assert (account.use, "a constant of" in account.reason) == ("dropped", True)
    np.testing.assert_allclose(simulate(qat, x)[0], reference(model, x)[0], rtol=1e-5, atol=1e-5)


# --- layers that stay float

SECOND = " v = DequantizeLinear(wq, s2)"


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (f"{SECOND} y = Conv(c, v)", "its input does not go through QuantizeLinear and DequantizeLinear"),
        (" y = Conv(d, wf)", "its weight does not go through DequantizeLinear"),
        (" y = Conv(c, wf)", "neither its input nor its weight goes through"),
        (
            f"{SECOND} q2 = QuantizeLinear(c, s, z) d2 = DequantizeLinear(q2, s2, z) y = Conv(d2, v)",
            r"has scale 0.0199999996 and zero point 120, .* has scale 0.0500000007 and zero point 120; they must be equal",
        ),
        (
            f"{SECOND} q2 = QuantizeLinear(c, s, z) d2 = DequantizeLinear(q2, s, z2) y = Conv(d2, v)",
            "zero point 120, .* and zero point 0; they must be equal",
        ),
        (
            f"{SECOND} q2 = QuantizeLinear<axis=1>(c, sc, zc) d2 = DequantizeLinear<axis=1>(q2, sc, zc) y = Conv(d2, v)",
            "has 3 scales; an activation has one",
        ),
    ],
    ids=["no activation pair", "float weight", "nothing", "scales differ", "zero points differ", "per channel"],
)
def test_incomplete_layer_stays_float_and_says_why(tail: str, reason: str) -> None:
    wf = rng(6).normal(0, 1, (3, 3, 1, 1)).astype(F)
    model = source(f"{CONV}{tail}", "float y, float c", wf=wf, sc=np.full(3, 0.03, F), zc=np.full(3, 128, U8))
    # Small enough that nothing saturates, which a bypassed pair no longer does.
    qat, x = read_qdq(model, ASCEND), image() * F(0.3)
    assert [layer.status for layer in qat.report.layers] == ["exact", "float"]
    assert re.search(reason, qat.report.layers[1].reason)
    np.testing.assert_allclose(simulate(qat, x)[0], reference(model, x)[0], atol=0.3)


def test_weight_of_a_float_layer_is_its_real_value() -> None:
    qat = read_qdq(source(f"{CONV}{SECOND} y = Conv(c, v)"), ASCEND)
    wq = rng(0).integers(-127, 128, (3, 3, 1, 1)).astype(I8)
    weight = qat.graph.graph.initializers[qat.found.layers[1].weight].const_value.numpy()
    np.testing.assert_array_equal(weight, wq.astype(F) * F(0.05))
    account = qat.report.nodes[3]
    assert (account.use, account.role) == ("dropped", None)
    assert "which stays float: its input does not go through" in account.reason


# --- errors


def test_float_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"has no QuantizeLinear/DequantizeLinear: .*use mode=acc_auto"):
        read_qdq(source("y = Relu(x)"), ASCEND)


@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "onnx.brevitas"])
def test_foreign_quantizer_is_named(domain: str) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 13, "{domain}" : 1]> g (float[1] x, float s) => (float y)'
        f"{{ y = {domain}.Quant(x, s, s, s) }}"
    )
    model.graph.node[0].name = "q7"
    with pytest.raises(
        ModelError, match=rf"node 'q7' is Quant of domain '{re.escape(domain)}'; expected QuantizeLinear"
    ):
        read_qdq(ir.from_proto(model), ASCEND)


def test_converted_model_is_refused() -> None:
    model = source(f"{CONV} y = Relu(c)")
    qat = read_qdq(model, ASCEND)
    with pytest.raises(ModelError, match="already converted by AMCT"):
        read_qdq(deploy_model(qat.found.on(qat.graph), qat.form), ASCEND)


def test_model_without_a_complete_layer_lists_the_reasons() -> None:
    with pytest.raises(ModelError, match=r"no layer .* can be taken over: \w+ \(Conv\): its input does not go through"):
        read_qdq(source("w = DequantizeLinear(wq, sw) y = Conv(x, w)"), ASCEND)


def test_codes_that_feed_an_integer_operator_are_refused() -> None:
    nodes = "q = QuantizeLinear(x, s, z) y = ConvInteger(q, wq, z)"
    with pytest.raises(ModelError, match=r"feeds ConvInteger .*expected a DequantizeLinear"):
        read_qdq(source(nodes, outputs="int32 y"), ASCEND)


def test_scales_that_do_not_fit_their_axis_are_refused() -> None:
    nodes = (
        "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) w = DequantizeLinear<axis=0>(wq, sv) y = Conv(d, w)"
    )
    with pytest.raises(
        ModelError, match=r"has 2 scales or zero points along axis 0 of a tensor of shape \[3, 3, 1, 1\]"
    ):
        read_qdq(source(nodes, sv=np.ones(2, F)), ASCEND)


def test_model_quantized_dynamically_is_refused_without_sending_it_on() -> None:
    nodes = "q, t, p = DynamicQuantizeLinear(x) c = ConvInteger(q, wq, p) f = Cast<to=1>(c) y = Mul(f, t)"
    message = r"DynamicQuantizeLinear '.*' makes the scale of a tensor anew from every input: .* Give the float model"
    with pytest.raises(ModelError, match=message):
        read_qdq(source(nodes), ASCEND)


def test_codes_that_feed_an_integer_layer_are_refused_with_the_setting_that_writes_pairs() -> None:
    nodes = "q = QuantizeLinear(x, s, z) c = QLinearConv(q, s, z, wq, sw, zw, s2, z2) y = DequantizeLinear(c, s2, z2)"
    with pytest.raises(ModelError, match=r"QLinearConv .* computes on integers: .*quant_format=QuantFormat\.QDQ"):
        read_qdq(source(nodes, zw=I8(0)), ASCEND)
