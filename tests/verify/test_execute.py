"""A written deploy file, executed: every layer type against the device's integers computed by the test, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.graph.layers import find_layers
from runner.graph.model_file import model_bytes
from runner.graph.probe import only_outputs
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.session import REFERENCE, Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND
from runner.verify.deploy_file import read_deploy
from runner.verify.execute import executable
from runner.verify.sums import accumulator_bound
from tests import device
from tests.convert.test_layer_types import LAYERS, PARAMS, device_output, half_steps, one_layer, random_integers
from tests.data import noise
from tests.models import model, random_form

F = np.float32


def deployed(folder: Path, built, form) -> Path:
    """Write the deploy model and return its path."""
    path = folder / "deploy.onnx"
    path.write_bytes(model_bytes(deploy_model(find_layers(built, ASCEND), form)))
    return path


def executed(path: Path, x, **options):
    return Session(executable(read_deploy(path), **options).model, REFERENCE).run({"x": x})[0]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("integer_kernels", [False, True], ids=["full_pass", "uint8"])
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_gives_the_devices_bits(tmp_path: Path, name: str, params: str, integer_kernels: bool) -> None:
    scale, zero_point = PARAMS[params]
    _, form = random_integers(name, scale, zero_point)
    x = half_steps(LAYERS[name][2], scale)
    path = deployed(tmp_path, one_layer(name), form)
    got = executed(path, x, integer_kernels=integer_kernels)
    assert got.tobytes() == device_output(name, form, x).tobytes()


MORE = {
    # ORT's own reading of the attributes, where it differs between the operators' versions, is what the files are run by.
    "same_over_one_axis": (
        '(float[1,2,7] x) => (float[] y) { [layer] y = Conv<auto_pad="SAME_LOWER", strides=[3]>(x, w) }',
        (1, 2, 7),
        (3, 2, 4),
    ),
    "output_shape": (
        "(float[1,2,4,5] x) => (float[] y) { [layer] y = ConvTranspose<strides=[2,2], output_shape=[8,10]>(x, w) }",
        (1, 2, 4, 5),
        (2, 3, 3, 3),
    ),
    "output_shape_upper": (
        "(float[1,2,4,5] x) => (float[] y) { [layer] y = ConvTranspose<strides=[2,3], "
        'auto_pad="SAME_UPPER", output_shape=[8,15]>(x, w) }',
        (1, 2, 4, 5),
        (2, 3, 3, 4),
    ),
    "same_lower": (
        '(float[1,2,4,5] x) => (float[] y) { [layer] y = ConvTranspose<strides=[2,2], auto_pad="SAME_LOWER">(x, w) }',
        (1, 2, 4, 5),
        (2, 3, 3, 3),
    ),
    "pads_longer_than_the_kernel": (
        "(float[1,2,6,6] x) => (float[] y) { [layer] y = ConvTranspose<strides=[2,2], pads=[3,2,3,2]>(x, w) }",
        (1, 2, 6, 6),
        (2, 3, 2, 2),
    ),
    "stride_longer_than_the_kernel": (
        "(float[1,2,4,4] x) => (float[] y) { [layer] y = ConvTranspose<strides=[3,3], output_padding=[1,2]>(x, w) }",
        (1, 2, 4, 4),
        (2, 3, 2, 1),
    ),
}


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("zero_point", [-128, 5])
@pytest.mark.parametrize("name", MORE)
def test_padding_and_cropping_are_onnxruntimes_own(tmp_path: Path, name: str, zero_point: int) -> None:
    graph, shape, weight = MORE[name]
    built = model(f"g {graph}", w=noise(1, *weight))
    found, form = random_form(built, scale=0.0371, zero_point=zero_point)
    x = half_steps(shape, 0.0371)
    layer = form.layers["layer"]
    # The same node over the centred codes as floats: exact, they are small.
    built.graph.initializers["w"].const_value = ir.tensor(layer.weight.astype(F), name="w")
    sums = Session(built, REFERENCE).run({"x": device.centred(x, 0.0371, zero_point).astype(F)})[0]
    expected = device.real(sums, 0.0371, layer.record.weight_scales, 1)
    built.graph.initializers["w"].const_value = ir.tensor(noise(1, *weight), name="w")
    assert executed(deployed(tmp_path, built, form), x).tobytes() == expected.tobytes()
    assert found.layer("layer").op_type in graph


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_sums_too_large_for_floats_are_exact(tmp_path: Path, op: str) -> None:
    built = model(f"g (float[1,4608] x) => (float[] y) {{ [layer] y = {op}(x, w) }}", w=noise(1, 4608, 2))
    params, codes = ActivationParams(0.5, -128), np.full((4608, 2), 127, np.int8)
    codes[::2, 1] = -128
    form = QuantizedLayers({"layer": QuantizedLayer(LayerRecord(params, (0.01,)), codes, None)})
    x = F(0.5) * np.random.default_rng(0).integers(250, 256, (1, 4608)).astype(F)
    sums = device.centred(x, 0.5, -128) @ codes.astype(np.int64)
    assert sums.max() > 2**27
    path = deployed(tmp_path, built, form)
    assert executed(path, x).tobytes() == device.real(sums, 0.5, [0.01], -1).tobytes()
    (layer,) = read_deploy(path).layers
    assert accumulator_bound(layer) == 255 * int(np.abs(codes.astype(np.int64)).sum(axis=0).max())


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("integer_kernels", [False, True], ids=["full_pass", "uint8"])
@pytest.mark.parametrize("columns", [2, 4608], ids=["small", "beyond 2^24"])
def test_codes_and_whole_sums_can_be_had(tmp_path: Path, columns: int, integer_kernels: bool) -> None:
    built = model(f"g (float[1,{columns}] x) => (float[] y) {{ [layer] y = MatMul(x, w) }}", w=noise(1, columns, 3))
    codes = np.random.default_rng(2).integers(100, 128, (columns, 3)).astype(np.int8)
    form = QuantizedLayers({"layer": QuantizedLayer(LayerRecord(ActivationParams(0.5, -128), (0.01,)), codes, None)})
    x = F(0.5) * np.random.default_rng(0).integers(-20, 256, (1, columns)).astype(F)
    graph = executable(read_deploy(deployed(tmp_path, built, form)), integer_kernels=integer_kernels)
    names = [graph.codes["layer.quant"], graph.sums["layer"]]
    got, sums = Session(only_outputs(graph.model, names), REFERENCE).run({"x": x})
    centred = device.centred(x, 0.5, -128)
    expected = centred @ codes.astype(np.int64)
    assert got.dtype == np.int8
    np.testing.assert_array_equal(got, centred - 128)
    assert (expected.max() > 2**24) == (columns > 2)
    np.testing.assert_array_equal(sums.astype(np.int64), expected)


def test_bound_counts_the_bias_of_its_own_channel(tmp_path: Path) -> None:
    built = model(
        "g (float[1,1,2,2] x) => (float[] y) { [layer] y = Conv(x, w, b) }", w=noise(0, 2, 1, 1, 1), b=noise(1, 2)
    )
    codes, bias = np.array([100, -3], np.int8).reshape(2, 1, 1, 1), np.array([-7, 20000], np.int32)
    record = LayerRecord(ActivationParams(0.5, 27), (0.1, 0.2))
    (layer,) = read_deploy(
        deployed(tmp_path, built, QuantizedLayers({"layer": QuantizedLayer(record, codes, bias)}))
    ).layers
    assert accumulator_bound(layer) == max(100 * 155 + 7, 3 * 155 + 20000)


def test_rounded_tensor_has_the_devices_bits_and_no_negative_zero(tmp_path: Path) -> None:
    built = model("g (float[1,4,8] x) => (float[] y) { [layer] y = Neg(x) }")
    form = QuantizedLayers({}, {"layer:0": TensorRecord(ActivationParams(0.25, 0))})
    x = half_steps((1, 4, 8), 0.25)
    x.flat[0] = -0.01
    expected = -(device.centred(x, 0.25, 0).astype(F) * F(0.25))
    got = executed(deployed(tmp_path, built, form), x)
    assert got.tobytes() == expected.tobytes()
    assert np.signbit(got.flat[0])  # Neg of +0: a code has no sign to keep


@pytest.mark.parametrize("opset", [8, 11, 17])
def test_pad_that_belongs_to_a_pooling_pads_codes(tmp_path: Path, opset: int) -> None:
    pads = "<pads=[0,0,1,2,0,0,2,1]>(x)" if opset < 11 else "(x, p)"
    nodes = f"[layer_pad] a = Pad{pads} [layer] y = AveragePool<kernel_shape=[3,3]>(a)"
    graph = f"g (float[1,2,5,5] x) => (float[] y) {{ {nodes} }}"
    constants = {} if opset < 11 else {"p": np.array([0, 0, 1, 2, 0, 0, 2, 1], np.int64)}
    built = model(graph, opset=opset, **constants)
    record = LayerRecord(ActivationParams(0.5, 9), (1.0,))
    form = QuantizedLayers({"layer": QuantizedLayer(record, np.ones((1, 1, 3, 3), np.int8), None)})
    x = half_steps((1, 2, 5, 5), 0.5)
    centred = np.pad(device.centred(x, 0.5, 9), [(0, 0), (0, 0), (1, 2), (2, 1)])
    sums = np.lib.stride_tricks.sliding_window_view(centred, (3, 3), axis=(2, 3)).sum(axis=(4, 5))
    path = deployed(tmp_path, built, form)
    assert [n.op_type for n in onnx.load(path).graph.node] == ["AscendQuant", "Pad", "AveragePool", "AscendDequant"]
    assert executed(path, x).tobytes() == (sums.astype(F) / F(9) * F(0.5)).tobytes()


def test_image_of_open_size_is_padded_by_its_own(tmp_path: Path) -> None:
    built = model(
        'g (float[N,2,H,W] x) => (float[N,3,A,B] y) { [layer] y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w) }',
        w=noise(1, 3, 2, 3, 3),
    )
    found, form = random_form(built, scale=0.5, zero_point=-7)
    session = Session(executable(read_deploy(deployed(tmp_path, built, form))).model, REFERENCE)
    layer = form.layers["layer"]
    for height, width, pads in ((6, 7, (0, 1, 1, 1)), (5, 4, (1, 0, 1, 1))):
        x = half_steps((2, 2, height, width), 0.5)
        sums = device.conv(device.centred(x, 0.5, -7), layer.weight, None, strides=(2, 2), pads=pads)
        expected = device.real(sums, 0.5, layer.record.weight_scales, found.layer("layer").output_axis)
        assert session.run({"x": x})[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize("precision", ["s19", "fp16"])
def test_chips_keep_fewer_bits_of_scales_and_values(tmp_path: Path, precision: str) -> None:
    built = model("g (float[1,40] x) => (float[] y) { [layer] y = MatMul(x, w) }", w=noise(1, 40, 30))
    scale, deq = F(1.7), np.float64(F(1.7)) * np.float64(F(0.523))
    codes = np.random.default_rng(0).integers(-128, 128, (40, 30)).astype(np.int8)
    form = QuantizedLayers(
        {"layer": QuantizedLayer(LayerRecord(ActivationParams(float(scale), 3), (float(F(0.523)),)), codes, None)}
    )
    x = half_steps((1, 40), 1.7)
    sums = device.centred(x, 1.7, 3) @ codes.astype(np.int64)
    # 10 bits of mantissa, cut: deq = m * 2**e with 1 <= m < 2.
    exponent = np.floor(np.log2(deq))
    kept = np.floor(np.float64(F(deq)) / 2**exponent * 1024) / 1024 * 2**exponent
    assert kept != np.float64(F(deq))
    expected = (sums * kept).astype(F)
    if precision == "fp16":
        assert np.abs(expected).max() > 65504  # the largest float16, at which a chip stops
        expected = np.clip(expected, -65504, 65504).astype(np.float16).astype(F)
    assert executed(deployed(tmp_path, built, form), x, precision=precision).tobytes() == expected.tobytes()
