"""Integers and scales of converted layers, against the source's own arrays and an integer computation in numpy."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import QatModel, read_qdq
from runner.errors import ModelError
from runner.graph.opset import raise_opset
from runner.session import Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND

F, U8, I8, I32 = np.float32, np.uint8, np.int8, np.int32
S = F(0.0173)  # of the input
SW = F(0.0091)
ZP = 131  # of the input, uint8: 3 in int8
rng = np.random.default_rng


def source(nodes: str, opset: int = 13, shapes: str = "[1,3,5,5] x) => (float y", **arrays) -> ir.Model:
    """A model as text, with a rounded input ``xq`` of scale S and zero point ZP."""
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g (float{shapes}) {{ c = QuantizeLinear(x, s, zp) '
    text += f"xq = DequantizeLinear(c, s, zp) {nodes} }}"
    model = onnx.parser.parse_model(text)
    arrays = {"s": S, "zp": U8(ZP), **arrays}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    onnx.checker.check_model(model)
    return ir.from_proto(model)


def codes_of(x: np.ndarray, scale: np.float32 = S, zero_point: int = ZP - 128) -> np.ndarray:
    """What the device makes of the input, less the zero point."""
    scaled = x * (F(1) / scale) + F(zero_point)
    return np.clip(np.round(scaled), -128, 127).astype(np.int64) - zero_point


def conv_sums(codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Exact integer convolution, no padding, stride 1."""
    windows = np.lib.stride_tricks.sliding_window_view(codes, weight.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight.astype(np.int64))


def run(qat: QatModel, x: np.ndarray) -> np.ndarray:
    deploy_model(qat.found.on(qat.graph), qat.form)
    session = Session(fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form))
    return session.run({"x": x})[0]


def images(seed: int = 1) -> np.ndarray:
    return rng(seed).normal(0, 1.5, (1, 3, 5, 5)).astype(F)


def int8_weight(seed: int = 0, shape: tuple[int, ...] = (4, 3, 3, 3)) -> np.ndarray:
    return rng(seed).integers(-128, 128, shape).astype(I8)


WEIGHT_SHAPES = {
    "int8": ("w = DequantizeLinear(wq, sw, wz)", {"wz": I8(0)}),
    "int8 without zero point": ("w = DequantizeLinear(wq, sw)", {}),
    "uint8 around 128": ("w = DequantizeLinear(wq, sw, wz)", {"wz": U8(128)}),
    "float then Q then DQ": ("k = QuantizeLinear(wf, sw, wz) w = DequantizeLinear(k, sw, wz)", {"wz": I8(0)}),
    "through Identity": (
        "a = Identity(sw) b = Identity(wz) i = Identity(wq) w = DequantizeLinear(i, a, b)",
        {"wz": I8(0)},
    ),
    "through Transpose": ("t = DequantizeLinear(wt, sw, wz) w = Transpose<perm=[3,2,0,1]>(t)", {"wz": I8(0)}),
    "Constant zero point": ("wz = Constant<value = int8 {0}>() w = DequantizeLinear(wq, sw, wz)", {}),
}


@pytest.mark.parametrize("shape", WEIGHT_SHAPES)
def test_per_tensor_weight_keeps_codes_and_scale(shape: str) -> None:
    nodes, arrays = WEIGHT_SHAPES[shape]
    wq = int8_weight()
    stored = {
        "wq": (wq.astype(I32) + 128).astype(U8) if "uint8" in shape else wq,
        "wf": (wq * SW).astype(F),
        "wt": wq.transpose(2, 3, 1, 0),
    }
    used = {name: array for name, array in stored.items() if re.search(rf"\b{name}\b", nodes)}
    qat = read_qdq(source(f"{nodes} y = Conv(xq, w)", sw=SW, **arrays, **used), ASCEND)
    (name, layer), x = next(iter(qat.form.layers.items())), images()
    np.testing.assert_array_equal(layer.weight, wq)
    assert (layer.record.weight_scales, layer.bias) == ((float(SW),), None)
    assert (layer.record.activation.scale, layer.record.activation.zero_point) == (float(S), ZP - 128)
    assert qat.report.layers[0].status == "exact"
    weight = qat.graph.graph.initializers[qat.found.layer(name).weight].const_value.numpy()
    np.testing.assert_array_equal(weight, wq.astype(F) * SW)
    np.testing.assert_array_equal(run(qat, x), conv_sums(codes_of(x), wq).astype(F) * F(S * SW))


