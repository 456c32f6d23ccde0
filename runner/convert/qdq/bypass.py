"""Fourth pass: float operators read the values before the pairs, and of these no more than their saturation is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.convert.qdq.activations.limits import Limit, rescaling
from runner.convert.qdq.activations.readings import read_pairs
from runner.convert.qdq.annotated_graph import AnnotatedGraph, Annotation, Pair
from runner.convert.qdq.nodes import is_dequantize, is_quantize
from runner.convert.qdq.replacing import replace_value
from runner.errors import ModelError
from runner.graph.builder import Builder
from runner.graph.constants import Names, constant
from runner.wording import say

_CLIP_INPUTS_OPSET = 11  # before it, the limits are attributes


def bypass(graph: AnnotatedGraph, *, progress: Callable[[int, int], None]) -> AnnotatedGraph:
    """Return the graph without QuantizeLinear and DequantizeLinear, all of which are annotated.

    Raises:
        ModelError: some stand inside the body of an If, Loop or Scan.
    """
    model = graph.model
    # Who reads a pair can only be seen while all of them stand.
    readings = read_pairs(graph)
    annotations = [annotation for reading in readings for annotation in reading.annotations(graph.users)]
    names = Names.of(model.graph)
    for place, reading in enumerate(readings, start=len(graph.found.layers) + 1):
        progress(place, graph.steps)
        _bypass_pair(model, reading.pair, limit=reading.limit, names=names)
    annotations += [told for node in graph.nodes if (told := _bypass_output(model.graph, node)) is not None]
    passes.RemoveUnusedNodesPass()(model)
    _refuse_bodies(model)
    if not any(node.domain == "com.microsoft" for node in model.graph.all_nodes()):
        model.opset_imports.pop("com.microsoft", None)
    return replace(graph, annotations=(*graph.annotations, *annotations))


def _bypass_pair(model: ir.Model, pair: Pair, *, limit: Limit, names: Names) -> None:
    """Let the readers of a pair read the value before it; names of graph outputs stay.

    Args:
        model: changed in place. The pair's nodes stay, unread.
        pair: any, accepted or not.
        limit: how the limits of its codes are kept.
        names: the graph's, added to.
    """
    graph = model.graph
    node, name = pair.dequantize, pair.dequantize.name or ""
    build = Builder()
    value = node.inputs[0] if pair.quantize is None else pair.quantize.inputs[0]
    assert value is not None  # both operators need their first input
    if pair.quantize is None:
        value = _dequantized(build, value, node, name)
    scaling = rescaling(pair)
    if scaling is not None:
        value = build.op(
            "Mul", [value, _number(build, f"{name}.factor", scaling[0])], f"{name}.rescale", ir.DataType.FLOAT
        )
        value = build.op("Add", [value, _number(build, f"{name}.shift", scaling[1])], f"{name}.move", ir.DataType.FLOAT)
    if limit == "Clip":
        value = _clipped(build, value, pair.limits, f"{name}.clip", model.opset_imports[""])
    elif limit == "Relu":
        value = build.op("Relu", [value], f"{name}.relu", ir.DataType.FLOAT)
    build.register(graph, names)
    graph.insert_before(node, build.nodes)
    replace_value(graph, node.outputs[0], value, node)


def _bypass_output(graph: ir.Graph, node: ir.Node) -> Annotation | None:
    """Let a model output that was integers be the float value that a QuantizeLinear read; None where a node makes no output."""
    value, output = node.inputs[0], node.outputs[0]
    if not is_quantize(node) or not output.is_graph_output() or value is None:
        return None
    name = output.name or ""
    replace_value(graph, output, value, node)
    reason = say("the model output '{name}' is given in float, unrounded: the writers cannot end in int8", name=name)
    return Annotation([node], reason, "output", None, name)


def _dequantized(build: Builder, codes: ir.Value, node: ir.Node, name: str) -> ir.Value:
    """Return ``(float(codes) - zero_point) * scale``: a DequantizeLinear of integers that the model is given."""
    value = build.cast(codes, ir.DataType.FLOAT, f"{name}.cast")
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        zero_point = constant(node.inputs[2])
        operand = (
            node.inputs[2] if zero_point is None else build.constant(f"{name}.zero", zero_point.astype(np.float32))
        )
        if zero_point is None:
            operand = build.cast(operand, ir.DataType.FLOAT, f"{name}.zero_cast")
        value = build.op("Sub", [value, operand], f"{name}.centred", ir.DataType.FLOAT)
    return build.op("Mul", [value, node.inputs[1]], f"{name}.real", ir.DataType.FLOAT)


def _clipped(build: Builder, value: ir.Value, limits: tuple[float, float], name: str, opset: int) -> ir.Value:
    low, high = limits
    if opset < _CLIP_INPUTS_OPSET:
        return build.op("Clip", [value], name, ir.DataType.FLOAT, {"min": low, "max": high})
    bounds = [_number(build, f"{name}.min", low), _number(build, f"{name}.max", high)]
    return build.op("Clip", [value, *bounds], name, ir.DataType.FLOAT)


def _number(build: Builder, name: str, number: float) -> ir.Value:
    return build.constant(name, np.asarray(number, np.float32))


def _refuse_bodies(model: ir.Model) -> None:
    """Raise a ModelError where a QuantizeLinear or DequantizeLinear is left: in a body, which the passes do not enter."""
    for node in model.graph.all_nodes():
        if is_quantize(node) or is_dequantize(node):
            raise ModelError(
                f"model.path: {node.op_type} '{node.name}' stands inside the body of an If, Loop or Scan; expected it in the "
                "main graph. Export the model without control flow."
            )
