"""``target=qdq``: every kind of layer x opset x preset x mode x what the file is for, by the options of the command line.

What a file gives is asked of plain onnxruntime sessions, which share nothing with the product.
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from runner.app.job import _start
from runner.app.parsing import deciding, parse_job
from runner.errors import ModelError
from runner.events import ignore
from tests.app.test_matrix import KINDS, LAYERS, PRESETS, SINCE, composed, trained
from tests.data import noise
from tests.models import proto, save

# Kinds that only this target holds, or holds in another form: graph, constants, shape of an item, layers.
MORE: dict[str, tuple[str, dict[str, Any], tuple[int, ...], int]] = {
    "ConvTranspose with groups": (
        "g (float[N,4,5,5] x) => (float[N,6,H,W] y) { y = ConvTranspose <group = 2, strides = [2,2]> (x, w, b) }",
        {"w": noise(1, 4, 3, 3, 3), "b": noise(2, 6)},
        (4, 5, 5),
        1,
    ),
    "depthwise ConvTranspose": (
        "g (float[N,4,5,5] x) => (float[N,4,H,W] y) { y = ConvTranspose <group = 4> (x, w) }",
        {"w": noise(1, 4, 1, 3, 3)},
        (4, 5, 5),
        1,
    ),
    "ConvTranspose over one axis": (
        "g (float[N,3,9] x) => (float[N,4,L] y) { y = ConvTranspose <strides = [2]> (x, w, b) }",
        {"w": noise(1, 3, 4, 3), "b": noise(2, 4)},
        (3, 9),
        1,
    ),
    "batch of matrices": (
        "g (float[N,2,4,8] x) => (float[N,2,4,5] y) { y = MatMul (x, w) }",
        {"w": noise(1, 2, 8, 5)},
        (2, 4, 8),
        1,
    ),
    "one number an item": (
        "g (float[N,8] x) => (float[N] y) { m = Gemm (x, w, b)\n y = ReduceSum <axes = [1], keepdims = 0> (m) }",
        {"w": noise(1, 8, 1), "b": noise(2, 1)},
        (8,),
        1,
    ),
    "residual of two convolutions": (
        "g (float[N,3,6,6] x) => (float[N,4] y) { a = Conv <pads = [1,1,1,1]> (x, w)\n r = Relu (a)\n"
        " c = Conv <pads = [1,1,1,1]> (r, v)\n s = Add (r, c)\n p = GlobalAveragePool (s)\n f = Flatten (p)\n"
        " y = Gemm (f, u) }",
        {"w": noise(1, 4, 3, 3, 3), "v": noise(2, 4, 4, 3, 3), "u": noise(3, 4, 4)},
        (3, 6, 6),
        3,
    ),
}
QDQ_KINDS = KINDS | MORE
# Gemm's bias may be left out from opset 11 on; ReduceSum has its axes as an attribute up to 12.
FIRST = SINCE | {"residual of two convolutions": 11}
LAST = {"one number an item": 12}
# A job whose metric needs no labels.
JOB = ("metric=sqnr", "target_loss=45", "calibration.count=4")
OPSETS = (7, 13, onnx.defs.onnx_opset_version())
FOR = {
    "onnxruntime": ("target.for=onnxruntime",),
    "opset 17": ("target.opset=17",),
    "opset 21": ("target.opset=21",),
    "7 bits": ("target.reduce_range=true",),
    "layers alone": ("target.rounded=layers",),
    "tensorrt": ("target.for=tensorrt", "target.opset=17"),
}


def source(kind: str, opset: int) -> onnx.ModelProto:
    """Return the network at an opset, or at the nearest that it can be said in."""
    graph, constants, _, _ = QDQ_KINDS[kind]
    opset = max(min(opset, LAST.get(kind, opset)), FIRST.get(kind, 0))
    return proto(graph, opset=opset, ir_version=4 if opset < 9 else 8, **constants)


def options(*more: str) -> dict[str, Any]:
    """Return what the command line makes of a job for this target; a copy to fill in."""
    return copy.deepcopy(_options(more))


@functools.cache
def _options(more: tuple[str, ...]) -> dict[str, Any]:
    return composed("target=qdq", *more)


def quantized(config: dict[str, Any], model: onnx.ModelProto, x: NDArray[np.float32], folder: Path) -> Any:
    """Return the result of a job on a model and its data."""
    np.savez(folder / "data.npz", x=x)
    config["model"]["path"] = str(save(model, folder / "net.onnx"))
    config["dataset"]["path"] = str(folder / "data.npz")
    return _start(built := parse_job(config), deciding(built), config, folder / "out", ignore)


def written(result: Any) -> Path:
    """Return the one model that a job has written."""
    files = list(result.folder.root.rglob("*.onnx"))
    assert [file.name for file in files] == [Path(result.checked.file).name]
    return files[0]


def answers(model: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a default session, with nothing set, gives for items one at a time."""
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.concatenate([np.atleast_1d(session.run(None, {"x": item[None]})[0]) for item in x])


