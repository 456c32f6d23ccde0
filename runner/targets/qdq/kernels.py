"""Which kernels onnxruntime takes for a model, read off the graph that it has made of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx import TensorProto, numpy_helper

from runner.session import optimized, plain

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
        float_layers: names of the nodes with a constant or dequantized weight that run in float.
    """

    counts: Counter[str]
    float_layers: tuple[str, ...]

    @property
    def integer(self) -> int:
        """Number of layers that run in integers."""
        return sum(self.counts[kind] for kind in INTEGER_LAYERS)


def kernels_of(model: Path | ir.Model) -> Kernels:
    """Return what a default session makes of a model, from a file or as a graph."""
    graph = optimized(model, plain("all")).graph
    made = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    counts = Counter(node.op_type for node in graph.node)
    float_layers = [
        node.name for node in graph.node if node.op_type in _FLOAT_LAYERS and _is_weight(node.input[1], made, constants)
    ]
    return Kernels(counts, tuple(float_layers))


def rewritten_weights(model: Path | ir.Model) -> tuple[str, ...]:
    """Return names of int8 weights that onnxruntime made itself, of a layer that the file has in float.

    It does so to float weights that meet a DequantizeLinear, by a rule of its own that can cost a model its answers.
    """
    source = onnx.load(model) if isinstance(model, Path) else ir.to_proto(model)
    ours = {
        (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        for tensor in source.graph.initializer
    }
    graph = optimized(model, plain("basic")).graph
    dequantized = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return tuple(
        tensor.name
        for tensor in graph.initializer
        if tensor.name in dequantized
        and tensor.data_type in (TensorProto.INT8, TensorProto.UINT8)
        and (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()) not in ours
    )


def _is_weight(name: str, made: Mapping[str, onnx.NodeProto], constants: set[str]) -> bool:
    while name in made and made[name].op_type in ("DequantizeLinear", "Transpose", "Reshape", "Identity"):
        name = made[name].input[0]
    return name in constants
