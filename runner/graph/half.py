"""A model in float16 -> the same model computing in float32, its inputs and outputs as they were.

Every float16 constant becomes its equal in float32 and every Cast to float16 one to float32; the model's own inputs and
outputs stay float16, cast right behind and right before. Sums are then rounded once instead of at every step, which moves
outputs by a few float16 roundings; scales, ranges and the simulation are float32 throughout.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.graph.constants import Names, constant

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


def widen_half(model: ir.Model) -> bool:
    """Make a float16 model compute in float32; return whether there was anything to do. Changes the model it is given."""
    graphs = [model.graph, *model.graph.subgraphs()]
    initializers = [value for graph in graphs for value in graph.initializers.values()]
    nodes = list(model.graph.all_nodes())
    computed = [output for node in nodes for output in node.outputs if output.dtype == _HALF]
    if not any(v.dtype == _HALF for v in [*initializers, *model.graph.inputs, *model.graph.outputs]) and not computed:
        return False
    outputs = [value for value in model.graph.outputs if value.dtype == _HALF]
    for value in initializers:
        _widen_constant(value)
    for node in nodes:
        _widen_node(node)
    _widen_inputs(model.graph)
    for inner in graphs[1:]:
        for value in inner.inputs:
            _retype(value)
    _narrow_outputs(model.graph, outputs)
    return True


def _widen_constant(value: ir.Value) -> None:
    array = constant(value)
    if array is None or array.dtype != np.float16:
        return
    value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
    _retype(value)


def _widen_node(node: ir.Node) -> None:
    to = node.attributes.get("to") if node.op_type == "Cast" else None
    if to is not None and to.as_int() == int(_HALF):
        node.attributes["to"] = ir.AttrInt64("to", int(_FLOAT))
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == _HALF:
            tensor = attribute.as_tensor()
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name))
    for output in node.outputs:
        output.const_value = None if output.dtype == _HALF else output.const_value
        _retype(output)


def _widen_inputs(graph: ir.Graph) -> None:
    casts = []
    names = Names.of(graph)
    for value in graph.inputs:
        if value.dtype == _HALF:
            wide = ir.Value(name=names.new_value(f"{value.name}.float"), type=ir.TensorType(_FLOAT), shape=value.shape)
            value.replace_all_uses_with(wide, replace_graph_outputs=True)
            name = names.new_node(f"{value.name}.cast")
            casts.append(ir.node("Cast", [value], {"to": int(_FLOAT)}, name=name, outputs=[wide]))
    if casts:
        graph.insert_before(graph[0], casts)


def _narrow_outputs(graph: ir.Graph, outputs: list[ir.Value]) -> None:
    names = Names.of(graph)
    for index, value in enumerate(graph.outputs):
        if all(value is not output for output in outputs):
            continue
        name = value.name
        narrow = ir.Value(name=name, type=ir.TensorType(_HALF), shape=value.shape)
        value.name = names.new_value(f"{name}.float")
        graph.append(
            ir.node("Cast", [value], {"to": int(_HALF)}, name=names.new_node(f"{name}.cast"), outputs=[narrow])
        )
        graph.outputs[index] = narrow


def _retype(value: ir.Value) -> None:
    if value.dtype == _HALF:
        value.type = ir.TensorType(_FLOAT)