def check_file(path: Path, layers: int, codes: int = 127) -> None:
    """Check that a file is standard, with int8 initializers for weights, and each layer between Q and DQ."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    assert {node.domain for node in graph.node} == {""}
    made = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = [node for node in graph.node if node.op_type in LAYERS and node.input[0] in made]
    found = [node for node in found if made[node.input[0]].op_type == "DequantizeLinear"]
    assert len(found) == layers
    for node in found:
        assert made[made[node.input[0]].input[0]].op_type == "QuantizeLinear"
        if node.op_type == "AveragePool":
            continue
        weight = node.input[1]
        while made[weight].op_type in ("Reshape", "Transpose"):
            weight = made[weight].input[0]
        assert made[weight].op_type == "DequantizeLinear"
        array = stored[made[weight].input[0]]
        assert array.dtype == np.int8 and -codes - 1 <= array.min() <= array.max() <= codes


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", QDQ_KINDS)
@pytest.mark.parametrize("opset", OPSETS)
def test_layer_is_quantized_and_runs_as_measured(opset: int, kind: str, preset: str, tmp_path: Path) -> None:
    model, (_, _, shape, layers) = source(kind, opset), QDQ_KINDS[kind]
    x = noise(7, 4, *shape)
    result = quantized(options(*JOB, f"quant={preset}"), model, x, tmp_path)
    assert (result.status, len(result.form.layers)) == ("met", layers)
    path = written(result)
    check_file(path, layers)
    opset = model.opset_import[0].version
    assert [entry.version for entry in onnx.load(path).opset_import] == [min(max(opset, 13), 18)]
    real, got = answers(tmp_path / "net.onnx", x), answers(path, x)
    # The reported figure is that of the written file: signal over noise in dB, at most 60.
    noise_of = np.sum((real.astype(float) - got) ** 2)
    sqnr = 10 * np.log10(np.sum(real.astype(float) ** 2) / noise_of)
    # Float32 sums of the float model differ in their last bits between sessions that fold a BatchNormalization and that do not.
    assert result.comparison.headline.after == pytest.approx(min(sqnr, 60.0), abs=1e-3)


@pytest.mark.parametrize("kind", QDQ_KINDS)
@pytest.mark.parametrize("use", FOR)
def test_file_is_what_it_is_made_for(use: str, kind: str, tmp_path: Path) -> None:
    _, _, shape, layers = QDQ_KINDS[kind]
    x = noise(7, 4, *shape)
    result = quantized(options(*JOB, *FOR[use]), source(kind, 11), x, tmp_path)
    assert (result.status, len(result.form.layers)) == ("met", layers)
    path = written(result)
    check_file(path, layers, 63 if use == "7 bits" else 127)
    graph = onnx.load(path)
    opset = {"opset 17": 17, "opset 21": 21, "tensorrt": 17}.get(use, 13)
    assert [entry.version for entry in graph.opset_import] == [opset]
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    quantize = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    if use == "layers alone":
        assert len({node.output[0] for node in quantize}) <= layers and not result.form.tensors
    zeros = [stored[node.input[2]] for node in quantize]
    if use == "tensorrt":
        assert zeros and all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
        assert np.int32 not in {array.dtype.type for array in stored.values()}
    else:
        assert zeros and all(zero.dtype == np.uint8 for zero in zeros)
    # The kernels that are told of are those of the graph that onnxruntime runs.
    assert dict(result.checked.kernels) == kernels(path, tmp_path / "optimized.onnx")


def kernels(path: Path, optimized: Path) -> Counter[str]:
    """Return operator -> number of nodes of what a default session runs."""
    told = ort.SessionOptions()
    told.optimized_model_filepath, told.log_severity_level = str(optimized), 3
    ort.InferenceSession(str(path), told, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(optimized).graph.node)


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("kind", QDQ_KINDS)
@pytest.mark.parametrize("opset", (10, 18, 27))
def test_trained_layer_is_written_exactly(opset: int, kind: str, runtime: str, tmp_path: Path) -> None:
    shape, layers = QDQ_KINDS[kind][2:]
    x = noise(7, 4, *shape)
    model = trained(source(kind, opset), 0 if runtime == "tensorrt" else 3)
    result = quantized(options("mode=convert_qat", f"target.for={runtime}"), model, x, tmp_path)
    assert len(result.form.layers) == layers
    path = written(result)
    check_file(path, layers)
    weights = [node_weights(onnx.load(file)) for file in (tmp_path / "net.onnx", path)]
    assert weights[0] == weights[1]
    real, got = exact(tmp_path / "net.onnx", x), exact(path, x)
    # A float bias is rounded to int32, by half a step at most; one code of a second layer's input may lie between two.
    bound = 0.06 * np.abs(real).max() if layers > 1 else 0.5 * 0.05 / 64 + 1e-6 * np.abs(real).max()
    np.testing.assert_allclose(got, real, rtol=0, atol=bound)


def node_weights(model: onnx.ModelProto) -> list[list[int]]:
    """Return the sizes of each int8 weight's integers, in order: a Gemm may be turned, a folded factor have a sign."""
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    return sorted(sorted(np.abs(a.astype(int)).ravel().tolist()) for a in arrays if a.dtype == np.int8 and a.ndim > 1)


