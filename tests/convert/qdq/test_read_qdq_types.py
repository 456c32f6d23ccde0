"""Transposed convolutions and averages of a Q/DQ source, against its own arrays and the device's integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import QatModel, read_qdq
from runner.graph.opset import raise_opset
from runner.session import LEVELS, SIMULATION, Session, plain
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from runner.targets.ascend.limits import ASCEND
from tests import device

F, U8, I8, I32 = np.float32, np.uint8, np.int8, np.int32
S, ZP = F(0.0173), 131
PAIR = "c = QuantizeLinear(x, s, zp) xq = DequantizeLinear(c, s, zp) "


def source(nodes: str, **arrays: object) -> onnx.ModelProto:
    header = '<ir_version: 8, opset_import: ["" : 19]> g (float[2,4,5,5] x) => (float y)'
    model = onnx.parser.parse_model(f"{header} {{ {nodes} }}")
    arrays = {"s": S, "zp": U8(ZP), **arrays}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    onnx.checker.check_model(model)
    return model


def image() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1.5, (2, 4, 5, 5)).astype(F)


def same_at_every_level(qat: QatModel) -> np.ndarray:
    written = fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form)
    first, *others = (Session(written, plain(level)).run({"x": image()})[0] for level in LEVELS)
    for other in others:
        np.testing.assert_array_equal(other, first)
    return first


def deployed_rightly(qat: QatModel, folder: Path) -> bool:
    ir.save(deploy_model(qat.found.on(qat.graph), qat.form), folder / "deploy.onnx")
    return check_against_form(folder / "deploy.onnx", qat.form, qat.graph) == []


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize(
    ("dtype", "zero_point", "per_channel"),
    [(I8, 0, False), (I8, 0, True), (U8, 128, False), (U8, 128, True), (U8, 100, True)],
)
def test_transposed_convolution_is_exact_where_its_integers_fit(
    group: int, dtype: type, zero_point: int, per_channel: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    # All codes less the zero point fit int8.
    wq = rng.integers(*((-128, 128) if dtype is I8 else (0, 227)), (4, 3, 3, 2)).astype(dtype)
    sw = rng.uniform(0.005, 0.02, 3 if per_channel else ()).astype(F)
    per_output = np.tile(sw, group) if per_channel else np.full(3 * group, sw, F)
    bias = rng.integers(-3000, 3000, 3 * group).astype(I32)
    axis, zeros = ("<axis=1>" if per_channel else ""), np.full(sw.shape, zero_point, dtype)
    nodes = f"{PAIR} w = DequantizeLinear{axis}(wq, sw, wz) b = DequantizeLinear<axis=0>(bq, sb, bz)"
    nodes += f" y = ConvTranspose<group={group}, pads=[1,0,1,1]>(xq, w, b)"
    arrays = {"wq": wq, "sw": sw, "wz": zeros, "bq": bias, "sb": (S * per_output).astype(F)}
    qat = read_qdq(ir.from_proto(source(nodes, bz=np.zeros(3 * group, I32), **arrays)), ASCEND)
    (layer,), (report,) = qat.form.layers.values(), qat.report.layers
    assert (report.op_type, report.status, report.bias.how) == ("ConvTranspose", "exact", "taken")
    np.testing.assert_array_equal(layer.weight, wq.astype(int) - zero_point)
    np.testing.assert_array_equal(
        np.broadcast_to(np.asarray(layer.record.weight_scales, F), per_output.shape), per_output
    )
    codes = device.centred(image(), S, ZP - 128)
    sums = device.conv_transposed(codes, wq.astype(int) - zero_point, bias, pads=(1, 0, 1, 1), group=group)
    np.testing.assert_array_equal(same_at_every_level(qat), device.real(sums, S, layer.record.weight_scales, 1))
    assert deployed_rightly(qat, tmp_path)


def test_only_the_outputs_of_a_transposed_convolution_that_do_not_fit_are_rounded_again() -> None:
    wq = np.random.default_rng(0).integers(0, 200, (4, 3, 2, 2)).astype(U8)
    wq[3, 1, 0, 0] = 255  # of the second group's second channel alone: 155 above the zero point
    nodes = f"{PAIR} w = DequantizeLinear(wq, sw, wz) y = ConvTranspose<group=2>(xq, w)"
    qat = read_qdq(ir.from_proto(source(nodes, wq=wq, sw=F(0.01), wz=U8(100))), ASCEND)
    (layer,), (report,) = qat.form.layers.values(), qat.report.layers
    assert (report.weight.channels, [inexact.channel for inexact in report.weight.inexact]) == (6, [4])
    kept = np.ones(wq.shape, bool)
    kept[2:, 1] = False
    np.testing.assert_array_equal(layer.weight[kept], (wq.astype(int) - 100)[kept])
    real = (wq[2:, 1].astype(int) - 100) * np.float64(F(0.01))
    assert np.max(np.abs(layer.weight[2:, 1] * layer.record.weight_scales[4] - real)) <= report.weight.max_error


def test_channel_of_zeros_in_a_grouped_transposed_convolution_keeps_its_bias() -> None:
    wq = np.random.default_rng(0).integers(-128, 128, (4, 2, 2, 2)).astype(I8)
    wq[2:, 1] = 0  # the last channel, whose scale the second one shares
    nodes = f"{PAIR} w = DequantizeLinear<axis=1>(wq, sw) y = ConvTranspose<group=2>(xq, w, b)"
    model = source(nodes, wq=wq, sw=np.asarray([0.01, 1e-9], F), b=np.asarray([0.5, 0, -0.5, 0.75], F))
    qat = read_qdq(ir.from_proto(model), ASCEND)
    (report,) = qat.report.layers
    assert report.status == "exact"
    np.testing.assert_allclose(same_at_every_level(qat)[:, 3], 0.75, rtol=1e-5)


def test_batchnorm_behind_a_grouped_transposed_convolution_is_folded() -> None:
    rng = np.random.default_rng(0)
    wq = rng.integers(-127, 128, (4, 3, 2, 2)).astype(I8)
    gamma, beta, mean = (rng.normal(0, 1, 6).astype(F) for _ in range(3))
    nodes = f"{PAIR} w = DequantizeLinear(wq, sw) a = ConvTranspose<group=2>(xq, w)"
    nodes += " y = BatchNormalization(a, gamma, beta, mean, var)"
    model = source(nodes, wq=wq, sw=F(0.01), gamma=gamma, beta=beta, mean=mean, var=rng.uniform(0.5, 2, 6).astype(F))
    qat = read_qdq(ir.from_proto(model), ASCEND)
    assert [node.op_type for node in qat.graph.graph] == ["ConvTranspose"]
    assert qat.report.layers[0].status == "exact"
    (expected,) = Session(ir.from_proto(model), SIMULATION).run({"x": image()})
    # An input at a tie may be rounded the other way; otherwise only the bias is rounded.
    apart = np.abs(same_at_every_level(qat) - expected)
    assert np.quantile(apart, 0.9) <= 1e-3
    assert apart.max() <= S * 127 * 0.01 * np.abs(gamma).max() * 2


@pytest.mark.parametrize("between", ["", "m = Relu(xq)"])
def test_average_is_a_layer_without_a_weight(between: str, tmp_path: Path) -> None:
    pool = "AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2], count_include_pad=1>"
    qat = read_qdq(ir.from_proto(source(f"{PAIR} {between} [pool] y = {pool}({'m' if between else 'xq'})")), ASCEND)
    (layer,), (report,) = qat.form.layers.values(), qat.report.layers
    assert (report.op_type, report.status, report.weight) == ("AveragePool", "exact", None)
    assert (layer.record.weight_scales, layer.bias) == ((1.0,), None)
    x = np.maximum(image(), 0) if between else image()
    codes = device.centred(x, S, ZP - 128)
    means = device.average(codes, S, kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), include_pad=True)
    np.testing.assert_array_equal(same_at_every_level(qat), means)
    assert {(node.use, node.users) for node in qat.report.nodes} == {("layer", ("pool",))}
    assert deployed_rightly(qat, tmp_path)


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        ("AveragePool<kernel_shape=[2,2]>(x)", "its input does not go through QuantizeLinear"),
        ("AveragePool<kernel_shape=[2,2], strides=[3,3], pads=[0,0,1,1], ceil_mode=1>(xq)", "with its ceil_mode"),
    ],
)
def test_average_that_stays_float_says_why(pool: str, reason: str) -> None:
    nodes = f"{PAIR} w = DequantizeLinear(wq, sw) a = Conv(xq, w) p = {pool} g = GlobalMaxPool(p) y = Add(a, g)"
    model = source(nodes, wq=np.ones((4, 4, 1, 1), I8), sw=F(0.01))
    conv, average = read_qdq(ir.from_proto(model), ASCEND).report.layers
    assert (conv.status, average.status) == ("exact", "float")
    assert reason in average.reason
