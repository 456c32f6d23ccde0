"""One value in the place of another."""

from __future__ import annotations

import onnx_ir as ir

from runner.graph.builder import Builder


def replace_value(graph: ir.Graph, old: ir.Value, new: ir.Value, before: ir.Node) -> None:
    """Let ``new`` serve every use of ``old``; a graph output keeps its name, by an Identity where ``new`` needs its own."""
    if old.is_graph_output():
        if new.is_graph_input() or new.is_graph_output() or new.is_initializer():
            build = Builder()
            new = build.op("Identity", [new], f"{before.name}.identity", ir.DataType.FLOAT)
            build.register(graph)
            graph.insert_before(before, build.nodes)
        name = old.name
        # A lone QuantizeLinear's output was of integers; its input is what the output becomes.
        new.type = new.type or ir.TensorType(ir.DataType.FLOAT)
        new.shape = old.shape if new.shape is None else new.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name = None
        new.name = name
        return
    old.replace_all_uses_with(new)
