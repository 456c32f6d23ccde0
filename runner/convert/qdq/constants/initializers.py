"""Dequantized constants made what a float model has: plain initializers."""

from __future__ import annotations

import onnx_ir as ir

from runner.convert.qdq.constants.constant import Constants, QuantizedConstant
from runner.convert.qdq.nodes import is_layer
from runner.convert.qdq.replacing import replace_value
from runner.graph.constants import free_of, make_constant, value_names


def store_constants(graph: ir.Graph, constants: Constants) -> None:
    """Make dequantized constants float initializers under the names their readers know; each layer gets its own."""
    taken = value_names(graph)
    for node in list(graph):
        for index, value in enumerate(node.inputs if is_layer(node) else ()):
            # One of its own, so that a weight that two layers share can be quantized in both.
            if value is not None and value in constants and index > 0:
                own = _stored(graph, value.name or f"{node.name}.constant", constants[value], taken)
                node.replace_input_with(index, own)
    for output, constant in constants.items():
        producer = output.producer()
        assert producer is not None  # a DequantizeLinear, or what reads one
        read = [usage.node for usage in output.uses()]
        # Who makes another such constant of it needs no value of it.
        wanted = output.is_graph_output() or any(not any(o in constants for o in node.outputs) for node in read)
        if wanted:
            name = output.name or f"{producer.name}.constant"
            replace_value(graph, output, _stored(graph, name, constant, taken), producer)


def _stored(graph: ir.Graph, name: str, constant: QuantizedConstant, taken: set[str | None]) -> ir.Value:
    """Add a constant's real values to a graph and return them."""
    value = make_constant(free_of(taken, name), constant.real)
    taken.add(value.name)
    graph.register_initializer(value)
    return value
