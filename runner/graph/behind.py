"""Nodes put behind a layer: they take over its output's name and readers, and the layer stays what it is."""

from __future__ import annotations

import onnx_ir as ir

from runner.graph.builder import Builder
from runner.graph.constants import free_name


def put_behind(graph: ir.Graph, node: ir.Node, build: Builder, result: ir.Value) -> None:
    """Put what was built behind ``node``; ``result`` takes over the name, type, shape and readers of its output.

    Args:
        graph: holds the node.
        node: the layer, whose output gets a name of its own.
        build: the new nodes, in order, of which the first alone reads the layer's output, as its first input.
        result: output of one of them.
    """
    output, first = node.outputs[0], build.nodes[0]
    build.register(graph)
    result.type, result.shape = output.type, output.shape
    output.replace_all_uses_with(result, replace_graph_outputs=True)
    first.replace_input_with(0, output)
    name = output.name
    output.name = free_name(graph, f"{node.name}.output0")
    result.name = name
    graph.insert_after(node, build.nodes)
