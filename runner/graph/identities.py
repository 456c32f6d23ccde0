"""Take out Identity nodes, where every graph keeps outputs of its own.

A body of an If, Loop or Scan hands an outer value on through an Identity, which onnxruntime insists on; so does a graph that
gives one value under two names. Those stay.
"""

from __future__ import annotations

import onnx_ir as ir


def remove_identities(model: ir.Model) -> None:
    """Take out every Identity but those that an output of the main graph or of a body needs; names of outputs are kept."""
    for node in list(model.graph.all_nodes()):
        if node.op_type == "Identity" and node.domain == "" and len(node.inputs) == len(node.outputs) == 1:
            _remove(node)


def _remove(node: ir.Node) -> None:
    value, output, graph = node.inputs[0], node.outputs[0], node.graph
    if value is None or graph is None:
        return
    ends = output.is_graph_output()
    if ends and (value.producer() is None or value.graph is not graph or value.is_graph_output()):
        return
    value.shape = _merged(value.shape, output.shape)
    if value.type is None:
        value.type = output.type
    name = output.name
    output.replace_all_uses_with(value, replace_graph_outputs=True)
    if ends:
        output.name = None
        value.name = name
    graph.remove(node, safe=True)


def _merged(one: ir.Shape | None, other: ir.Shape | None) -> ir.Shape | None:
    """Return what both say of a shape; the first where they contradict each other."""
    if one is None or other is None:
        return one if other is None else other
    if len(one) != len(other):
        return one
    return ir.Shape([_known(a, b) for a, b in zip(one, other, strict=True)])


def _known(a: int | ir.SymbolicDim, b: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    if a == b or not isinstance(a, ir.SymbolicDim):
        return a
    return b if not isinstance(b, ir.SymbolicDim) or a.value is None else a
