"""Copies of a model that give chosen inner tensors as outputs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.graph.constants import Names


def with_outputs(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Return a copy whose outputs are the model's own followed by the named tensors that are not among them already."""
    probed = model.clone()
    graph = probed.graph
    values = _values(graph)
    own = {value.name for value in graph.outputs}
    for name in dict.fromkeys(names):
        if name in own:
            continue
        value = values[name]
        if value.type is None:
            value.type = ir.TensorType(ir.DataType.FLOAT)
        graph.outputs.append(value)
    return probed


def _values(graph: ir.Graph) -> dict[str | None, ir.Value]:
    """Return what can be asked of a graph: what its nodes make, its inputs and its constants, by name."""
    given = (*graph.initializers.values(), *graph.inputs)
    return {value.name: value for value in (*(made for node in graph for made in node.outputs), *given)}


def only_outputs(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Return the part of a model that computes the named tensors, as its only outputs, in their order; all inputs stay."""
    part = model.clone()
    graph = part.graph
    values = _values(graph)
    graph.outputs.clear()
    free = Names.of(graph)
    for place, name in enumerate(names):
        # Behind an Identity, for an output that is an input, or the same as another, is none of its own.
        probe = free.new_value(f"{name}.probe{place}")
        output = ir.Value(name=probe, type=values[name].type or ir.TensorType(ir.DataType.FLOAT))
        graph.append(ir.node("Identity", [values[name]], outputs=[output], name=free.new_node(probe)))
        graph.outputs.append(output)
    passes.RemoveUnusedNodesPass()(part)
    return part


def only_shapes(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Return the part of a model that computes the shapes of the named tensors, as its only outputs, in their order."""
    part = only_outputs(model, names)
    graph = part.graph
    values = list(graph.outputs)
    graph.outputs.clear()
    for value in values:
        shape = ir.Value(name=f"{value.name}.shape", type=ir.TensorType(ir.DataType.INT64))
        graph.append(ir.node("Shape", [value], outputs=[shape], name=shape.name))
        graph.outputs.append(shape)
    return part
