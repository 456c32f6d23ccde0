"""The bias of a matrix product of two axes, which an Add behind it adds, as int32 behind a DequantizeLinear.

onnxruntime makes one Gemm of the two before it looks for layers to run in integers, and a Gemm with a float bias is none.
In integers the bias is off by half of what one unit of the sums is worth, at most.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.arithmetic import INT32_MAX, dequant_scale, quantize_bias
from runner.graph.added_bias import bias_add
from runner.graph.builder import Builder
from runner.graph.constants import constant
from runner.record import QuantizedLayer, QuantizedLayers

_MATRIX_NDIM = 2


def quantize_biases(written: ir.Model, float_model: ir.Model, form: QuantizedLayers) -> None:
    """Change a written model so that the Add behind each quantized matrix product of two axes adds an int32 bias.

    Args:
        written: its layers in Q/DQ; changed.
        float_model: the typed float model that it is of.
        form: what is quantized.
    """
    adds = {node.name: node for node in written.graph}
    for node in float_model.graph:
        quantized = form.layers.get(node.name or "")
        add = None if quantized is None else bias_add(node)
        data = node.inputs[0] if node.inputs else None
        if quantized is None or add is None or data is None or data.shape is None or data.shape.rank() != _MATRIX_NDIM:
            continue
        _quantize(written.graph, adds[add.name], node.name or "", quantized)


def _quantize(graph: ir.Graph, add: ir.Node, name: str, quantized: QuantizedLayer) -> None:
    """Let ``add`` of the written graph, behind the MatMul of that name, add its constant in integers."""
    place = next(index for index, value in enumerate(add.inputs) if value is not None and value.is_initializer())
    value = add.inputs[place]
    held = constant(value)
    assert value is not None and held is not None  # what is added is a constant
    if held.ndim > _MATRIX_NDIM:
        return  # it gives the sum an axis more than the product has
    bias = np.asarray(held, np.float32).reshape(-1)
    deq = dequant_scale(quantized.record.activation.scale, np.asarray(quantized.record.weight_scales, np.float32))
    scales = np.broadcast_to(deq, bias.shape)
    codes = quantize_bias(bias, scales)
    if np.abs(codes).max(initial=0) > INT32_MAX:
        return
    build = Builder()
    inputs = [build.constant(f"{name}.bias", codes.astype(np.int32)), build.constant(f"{name}.bias.scale", scales)]
    real = build.op("DequantizeLinear", inputs, f"{name}.bias.real", ir.DataType.FLOAT, {"axis": 0})
    build.register(graph)
    graph.insert_before(add, build.nodes)
    add.replace_input_with(place, real)
    if not value.uses() and not value.is_graph_output():
        del graph.initializers[value.name or ""]