def exact(model: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the pairs of a model compute as they are written, with nothing rewritten."""
    told = ort.SessionOptions()
    told.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(model), told, providers=["CPUExecutionProvider"])
    return np.concatenate([np.atleast_1d(session.run(None, {"x": item[None]})[0]) for item in x])


def test_trained_output_with_an_offset_is_refused_for_a_target_around_zero(tmp_path: Path) -> None:
    model = trained(source("Conv", 13), 0)
    zero = onnx.numpy_helper.from_array(np.int8(3), "out_z")
    model.graph.initializer.append(zero)
    layer = next(node for node in model.graph.node if node.op_type == "Conv")
    layer.output[0] = "made"
    model.graph.node.append(onnx.helper.make_node("QuantizeLinear", ["made", "in_s", "out_z"], ["made.q"], "Qout"))
    model.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["made.q", "in_s", "out_z"], ["y"], "Dout"))
    with pytest.raises(
        ModelError, match=r"with zero point 3 in int8, and the target takes 0 alone\. Train it with symm"
    ):
        quantized(options("mode=convert_qat", "target.for=tensorrt"), model, noise(7, 4, 3, 6, 6), tmp_path)


def test_items_that_the_search_never_saw_are_measured_as_the_file_runs(tmp_path: Path) -> None:
    kind = "residual of two convolutions"
    x = noise(7, 12, *QDQ_KINDS[kind][2])
    result = quantized(options(*JOB, "split.report=0.5"), source(kind, 13), x, tmp_path)
    assert result.comparison.held_out and result.checked.items == 6


def test_target_that_is_missed_writes_no_model(tmp_path: Path) -> None:
    missed = options("metric=sqnr", "target_loss=0", "calibration.count=4")
    result = quantized(missed, source("Gemm", 13), noise(7, 4, 8), tmp_path)
    assert result.status == "not_met" and result.checked is None
    assert not list((tmp_path / "out").rglob("*.onnx"))
