"""Models of one node, put through everything that a job does with a layer, on one input; no target, no search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from runner.calibration.collect import Calibration
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.graph.layers import find_layers
from runner.graph.macs import layer_costs
from runner.graph.model_file import model_bytes
from runner.graph.opset import raise_opset
from runner.graph.prepare import prepare
from runner.graph.probe import with_outputs
from runner.lint.check import check_deploy
from runner.ranges import Range
from runner.record_text import format_record, read_record
from runner.session import REFERENCE, Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from runner.targets.ascend.limits import ASCEND
from runner.verify.deploy_file import read_deploy
from runner.verify.execute import executable
from tests.models import plain_session

F = np.float32


@dataclass(frozen=True)
class Outcome:
    """What became of a model.

    Attributes:
        left: why its nodes stay float; empty where all are in int8.
        expected: what onnxruntime computes with the source, in float.
        output: what the fake-quant file computes; as ``expected`` where nothing is quantized.
    """

    left: tuple[str, ...]
    expected: NDArray
    output: NDArray

    @property
    def sqnr_db(self) -> float:
        """Of the quantized output; infinite where it is the float one."""
        error = np.sum((self.output.astype(float) - self.expected) ** 2)
        return float("inf") if error == 0 else 10 * float(np.log10(np.sum(self.expected.astype(float) ** 2) / error))


def node_model(op_type: str, inputs, x, constants, *, opset: int, **attributes) -> onnx.ModelProto:
    """Return a model of one node called ``layer`` from ``x`` to ``y``, whose shape is not said."""
    graph = helper.make_graph(
        [helper.make_node(op_type, inputs, ["y"], name="layer", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    ir_version = 8 if opset < 19 else 10 if opset < 23 else 11
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def put_through(folder: Path, model: onnx.ModelProto, x: NDArray) -> Outcome:
    """Prepare, quantize, write, check and verify a model of one input and one output.

    Both files have to give the same bits, as have the deploy file with integer operators throughout and the form that the
    search runs; the record is read back as it was written, and each layer's cost counts the output that it has.
    """
    feeds = {model.graph.input[0].name: x}
    (expected,) = plain_session(model).run(None, feeds)
    float_model = prepare(ir.from_proto(model), ASCEND).graph
    (same,) = plain_session(float_model).run(None, feeds)
    np.testing.assert_allclose(same, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(initial=0))
    found = find_layers(float_model, ASCEND)
    if not found.layers:
        return Outcome(tuple(left.reason for left in found.left_alone), expected, expected)
    runnable = raise_opset(float_model)
    names = list(dict.fromkeys(layer.input for layer in found.layers))
    read = dict(zip(names, Session(with_outputs(runnable, names)).run(feeds, names), strict=True))
    arrays = {layer.name: read[layer.input] for layer in found.layers}
    ranges = {name: Range(min(0, float(a.min())), max(0, float(a.max()))) for name, a in arrays.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    seen = Calibration(ranges, {name: a.reshape(-1) for name, a in arrays.items()}, shapes, ranges)
    quantization = quantize_layers(found.on(float_model), seen)
    assert quantization.impossible == ()
    form = quantization.form
    deploy, fake_quant, record = (folder / name for name in ("deploy.onnx", "fake_quant.onnx", "record.txt"))
    deploy.write_bytes(model_bytes(deploy_model(found.on(float_model), form)))
    fake_quant.write_bytes(model_bytes(fake_quant_model(found.on(runnable), form)))
    record.write_text(format_record(form.record))
    assert dict(read_record(record)) == dict(form.record)
    faults = [finding for finding in check_deploy(deploy) if finding.severity == "fault"]
    assert [*faults, *check_against_form(deploy, form, float_model)] == []
    executed = read_deploy(deploy)
    output = run(fake_quant, feeds)
    for kernels in (False, True):
        assert_same_bits(run(executable(executed, integer_kernels=kernels).model, feeds), output)
    assert_same_bits(Session(fake_quant_model(found.on(runnable), form, multiply=True)).run(feeds)[0], output)
    nodes = {node.name: node for node in runnable.graph}
    for layer, cost in layer_costs(found.on(float_model), shapes).items():
        made = nodes[layer].outputs[0].name
        assert cost.outputs == Session(with_outputs(runnable, [made])).run(feeds, [made])[0].size
    return Outcome(tuple(left.reason for left in found.left_alone), expected, output)


def run(model: ir.Model | Path, feeds) -> NDArray:
    """Return the output of a session that rewrites nothing."""
    return Session(model, REFERENCE).run(feeds)[0]


def assert_same_bits(a: NDArray, b: NDArray) -> None:
    """Compare types, shapes and bits."""
    assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
