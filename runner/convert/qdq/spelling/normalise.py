"""One spelling for what exporters write in many: no Identity, no casts of codes, no Constant nodes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.convert.qdq.constants.folding import fold_constants
from runner.convert.qdq.nodes import is_dequantize, is_quantize
from runner.convert.qdq.spelling.code_moves import dequantize_first
from runner.convert.qdq.spelling.idle import idle_nodes, taken_out
from runner.errors import ModelError
from runner.graph.branches import take_constant_branches
from runner.graph.constants import constant, free_of, make_constant, value_names
from runner.graph.half import widen_half
from runner.graph.identities import remove_identities
from runner.graph.naming import name_inner_nodes
from runner.graph.other_quantizers import all_nodes, only_weights, refuse_other_quantizers
from runner.graph.prepare import tidy
from runner.graph.random_operators import refuse_random

_DYNAMIC = ("DynamicQuantize", "ConvInteger", "MatMulInteger")


def refuse_foreign(model: ir.Model) -> None:
    """Raise a ModelError unless the model is quantized by QuantizeLinear / DequantizeLinear alone."""
    nodes = all_nodes(model)
    refuse_other_quantizers(nodes)
    refuse_random(nodes)
    integer = next((node for node in nodes if _on_integers(node)), None)
    if integer is not None and not any(is_quantize(node) for node in nodes):
        raise ModelError(
            f"model.path: node '{integer.name}' is a {integer.op_type}: the model computes on integers, with scales found "
            "as it runs, so there are none to take over. Give its float original to mode=acc_auto."
        )
    if not any(is_quantize(node) or is_dequantize(node) for node in nodes):
        weight = only_weights(nodes)
        if weight is not None:
            raise ModelError(
                f"model.path: {weight.op_type} '{weight.name}' holds a quantized weight, and no activation is quantized. "
                "Give the float model that it was made from, with mode=acc_auto."
            )
        raise ModelError(
            "model.path: the model has no QuantizeLinear/DequantizeLinear: it is no quantization-aware-trained model; "
            "use mode=acc_auto."
        )


def _on_integers(node: ir.Node) -> bool:
    """Return whether a node is of those that onnxruntime's dynamic quantizer writes."""
    return node.op_type.startswith(_DYNAMIC)


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