def test_per_channel_weight_keeps_every_scale() -> None:
    wq, sw = int8_weight(), np.asarray([0.01, 0.002, 0.5, 0.03], F)
    nodes = "w = DequantizeLinear<axis=0>(wq, sw, wz) y = Conv(xq, w)"
    qat = read_qdq(source(nodes, wq=wq, sw=sw, wz=np.zeros(4, I8)), ASCEND)
    (layer,), x = qat.form.layers.values(), images()
    np.testing.assert_array_equal(layer.weight, wq)
    assert layer.record.weight_scales == tuple(float(v) for v in sw)
    np.testing.assert_array_equal(run(qat, x), conv_sums(codes_of(x), wq).astype(F) * (S * sw).reshape(1, -1, 1, 1))


@pytest.mark.parametrize(("dtype", "stated", "expected"), [(I8, 5, 5), (U8, 5, -123), (U8, 0, -128), (U8, 255, 127)])
def test_activation_zero_point_moves_to_int8(dtype, stated: int, expected: int) -> None:
    qat = read_qdq(
        source("w = DequantizeLinear(wq, sw) y = Conv(xq, w)", wq=int8_weight(), sw=SW, zp=dtype(stated)), ASCEND
    )
    (layer,) = qat.form.layers.values()
    assert layer.record.activation.zero_point == expected
    assert qat.report.layers[0].activation.zero_point == stated


def test_cast_and_identity_between_the_two_nodes_are_looked_through() -> None:
    text = """<ir_version: 8, opset_import: ["" : 11]> g (float[1,3,5,5] x) => (float y) {
        c = QuantizeLinear(x, s, zp) d = Cast<to=2>(c) i = Identity(d) xq = DequantizeLinear(i, s, zp)
        w = DequantizeLinear(wq, sw) y = Conv(xq, w) }"""
    model = onnx.parser.parse_model(text)
    arrays = {"s": S, "zp": U8(ZP), "wq": int8_weight(), "sw": SW}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    qat = read_qdq(ir.from_proto(model), ASCEND)
    assert [node.op_type for node in qat.graph.graph] == ["Conv"]
    x = images()
    np.testing.assert_array_equal(run(qat, x), conv_sums(codes_of(x), arrays["wq"]).astype(F) * F(S * SW))


