"""Quantization-aware-trained layers over one axis that the deploy format has over two only, taken over exactly."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import read_qdq
from runner.graph.model_file import model_bytes
from runner.graph.opset import raise_opset
from runner.lint.check import check_deploy
from runner.session import REFERENCE, Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from runner.targets.ascend.limits import ASCEND
from runner.verify.deploy_file import read_deploy
from runner.verify.execute import executable
from tests import device
from tests.models import proto

F, I8, U8 = np.float32, np.int8, np.uint8
S, SW = F(0.0371), np.array([0.01, 0.002, 0.05], F)
ZERO_POINT = 131
ROUNDED = "q = QuantizeLinear(x, s, zp) xq = DequantizeLinear(q, s, zp) "


def source(nodes, *, opset=17, **arrays):
    return ir.from_proto(
        proto(
            f"g (float[2,4,8] x) => (float[a,b,c] y) {{ {ROUNDED}{nodes} }}",
            opset=opset,
            s=S,
            zp=U8(ZERO_POINT),
            **arrays,
        )
    )


def transposed_sums(codes, weight, stride):
    """Return the sums of a transposed convolution over one axis: every code adds its kernel to the output."""
    items, _, length = codes.shape
    sums = np.zeros((items, weight.shape[1], stride * (length - 1) + weight.shape[2]), np.int64)
    for place in range(length):
        sums[:, :, place * stride : place * stride + weight.shape[2]] += np.einsum(
            "nc,cok->nok", codes[:, :, place], weight.astype(np.int64)
        )
    return sums


def check(qat, x, expected, folder):
    """Hold both written files against the expected bits."""
    path = folder / "deploy.onnx"
    path.write_bytes(model_bytes(deploy_model(qat.found.on(qat.graph), qat.form)))
    faults = [finding for finding in check_deploy(path) if finding.severity == "fault"]
    assert [*faults, *check_against_form(path, qat.form, qat.graph)] == []
    written = fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form)
    for model in (written, executable(read_deploy(path)).model):
        np.testing.assert_array_equal(Session(model, REFERENCE).run({"x": x})[0], expected)


X = np.random.default_rng(3).normal(0, 1.5, (2, 4, 8)).astype(F)
CODES = device.centred(X, S, ZERO_POINT - 128)


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize("batchnorm", [False, True], ids=["alone", "batchnorm"])
def test_transposed_convolution_over_one_axis_is_exact(batchnorm, opset, tmp_path):
    weight = np.random.default_rng(1).integers(-128, 128, (4, 3, 5)).astype(I8)
    nodes = "w = DequantizeLinear<axis=1>(wq, sw) [up] "
    factor = np.array([0.5, 2, 4], F)
    normal = {"g": factor, "o": np.zeros(3, F), "m": np.zeros(3, F), "v": np.ones(3, F)} if batchnorm else {}
    nodes += "u = ConvTranspose<strides=[2]>(xq, w) "
    nodes += "y = BatchNormalization<epsilon=0.0>(u, g, o, m, v)" if batchnorm else "y = Identity(u)"
    qat = read_qdq(source(nodes, opset=opset, wq=weight, sw=SW, **normal), ASCEND)
    (layer,) = qat.form.layers.values()
    assert [(found.name, found.status) for found in qat.report.layers] == [("up", "exact")]
    np.testing.assert_array_equal(layer.weight[:, :, 0], weight)
    scales = SW * factor if batchnorm else SW
    assert layer.record.weight_scales == tuple(float(scale) for scale in scales)
    sums = transposed_sums(CODES, weight, 2)
    check(qat, X, device.real(sums, S, scales, 1), tmp_path)


def test_average_over_one_axis_is_exact(tmp_path):
    qat = read_qdq(source("[pool] y = AveragePool<kernel_shape=[3], strides=[2], pads=[1,1]>(xq)"), ASCEND)
    assert [(found.name, found.status) for found in qat.report.layers] == [("pool", "exact")]
    padded = np.pad(CODES, [(0, 0), (0, 0), (1, 1)])
    sums = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=2)[:, :, ::2].sum(-1)
    counts = np.array([2, 3, 3, 3])
    check(qat, X, (sums.astype(F) / counts.astype(F)) * S, tmp_path)


def test_every_rounding_node_is_accounted_for():
    weight = np.random.default_rng(1).integers(-128, 128, (4, 3, 5)).astype(I8)
    qat = read_qdq(
        source("w = DequantizeLinear<axis=1>(wq, sw) [up] y = ConvTranspose(xq, w)", wq=weight, sw=SW), ASCEND
    )
    assert [(node.op_type, node.use, node.role, node.users, node.reason) for node in qat.report.nodes] == [
        ("QuantizeLinear", "layer", "activation", ("up",), "applied behind up.unsqueeze"),
        ("DequantizeLinear", "layer", "activation", ("up",), "applied behind up.unsqueeze"),
        ("DequantizeLinear", "layer", "weight", ("up",), None),
    ]
    assert [node.op_type for node in qat.graph.graph] == ["Unsqueeze", "ConvTranspose", "Squeeze"]
