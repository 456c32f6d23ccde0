"""First pass: what rounds each activation, and the integers of every constant, before anything is changed."""

from __future__ import annotations

import onnx_ir as ir

from runner.convert.qdq.activations.coarse import coarse_outputs
from runner.convert.qdq.activations.pairs import find_pairs
from runner.convert.qdq.annotated_graph import AnnotatedGraph
from runner.convert.qdq.constants.derived import quantized_constants
from runner.convert.qdq.constants.uses import constant_uses
from runner.convert.qdq.layers.source import layer_sources
from runner.convert.qdq.nodes import is_dequantize, is_quantize
from runner.convert.qdq.refusals import refuse_integer_operators
from runner.convert.qdq.spelling.normalise import normalise


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
    refuse_integer_operators(nodes, constants)
    uses = constant_uses(graph, constants)
    sources = layer_sources(graph, pairs, constants, uses=uses, idle=idle)
    return AnnotatedGraph(model, nodes, pairs, constants, uses, sources, coarse_outputs(graph, pairs))
