"""Real QAT models: integers and scales against those in the file, read independently, and answers against the source's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import QatModel, read_qdq
from runner.graph.opset import raise_opset
from runner.session import Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND

pytestmark = pytest.mark.zoo

TORCHVISION = "torchvision_mobilenetv2_qat_qnnpack_224.onnx"
TF1 = "mobilenet_v2_1.0_224_quant_qdq.onnx"
KWS = "mlperftiny_kws_ref_model_qdq.onnx"


class Source:
    """The file as stored: each layer's arrays by following names, without any code of the runner."""

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(path)
        self.arrays = {i.name: numpy_helper.to_array(i) for i in self.model.graph.initializer}
        self.producers = {name: node for node in self.model.graph.node for name in node.output}

    @property
    def layers(self) -> list[onnx.NodeProto]:
        return [node for node in self.model.graph.node if node.op_type in ("Conv", "Gemm")]

    def array(self, name: str) -> np.ndarray:
        while name not in self.arrays:
            assert self.producers[name].op_type == "Identity"
            name = self.producers[name].input[0]
        return self.arrays[name]

    def dequantize(self, name: str) -> onnx.NodeProto:
        while self.producers[name].op_type != "DequantizeLinear":
            name = self.producers[name].input[0]
        return self.producers[name]

    def integers(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes, scale and zero point of a dequantized constant."""
        codes, scale, zero_point = (self.array(i) for i in self.dequantize(name).input)
        return codes, scale, zero_point


def converted(zoo: Path, name: str) -> tuple[Source, QatModel]:
    path = zoo / "models" / name
    qat = read_qdq(ir.load(path), ASCEND)
    deploy_model(qat.found.on(qat.graph), qat.form)
    return Source(path), qat


@pytest.mark.parametrize(("name", "layers"), [(TORCHVISION, 53), (TF1, 53), (KWS, 10)])
def test_all_layers_are_taken_with_the_sources_input_scales(zoo: Path, name: str, layers: int) -> None:
    source, qat = converted(zoo, name)
    assert list(qat.form.layers) == [node.name for node in source.layers]
    assert len(qat.form.layers) == layers
    for node in source.layers:
        _, scale, zero_point = source.dequantize(node.input[0]).input
        expected, stated = source.array(zero_point), source.array(scale)
        activation = qat.form.layers[node.name].record.activation
        assert np.float32(activation.scale) == stated.item()
        assert activation.zero_point == int(expected.item()) - (128 if expected.dtype == np.uint8 else 0)


@pytest.mark.parametrize("name", [TORCHVISION, KWS])
def test_symmetric_weights_are_equal_to_the_bit(zoo: Path, name: str) -> None:
    source, qat = converted(zoo, name)
    for node in source.layers:
        codes, scale, zero_point = source.integers(node.input[1])
        layer = qat.form.layers[node.name]
        assert not np.any(zero_point)
        np.testing.assert_array_equal(layer.weight, codes.T if node.op_type == "Gemm" else codes)
        np.testing.assert_array_equal(np.asarray(layer.record.weight_scales, np.float32), scale.ravel())
    assert {layer.status for layer in qat.report.layers} == {"exact"}


def test_torchvision_biases_are_taken(zoo: Path) -> None:
    source, qat = converted(zoo, TORCHVISION)
    for node in source.layers:
        np.testing.assert_array_equal(qat.form.layers[node.name].bias, source.integers(node.input[2])[0])
    assert {layer.bias.how for layer in qat.report.layers} == {"taken"}


def test_tf1_channels_that_fit_are_equal_to_the_bit(zoo: Path) -> None:
    source, qat = converted(zoo, TF1)
    exact = total = 0
    for node in source.layers:
        codes, scale, zero_point = source.integers(node.input[1])
        integers = codes.astype(int) - int(zero_point.item())
        fits = np.all((integers >= -128) & (integers <= 127), axis=(1, 2, 3))
        layer = qat.form.layers[node.name]
        scales = np.broadcast_to(np.asarray(layer.record.weight_scales, np.float32), fits.shape)
        np.testing.assert_array_equal(layer.weight[fits], integers[fits])
        assert np.all(scales[fits] == scale.item())
        exact, total = exact + int(fits.sum()), total + fits.size
    assert (qat.report.counts()["channels_exact"], qat.report.counts()["channels"]) == (exact, total)
    assert exact / total >= 0.99


@pytest.mark.parametrize("name", [TORCHVISION, TF1, KWS])
def test_every_node_is_accounted_for(zoo: Path, name: str) -> None:
    source, qat = converted(zoo, name)
    expected = [n.name for n in source.model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert [account.name for account in qat.report.nodes] == expected
    dropped = {account.reason for account in qat.report.nodes if account.use == "dropped"}
    assert dropped and None not in dropped
    assert not any(node.op_type.endswith("tizeLinear") for node in qat.graph.graph)


@pytest.mark.slow
def test_keyword_spotting_answers_agree(zoo: Path) -> None:
    _, qat = converted(zoo, KWS)
    inputs = np.load(zoo / "kws01_1000.npz")["x"]
    source = Session(str(zoo / "models" / KWS)).run({"input": inputs})[0]
    ours = Session(fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form)).run({"input": inputs})[0]
    assert np.mean(source.argmax(1) == ours.argmax(1)) >= 0.99
