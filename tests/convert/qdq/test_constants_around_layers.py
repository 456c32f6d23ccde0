"""Arithmetic that exporters leave around weights, biases and scales: worked out, with the integers kept where they can be."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import QatModel, read_qdq
from runner.convert.qdq.report import LayerConversion
from runner.errors import ModelError
from runner.graph.opset import raise_opset
from runner.session import REFERENCE, Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND

F, I8, I32, I64 = np.float32, np.int8, np.int32, np.int64
S = F(0.03)
rng = np.random.default_rng
INPUT = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "


def codes(*shape: int, seed: int = 0, span: int = 127) -> NDArray[Any]:
    return rng(seed).integers(-span, span + 1, shape).astype(I8)


def model_of(nodes: str, x: str = "float[2,4,5,5]", opset: int = 13, **arrays: Any) -> ir.Model:
    text = f'<ir_version: 10, opset_import: ["" : {opset}]> g ({x} x) => (float y) {{ {nodes} }}'
    model = onnx.parser.parse_model(text)
    given = {"s": S, "z": I8(3), **arrays}
    read = {name for node in model.graph.node for name in node.input} - {o for n in model.graph.node for o in n.output}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(given[n]), n) for n in read & given.keys())
    onnx.checker.check_model(model)
    return ir.from_proto(model)


def converted(
    nodes: str, x: str = "float[2,4,5,5]", opset: int = 13, **arrays: Any
) -> tuple[LayerConversion, QatModel]:
    """Return the one layer's account and the model, after holding its outputs against the source run by onnxruntime."""
    model = model_of(nodes, x, opset, **arrays)
    qat = read_qdq(model, ASCEND)
    value = model.graph.inputs[0]
    data = rng(9).normal(0, 1, [int(n) for n in value.shape]).astype(value.dtype.numpy())
    (before,) = Session(model, REFERENCE, given=True).run({"x": data})
    (after,) = Session(fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form), REFERENCE).run({"x": data})
    deploy_model(qat.found.on(qat.graph), qat.form)
    (layer,) = qat.report.layers
    assert all(node.use == "layer" for node in qat.report.nodes), qat.report.nodes
    if layer.status == "exact":
        np.testing.assert_allclose(after, before, rtol=2e-5, atol=2e-5 * np.abs(before).max())
    return layer, qat


W = codes(4, 4, 3, 3)
CONV = " y = Conv<pads=[1,1,1,1]>(d, w)"
PER_CHANNEL = rng(3).uniform(0.005, 0.02, 4).astype(F)


