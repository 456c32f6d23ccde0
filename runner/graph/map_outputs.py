"""Outputs that hold maps, as scikit-learn's converters write them, as the tensors that the maps are made of.

A ZipMap gives each row of a tensor of scores as a map from class to score. Neither onnx-ir nor the NPU has maps; the tensor in
their place says the same, and is what ``zipmap=False`` exports. An output whose maps are made by anything else goes.
"""

from __future__ import annotations

import onnx


def without_maps(model: onnx.ModelProto) -> list[str]:
    """Take the maps out of a model's outputs, in place; return a sentence for each that was one."""
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    told = []
    for output in [output for output in graph.output if _holds_map(output.type)]:
        node = producers.get(output.name)
        what = f"the output '{output.name}' is a {_shown(output.type)}"
        if node is None or node.op_type != "ZipMap":
            graph.output.remove(output)
            told.append(f"{what}, which neither the files written nor the NPU can hold: it is left out of them.")
            continue
        told.append(f"{what}: the written models give the tensor '{node.input[0]}' that it is made of under its name.")
        node.op_type, node.domain = "Identity", ""
        del node.attribute[:]
        output.type.CopyFrom(onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
    kept = [value for value in graph.value_info if not _holds_map(value.type)]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    return told


def _holds_map(type_: onnx.TypeProto) -> bool:
    if type_.HasField("sequence_type"):
        return _holds_map(type_.sequence_type.elem_type)
    if type_.HasField("optional_type"):
        return _holds_map(type_.optional_type.elem_type)
    return type_.HasField("map_type")


def _shown(type_: onnx.TypeProto) -> str:
    """Return a type as onnxruntime writes it."""
    if type_.HasField("sequence_type"):
        return f"seq({_shown(type_.sequence_type.elem_type)})"
    if type_.HasField("optional_type"):
        return f"optional({_shown(type_.optional_type.elem_type)})"
    if type_.HasField("map_type"):
        key = onnx.TensorProto.DataType.Name(type_.map_type.key_type).lower()
        return f"map({key},{_shown(type_.map_type.value_type)})"
    return f"tensor({onnx.TensorProto.DataType.Name(type_.tensor_type.elem_type).lower()})"
