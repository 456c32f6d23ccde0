"""Models that onnxruntime's own quantizer writes: every layer is taken over, at every opset, granularity and type."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import QatModel, read_qdq
from runner.graph.opset import raise_opset
from runner.session import REFERENCE, Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND

F = np.float32
rng = np.random.default_rng
SHAPE = (2, 4, 8, 8)
# A layer that reads x, what it is made with, and whether its scales may differ from channel to channel in a record.
LAYERS: dict[str, tuple[str, dict[str, Any], list[tuple[int, ...]], bool]] = {
    "conv": ("Conv", {"pads": [1, 1, 1, 1]}, [(6, 4, 3, 3), (6,)], True),
    "unbiased": ("Conv", {"strides": [2, 2]}, [(6, 4, 3, 3)], True),
    "depthwise": ("Conv", {"group": 4}, [(4, 1, 3, 3), (4,)], True),
    "grouped": ("Conv", {"group": 2, "dilations": [2, 2]}, [(6, 2, 3, 3), (6,)], True),
    "transposed": ("ConvTranspose", {"strides": [2, 2]}, [(4, 3, 2, 2), (3,)], True),
    "gemm": ("Gemm", {}, [(256, 5), (5,)], False),
    "gemm_t": ("Gemm", {"transB": 1}, [(5, 256), (5,)], False),
    "matmul": ("MatMul", {}, [(8, 7)], False),
    "average": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, [], True),
}


class Items(CalibrationDataReader):
    """Eight random items."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._items: Iterator[dict[str, Any]] = iter([{"x": rng(n).normal(0, 1, shape).astype(F)} for n in range(8)])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._items, None)


def side_by_side(opset: int) -> onnx.ModelProto:
    """Return a float model in which every layer reads ``x`` [2, 4, 8, 8] and is an output."""
    nodes, arrays = [helper.make_node("Flatten", ["x"], ["flat"], name="flatten")], {}
    for name, (op_type, attributes, shapes, _) in LAYERS.items():
        operands = [f"{name}.{place}" for place in range(len(shapes))]
        arrays |= {o: rng(len(o)).normal(0, 0.3, s).astype(F) for o, s in zip(operands, shapes, strict=True)}
        data = "flat" if op_type == "Gemm" else "x"
        nodes.append(helper.make_node(op_type, [data, *operands], [f"{name}.y"], name=name, **attributes))
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, SHAPE)]
    outputs = [helper.make_tensor_value_info(f"{name}.y", onnx.TensorProto.FLOAT, None) for name in LAYERS]
    stored = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 19 else 10)


def quantized(model: onnx.ModelProto, folder: Path, shape: tuple[int, ...], **settings: Any) -> ir.Model:
    """Return what ``quantize_static`` makes of a model."""
    onnx.save(model, folder / "float.onnx")
    logging.disable(logging.WARNING)
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(logging.disable, logging.NOTSET)
        quantize_static(str(folder / "float.onnx"), str(folder / "quantized.onnx"), Items(shape), **settings)
    return ir.load(folder / "quantized.onnx")


