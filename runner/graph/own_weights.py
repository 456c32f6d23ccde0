"""Give every layer a weight of its own, so that a weight shared by several nodes can be quantized in each."""

from __future__ import annotations

import onnx_ir as ir

from runner.graph.constants import add_initializer, constant
from runner.graph.operators import operator_of


def separate_weights(graph: ir.Graph) -> list[str]:
    """Copy each shared weight for every layer but one; return the names of the nodes that got a copy.

    Where layers are its only readers the last of them keeps the shared initializer; any other reader, and an output of the
    model, keeps it for itself.
    The copies have the same integers and scales; what differs between the layers is their input's scale and their bias.
    """
    copied = []
    for node in graph:
        operator = operator_of(node)
        if operator is None or operator.unweighted is not None:
            continue
        value = node.inputs[1]
        weight = constant(value)
        if value is None or weight is None or (len(value.uses()) == 1 and not value.is_graph_output()):
            continue
        node.replace_input_with(1, add_initializer(graph, f"{value.name}.{node.name}", weight))
        copied.append(node.name or "")
    return copied
