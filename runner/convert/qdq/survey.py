"""First pass: what rounds each activation, and the integers of every constant, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from runner.convert.qdq.activations.pairs import find_pairs
from runner.convert.qdq.annotated_graph import AnnotatedGraph, Constants, Pairs
from runner.convert.qdq.constants.derived import quantized_constants
from runner.convert.qdq.layers.source import constant_uses, layer_sources
from runner.convert.qdq.nodes import code_clip, is_dequantize, is_quantize
from runner.convert.qdq.normalise import normalise
from runner.errors import ModelError
from runner.graph.layers import LayeredModel

# From few values they make few: what comes out of them is as coarse as what goes in.
_VALUE_BY_VALUE = (
    *("Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Tanh"),
    *("Cast", "Identity", "Reshape", "Flatten", "Squeeze"),
)


def survey(source: ir.Model) -> AnnotatedGraph:
    """Return a copy of a source in one spelling, and what its QuantizeLinear and DequantizeLinear say.

    Raises:
        ModelError: scales do not fit their tensor, or the model computes on integers.
    """
    model, idle = normalise(source)
    graph = model.graph
    nodes = [node for node in graph if is_quantize(node) or is_dequantize(node)]
    constants = quantized_constants(model)
    pairs = find_pairs(graph, constants)
    _refuse_integer_operators(nodes, constants)
    coarse = _coarse_outputs(graph, pairs)
    uses = constant_uses(graph, constants)
    sources = layer_sources(graph, pairs, constants, uses=uses, idle=idle)
    # Layers are found once their constants are in place.
    return AnnotatedGraph(model, nodes, pairs, constants, uses, sources, coarse, LayeredModel(model, ()))


def _refuse_integer_operators(nodes: Iterable[ir.Node], constants: Constants) -> None:
    """Raise a ModelError when quantized codes go anywhere but into a DequantizeLinear or a model output."""
    stored = {node for constant in constants.values() for node in constant.nodes}
    for node in nodes:
        for usage in node.outputs[0].uses() if is_quantize(node) and node not in stored else ():
            reader = usage.node
            clips = code_clip(reader) is not None and all(is_dequantize(u.node) for u in reader.outputs[0].uses())
            if not is_dequantize(reader) and not clips:
                raise ModelError(
                    f"model.path: QuantizeLinear '{node.name}' feeds {reader.op_type} '{reader.name}'; expected a "
                    "DequantizeLinear: the model computes on integers. Export it as QDQ, float operators between pairs "
                    "(onnxruntime: quantize_static with quant_format=QuantFormat.QDQ)."
                )


def _coarse_outputs(graph: ir.Graph, pairs: Pairs) -> tuple[str, ...]:
    """Return the outputs whose values are codes, come from a pair, or from the function of one value that stands behind it."""
    found = []
    for output in graph.outputs:
        value: ir.Value | None = output
        while value is not None and value not in pairs.rounding and not is_quantize(value.producer()):
            node = value.producer()
            value = node.inputs[0] if node is not None and node.op_type in _VALUE_BY_VALUE else None
        if value is not None:
            found.append(output.name or "")
    return tuple(found)
