"""What a node looks like at an older opset, by ONNX's own version converter, a node at a time.

The converter takes whole models and gives up at the first node that it cannot convert; asked for each node alone, it says of
which, and the others can be written in another way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper, version_converter

from runner.graph.constants import constant, integer_attributes, string_attribute

# Attribute values that came with the opset, which the checker does not look at.
_NEW_VALUES = {
    ("Resize", "coordinate_transformation_mode"): {"half_pixel_symmetric": 19},
    ("Pad", "mode"): {"wrap": 19},
}
# What these mean depends on more than their types: newer versions allow values or combinations that older ones do not.
_MORE_THAN_TYPES = ("AveragePool", "GridSample", "Mod", "Pad", "Resize")
# GridSample 20 gave the values of `mode` other names.
_OLDER_MODES = {"linear": "bilinear", "cubic": "bicubic"}
_SMALL = 1024
# Before it onnxruntime refuses an average whose padding comes out negative.
_POOLS_MAY_CUT = 19


class NoOlderFormError(Exception):
    """A node that cannot be written at the older opset; the message says why."""


def schema_version(op_type: str, opset: int) -> int | None:
    """Return the version of an operator of the default domain that holds at ``opset``; None where there is none."""
    try:
        schema = onnx.defs.get_schema(op_type, opset)
    except onnx.defs.SchemaError:
        return None
    return None if schema.deprecated else int(schema.since_version)


def is_form(node: ir.Node, opset: int, target: int) -> bool:
    """Return whether a node is a form of itself at ``target``: the two versions of its operator differ in types it has not.

    The quick answer for most nodes; where it is no, the version converter may still know a form.
    """
    if node.op_type in _MORE_THAN_TYPES or schema_version(node.op_type, target) is None:
        return False
    newer, older = (onnx.defs.get_schema(node.op_type, version) for version in (opset, target))
    same = set(newer.attributes) >= set(older.attributes) and len(newer.inputs) == len(older.inputs)
    if not same or any(name not in older.attributes for name in node.attributes):
        return False
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in older.type_constraints}

    def takes(value: ir.Value, formals: Sequence[onnx.defs.OpSchema.FormalParameter], place: int) -> bool:
        formal = formals[min(place, len(formals) - 1)].type_str
        return isinstance(value.type, ir.TensorType) and _type_text(value.type) in allowed.get(formal, [formal])

    return all(
        takes(value, formals, place)
        for values, formals in ((node.inputs, older.inputs), (node.outputs, older.outputs))
        for place, value in enumerate(values)
        if value is not None and value.name
    )


def older_form(node: ir.Node, opset: int, target: int) -> onnx.GraphProto:
    """Return the nodes that say at opset ``target`` what ``node`` says at ``opset``.

    Its inputs are called ``i0``, ``i1`` …, its outputs ``o0``, ``o1`` …; small constants among the inputs are initializers.

    Raises:
        NoOlderFormError: there is no such form.
    """
    proto = _alone(node)
    _check_values(proto, target)
    if node.op_type == "AveragePool" and target < _POOLS_MAY_CUT <= opset and _cuts(node):
        raise NoOlderFormError("its strides are longer than its window, so that its auto_pad cuts the image")
    if node.op_type == "GridSample":
        _rename_mode(proto, node, target)
    _drop_defaults(proto, opset, target)
    inputs = [_typed(f"i{place}", value) for place, value in enumerate(node.inputs) if value is not None]
    outputs = [helper.make_empty_tensor_value_info(name) for name in proto.output if name]
    constants = _small_constants(node)
    graph = helper.make_graph([proto], "node", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    try:
        converted = version_converter.convert_version(model, target).graph
    except (RuntimeError, onnx.checker.ValidationError, version_converter.ConvertError) as error:
        if "No Adapter" not in str(error):
            raise NoOlderFormError(_reason(error)) from error
        # Types that came with a newer version are all that differs, where the older one takes all that the node has.
        converted = graph
    _check(converted.node, target)
    return converted


def _type_text(kind: ir.TensorType) -> str:
    return f"tensor({onnx.TensorProto.DataType.Name(int(kind.dtype)).lower()})"


def _alone(node: ir.Node) -> onnx.NodeProto:
    proto = ir.serde.serialize_node(node)
    del proto.input[:], proto.output[:], proto.metadata_props[:]
    proto.input.extend("" if value is None else f"i{place}" for place, value in enumerate(node.inputs))
    proto.output.extend(f"o{place}" if value.name else "" for place, value in enumerate(node.outputs))
    return proto


def _typed(name: str, value: ir.Value) -> onnx.ValueInfoProto:
    kind = value.type
    if not isinstance(kind, ir.TensorType):
        return helper.make_empty_tensor_value_info(name)
    shape = None if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
    return helper.make_tensor_value_info(name, int(kind.dtype), shape)


def _small_constants(node: ir.Node) -> list[onnx.TensorProto]:
    arrays = ((place, constant(value)) for place, value in enumerate(node.inputs))
    return [
        numpy_helper.from_array(np.asarray(array), f"i{place}")
        for place, array in arrays
        if array is not None and array.size <= _SMALL
    ]


def _cuts(pool: ir.Node) -> bool:
    kernel = integer_attributes(pool, "kernel_shape", [])
    strides = integer_attributes(pool, "strides", [1] * len(kernel))
    same = string_attribute(pool, "auto_pad", "NOTSET").startswith("SAME")
    return same and any(stride > side for stride, side in zip(strides, kernel, strict=False))


def _check_values(proto: onnx.NodeProto, target: int) -> None:
    for attribute in proto.attribute:
        since = _NEW_VALUES.get((proto.op_type, attribute.name), {}).get(attribute.s.decode(errors="replace"), 0)
        if since > target:
            raise NoOlderFormError(f"{attribute.name}={attribute.s.decode()} came with opset {since}")


def _rename_mode(proto: onnx.NodeProto, node: ir.Node, target: int) -> None:
    if target >= 20:
        return
    shape = None if node.inputs[0] is None else node.inputs[0].shape
    if shape is not None and len(shape) != 4:
        raise NoOlderFormError(f"its input has {len(shape)} axes; before opset 20 it has 4")
    for attribute in proto.attribute:
        if attribute.name == "mode":
            attribute.s = _OLDER_MODES.get(attribute.s.decode(), attribute.s.decode()).encode()


def _drop_defaults(proto: onnx.NodeProto, opset: int, target: int) -> None:
    """Drop attributes that the older version does not have, where they say what it means without them."""
    if schema_version(proto.op_type, target) is None:
        return
    known = onnx.defs.get_schema(proto.op_type, target).attributes
    newer = onnx.defs.get_schema(proto.op_type, opset).attributes
    for attribute in list(proto.attribute):
        if attribute.name in known or attribute.name not in newer:
            continue
        value, default = helper.get_attribute_value(attribute), newer[attribute.name].default_value
        without = default.name and value == helper.get_attribute_value(default)
        if without or (attribute.name == "dilations" and all(v == 1 for v in value)):
            proto.attribute.remove(attribute)


def _check(nodes: Sequence[onnx.NodeProto], target: int) -> None:
    context = onnx.checker.C.CheckerContext()
    context.ir_version, context.opset_imports = onnx.IR_VERSION, {"": target}
    try:
        for node in nodes:
            onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        raise NoOlderFormError(_reason(error)) from error


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0]
    return text.rpartition("failed: ")[2] or text
