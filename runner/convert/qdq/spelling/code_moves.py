"""Codes that are moved between a QuantizeLinear and its DequantizeLinear: dequantized first, moved then, which is the same."""

from __future__ import annotations

import onnx_ir as ir

from runner.convert.qdq.activations.commuting import moves_one
from runner.convert.qdq.nodes import is_dequantize, is_quantize, parameters
from runner.graph.constants import constant

# What moves codes as it moves values; Pad would fill codes with another 0, and Relu clips them elsewhere.
_NOT_ON_CODES = ("Pad", "Relu", "Cast", "Resize", "Upsample", "Trilu", "Dropout")


def dequantize_first(graph: ir.Graph) -> None:
    """Put each DequantizeLinear behind its QuantizeLinear, in front of what moves the codes; changes the graph."""
    for node in list(graph):
        between = _between(node) if is_dequantize(node) else []
        if not between or node.outputs[0].is_graph_output():
            continue
        stated = parameters(node)
        if stated is None or not stated.per_tensor:
            continue
        last, first = between[0], between[-1]
        codes = first.inputs[0]
        assert codes is not None  # its producer is the QuantizeLinear
        node.outputs[0].replace_all_uses_with(last.outputs[0])
        node.replace_input_with(0, codes)
        first.replace_input_with(0, node.outputs[0])
        for moved in between:
            moved.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        graph.remove(node)
        graph.insert_before(first, [node])


def _between(dequantize: ir.Node) -> list[ir.Node]:
    """Return the nodes from a DequantizeLinear back to the QuantizeLinear of a variable, if they alone read its codes."""
    found: list[ir.Node] = []
    value = dequantize.inputs[0]
    while value is not None and len(value.uses()) == 1 and not value.is_graph_output():
        node = value.producer()
        if node is None:
            return []
        if is_quantize(node):
            return [] if constant(node.inputs[0]) is not None else found
        if not moves_one(node) or node.op_type in _NOT_ON_CODES or len(node.outputs) > 1:
            return []
        found.append(node)
        value = node.inputs[0]
    return []
