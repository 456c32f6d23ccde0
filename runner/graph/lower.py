"""Lower a model's opset to one that its reader takes, and write operators that the reader lacks in ones that it has.

A node whose operator did not change keeps its form. Of the others onnx's version converter gives the older form; an operator
without one (Gelu, RMSNormalization, Swish) is written as the function that ONNX defines it by, which says the same in real
numbers. Everything that runs and everything that is written starts from the lowered model, so both compute alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx
import onnx_ir as ir

from runner.graph.infer import infer_types
from runner.graph.node_body import Bodies
from runner.graph.older_form import NoOlderFormError, is_form, older_form, schema_version

# Whether a reader has an operator of the default domain at an opset.
Takes = Callable[[str, int], bool]

# onnxruntime refuses what the one is defined by; the other runs a function over a sequence, in a Loop.
_UNUSABLE_BODIES = ("AffineGrid", "SequenceMap")
# With bodies: what stands in them is lowered for itself.
_CONTROL_FLOW = ("If", "Loop", "Scan")
# The version of ONNX's file format that came with opset 18.
_OLDER_IR = 8


@dataclass(frozen=True, slots=True)
class WithoutForm:
    """A node that keeps its operator though the reader lacks it, and why."""

    name: str
    op_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lowered:
    """What lowering did.

    Attributes:
        opset: before it; 0 where there was nothing to do.
        expanded: names of nodes that are written in other operators.
        without_form: nodes that have no form at the wanted opset; with one, the model's opset stays what that node needs.
    """

    opset: int = 0
    expanded: tuple[str, ...] = ()
    without_form: tuple[WithoutForm, ...] = ()


def everything(op_type: str, opset: int) -> bool:
    """Say of a reader that it has every operator."""
    return True


def lower(model: ir.Model, opset: int, takes: Takes = everything) -> Lowered:
    """Bring a model to ``opset`` where it is newer, or as near as its operators have forms; changes it.

    Args:
        model: nodes have names of their own; float operators only.
        opset: the newest that the reader takes.
        takes: whether the reader takes an operator of the default domain at an opset.
    """
    before = model.opset_imports[""]
    expanded = _expand(model, opset, takes)
    if before <= opset:
        return Lowered(before if expanded else 0, tuple(expanded))
    infer_types(model)
    target = opset
    without: dict[str, WithoutForm] = {}
    # A node without a form holds up all: a model has one opset.
    while True:
        forms, found = _older_forms(model, target)
        if not found:
            break
        without |= {item.name: item for item in found}
        target += 1
    bodies = Bodies(model)
    for node, graph in forms:
        if len(graph.node) == 1 and graph.node[0].op_type == node.op_type:
            _take_attributes(node, graph.node[0])
        else:
            bodies.replace(
                node, (f"i{n}" for n in range(len(node.inputs))), (f"o{n}" for n in range(len(node.outputs))), graph
            )
    bodies.put()
    model.opset_imports[""] = target
    for node in model.graph.all_nodes():
        node.version = None
    if target == opset:
        model.ir_version = min(model.ir_version, _OLDER_IR)
    return Lowered(before, tuple(expanded), tuple(without.values()))


def _expand(model: ir.Model, opset: int, takes: Takes) -> list[str]:
    """Write operators that the reader lacks as the functions that ONNX defines them by; return the names of their nodes."""
    newest = model.opset_imports[""]
    target = min(opset, newest)
    expanded: list[str] = []
    inferred = False
    while True:
        bodies, some = Bodies(model), False
        for node in list(model.graph.all_nodes()):
            has_form = node.domain != "" or _has_form(node.op_type, target, takes)
            if has_form or not _is_function(node.op_type, newest):
                continue
            if not inferred:
                infer_types(model)
                inferred = True
            function = _function(node, newest)
            if function is None or not _is_taken(function, newest, target, takes):
                continue
            _set_defaults(node, newest)
            bodies.replace_by_function(node, function)
            expanded.append(node.name or "")
            some = True
        if not some:
            return expanded
        bodies.put()
        inferred = False


def _has_form(op_type: str, target: int, takes: Takes) -> bool:
    version = schema_version(op_type, target)
    return version is not None and takes(op_type, target)


def _function(node: ir.Node, opset: int) -> onnx.FunctionProto | None:
    """Return the function that ONNX defines a node's operator by; None where it is a primitive, or types are not known."""
    schema = _schema(node.op_type, opset)
    if schema is None or node.op_type in _UNUSABLE_BODIES:
        return None
    versions = [v for v in schema.function_opset_versions if v <= opset]
    if schema.has_function and versions:
        return _parsed(schema.get_function_with_opset_version(max(versions)))
    versions = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
    if not schema.has_context_dependent_function or not versions:
        return None
    types = [
        b"" if value is None else ir.serde.serialize_value(value).type.SerializeToString() for value in node.inputs
    ]
    body = schema.get_context_dependent_function_with_opset_version(
        max(versions), ir.serde.serialize_node(node).SerializeToString(), types
    )
    return _parsed(body) if body else None


def _set_defaults(node: ir.Node, opset: int) -> None:
    """Write out the attributes that a node leaves to their defaults, which a function's body may refer to."""
    for name, attribute in _schema(node.op_type, opset).attributes.items():  # type: ignore[union-attr]
        if name not in node.attributes and attribute.default_value.name:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)


def _schema(op_type: str, opset: int) -> Any | None:  # noqa: ANN401 - onnx types but half of what a schema has
    try:
        return onnx.defs.get_schema(op_type, opset)
    except onnx.defs.SchemaError:
        return None


def _parsed(data: bytes) -> onnx.FunctionProto:
    function = onnx.FunctionProto()
    function.ParseFromString(data)
    return function


def _is_taken(function: onnx.FunctionProto, opset: int, target: int, takes: Takes) -> bool:
    """Return whether every operator of a function has a form, or is a function of such in turn."""
    return all(
        node.op_type == "Constant" or _has_form(node.op_type, target, takes) or _is_function(node.op_type, opset)
        for node in function.node
    )


def _is_function(op_type: str, opset: int) -> bool:
    schema = _schema(op_type, opset)
    return schema is not None and (schema.has_function or schema.has_context_dependent_function)


def _older_forms(model: ir.Model, target: int) -> tuple[list[tuple[ir.Node, onnx.GraphProto]], list[WithoutForm]]:
    """Return the form at ``target`` of every node whose operator changed since, and the nodes that have none."""
    opset = model.opset_imports[""]
    forms, without = [], []
    for node in model.graph.all_nodes():
        if node.domain != "" or schema_version(node.op_type, opset) == schema_version(node.op_type, target):
            continue
        if node.op_type in _CONTROL_FLOW or is_form(node, opset, target):
            continue
        try:
            forms.append((node, older_form(node, opset, target)))
        except NoOlderFormError as error:
            without.append(WithoutForm(node.name or "", node.op_type, str(error)))
    return forms, without


def _take_attributes(node: ir.Node, form: onnx.NodeProto) -> None:
    node.attributes.clear()
    for attribute in map(ir.serde.deserialize_attribute, form.attribute):
        node.attributes[attribute.name] = attribute