def test_seven_bit_codes_keep_their_limit() -> None:
    # PyTorch's reduce_range: QuantizeLinear, Clip to 0..127, DequantizeLinear.
    text = """<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,5,5] x) => (float y) {
        c = QuantizeLinear(x, s, zp) d = Clip(c, lo, hi) xq = DequantizeLinear(d, s, zp)
        w = DequantizeLinear(wq, sw) y = Conv(xq, w) }"""
    model = onnx.parser.parse_model(text)
    arrays = {"s": S, "zp": U8(60), "wq": int8_weight(), "sw": SW, "lo": U8(0), "hi": U8(127)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    qat, x = read_qdq(ir.from_proto(model), ASCEND), images()
    codes = np.clip(codes_of(x, zero_point=60 - 128), 0 - 60, 127 - 60)
    np.testing.assert_array_equal(run(qat, x), conv_sums(codes, arrays["wq"]).astype(F) * F(S * SW))


def test_weight_shared_by_two_layers_is_quantized_in_both() -> None:
    nodes = "w = DequantizeLinear(wq, sw) a = Conv(xq, w) b = Conv<pads=[1,1,1,1]>(xq, w) "
    nodes += "y = GlobalMaxPool(a) z = GlobalMaxPool(b)"
    qat = read_qdq(source(nodes, wq=int8_weight(), sw=SW, shapes="[1,3,5,5] x) => (float y, float z"), ASCEND)
    assert [layer.status for layer in qat.report.layers] == ["exact", "exact"]
    first, second = qat.form.layers.values()
    np.testing.assert_array_equal(first.weight, second.weight)
    run(qat, images())


def test_brevitas_narrow_range_is_clipped_on_both_sides() -> None:
    # QCDQ: QuantizeLinear, Clip, DequantizeLinear, for the 4-bit activation and for the narrow weight.
    text = """<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,5,5] x) => (float y) {
        c = QuantizeLinear(x, s, zero) d = Clip(c, alow, ahigh) xq = DequantizeLinear(d, s, zero)
        k = QuantizeLinear(wf, sw, zero) n = Clip(k, wlow, whigh) w = DequantizeLinear(n, sw, zero) y = Conv(xq, w) }"""
    model = onnx.parser.parse_model(text)
    wf = (int8_weight() * SW).astype(F)
    limits = {"alow": I8(-8), "ahigh": I8(7), "wlow": I8(-127), "whigh": I8(127)}
    arrays = {"s": S, "sw": SW, "zero": I8(0), "wf": wf, **limits}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    qat, x = read_qdq(ir.from_proto(model), ASCEND), images()
    weight = np.maximum(int8_weight(), -127)
    assert np.any(weight != int8_weight())
    (layer,) = qat.form.layers.values()
    np.testing.assert_array_equal(layer.weight, weight)
    codes = np.clip(codes_of(x, zero_point=0), -8, 7)
    np.testing.assert_array_equal(run(qat, x), conv_sums(codes, weight).astype(F) * F(S * SW))


# --- one axis, and three


def spatial(axes: int, zero_point: int) -> tuple[QatModel, np.ndarray]:
    wq = int8_weight(shape=(4, 3, *[3] * axes))
    nodes = "w = DequantizeLinear(wq, sw) [plain] y = Conv(x2, w2) [layer] z = Conv(xq, w)"
    nodes = f"w2 = DequantizeLinear(vq, sw) c2 = QuantizeLinear(x, s, mid) x2 = DequantizeLinear(c2, s, mid) {nodes}"
    sizes = ",".join(["1", "3"] + ["5"] * axes)
    shapes = f"[{sizes}] x) => (float y, float z"
    arrays = {"wq": wq, "vq": wq, "sw": SW, "zp": U8(zero_point), "mid": U8(128)}
    return read_qdq(source(nodes, shapes=shapes, **arrays), ASCEND), wq


@pytest.mark.parametrize(("axes", "zero_point"), [(1, ZP), (1, 0), (3, 128)])
def test_convolution_over_one_or_three_axes_is_exact(axes: int, zero_point: int) -> None:
    qat, wq = spatial(axes, zero_point)
    assert [layer.status for layer in qat.report.layers] == ["exact", "exact"]
    x = rng(1).normal(0, 1.5, (1, 3, *[5] * axes)).astype(F)
    codes = codes_of(x, zero_point=zero_point - 128)
    windows = np.lib.stride_tricks.sliding_window_view(codes, wq.shape[2:], axis=range(2, 2 + axes))
    kernel = "ijk"[:axes]
    sums = np.einsum(f"nc...{kernel},oc{kernel}->no...", windows, wq.astype(np.int64))
    built = Session(fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form))
    np.testing.assert_array_equal(built.run({"x": x})[1], sums.astype(F) * F(S * SW))


def test_asymmetric_input_leaves_a_convolution_over_three_axes_float() -> None:
    qat, _ = spatial(3, ZP)
    assert {layer.name: layer.status for layer in qat.report.layers} == {"plain": "exact", "layer": "float"}
    reason = next(layer.reason for layer in qat.report.layers if layer.status == "float")
    assert reason == "its input has zero point 3 in int8; a convolution over three axes takes only 0"


# --- Gemm and MatMul


