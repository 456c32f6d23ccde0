"""A model in float16 -> the same model computing in float32, its inputs and outputs as they were.

Every float16 constant becomes its equal in float32 and every Cast to float16 one to float32; the model's own inputs and
outputs stay float16, cast right behind and right before. Other attributes that name a type are widened likewise, and a BitCast
still sees the bits of float16. Sums are then rounded once instead of at every step, which moves
outputs by a few float16 roundings; scales, ranges and the simulation are float32 throughout.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from runner.errors import ModelError
from runner.graph.constants import Names, constant
from runner.graph.tensors import typed

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT
# Attributes of standard operators that hold the number of a type, whatever the operator; all of ONNX up to opset 28.
_TYPE_ATTRIBUTES = ("to", "dtype", "output_datatype", "output_dtype", "precision", "softmax_precision", "stash_type")


def widen_half(model: ir.Model) -> bool:
    """Make a float16 model compute in float32; return whether there was anything to do. Changes the model it is given.

    Raises:
        ModelError: an input or output is a sequence or an optional value of float16, which no Cast takes.
    """
    graphs = [model.graph, *model.graph.subgraphs()]
    initializers = [value for graph in graphs for value in graph.initializers.values()]
    nodes = list(model.graph.all_nodes())
    computed = [output for node in nodes for output in node.outputs if output.dtype == _HALF]
    if not any(v.dtype == _HALF for v in [*initializers, *model.graph.inputs, *model.graph.outputs]) and not computed:
        return False
    _require_tensors(model.graph)
    kept = _keep_bits(model)
    outputs = [value for value in model.graph.outputs if value.dtype == _HALF]
    for value in initializers:
        _widen_constant(value)
    for node in model.graph.all_nodes():
        if node not in kept:
            _widen_node(node)
    _widen_inputs(model.graph)
    for inner in graphs[1:]:
        for value in inner.inputs:
            _retype(value)
    _narrow_outputs(model.graph, outputs)
    return True


def _require_tensors(graph: ir.Graph) -> None:
    for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            if value.dtype == _HALF and not isinstance(value.type, ir.TensorType):
                raise ModelError(
                    f"model.path: the {kind} '{value.name}' is a {type(value.type).__name__.removesuffix('Type').lower()} of "
                    "float16; expected tensors, as a float16 model computes in float32 here and is cast where it begins and "
                    "ends. Export the model in float32, or with the tensors themselves."
                )


def _keep_bits(model: ir.Model) -> Collection[ir.Node]:
    """Put a Cast to float16 before each BitCast of float16, and one behind each to float16; return what has to stay float16."""
    if not any(_is_bit_cast(node) for node in model.graph.all_nodes()):
        return ()
    # An exporter need not say the types of what stands between.
    inferred = [node.inputs[0] for node in typed(model).graph.all_nodes() if _is_bit_cast(node)]
    names, kept = Names.of(model.graph), set()
    casts = [node for node in model.graph.all_nodes() if _is_bit_cast(node)]
    for node, like in zip(casts, inferred, strict=True):
        source, made, graph = node.inputs[0], node.outputs[0], node.graph
        assert graph is not None  # it stands in one
        if source is not None and like is not None and like.dtype == _HALF:
            before = _cast(source, ir.Value(name=names.new_value(f"{source.name}.half")), names)
            graph.insert_before(node, before)
            node.replace_input_with(0, before.outputs[0])
            kept.add(before)
        if node.attributes["to"].as_int() == int(_HALF):
            value = ir.Value(shape=made.shape)
            made.replace_all_uses_with(value, replace_graph_outputs=True)
            value.name, made.name = made.name, names.new_value(f"{made.name}.half")
            graph.insert_after(node, _cast(made, value, names))
            kept.add(node)
    return kept


def _is_bit_cast(node: ir.Node) -> bool:
    return node.op_type == "BitCast" and node.domain == ""


def _cast(source: ir.Value, output: ir.Value, names: Names) -> ir.Node:
    output.type = ir.TensorType(_HALF)
    return ir.node("Cast", [source], {"to": int(_HALF)}, name=names.new_node(f"{output.name}.cast"), outputs=[output])


def _widen_constant(value: ir.Value) -> None:
    array = constant(value)
    if array is None or array.dtype != np.float16:
        return
    value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
    _retype(value)


def _widen_node(node: ir.Node) -> None:
    for name in _TYPE_ATTRIBUTES if node.domain == "" else ():
        held = node.attributes.get(name)
        if held is not None and held.type == ir.AttributeType.INT and held.value == int(_HALF):
            node.attributes[name] = ir.AttrInt64(name, int(_FLOAT))
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == _HALF:
            tensor = attribute.as_tensor()
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name))
        elif attribute.type == ir.AttributeType.TYPE_PROTO:
            said: ir.TypeAndShape = attribute.value
            wide = None if said.type is None else _widened(said.type)
            node.attributes[name] = ir.AttrTypeProto(name, ir.TypeAndShape(wide, said.shape))
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
    if value.type is not None:
        value.type = _widened(value.type)


def _widened(type_: ir.TypeProtocol) -> ir.TypeProtocol:
    """Return a type with float32 in the place of float16, inside sequences and optional values too."""
    if isinstance(type_, ir.SequenceType | ir.OptionalType):
        return type(type_)(_widened(type_.elem_type), denotation=type_.denotation)
    return ir.TensorType(_FLOAT) if type_.dtype == _HALF else type_