@pytest.mark.parametrize(
    ("nodes", "arrays", "integers", "scales"),
    [
        ("w = Transpose<perm=[1,0,2,3]>(v)", {}, W.transpose(1, 0, 2, 3), [0.01]),
        ("r = Reshape(v, shape) w = Identity(r)", {"wq": W.reshape(16, 9), "shape": np.array([4, 4, 3, 3])}, W, [0.01]),
        ("u = Unsqueeze(v, ax) w = Squeeze(u, ax)", {"ax": np.array([0])}, W, [0.01]),
        ("f = Cast<to=1>(v) w = Identity(f)", {}, W, [0.01]),
        ("w = Slice(v, start, end, ax, step)", {"start": [3], "end": [-9], "ax": [0], "step": [-1]}, W[::-1], [0.01]),
        ("w = Gather(v, order)", {"order": [2, 0, 1, 3]}, W[[2, 0, 1, 3]], [0.01]),
        ("a, b = Split<axis=0>(v, sizes) w = Concat<axis=0>(b, a)", {"sizes": [1, 3]}, np.roll(W, 3, 0), [0.01]),
        ("w = Mul(v, k)", {"k": F(2.5)}, W, [np.float32(F(0.01) * F(2.5))]),
        ("w = Mul(k, v)", {"k": F(-2)}, -W, [np.float32(0.02)]),
        ("w = Div(v, k)", {"k": F(3)}, W, [np.float32(F(0.01) / F(3))]),
        ("w = Neg(v)", {}, -W, [0.01]),
        ("w = Abs(v)", {}, np.abs(W), [0.01]),
        ("w = Relu(v)", {}, np.maximum(W, 0), [0.01]),
        ("w = Clip(v, lo, hi)", {"lo": F(-0.5), "hi": F(0.5)}, np.clip(W, -50, 50), [0.01]),
        ("w = Mul(v, k)", {"k": PER_CHANNEL.reshape(4, 1, 1, 1)}, W, (F(0.01) * PER_CHANNEL).tolist()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_integers_stay_behind_what_commutes_with_dequantizing(
    nodes: str, arrays: dict[str, Any], integers: Any, scales: list[float]
) -> None:
    constants = {name: np.asarray(a, I64) if isinstance(a, list) else a for name, a in arrays.items()}
    given = {"wq": W, "sw": F(0.01), **constants}
    layer, qat = converted(f"{INPUT} v = DequantizeLinear(wq, sw) {nodes} {CONV}", **given)
    (quantized,) = qat.form.layers.values()
    assert layer.status == "exact"
    np.testing.assert_array_equal(quantized.weight, integers)
    np.testing.assert_array_equal(np.asarray(quantized.record.weight_scales, F), np.asarray(scales, F))


def test_scales_move_with_the_channels_that_they_belong_to() -> None:
    nodes = f"{INPUT} v = DequantizeLinear<axis=1>(wq, sw) w = Transpose<perm=[1,0,2,3]>(v) {CONV}"
    layer, qat = converted(nodes, wq=W, sw=PER_CHANNEL)
    assert (layer.status, qat.form.layers[layer.name].record.weight_scales) == ("exact", tuple(PER_CHANNEL.tolist()))


def test_weight_of_a_convolution_over_one_axis_is_unsqueezed() -> None:
    nodes = f"{INPUT} v = DequantizeLinear<axis=0>(wq, sw) w = Unsqueeze(v, ax) y = Conv<pads=[0,1,0,1]>(d, w)"
    layer, qat = converted(nodes, wq=W[..., 0], sw=PER_CHANNEL, ax=np.array([2]))
    assert layer.status == "exact"
    np.testing.assert_array_equal(qat.form.layers[layer.name].weight[:, :, 0], W[..., 0])


@pytest.mark.parametrize(
    "before",
    ["v = Transpose<perm=[1,0,2,3]>(wf)", "v = Clip(wf, lo, hi)", "a = Abs(wf) v = Neg(a)", "v = Pow(wf, three)"],
)
def test_what_is_done_to_a_weight_before_it_is_rounded_is_folded(before: str) -> None:
    wf = rng(1).normal(0, 0.5, (4, 4, 3, 3)).astype(F)
    arrays = {"wf": wf, "lo": F(-0.7), "hi": F(0.7), "three": F(3), "sw": F(0.01), "zw": I8(0)}
    layer, qat = converted(
        f"{INPUT} {before} qw = QuantizeLinear(v, sw, zw) w = DequantizeLinear(qw, sw, zw) {CONV}", **arrays
    )
    said = {"T": wf.transpose(1, 0, 2, 3), "C": np.clip(wf, -0.7, 0.7), "A": -np.abs(wf), "P": wf**3}[
        before.split("= ")[1][0]
    ]
    expected = np.clip(np.rint(said / F(0.01)), -128, 127)
    assert layer.status == "exact"
    assert np.max(np.abs(qat.form.layers[layer.name].weight - expected)) <= (before.startswith("v = Pow"))


def test_codes_may_be_moved_between_the_two_nodes_of_a_weight() -> None:
    wf = rng(1).normal(0, 0.5, (4, 4, 3, 3)).astype(F)
    nodes = f"{INPUT} c = QuantizeLinear(wf, sw, zw) t = Transpose<perm=[1,0,2,3]>(c) w = DequantizeLinear(t, sw, zw) {CONV}"
    layer, qat = converted(nodes, wf=wf, sw=F(0.01), zw=I8(0))
    expected = np.clip(np.rint(wf / F(0.01)), -128, 127).transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(qat.form.layers[layer.name].weight, expected)


@pytest.mark.parametrize(
    ("scale", "arrays"),
    [
        ("sw = Pow(two, log)", {"two": F(2), "log": F(-6)}),
        ("sw = Exp(log)", {"log": F(-4.5)}),
        ("sw = Abs(p)", {"p": F(-0.013)}),
        ("m = Max(p, e) sw = Div(m, n)", {"p": F(1.3), "e": F(1e-6), "n": F(127)}),
        ("t = Ceil(log) sw = Pow(two, t)", {"two": F(2), "log": F(-6.4)}),
    ],
)
def test_scale_that_the_graph_computes_from_constants_is_worked_out(scale: str, arrays: dict[str, Any]) -> None:
    nodes = f"sa = Identity(sw) q = QuantizeLinear(x, sa, z) d = DequantizeLinear(q, sa, z) w = DequantizeLinear(wq, sw) {CONV}"
    layer, qat = converted(f"{scale} {nodes}", wq=W, **arrays)
    (sw,) = qat.form.layers[layer.name].record.weight_scales
    assert layer.status == "exact"
    assert sw == qat.form.layers[layer.name].record.activation.scale > 0


def test_weight_off_its_grid_is_rounded_again_and_says_so() -> None:
    # A limit between two codes: 0.505 is 50.5 steps.
    nodes = f"{INPUT} v = DequantizeLinear(wq, sw) w = Clip(v, lo, hi) {CONV}"
    layer, qat = converted(nodes, wq=W, sw=F(0.01), lo=F(-0.505), hi=F(0.505))
    assert (layer.status, layer.weight.channels_exact) == ("requantized", 0)
    quantized = qat.form.layers[layer.name]
    real = np.clip(W * F(0.01), F(-0.505), F(0.505))
    scales = np.asarray(quantized.record.weight_scales, np.float64).reshape(4, 1, 1, 1)
    assert layer.weight.max_error == pytest.approx(np.abs(quantized.weight * scales - real).max(), rel=1e-4)
    assert layer.weight.max_error < 0.505 / 127


def test_negative_weight_scale_goes_into_the_integers() -> None:
    sw = PER_CHANNEL * np.asarray([1, -1, 1, -1], F)
    layer, qat = converted(f"{INPUT} w = DequantizeLinear<axis=0>(wq, sw) {CONV}", wq=W, sw=sw)
    np.testing.assert_array_equal(qat.form.layers[layer.name].weight, W * np.sign(sw).astype(I8).reshape(4, 1, 1, 1))
    assert layer.status == "exact"


def test_bias_behind_arithmetic_keeps_its_integers() -> None:
    bias, deq = rng(5).integers(-900, 900, (4, 1)).astype(I32), F(S * F(0.01))
    nodes = f"{INPUT} w = DequantizeLinear(wq, sw) v = DequantizeLinear(bq, sb) b = Squeeze(v, ax) y = Conv(d, w, b)"
    layer, qat = converted(nodes, wq=W, sw=F(0.01), bq=bias, sb=deq, ax=np.array([1]))
    assert layer.bias.how == "taken"
    np.testing.assert_array_equal(qat.form.layers[layer.name].bias, bias.ravel())


@pytest.mark.parametrize(
    ("stored", "opset", "status"),
    [
        (codes(4, 4, 3, 3, span=7).astype(ml_dtypes.int4), 21, "exact"),
        (codes(4, 4, 3, 3, span=7).astype(ml_dtypes.float8_e4m3fn), 19, "requantized"),
        (codes(4, 4, 3, 3).astype(np.int16) * 200, 21, "requantized"),
        (codes(4, 4, 3, 3).astype(np.int16), 21, "exact"),
        (codes(4, 4, 3, 3).astype(I32), 13, "exact"),
    ],
    ids=["int4", "float8", "int16", "int16 that fits", "int32"],
)
def test_weights_of_other_types_are_taken_or_rounded_again(stored: NDArray[Any], opset: int, status: str) -> None:
    layer, qat = converted(f"{INPUT} w = DequantizeLinear(wq, sw) {CONV}", opset=opset, wq=stored, sw=F(0.01))
    real = stored.astype(np.float64) * F(0.01)
    quantized = qat.form.layers[layer.name]
    scales = np.broadcast_to(np.asarray(quantized.record.weight_scales, np.float64), 4).reshape(4, 1, 1, 1)
    assert (layer.status, layer.weight.dtype) == (status, str(stored.dtype))
    assert np.abs(quantized.weight * scales - real).max() <= np.abs(real).max() / 127


@pytest.mark.parametrize("opset", [19, 21])
def test_float16_scales_and_weights_are_taken_exactly(opset: int) -> None:
    half = np.float16
    nodes = f"{INPUT} w = DequantizeLinear(wq, sw) y = Conv<pads=[1,1,1,1]>(d, w, b)"
    arrays = {"wq": W, "sw": half(0.01), "s": half(0.03), "b": rng(2).normal(0, 1, 4).astype(half)}
    model = model_of(nodes.replace("float y", "float16 y"), "float16[2,4,5,5]", opset, **arrays)
    model.graph.outputs[0].type = ir.TensorType(ir.DataType.FLOAT16)
    qat, x = read_qdq(model, ASCEND), rng(9).normal(0, 1, (2, 4, 5, 5)).astype(half)
    (layer,) = qat.form.layers.values()
    assert (layer.record.activation.scale, layer.record.weight_scales) == (float(half(0.03)), (float(half(0.01)),))
    np.testing.assert_array_equal(layer.weight, W)
    (before,) = Session(model, REFERENCE, given=True).run({"x": x})
    (after,) = Session(fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form), REFERENCE).run({"x": x})
    assert after.dtype == half
    # The source sums in float16: a few of its roundings at the size of the outputs.
    np.testing.assert_allclose(after, before, rtol=0, atol=8 * np.spacing(np.abs(before).max()))


def test_float16_pairs_in_a_float32_model_are_looked_through_their_casts() -> None:
    half = np.float16
    nodes = (
        "h = Cast<to=10>(x) q = QuantizeLinear(h, s, z) e = DequantizeLinear(q, s, z) d = Cast<to=1>(e) "
        f"v = DequantizeLinear(wq, sw) w = Cast<to=1>(v) {CONV}"
    )
    model = model_of(nodes, opset=19, wq=W, sw=half(0.01), s=half(0.03))
    (layer,) = read_qdq(model, ASCEND).form.layers.values()
    assert (layer.record.activation.scale, layer.record.weight_scales) == (float(half(0.03)), (float(half(0.01)),))


@pytest.mark.parametrize(
    ("codes_type", "reason"),
    [(np.int16, "its codes are int16"), (np.uint16, "its codes are uint16"), (ml_dtypes.int4, "its codes are int4")],
)
def test_input_codes_that_int8_cannot_hold_leave_the_layer_float(codes_type: Any, reason: str) -> None:
    two = "a = QuantizeLinear(x, s, z8) b = DequantizeLinear(a, s, z8) w = DequantizeLinear(wq, sw) u = Conv(b, w)"
    nodes = f"{INPUT} {two} t = Conv(d, w) y = Add(t, u)"
    qat = read_qdq(model_of(nodes, opset=21, wq=W, sw=F(0.01), z=np.asarray(0, codes_type), z8=I8(0)), ASCEND)
    by_status = {layer.status: layer for layer in qat.report.layers}
    assert reason in by_status["float"].reason
    assert by_status["exact"].name in qat.form.layers


def test_what_computes_constants_is_gone_from_the_float_model() -> None:
    nodes = (
        f"{INPUT} v = DequantizeLinear(wq, sw) t = Abs(k) w = Mul(v, t) c = Conv(d, w) r = Add(n, n) y = Reshape(c, r)"
    )
    _, qat = converted(nodes, wq=W, sw=F(0.01), k=F(-2), n=np.array([1, 18]))
    assert [node.op_type for node in qat.graph.graph] == ["Conv", "Reshape"]


@pytest.mark.parametrize("made", ["RandomNormalLike(k)", "Dropout(k, half, on)"])
def test_model_that_draws_random_numbers_is_refused(made: str) -> None:
    nodes = f"{INPUT} w = DequantizeLinear(wq, sw) c = Conv<pads=[1,1,1,1]>(d, w) r = {made} y = Add(c, r)"
    more = {"half": F(0.5), "on": np.asarray(True)}
    with pytest.raises(ModelError, match=r"draws random numbers: .*evaluation mode"):
        read_qdq(model_of(nodes, wq=W, sw=F(0.01), k=np.zeros((1, 4, 1, 1), F), **more), ASCEND)