@pytest.mark.parametrize("trans_b", [0, 1])
def test_gemm_weight_is_stored_untransposed_and_its_bias_spread(trans_b: int) -> None:
    wq = int8_weight(shape=(6, 4))
    nodes = f"w = DequantizeLinear(wq, sw) b = DequantizeLinear(bq, sb) y = Gemm<transB={trans_b}>(xq, w, b)"
    arrays = {"wq": wq.T.copy() if trans_b else wq, "sw": SW, "bq": np.asarray([700], I32), "sb": F(S * SW)}
    qat = read_qdq(source(nodes, shapes="[2,6] x) => (float y", **arrays), ASCEND)
    (layer,), x = qat.form.layers.values(), images().reshape(-1)[:12].reshape(2, 6)
    np.testing.assert_array_equal(layer.weight, wq)
    assert layer.bias.tolist() == [700] * 4
    assert qat.report.layers[0].bias.how == "taken"
    np.testing.assert_array_equal(run(qat, x), (codes_of(x) @ wq.astype(np.int64) + 700).astype(F) * F(S * SW))


@pytest.mark.parametrize("shape", [(6, 4), (1, 6, 4), (3, 6, 4)])
def test_matmul_in_three_axes(shape: tuple[int, ...]) -> None:
    wq = int8_weight(shape=shape)
    qat = read_qdq(
        source("w = DequantizeLinear(wq, sw) y = MatMul(xq, w)", shapes="[1,2,6] x) => (float y", wq=wq, sw=SW), ASCEND
    )
    x = images().reshape(-1)[:12].reshape(1, 2, 6)
    np.testing.assert_array_equal(run(qat, x), (codes_of(x) @ wq.astype(np.int64)).astype(F) * F(S * SW))


def test_per_channel_gemm_weight_is_rounded_to_one_scale_and_says_so() -> None:
    wq, sw = int8_weight(shape=(6, 4)), np.asarray([0.01, 0.005, 0.02, 0.003], F)
    nodes = "w = DequantizeLinear<axis=1>(wq, sw, wz) y = MatMul(xq, w)"
    qat = read_qdq(source(nodes, shapes="[2,6] x) => (float y", wq=wq, sw=sw, wz=np.zeros(4, I8)), ASCEND)
    (layer,), (report,) = qat.form.layers.values(), qat.report.layers
    assert len(layer.record.weight_scales) == 1
    assert report.status == "requantized"
    errors = np.abs(layer.weight * np.float64(layer.record.weight_scales[0]) - wq * sw.astype(np.float64)).max(axis=0)
    assert {c.channel: c.max_error for c in report.weight.inexact} == {
        i: float(e) for i, e in enumerate(errors) if e > 0
    }
    # Half a step for rounding, another half where a rounding was turned to balance its channel.
    assert errors.max() <= layer.record.weight_scales[0]


# --- asymmetric weights


def asymmetric(per_channel: bool = False) -> tuple[ir.Model, np.ndarray]:
    """Channel 1 reaches 155 = 255 - 100, the others stay within int8."""
    q = rng(3).integers(0, 228, (4, 3, 3, 3))
    q[1, 0, 0, 0], q[1, 1] = 255, q[1, 1] // 2
    axis, sw, wz = ("<axis=0>", np.full(4, SW), np.full(4, 100, U8)) if per_channel else ("", SW, U8(100))
    nodes = f"w = DequantizeLinear{axis}(wq, sw, wz) y = Conv(xq, w, b)"
    return source(nodes, wq=q.astype(U8), sw=sw, wz=wz, b=np.asarray([1, -2, 0.5, 0], F)), q - 100


@pytest.mark.parametrize("per_channel", [False, True])
def test_only_channels_that_do_not_fit_are_rounded_again(per_channel: bool) -> None:
    model, integers = asymmetric(per_channel)
    qat = read_qdq(model, ASCEND)
    (layer,), (report,) = qat.form.layers.values(), qat.report.layers
    scales = np.asarray(layer.record.weight_scales, F)
    np.testing.assert_array_equal(layer.weight[[0, 2, 3]], integers[[0, 2, 3]])
    assert scales[[0, 2, 3]].tolist() == [SW] * 3
    assert (report.status, report.weight.channels_exact, report.weight.channels) == ("requantized", 3, 4)
    error = layer.weight[1] * np.float64(scales[1]) - integers[1] * np.float64(SW)
    assert [c.channel for c in report.weight.inexact] == [1]
    assert report.weight.max_error == pytest.approx(np.abs(error).max(), rel=1e-12)
    assert report.bias.how == "rounded"


