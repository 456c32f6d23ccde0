"""One spelling for what exporters write in many: no Identity, no casts of codes, no Constant nodes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.convert.qdq.constants.folding import fold_constants
from runner.convert.qdq.nodes import is_quantize
from runner.convert.qdq.spelling.code_moves import dequantize_first
from runner.convert.qdq.spelling.idle import idle_nodes, taken_out
from runner.graph.branches import take_constant_branches
from runner.graph.constants import constant, free_of, make_constant, value_names
from runner.graph.half import widen_half
from runner.graph.identities import remove_identities
from runner.graph.naming import name_inner_nodes
from runner.graph.prepare import tidy


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
    idle = idle_nodes(model.graph)
    remove_identities(model)
    taken = value_names(model.graph)
    for node in list(model.graph):
        if node.op_type == "Cast" and node.domain == "":
            _remove_cast(model.graph, node, taken)
    fold_constants(model)
    dequantize_first(model.graph)
    passes.RemoveUnusedNodesPass()(model)
    return model, taken_out(idle)


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
