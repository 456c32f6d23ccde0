"""One spelling for what exporters write in many: no Identity, no casts of codes, no Constant nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.convert.qdq.activations.commuting import moves_one
from runner.convert.qdq.constants.folding import fold_constants
from runner.convert.qdq.nodes import is_dequantize, is_quantize, parameters
from runner.graph.branches import take_constant_branches
from runner.graph.constants import constant, free_of, make_constant, value_names
from runner.graph.half import widen_half
from runner.graph.identities import remove_identities
from runner.graph.naming import name_inner_nodes
from runner.graph.prepare import tidy

_IDLE = ("Identity", "Cast")
# What moves codes as it moves values; Pad would fill codes with another 0, and Relu clips them elsewhere.
_NOT_ON_CODES = ("Pad", "Relu", "Cast", "Resize", "Upsample", "Trilu", "Dropout")


def normalise(source: ir.Model) -> tuple[ir.Model, dict[str, tuple[str, ...]]]:
    """Return a copy with named nodes, constants as initializers, and at most a Clip between the two nodes of a pair.

    Only what computes nothing is taken out: Identity, casts of constants, and casts to the type that a value has. The second
    result says which of them stood beside a QuantizeLinear or DequantizeLinear, by its name. A float16 model computes in
    float32 from here on (see ``widen_half``): scales in float16 are float32 values too, and stay what they are.
    """
    model = source.clone()
    tidy(model)
    name_inner_nodes(model)
    # What stands in a branch that is always taken is read like any other part.
    take_constant_branches(model)
    widen_half(model)
    idle = _idle_nodes(model.graph)
    remove_identities(model)
    taken = value_names(model.graph)
    for node in list(model.graph):
        if node.op_type == "Cast" and node.domain == "":
            _remove_cast(model.graph, node, taken)
    fold_constants(model)
    _dequantize_first(model.graph)
    passes.RemoveUnusedNodesPass()(model)
    return model, _taken_out(idle)


def _remove_cast(graph: ir.Graph, cast: ir.Node, taken: set[str | None]) -> None:
    value, output = cast.inputs[0], cast.outputs[0]
    to = ir.DataType(cast.attributes["to"].as_int())
    array = constant(value)
    if value is None or output.is_graph_output():
        return
    if array is not None:
        name = free_of(taken, output.name or f"{cast.name}.constant")
        taken.add(name)
        made = make_constant(name, np.asarray(array).astype(to.numpy()))
        graph.register_initializer(made)
        output.replace_all_uses_with(made)
    elif to == (_codes_type(value.producer()) if is_quantize(value.producer()) else _known_float(value)):
        output.replace_all_uses_with(value)


def _known_float(value: ir.Value) -> ir.DataType | None:
    return ir.DataType.FLOAT if value.dtype == ir.DataType.FLOAT else None


def _codes_type(quantize: ir.Node | None) -> ir.DataType:
    """Return the type of a QuantizeLinear's codes: its zero point's, or what it states, or uint8."""
    if quantize is None:
        return ir.DataType.UNDEFINED
    zero_point = constant(quantize.inputs[2]) if len(quantize.inputs) > 2 else None
    stated = quantize.attributes.get("output_dtype")
    if zero_point is not None:
        return ir.DataType.from_numpy(zero_point.dtype)
    return ir.DataType(stated.as_int()) if stated is not None and stated.as_int() else ir.DataType.UINT8


def _dequantize_first(graph: ir.Graph) -> None:
    """Put each DequantizeLinear behind its QuantizeLinear, in front of what moves the codes; changes the graph."""
    for node in list(graph):
        between = _between(node) if is_dequantize(node) else []
        if not between or node.outputs[0].is_graph_output():
            continue
        stated = parameters(node)
        if stated is None or not stated.per_tensor:
            continue
        last, first = between[0], between[-1]
        codes = first.inputs[0]
        assert codes is not None  # its producer is the QuantizeLinear
        node.outputs[0].replace_all_uses_with(last.outputs[0])
        node.replace_input_with(0, codes)
        first.replace_input_with(0, node.outputs[0])
        for moved in between:
            moved.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        graph.remove(node)
        graph.insert_before(first, [node])


def _between(dequantize: ir.Node) -> list[ir.Node]:
    """Return the nodes from a DequantizeLinear back to the QuantizeLinear of a variable, if they alone read its codes."""
    found: list[ir.Node] = []
    value = dequantize.inputs[0]
    while value is not None and len(value.uses()) == 1 and not value.is_graph_output():
        node = value.producer()
        if node is None:
            return []
        if is_quantize(node):
            return [] if constant(node.inputs[0]) is not None else found
        if not moves_one(node) or node.op_type in _NOT_ON_CODES or len(node.outputs) > 1:
            return []
        found.append(node)
        value = node.inputs[0]
    return []


def _idle_nodes(graph: ir.Graph) -> dict[ir.Node, tuple[str, ...]]:
    """Return each Identity and Cast with the names of the Q/DQ nodes it touches, itself or through more of its kind."""
    return {node: tuple(dict.fromkeys(_touched(node))) for node in graph if _is_idle(node)}


def _taken_out(idle: Mapping[ir.Node, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return, by the names of Q/DQ nodes, the operators beside them that no graph holds any more."""
    found: dict[str, dict[str, None]] = {}
    for node, names in idle.items():
        for name in names if node.graph is None else ():
            found.setdefault(name, {})[node.op_type] = None
    return {name: tuple(operators) for name, operators in found.items()}


def _touched(node: ir.Node) -> Iterator[str]:
    before = [node]
    while _is_idle(before[-1]):
        producer = None if before[-1].inputs[0] is None else before[-1].inputs[0].producer()
        if producer is None:
            break
        before.append(producer)
    yield from _name(before[-1])
    after = [node]
    while after:
        for usage in after.pop().outputs[0].uses():
            yield from _name(usage.node)
            after += [usage.node] if _is_idle(usage.node) else []


def _name(node: ir.Node) -> Iterator[str]:
    if is_quantize(node) or is_dequantize(node):
        yield node.name or ""


def _is_idle(node: ir.Node) -> bool:
    return node.op_type in _IDLE and node.domain == ""