def test_rounding_again_is_better_than_plain_rounding_and_balanced() -> None:
    model, integers = asymmetric()
    (layer,) = read_qdq(model, ASCEND).form.layers.values()
    scale, real = np.float64(layer.record.weight_scales[1]), integers[1] * np.float64(SW)
    plain_scale = real.max() / 127
    plain = np.round(real / plain_scale) * plain_scale - real
    error = layer.weight[1] * scale - real
    assert np.sum(error**2) <= np.sum(plain**2)
    assert abs(error.sum()) <= scale * 0.5 * (1 + 1e-9)


def test_refuse_leaves_an_asymmetric_layer_float() -> None:
    model, _ = asymmetric()
    with pytest.raises(ModelError, match=r"no layer .* can be taken over: .*zero point 100.*1 of 4 channels"):
        read_qdq(model, ASCEND, on_asymmetric_weight="refuse")


def test_refuse_keeps_an_asymmetric_weight_that_fits() -> None:
    q = rng(3).integers(0, 228, (4, 3, 3, 3)).astype(U8)
    model = source("w = DequantizeLinear(wq, sw, wz) y = Conv(xq, w)", wq=q, sw=SW, wz=U8(100))
    (layer,) = read_qdq(model, ASCEND, on_asymmetric_weight="refuse").form.layers.values()
    np.testing.assert_array_equal(layer.weight, q.astype(int) - 100)


def test_asymmetric_matmul_is_rounded_whole() -> None:
    q = rng(5).integers(0, 256, (6, 4)).astype(U8)
    nodes = "w = DequantizeLinear(wq, sw, wz) y = MatMul(xq, w)"
    qat = read_qdq(source(nodes, shapes="[2,6] x) => (float y", wq=q, sw=SW, wz=U8(50)), ASCEND)
    (layer,) = qat.form.layers.values()
    assert len(layer.record.weight_scales) == 1
    assert qat.report.layers[0].status == "requantized"


# --- bias

CONV = "w = DequantizeLinear(wq, sw) "


def test_int32_bias_in_the_layers_own_scale_is_taken() -> None:
    bq = np.asarray([123456, -7, 0, 2**20 + 1], I32)
    nodes = CONV + "b = DequantizeLinear(bq, sb) y = Conv(xq, w, b)"
    # The scale as an exporter rounds it: a few units in the last place away.
    qat = read_qdq(source(nodes, wq=int8_weight(), sw=SW, bq=bq, sb=F(S * SW * F(1 + 3e-6))), ASCEND)
    (layer,), x = qat.form.layers.values(), images()
    np.testing.assert_array_equal(layer.bias, bq)
    assert qat.report.layers[0].bias.how == "taken"
    expected = (conv_sums(codes_of(x), int8_weight()) + bq.reshape(1, -1, 1, 1)).astype(F) * F(S * SW)
    np.testing.assert_array_equal(run(qat, x), expected)


def test_int32_bias_in_another_scale_is_rounded_from_its_real_value() -> None:
    bq, sb = np.asarray([1000, -7, 3, 4], I32), F(S * SW * F(1.5))
    qat = read_qdq(
        source(CONV + "b = DequantizeLinear(bq, sb) y = Conv(xq, w, b)", wq=int8_weight(), sw=SW, bq=bq, sb=sb), ASCEND
    )
    (layer,) = qat.form.layers.values()
    assert layer.bias.tolist() == np.rint(bq * np.float64(sb) / np.float64(F(S * SW))).astype(int).tolist()
    assert qat.report.layers[0].bias.how == "rounded"


def test_float_bias_is_rounded_and_its_error_reported() -> None:
    b = np.asarray([0.5, -1.25, 3e-5, 0], F)
    qat = read_qdq(source(CONV + "y = Conv(xq, w, b)", wq=int8_weight(), sw=SW, b=b), ASCEND)
    (layer,), deq = qat.form.layers.values(), np.float64(F(S * SW))
    assert layer.bias.tolist() == np.rint(b / deq).tolist()
    assert qat.report.layers[0].bias.max_error == pytest.approx(np.abs(layer.bias * deq - b).max())