def both(source: ir.Model, qat: QatModel, x: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the outputs of the source, its Q/DQ as written, and those of the converted model."""
    deploy_model(qat.found.on(qat.graph), qat.form)
    sessions = [
        Session(source, REFERENCE, given=True),
        Session(fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form), REFERENCE),
    ]
    first, second = (dict(zip(s.output_names, s.run({"x": x}), strict=True)) for s in sessions)
    return first, second


@pytest.mark.parametrize("activations", [QuantType.QUInt8, QuantType.QInt8], ids=["uint8", "int8"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_every_layer_type_is_taken_and_computes_what_the_source_does(
    opset: int, per_channel: bool, activations: QuantType, tmp_path: Path
) -> None:
    source = quantized(
        side_by_side(opset),
        tmp_path,
        SHAPE,
        per_channel=per_channel,
        activation_type=activations,
        weight_type=QuantType.QInt8,
    )
    qat = read_qdq(source, ASCEND)
    assert set(qat.form.layers) == set(LAYERS)
    states = {layer.name: layer.status for layer in qat.report.layers}
    before, after = both(source, qat, rng(99).normal(0, 1, SHAPE).astype(F))
    for name, (*_, kept) in LAYERS.items():
        assert states[name] == ("exact" if kept or not per_channel else "requantized"), name
        step = qat.form.tensors[f"{name}.y.output:0"].activation.scale
        apart = np.abs(before[f"{name}.y"] - after[f"{name}.y"]) / step
        if states[name] == "exact":
            # Both round to the output's grid; what lies next to a tie may go either way, and only there. The mean of
            # four codes under one scale is a tie once in four times.
            assert apart.max() < 1.01, name
            assert np.mean(apart > 0.01) < (0.25 if name == "average" else 0.02), name
        else:
            # One scale in all instead of one a channel: a few steps of the output.
            assert apart.max() < 4, name
            assert np.mean(apart) < 1, name


SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "per channel": {"per_channel": True},
    "symmetric": {"extra_options": {"ActivationSymmetric": True}, "per_channel": True},
    "reduced range": {"reduce_range": True, "per_channel": True},
    "uint8 weights": {"weight_type": QuantType.QUInt8, "activation_type": QuantType.QUInt8},
    "asymmetric weights": {"extra_options": {"WeightSymmetric": False}},
    "float weights": {"extra_options": {"AddQDQPairToWeight": True}},
    "pairs of their own": {"extra_options": {"DedicatedQDQPair": True}},
    "operators of its own domain": {"extra_options": {"UseQDQContribOps": True}},
    "kept activations": {"extra_options": {"QDQKeepRemovableActivations": True}},
}


def network(opset: int) -> onnx.ModelProto:
    """Return a small network: convolutions of each kind, a residual, Concat, pools, SiLU, Gemm and MatMul; 9 layers."""
    text = """
        a = Conv<pads=[1,1,1,1]>(x, w0, b0)  r = Relu(a)
        e = Conv<pads=[1,1,1,1], group=8>(r, w1, b1)  c = Clip(e, zero, six)
        s = Add(r, c)  p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(s)
        t = ConvTranspose<strides=[2,2]>(p, w2, b2)  j = Concat<axis=1>(t, s)
        v = AveragePool<kernel_shape=[2,2], strides=[2,2]>(j)
        k = Conv(v, w3)  g = Sigmoid(k)  u = Mul(k, g)  l = GlobalAveragePool(u)  f = Flatten(l)
        h = Gemm(f, w4, b4)  i = Relu(h)  n = Gemm<transB=1>(i, w5, b5)
        m = MatMul(n, w6)  o = Add(m, b6)  y = MatMul(o, w7)
    """
    version = 8 if opset < 19 else 10
    model = onnx.parser.parse_model(
        f'<ir_version: {version}, opset_import: ["" : {opset}]> g (float[b,3,8,8] x) => (float[b,5] y) {{ {text} }}'
    )
    kernels = {"w0": (8, 3, 3, 3), "w1": (8, 1, 3, 3), "w2": (8, 4, 2, 2), "w3": (16, 12, 1, 1)}
    matrices = {"w4": (16, 10), "w5": (10, 10), "w6": (10, 12), "w7": (12, 5)}
    biases = {"b0": (8,), "b1": (8,), "b2": (4,), "b4": (10,), "b5": (10,), "b6": (12,)}
    shapes = kernels | matrices | biases
    arrays = {name: rng(place).normal(0, 0.3, shape).astype(F) for place, (name, shape) in enumerate(shapes.items())}
    arrays |= {"zero": np.asarray(0, F), "six": np.asarray(6, F)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    for place, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{place}"
    return model


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("opset", [13, 21])
def test_a_network_is_taken_whole_under_every_setting(opset: int, settings: str, tmp_path: Path) -> None:
    source = quantized(network(opset), tmp_path, (1, 3, 8, 8), **SETTINGS[settings])
    qat = read_qdq(source, ASCEND)
    assert (len(qat.form.layers), len(qat.found.layers)) == (9, 9)
    before, after = both(source, qat, rng(99).normal(0, 1, (16, 3, 8, 8)).astype(F))
    error = before["y"].astype(np.float64) - after["y"]
    # Pairs that the deploy format cannot hold are not rounded: as good as the source's own int8, which is near 30 dB.
    assert 10 * np.log10(np.sum(np.square(before["y"], dtype=np.float64)) / np.sum(error**2)) > 25
