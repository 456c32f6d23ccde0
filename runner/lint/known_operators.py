"""Each node held against the operators that ATC reads, also inside If bodies and in the model's local functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx
from onnx import AttributeProto, GraphProto, NodeProto

from runner.lint.advice import advice
from runner.lint.atc_operators import atc_operators, said, takes
from runner.lint.deploy_file import (
    ANTI_QUANT,
    DEFAULT_DOMAINS,
    DEQUANT,
    QUANT,
    WEIGHT_QUANT,
    DeployFile,
    all_nodes,
    attribute_values,
    label,
)
from runner.lint.finding import Finding
from runner.wording import say

_ASCEND = (QUANT, DEQUANT, ANTI_QUANT, WEIGHT_QUANT)
_INLINE = say("write its nodes in its place: onnx.inliner.inline_local_functions does")
_UNFUSE = say("export the model again in standard operators, without the optimizer that fused them")
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Place:
    """A node, where it stands, and the opset that counts there (None where none is imported)."""

    node: NodeProto
    name: str
    opset: int | None
    in_main_graph: bool


def check_known_operators(file: DeployFile) -> Iterator[Finding]:
    """Yield the nodes for which ATC has no parser, or none at the opset that they are at."""
    functions = {(function.domain, function.name) for function in file.model.functions}
    imported = {entry.domain for entry in file.model.opset_import}
    beyond = []
    for place in _places(file):
        if place.node.domain not in DEFAULT_DOMAINS:
            yield _of_another_domain(place, functions)
        elif place.node.domain and place.node.domain not in imported:
            yield Finding(
                place.name,
                say("no domain, or an opset import of '{domain}' by that name", domain=place.node.domain),
                say("the domain '{domain}' without one", domain=place.node.domain),
                "unsupported",
                say("leave the node's domain empty, which means the same to ONNX"),
            )
        elif _is_beyond(place):
            beyond.append(place)
        else:
            yield from _check_operator(file, place)
    if beyond:
        yield _at_no_opset(beyond)


def _places(file: DeployFile) -> Iterator[_Place]:
    main = {id(node) for node in file.nodes}
    for node in all_nodes(file.model.graph):
        yield _Place(node, label(node), file.opset, id(node) in main)
    for function in file.model.functions:
        opset = next((entry.version for entry in function.opset_import if entry.domain in DEFAULT_DOMAINS), file.opset)
        for node in all_nodes(GraphProto(node=function.node)):
            yield _Place(node, f"{function.name}/{label(node)}", opset, False)


def _of_another_domain(place: _Place, functions: Iterable[tuple[str, str]]) -> Finding:
    node = place.node
    if (node.domain, node.op_type) in functions:
        got = say("the model's local function {domain}.{op_type}", domain=node.domain, op_type=node.op_type)
        return Finding(place.name, say("an operator of the default domain"), got, "unsupported", _INLINE)
    got = say("{domain}, of its {op_type}", domain=node.domain, op_type=node.op_type)
    if node.op_type in _ASCEND:
        return Finding(place.name, "the default domain", got)
    return Finding(place.name, "the default domain", got, "unsupported", _UNFUSE)


def _is_beyond(place: _Place) -> bool:
    """Whether a node would be read if only the model were at an opset that ATC knows: nothing is wrong with itself."""
    table = atc_operators()
    if place.opset is None or table.oldest <= place.opset <= table.newest:
        return False
    versions = table.versions.get(place.node.op_type, frozenset())
    if takes(place.node.op_type, place.opset):
        return False
    return (table.newest if place.opset > table.newest else table.oldest) in versions


def _at_no_opset(places: list[_Place]) -> Finding:
    """Return one finding for all nodes that only the model's opset keeps from being read."""
    table = atc_operators()
    first: dict[str, str] = {}
    count: dict[str, int] = {}
    for place in places:
        first.setdefault(place.node.op_type, place.name)
        count[place.node.op_type] = count.get(place.node.op_type, 0) + 1
    kinds = [f"{kind} ({count[kind]}, the first '{first[kind]}')" for kind in list(first)[:_MOST_NAMED]]
    unnamed = len(first) - len(kinds)
    more = f" and {unnamed} more operator{'s' * (unnamed > 1)}" if unnamed else ""
    return Finding(
        "model",
        say(
            "opset {opsets}, at which ATC registers standard operators",
            opsets=said(range(table.oldest, table.newest + 1)),
        ),
        f"opset {places[0].opset} for {len(places)} node{'s' * (len(places) > 1)}: {', '.join(kinds)}{more}",
        "unsupported",
        say("export the model at opset {opsets}", opsets=said(table.documented)),
    )


def _check_operator(file: DeployFile, place: _Place) -> Iterator[Finding]:
    table, op_type = atc_operators(), place.node.op_type
    if op_type in _ASCEND and not place.in_main_graph:
        yield Finding(
            place.name,
            say("{op_type} in the main graph", op_type=op_type),
            say("inside the body of another node, or a function"),
        )
        return
    if op_type in table.built_in:
        return
    versions = table.versions.get(op_type)
    if op_type == WEIGHT_QUANT:
        got = say("one, for which the published plugins have no parser")
        yield Finding(
            place.name, say("an int8 weight initializer in the place of {op_type}", op_type=op_type), got, "warning"
        )
        return
    if versions is None:
        got = say("{op_type} at opset {opset}, of which ATC registers no version", op_type=op_type, opset=place.opset)
        yield Finding(place.name, say("an operator that ATC has a parser for"), got, "unsupported", advice(op_type))
        return
    if place.opset is not None and place.opset not in versions:
        expected = say(
            "{op_type} at opset {versions}, the versions that ATC registers", op_type=op_type, versions=said(versions)
        )
        yield Finding(
            place.name,
            expected,
            say("{op_type} at opset {opset}", op_type=op_type, opset=place.opset),
            "unsupported",
            advice(op_type),
        )
        return
    yield from _check_form(file, place)


def _check_form(file: DeployFile, place: _Place) -> Iterator[Finding]:
    """Yield what the plugins want of a node beside its name, or do not read of it."""
    node, op_type = place.node, place.node.op_type
    inputs = _inputs(op_type, place.opset)
    if inputs is not None and not inputs[0] <= len(node.input) <= inputs[1]:
        expected = say("{least} to {most} inputs, as {op_type} has", least=inputs[0], most=inputs[1], op_type=op_type)
        yield Finding(place.name, expected, str(len(node.input)), "unsupported")
    names = {attribute.name for attribute in node.attribute}
    if op_type == "ConvTranspose" and "kernel_shape" not in names:
        weight = file.tensor(node, 1)
        todo = say("write the sizes of the weight's last axes") if weight is None else f"write {list(weight.dims)[2:]}"
        expected = say("the attribute kernel_shape, which ATC's plugin demands of a ConvTranspose")
        yield Finding(place.name, expected, "none", "unsupported", todo)
    if op_type == "BatchNormalization" and attribute_values(node, AttributeProto.INT).get("training_mode", 0):
        expected = say("a BatchNormalization for inference, which ATC makes of every one")
        yield Finding(
            place.name, expected, say("training_mode 1"), "unsupported", say("export the model in evaluation mode")
        )


def _inputs(op_type: str, opset: int | None) -> tuple[int, int] | None:
    """Return how many inputs a standard operator takes; None where ONNX does not know."""
    if opset is None:
        return None
    try:
        schema = onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError:
        return None
    return None if schema.deprecated else (schema.min_input, schema.max_input)