def test_bias_that_overflows_leaves_its_layer_float_with_the_numbers() -> None:
    nodes = CONV + "a = Conv(xq, w, b) v = DequantizeLinear(vq, sw) y = Conv(xq, v)"
    arrays = {"wq": int8_weight(), "vq": int8_weight(4), "sw": SW, "b": np.asarray([0, 1e6, 0, 0], F)}
    qat = read_qdq(source(nodes + " z = Relu(a)", shapes="[1,3,5,5] x) => (float y, float z", **arrays), ASCEND)
    first = qat.report.layers[0]
    assert (first.status, len(qat.form.layers)) == ("float", 1)
    assert "bias does not fit int32: channel 1 has 1e+06" in first.reason


def test_channel_of_zeros_with_a_vanishing_scale_does_not_make_its_layer_float() -> None:
    wq, sw = int8_weight(), np.asarray([0.01, 1e-9, 0.02, 0], F)
    wq[1] = 0
    b = np.asarray([0.5, 0.7, 0, 0.25], F)
    nodes = "w = DequantizeLinear<axis=0>(wq, sw, wz) y = Conv(xq, w, b)"
    qat = read_qdq(source(nodes, wq=wq, sw=sw, wz=np.zeros(4, I8), b=b), ASCEND)
    y = run(qat, images())
    np.testing.assert_allclose(y[0, [1, 3], 0, 0], [0.7, 0.25], rtol=1e-2)
    np.testing.assert_array_equal(y[0, [1, 3]], y[0, [1, 3], :1, :1] + np.zeros((2, 3, 3), F))


# --- BatchNormalization


def test_batchnorm_goes_into_scales_signs_and_bias() -> None:
    wq = int8_weight()
    wq[1, 0, 0, :2] = -128
    wq[[0, 2, 3]] = np.maximum(wq[[0, 2, 3]], -127)
    gamma, beta = np.asarray([1.5, -2.0, 0.0, 0.3], F), np.asarray([0.1, 0.2, 0.3, -0.4], F)
    mean, var = np.asarray([0.5, -0.5, 1, 2], F), np.asarray([1, 4, 2, 0.25], F)
    nodes = CONV + "a = Conv(xq, w, b) y = BatchNormalization<epsilon=0.0>(a, gamma, beta, mean, var)"
    bias = np.asarray([0.1, 0.2, 0.3, 0.4], F)
    qat = read_qdq(source(nodes, wq=wq, sw=SW, b=bias, gamma=gamma, beta=beta, mean=mean, var=var), ASCEND)
    k = gamma / np.sqrt(var.astype(np.float64))
    (layer,), (report,), x = qat.form.layers.values(), qat.report.layers, images()
    expected = np.clip(wq.astype(int) * np.sign(k).astype(int).reshape(-1, 1, 1, 1), -128, 127)
    np.testing.assert_array_equal(layer.weight, expected)
    scales = np.where(k == 0, SW, (SW * np.abs(k)).astype(F)).astype(F)
    np.testing.assert_array_equal(np.asarray(layer.record.weight_scales, F), scales)
    fold = report.batchnorm
    saturated = int(np.sum(wq[1] == -128))
    assert (fold.negative_channels, fold.zero_channels, fold.saturated) == (1, 1, saturated)
    assert report.status == "requantized"
    deq = (S * scales).astype(F)
    folded_bias = np.rint(((bias - mean) * k + beta) / deq.astype(np.float64))
    np.testing.assert_array_equal(layer.bias, folded_bias)
    sums = conv_sums(codes_of(x), expected) + folded_bias.reshape(1, -1, 1, 1).astype(np.int64)
    np.testing.assert_array_equal(run(qat, x), sums.astype(F) * deq.reshape(1, -1, 1, 1))
    assert [node.op_type for node in qat.graph.graph] == ["Conv"]


def test_report_is_plain_json() -> None:
    model, _ = asymmetric()
    text = json.dumps(read_qdq(model, ASCEND).report.to_json())
    report = json.loads(text)
    assert report["counts"]["channels_exact"] == 3
    assert report["layers"][0]["weight"]["inexact"][0]["channel"] == 1
    assert {node["use"] for node in report["nodes"]} == {"layer"}
