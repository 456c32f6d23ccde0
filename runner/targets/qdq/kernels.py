"""Which kernels onnxruntime takes for a model, read off the graph that it has made of the file."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

# Layers as integer kernels; one of two tensors that the graph computes counts too.
INTEGER_LAYERS = (
    *("QLinearConv", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat", "MatMulInteger", "ConvInteger"),
    *("QLinearAveragePool", "QLinearGlobalAveragePool", "DynamicQuantizeMatMul"),
)
_FLOAT_LAYERS = ("Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul")


@dataclass(frozen=True, slots=True)
class Kernels:
    """What a default session runs.

    Attributes:
        counts: operator -> number of nodes.
        integer: number of layers that run in integers.
        float_layers: names of the nodes with a constant or dequantized weight that run in float.
    """

    counts: Mapping[str, int]
    integer: int
    float_layers: tuple[str, ...]


def kernels_of(model: Path | bytes) -> Kernels:
    """Return what a default session makes of a model, from a file or bytes."""
    graph = optimized(model).graph
    made = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    counts = Counter(node.op_type for node in graph.node)
    float_layers = [
        node.name for node in graph.node if node.op_type in _FLOAT_LAYERS and _is_weight(node.input[1], made, constants)
    ]
    return Kernels(counts, sum(counts[kind] for kind in INTEGER_LAYERS), tuple(float_layers))


def rewritten_weights(model: Path | bytes) -> tuple[str, ...]:
    """Return names of int8 weights that onnxruntime made itself, of a layer that the file has in float.

    It does so to float weights that meet a DequantizeLinear, by a rule of its own that can cost a model its answers.
    """
    source = onnx.load(model) if isinstance(model, Path) else onnx.load_from_string(model)
    ours = {
        (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()) for tensor in _constants(source)
    }
    graph = optimized(model, "basic")
    dequantized = {node.input[0] for node in graph.graph.node if node.op_type == "DequantizeLinear"}
    return tuple(
        tensor.name
        for tensor in _constants(graph)
        if tensor.name in dequantized
        and tensor.data_type in (TensorProto.INT8, TensorProto.UINT8)
        and (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()) not in ours
    )


def _constants(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return list(model.graph.initializer)


def optimized(model: Path | bytes, level: str = "all") -> onnx.ModelProto:
    """Return the graph that onnxruntime runs instead of a model."""
    levels = {
        "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = levels[level]
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else model
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def _is_weight(name: str, made: Mapping[str, onnx.NodeProto], constants: set[str]) -> bool:
    while name in made and made[name].op_type in ("DequantizeLinear", "Transpose", "Reshape", "Identity"):
        name = made[name].input[0]
    return name in constants
